/** The options of `tpa-submit check`. */
import { command, flag, type OptionsOf, value } from "../../cli/options.ts";

export const standardConfig = "/etc/tpa-submit/tpa-submit.toml";
export const standardUnit = "tpa-submit.service";
export const standardMx = "gmail.com";

export const line = command({
  name: "check",
  summary: "Look at everything that the relay needs, and say what is wrong and what to do. Changes nothing.",
  options: {
    config: value("-c, --config <file>", "Configuration file.", standardConfig),
    offline: flag("--offline", "Ask no other host: no DNS, no directory, no relay, no MX."),
    mx: value("--mx <domain>", "Whose MX is tried, to see whether port 25 is open.", standardMx),
    unit: value("--unit <unit>", "systemd unit of the service, a name or a file.", standardUnit),
    json: flag("--json", "The findings as JSON."),
    nagios: flag("--nagios", "One status line first, and its grade as the exit status."),
  },
  arguments: {},
  examples: [
    "tpa-submit check",
    "tpa-submit check --offline --config ./tpa-submit.toml",
    "tpa-submit check --nagios",
  ],
});

export type CheckOptions = OptionsOf<typeof line.options>;
