/** The options of `tpa-submit probe checkup`. */
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
import { address, duration } from "../../../config/setting-types.ts";
import { blocklists } from "../../../probe/checkup/blocklists.ts";

const port = wholeNumber(1, 65_535);

export const line = command({
  name: "probe checkup",
  summary:
    "Look at a submission service from outside, and say of each thing whether it is well and what to do.",
  options: {
    login: value("-l, --login <user>", "Log in as this user, too, and try to send as somebody else."),
    passwordFile: value(
      "--password-file <file>",
      "File with the password, on its first line; else TPA_SUBMIT_PROBE_PASSWORD.",
    ),
    domain: value("-d, --domain <domain>", "Whose mail it is; without it: the host without its first label."),
    submission: parsed("--submission <port>", "Port with STARTTLS.", port, "587"),
    submissions: parsed("--submissions <port>", "Port inside TLS.", port, "465"),
    ca: value("--ca <file>", "Certificates (PEM) to trust in place of the system's."),
    nameserver: parsed("--nameserver <address>", "DNS server to ask in place of the system's.", address),
    message: value(
      "--message <file>",
      "A message of the service as it has arrived, with its header: look at its DKIM signatures.",
    ),
    blocklist: list(
      "--blocklist <name>",
      `Ask this list, by its terms, for the addresses of the service; may be given again: ${Object.keys(blocklists).join(", ")}, or a zone.`,
    ),
    timeout: parsed("--timeout <duration>", "How long one answer may take.", duration, "15s"),
    json: flag("--json", "The findings as JSON."),
    nagios: flag("--nagios", "One status line first, and its grade as the exit status."),
  },
  arguments: { host: argument("<host>", "The submission server.") },
  examples: [
    "tpa-submit probe checkup submission.example.org",
    "tpa-submit probe checkup submission.example.org --login probe --password-file /etc/tpa-submit/probe-password",
    "tpa-submit probe checkup submission.example.org --nagios",
  ],
});

export type CheckupCommandOptions = OptionsOf<typeof line.options>;
