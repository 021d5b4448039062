/** Options about options. */
import type { Row } from "../row.ts";

export const sources = [
  {
    name: "config",
    group: "sources",
    argument: "optional",
    placeholder: "FILE",
    standard: "the first .swaksrc in $SWAKS_HOME, $HOME and $LOGDIR",
    help: "Read options from this file; without a value from none. Each line is one option; # begins a comment.",
    example: "--config probe.conf -t bob@example.org -s mail.example.org",
  },
  {
    name: "trigger-deprecation",
    group: "sources",
    argument: "wanted",
    placeholder: "TEXT",
    help: "Show how a warning about an option that will go looks. No option will, at present.",
    example: "--trigger-deprecation x --version",
  },
] as const satisfies readonly Row[];
