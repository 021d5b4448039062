/** What a table of settings is made of: single settings, tables of them, and tables that may stand several times. */
import type { SettingType } from "./setting-types.ts";

/** `default` is the default in the file's own notation; undefined where the setting must be given. */
export interface SettingRow<Value> {
  readonly type: SettingType<Value>;
  readonly default: unknown;
  readonly help: string;
}

/** `[[name]]`, as often as one likes, in order; read as a list. */
export interface RepeatedTable<Each> {
  readonly each: Each;
}

/** Rows and tables of rows, as a reader that knows none by name sees them. */
export interface SettingRows {
  readonly [key: string]: SettingRow<unknown> | RepeatedTable<SettingRows> | SettingRows;
}

export const isSetting = (row: SettingRows[string]): row is SettingRow<unknown> => "default" in row;

export const isTables = (row: SettingRows[string]): row is RepeatedTable<SettingRows> => "each" in row;

/** What is read by rows: the values, nested as the rows are. */
export type ValuesOf<Table> = {
  readonly [Key in keyof Table]: Table[Key] extends SettingRow<infer Value>
    ? Value
    : Table[Key] extends RepeatedTable<infer Each>
      ? readonly ValuesOf<Each>[]
      : ValuesOf<Table[Key]>;
};

export function setting<Value>(kind: SettingType<Value>, standard: unknown, help: string): SettingRow<Value> {
  return { type: kind, default: standard, help };
}

export function required<Value>(kind: SettingType<Value>, help: string): SettingRow<Value> {
  return { type: kind, default: undefined, help };
}

export interface Check<Config> {
  /** The settings it looks at. It is skipped where one of them is wrong by itself; the first is the one to blame. */
  readonly settings: readonly [string, ...string[]];
  /** "expected …, found …", or undefined where all is well. */
  readonly mistake: (config: Config) => string | undefined;
}
