/** Reads tpa-submit.toml. */
import { checksFor } from "./checks.ts";
import type { SettingRows } from "./schema.ts";
import { type Config, settings } from "./settings.ts";
import { type FileSchema, type ParseResult, parseTomlFile, readTomlFile } from "./toml-file.ts";

const form: FileSchema<Config> = {
  rows: settings as SettingRows,
  manual: "tpa-submit.toml(5)",
  checks: checksFor,
  whenMissing: "name yours with --config FILE, or begin with the example that came with the program",
  whenRepeated: (line) =>
    /^\s*\[{1,2}\s*domain\s*\]/.test(line)
      ? 'domain = "…" is the main domain, and the others are [[domains]]'
      : undefined,
};

/** The configuration that the file `path` holds; throws as `readTomlFile` does. */
export const readConfig = (path: string): Promise<Config> => readTomlFile(path, form);

/** The configuration in `source`; `file` is its name in the mistakes. */
export const parseConfig = (source: string, file: string): ParseResult<Config> =>
  parseTomlFile(source, file, form);
