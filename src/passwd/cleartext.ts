/** Schemes that keep the password itself. */
import { sameSecret } from "./compare.ts";
import { type Scheme, sound, unsound } from "./scheme.ts";

const weakness = "the password stands there for everybody who sees the file";

export function plainScheme(name: string): Scheme {
  return {
    name,
    weakness,
    form: "text",
    inspect: () => sound(name, "", weakness),
    verify: (value, { password }) => sameSecret(value, Buffer.from(password)),
    generate: ({ password }) => Buffer.from(password),
  };
}

/**
 * `LENGTH-PASSWORD`: where LENGTH is the number of octets that follow, any password that begins with them is let in,
 * for systems that cut. Other lengths mean that the password is whole. New values say one more than there are.
 */
export function truncatedScheme(name: string): Scheme {
  return {
    name,
    weakness,
    form: "text",
    inspect: (value) => {
      const found = split(value);
      if (!found) return unsound("no LENGTH- before the password");
      return found.cut && found.text.length === 0
        ? unsound("a password cut to nothing lets everybody in")
        : sound(name, "", weakness);
    },
    verify: (value, { password }) => {
      const found = split(value);
      if (!found) return false;
      const said = Buffer.from(password);
      return sameSecret(found.text, found.cut ? said.subarray(0, found.text.length) : said);
    },
    generate: ({ password }) => Buffer.from(`${Buffer.byteLength(password) + 1}-${password}`),
  };
}

function split(value: Buffer): { readonly text: Buffer; readonly cut: boolean } | undefined {
  const dash = value.indexOf("-");
  const length = value.toString("latin1", 0, Math.max(dash, 0));
  if (!/^\d{1,9}$/.test(length)) return undefined;
  const text = value.subarray(dash + 1);
  return { text, cut: Number(length) === text.length };
}
