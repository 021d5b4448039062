/** Schemes that keep the password itself. */
import { sameSecret } from "./compare.ts";
import type { Scheme } from "./scheme.ts";

const weakness = "the password stands there for everybody who sees the file";

export function plainScheme(name: string): Scheme {
  return {
    name,
    weakness,
    form: "text",
    inspect: (value) => ({
      algorithm: name,
      cost: "",
      weakness,
      verify: ({ password }) => sameSecret(value, Buffer.from(password)),
      keys: { kind: "cleartext", password: value },
    }),
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
      if (!found) return { problem: "no LENGTH- before the password" };
      const { text, cut } = found;
      if (cut && text.length === 0) return { problem: "a password cut to nothing lets everybody in" };
      const seen = (said: Buffer): Buffer => (cut ? said.subarray(0, text.length) : said);
      return {
        algorithm: name,
        cost: "",
        weakness,
        verify: ({ password }) => sameSecret(text, seen(Buffer.from(password))),
      };
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
