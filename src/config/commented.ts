/** A configuration to begin with, from the rows: every setting with its help and its default, all behind "#". */
import { isSetting, isTables, type SettingRow, type SettingRows } from "./schema.ts";
import { settings } from "./settings.ts";

/** The text of it; `file` is where it will be. */
export function commentedSettings(file: string): string {
  return `# ${file}: made by tpa-submit init.
# Each setting stands here with its default; tpa-submit.toml(5) explains them. To change one, write it below its line.
# After a change: tpa-submit check, then systemctl reload tpa-submit.

${linesOf(settings as SettingRows, "")}`;
}

function linesOf(rows: SettingRows, name: string): string {
  const own = Object.entries(rows).map(([key, row]) => (isSetting(row) ? settingLines(key, row) : ""));
  const tables = Object.entries(rows).map(([key, row]) => {
    if (isSetting(row)) return "";
    const path = name === "" ? key : `${name}.${key}`;
    if (isTables(row)) return `\n# [[${path}]]\n${linesOf(row.each, path)}`;
    return `\n[${path}]\n${linesOf(row, path)}`;
  });
  return [...own, ...tables].join("");
}

function settingLines(key: string, { default: standard, help }: SettingRow<unknown>): string {
  return `# ${help}\n# ${key} = ${standard === undefined ? "(must be given)" : written(standard)}\n`;
}

/** In TOML; JSON has the same for what defaults are. */
const written = (value: unknown): string =>
  Array.isArray(value) ? `[${value.map(written).join(", ")}]` : JSON.stringify(value);
