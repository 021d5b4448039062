/** What the subcommands of `tpa-submit dkim` share. */
import { argument, value } from "../../cli/options.ts";

export const config = value("-c, --config <file>", "Configuration file.", "/etc/tpa-submit/tpa-submit.toml");
export const domain = argument("[domain]", "Whose keys; without it those of domain in the configuration.");

/** How to call another subcommand with the same configuration, for whoever is told to. */
export const callOf = (words: string, file: string): string =>
  file === "/etc/tpa-submit/tpa-submit.toml" ? `tpa-submit ${words}` : `tpa-submit ${words} --config ${file}`;
