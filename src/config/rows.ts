/** What a table of settings is made of: single settings, tables of them, and tables that may stand several times. */
import type { Kind } from "./kinds.ts";

/** `standard` is the default in the file's own notation; undefined where the setting must be given. */
export interface Setting<Value> {
  readonly kind: Kind<Value>;
  readonly standard: unknown;
  readonly help: string;
}

/** `[[name]]`, as often as one likes, in order; read as a list. */
export interface Tables<Each> {
  readonly each: Each;
}

/** Rows and tables of rows, as a reader that knows none by name sees them. */
export interface Rows {
  readonly [key: string]: Setting<unknown> | Tables<Rows> | Rows;
}

export const isSetting = (row: Rows[string]): row is Setting<unknown> => "standard" in row;

export const isTables = (row: Rows[string]): row is Tables<Rows> => "each" in row;

/** What is read by rows: the values, nested as the rows are. */
export type ValuesOf<Table> = {
  readonly [Key in keyof Table]: Table[Key] extends Setting<infer Value>
    ? Value
    : Table[Key] extends Tables<infer Each>
      ? readonly ValuesOf<Each>[]
      : ValuesOf<Table[Key]>;
};

export function setting<Value>(kind: Kind<Value>, standard: unknown, help: string): Setting<Value> {
  return { kind, standard, help };
}

export function required<Value>(kind: Kind<Value>, help: string): Setting<Value> {
  return { kind, standard: undefined, help };
}
