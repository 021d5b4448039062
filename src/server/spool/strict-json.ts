/**
 * Reading JSON strictly by a table: one row per field of a type, each knowing how to read and to write it.
 * What does not fit is a Mismatch, which says where.
 */

/** A value that is not what its place asks for. */
export class Mismatch extends Error {
  readonly #at: string;
  readonly #expected: string;
  readonly #found: unknown;

  /** `at` is the place ("recipients[2].state", "" for the whole), `found` what stands there. */
  constructor(at: string, expected: string, found: unknown) {
    const what = found === undefined ? "nothing" : quote(found);
    super(`${at === "" ? "" : `${at}: `}expected ${expected}, found ${what}`);
    this.name = "Mismatch";
    this.#at = at;
    this.#expected = expected;
    this.#found = found;
  }

  /** The same, seen from outside of `place`. */
  within(place: string): Mismatch {
    const inside = this.#at === "" || this.#at.startsWith("[") ? this.#at : `.${this.#at}`;
    return new Mismatch(place === "" ? this.#at : `${place}${inside}`, this.#expected, this.#found);
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
      const given: readonly unknown[] = found;
      let values: Value[] | undefined; // where not all of them are as they stand there
      for (let index = 0; index < given.length; index++) {
        try {
          const value = item.read(given[index], "");
          if (value !== given[index]) values ??= given.slice(0, index) as Value[];
          values?.push(value);
        } catch (error) {
          throw error instanceof Mismatch ? error.within(`${at}[${String(index)}]`) : error;
        }
      }
      return values ?? (given as readonly Value[]);
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

/**
 * An object with exactly the fields of `rows`, written in their order. Read, it is what was found, or a copy where a value is
 * another one in the program: a long queue is read so, and to make each object anew would take longer than all else here.
 */
export function record<Shape extends object>(rows: JsonFields<Shape>): JsonField<Shape> {
  const table = Object.entries(rows) as readonly [string, JsonField<unknown> | OptionalField<unknown>][];
  const fields = table.map(([key, field]) => ({ key, field, isOptional: "optional" in field }));
  const known = new Set(Object.keys(rows));

  function unknownIn(found: Record<string, unknown>): Mismatch | undefined {
    const unknown = Object.keys(found).find((key) => !known.has(key));
    return unknown === undefined
      ? undefined
      : new Mismatch("", "no unknown field", { [unknown]: found[unknown] });
  }

  function valuesIn(found: Record<string, unknown>): Record<string, unknown> {
    let values = found;
    let there = 0;
    for (const { key, field, isOptional } of fields) {
      const given = found[key]; // no field has the name of what each object has
      if (given === undefined && isOptional) continue;
      const value = field.read(given, key);
      there++;
      if (value === given) continue;
      if (values === found) values = { ...found };
      values[key] = value;
    }
    const unknown = Object.keys(found).length === there ? undefined : unknownIn(found);
    if (unknown !== undefined) throw unknown;
    return values;
  }

  return {
    read(found, at) {
      if (!isObject(found)) throw new Mismatch(at, "an object", found);
      try {
        return valuesIn(found) as Shape; // as the rows, which are made after the type, have read it
      } catch (error) {
        throw error instanceof Mismatch ? (unknownIn(found) ?? error).within(at) : error;
      }
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
