/** What the directory's schema says of an attribute: whether an entry may have several values of it (RFC 4512 section 4). */
import { type LdapDirectory, type LdapEntry, LdapResultError, textsOf } from "./directory.ts";

/** Undefined where the directory does not show its schema, or does not know the attribute. */
export async function isSingleValued(
  directory: LdapDirectory,
  attribute: string,
): Promise<boolean | undefined> {
  try {
    const where = await directory.read("", ["subschemaSubentry"]);
    const [base] = where === undefined ? [] : textsOf(where, "subschemaSubentry");
    const types = base === undefined ? undefined : await schemaAt(directory, base);
    return types === undefined ? undefined : singleValuedIn(textsOf(types, "attributeTypes"), attribute);
  } catch (error) {
    if (error instanceof LdapResultError) return undefined; // it is not for everybody
    throw error;
  }
}

/** RFC 4512 section 4.2: only this filter finds it. */
async function schemaAt(directory: LdapDirectory, base: string): Promise<LdapEntry | undefined> {
  const filter = "(objectClass=subschema)";
  const search = { base, scope: "base", filter, attributes: ["attributeTypes"], pageSize: 1 } as const;
  for await (const { entries } of directory.pages(search)) return entries[0];
  return undefined;
}

/** `descriptions` are as RFC 4512 section 4.1.2 has them. */
export function singleValuedIn(descriptions: readonly string[], attribute: string): boolean | undefined {
  const wanted = attribute.toLowerCase();
  for (const description of descriptions) {
    const { names, words } = partsOf(description);
    if (names.includes(wanted)) return words.includes("SINGLE-VALUE");
  }
  return undefined;
}

/** The number and the names of an attribute in small letters, and all words outside of quotes. */
function partsOf(description: string): {
  readonly names: readonly string[];
  readonly words: readonly string[];
} {
  const names: string[] = [];
  const words: string[] = [];
  let last = ""; // the word that the quoted texts belong to
  // Every second part was in quotes; within them a quote is \27.
  for (const [at, part] of description.split("'").entries()) {
    if (at % 2 === 1) {
      if (last === "NAME") names.push(part.toLowerCase());
      continue;
    }
    const own = part.split(/[\s()]/).filter((word) => word !== "");
    words.push(...own);
    last = own.at(-1) ?? last;
  }
  const [number = ""] = words;
  return { names: [number.toLowerCase(), ...names], words };
}
