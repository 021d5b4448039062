/** The options of `tpa-submit probe propagation`. */
import { command, flag, type OptionsOf, parsed, value } from "../../../cli/options.ts";
import { duration, server } from "../../../config/setting-types.ts";

export const line = command({
  name: "probe propagation",
  summary:
    "Give a test account a new password in the directory, and see how long it takes to work at the submission server.",
  options: {
    config: value("-c, --config <file>", "Configuration file.", "/etc/tpa-submit/tpa-submit.toml"),
    login: value("-l, --login <user>", "The test account. Its password changes with each run."),
    passwordFile: value("--password-file <file>", "File that has, and gets, the account's password."),
    server: parsed(
      "--server <url>",
      "Submission server, smtp://HOST:PORT or smtps://HOST:PORT; without it: port 465 of hostname.",
      server,
    ),
    ca: value("--ca <file>", "Certificates (PEM) to trust in place of the system's."),
    bindPasswordFile: value(
      "--bind-password-file <file>",
      "Log in to the directory as the account itself, with this password; without it: as [ldap] says.",
    ),
    scheme: value("-s, --scheme <scheme>", "How the password is hashed.", "BLF-CRYPT"),
    interval: parsed("--interval <duration>", "Between two attempts.", duration, "5s"),
    warn: parsed("-w, --warn <duration>", "Later than this is late.", duration, "5m"),
    crit: parsed("--crit <duration>", "Later than this is too late.", duration, "15m"),
    timeout: parsed("-t, --timeout <duration>", "When to give up.", duration, "20m"),
    yes: flag("-y, --yes", "Do not ask, although the account's password is not known."),
    nagios: flag("--nagios", "One status line with figures."),
    json: flag("--json", "The result as JSON."),
    prometheus: value(
      "--prometheus <file>",
      "Write metrics for node_exporter's textfile collector (*.prom).",
    ),
  },
  arguments: {},
  examples: [
    "tpa-submit probe propagation --login probe --password-file /var/lib/tpa-submit/probe/password --yes",
    "tpa-submit probe propagation --login probe --password-file /var/lib/tpa-submit/probe/password --nagios",
    "tpa-submit probe propagation --login probe --password-file ./password --server smtps://submission.example.org:465",
  ],
});

export type PropagationCommandOptions = OptionsOf<typeof line.options>;
