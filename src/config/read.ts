/** Reads tpa-submit.toml. */
import { checksOf } from "./checks.ts";
import { type Form, parseForm, type Reading, readForm } from "./form.ts";
import type { Rows } from "./rows.ts";
import { type Config, settings } from "./settings.ts";

const form: Form<Config> = {
  rows: settings as Rows,
  manual: "tpa-submit.toml(5)",
  checks: checksOf,
  whenMissing: "name yours with --config FILE, or begin with the example that came with the program",
};

/** The configuration that the file `path` holds; throws as `readForm` does. */
export const readConfig = (path: string): Promise<Config> => readForm(path, form);

/** The configuration in `source`; `file` is its name in the mistakes. */
export const parseConfig = (source: string, file: string): Reading<Config> => parseForm(source, file, form);
