/**
 * Reading JSON strictly by a table: one row per field of a type, each knowing how to read and to write it.
 * What does not fit is a Mismatch, which says where.
 */

/** A value that is not what its place asks for. */
export class Mismatch extends Error {
  /** `at` is the place ("recipients[2].state", "" for the whole), `found` what stands there. */
  constructor(at: string, expected: string, found: unknown) {
    const what = found === undefined ? "nothing" : quote(found);
    super(`${at === "" ? "" : `${at}: `}expected ${expected}, found ${what}`);
    this.name = "Mismatch";
  }
}

/** How the value of one place is read and written. */
export interface JsonField<Value> {
  /** Throws Mismatch. */
  read(found: unknown, at: string): Value;
  /**
   * What to hand to JSON; `at` is the field's name. Throws where it could not be read again: a Mismatch, or a RangeError for
   * a time that is none.
   */
  write(value: Value, at: string): unknown;
}

/** A field that need not be there. */
export interface OptionalField<Value> extends JsonField<Value> {
  readonly optional: true;
}

/** One row for each field of `Shape`, optional exactly where `Shape` says so. */
export type JsonFields<Shape> = {
  readonly [Key in keyof Shape]-?: Record<never, never> extends Pick<Shape, Key>
    ? OptionalField<Exclude<Shape[Key], undefined>>
    : JsonField<Shape[Key]>;
};

/** A value that JSON carries as it is; `expected` says which, for people. */
export function is<Value>(expected: string, test: (found: unknown) => found is Value): JsonField<Value> {
  return {
    read(found, at) {
      if (!test(found)) throw new Mismatch(at, expected, found);
      return found;
    },
    write(value, at) {
      if (!test(value)) throw new Mismatch(at, expected, value);
      return value;
    },
  };
}

/** One of the given words. */
export function oneOf<Word extends string>(...words: readonly Word[]): JsonField<Word> {
  return is(words.join(" or "), (found): found is Word => words.some((word) => word === found));
}

export function optional<Value>(field: JsonField<Value>): OptionalField<Value> {
  return { optional: true, ...field };
}

export function list<Value>(item: JsonField<Value>): JsonField<readonly Value[]> {
  return {
    read(found, at) {
      if (!Array.isArray(found)) throw new Mismatch(at, "a list", found);
      return found.map((value: unknown, index) => item.read(value, `${at}[${String(index)}]`));
    },
    write: (values, at) => values.map((value) => item.write(value, at)),
  };
}

/** A list that would mean nothing without an entry. */
export function listOfSome<Value>(item: JsonField<Value>): JsonField<readonly Value[]> {
  const any = list(item);
  return {
    ...any,
    read(found, at) {
      const values = any.read(found, at);
      if (values.length === 0) throw new Mismatch(at, "at least one", found);
      return values;
    },
    write(values, at) {
      if (values.length === 0) throw new Mismatch(at, "at least one", values);
      return any.write(values, at);
    },
  };
}

/** An object with exactly the fields of `rows`, written in their order; what the caller reads `besides` is passed over. */
export function record<Shape extends object>(rows: JsonFields<Shape>, besides?: string): JsonField<Shape> {
  const table = Object.entries(rows) as readonly [string, JsonField<unknown> | OptionalField<unknown>][];
  const fields = table.map(([key, field]) => ({ key, field, isOptional: "optional" in field }));
  const known = new Set([...Object.keys(rows), ...(besides === undefined ? [] : [besides])]);
  return {
    read(found, at) {
      if (!isObject(found)) throw new Mismatch(at, "an object", found);
      for (const key of Object.keys(found)) {
        if (!known.has(key)) throw new Mismatch(at, "no unknown field", { [key]: found[key] });
      }
      const values: Record<string, unknown> = {};
      for (const { key, field, isOptional } of fields) {
        const isThere = Object.hasOwn(found, key);
        if (!isThere && isOptional) continue;
        values[key] = field.read(isThere ? found[key] : undefined, at === "" ? key : `${at}.${key}`);
      }
      return values as Shape; // as the rows, which are made after the type, have read it
    },
    write(value, at) {
      const given = fieldsOf(value, at);
      const written: Record<string, unknown> = {};
      for (const { key, field, isOptional } of fields) {
        const isAbsent = given[key] === undefined && isOptional;
        if (!isAbsent) written[key] = field.write(given[key], key);
      }
      return written;
    },
  };
}

/** The fields of an object; throws Mismatch where `found` is none. */
export function fieldsOf(found: unknown, at: string): Readonly<Record<string, unknown>> {
  if (!isObject(found)) throw new Mismatch(at, "an object", found);
  return found;
}

const isObject = (found: unknown): found is Record<string, unknown> =>
  typeof found === "object" && found !== null && !Array.isArray(found);

/** As JSON, so that nothing in it reaches a terminal unescaped, and short. */
function quote(found: unknown): string {
  const json = JSON.stringify(found).replace(
    /[\u007f-\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  return json.length <= 60 ? json : `${json.slice(0, 60)}…`;
}
