/** The options of `tpa-submit probe reports`. */
import {
  argument,
  command,
  flag,
  list,
  type OptionsOf,
  parsed,
  value,
  wholeNumber,
} from "../../../cli/options.ts";
import { duration } from "../../../config/setting-types.ts";

const percent = wholeNumber(0, 100);

export const defaultStore = "/var/lib/tpa-submit/probe/reports";

export const line = command({
  name: "probe reports",
  summary:
    "Read the DMARC and TLS reports that receivers send, and tell whose mail failed, where, and how our TLS was.",
  options: {
    own: list(
      "-o, --own <address>",
      "Where our mail leaves: an address, a network or a host's name; may be given several times.",
    ),
    config: value(
      "-c, --config <file>",
      "The relay's configuration: its host and its source addresses are ours, too.",
    ),
    passwordFile: value(
      "--password-file <file>",
      "File with the mailbox's password, on its first line; else TPA_SUBMIT_PROBE_PASSWORD.",
    ),
    ca: value("--ca <file>", "Certificates (PEM) to trust in place of the system's."),
    authority: value(
      "--authority <name>",
      "Count mail only where Authentication-Results of this name say that it passed DMARC.",
    ),
    move: value("--move <folder>", "Move reports to this folder of the mailbox, once they are kept."),
    seen: flag("--seen", "Mark reports as seen, once they are kept."),
    again: flag("--again", "Look at all messages of the folder; no report counts twice."),
    days: parsed("--days <number>", "What is told of.", wholeNumber(1, 400), "30"),
    keep: parsed("--keep <duration>", "How long reports are kept.", duration, "400d"),
    store: value("--store <file>", "Where they are kept.", defaultStore),
    warn: parsed(
      "-w, --warn <percent>",
      "Less of our mail or of TLS sessions well is a warning.",
      percent,
      "98",
    ),
    crit: parsed("--crit <percent>", "Less is critical.", percent, "90"),
    nagios: flag("--nagios", "One status line, and the grade as the exit status."),
    json: flag("--json", "The figures as JSON."),
    prometheus: value(
      "--prometheus <file>",
      "Write metrics for node_exporter's textfile collector (*.prom).",
    ),
  },
  arguments: {
    places: argument(
      "[place...]",
      "Files, folders, - for standard input, maildir:DIRECTORY, imaps://USER@HOST[:PORT][/FOLDER]; none: only tell.",
    ),
  },
  examples: [
    "tpa-submit probe reports --own 192.0.2.10 /home/user/reports",
    "tpa-submit probe reports --own submission.example.org --password-file /etc/tpa-submit/reports-password imaps://reports@imap.example.org/DMARC",
    "tpa-submit probe reports --days 7 --nagios",
  ],
});

export type ReportsCommandOptions = OptionsOf<typeof line.options>;
