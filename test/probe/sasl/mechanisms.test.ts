import { randomBytes } from "node:crypto";
import { describe, expect, test } from "vitest";
import { mechanismNamed, mechanismNames, mechanismRows } from "../../../src/probe/mechanisms.ts";
import type { SaslCredentials, SaslExchange } from "../../../src/smtp/sasl/mechanism.ts";
import { type Vector, vectors } from "./vectors.ts";

const credentials = ({ user, password, extra, host, binding, random }: Vector): SaslCredentials => ({
  user,
  password,
  extra: new Map(Object.entries(extra ?? {})),
  host: host ?? "mail.example.org",
  random: random === undefined ? randomBytes : () => Buffer.from(random, "base64"),
  ...(binding === undefined ? {} : { binding }),
});

function begun(mechanism: string, given: SaslCredentials): SaslExchange {
  const exchange = mechanismNamed(mechanism)?.begin(given);
  if (exchange === undefined) throw new Error(`no ${mechanism}`);
  return exchange;
}

describe("what is said", () => {
  test.each(vectors.map((vector) => [`${vector.mechanism}: ${vector.name}`, vector] as const))(
    "%s",
    async (_, vector) => {
      const encoding = vector.written ?? "utf8";
      const exchange = begun(vector.mechanism, credentials(vector));
      const text = (octets: Uint8Array | undefined): string | undefined =>
        octets && Buffer.from(octets).toString(encoding);
      expect(text(exchange.initial)).toBe(vector.initial);
      for (const [challenge, answer] of vector.turns) {
        const given = text(await exchange.answer(Buffer.from(challenge, encoding)));
        if (answer instanceof RegExp) expect(given).toMatch(answer);
        else expect(given).toBe(answer);
      }
      const objection = exchange.objection?.();
      if (vector.objection) expect(objection).toMatch(vector.objection);
      else expect(objection).toBeUndefined();
    },
  );
});

test.each([
  ["PLAIN", "\0tim\0secret", "\0tim\0***"],
  ["PLAIN", "\0secret\0secret", "\0secret\0***"],
  ["LOGIN", "secret", "***"],
  ["LOGIN", "tim", "tim"],
  ["LOGIN-INITIAL", "tim", "tim"],
  ["XOAUTH2", "user=tim\x01auth=Bearer secret\x01\x01", "user=tim\x01auth=Bearer ***\x01\x01"],
])("%s can be shown without the password: %j", (name, response, shown) => {
  const octets = mechanismNamed(name)?.hidden?.(Buffer.from(response), "secret", "***");
  expect(octets && Buffer.from(octets).toString()).toBe(shown);
});

test("every mechanism has a name of its own, in capitals", () => {
  expect(new Set(mechanismNames).size).toBe(mechanismNames.length);
  for (const { mechanism } of mechanismRows) expect(mechanism.name).toBe(mechanism.name.toUpperCase());
});

test("no challenge, however wrong, makes a mechanism throw", async () => {
  for (const { mechanism } of mechanismRows) {
    for (let time = 0; time < 200; time += 1) {
      const exchange = mechanism.begin({
        user: "u",
        password: "p",
        extra: new Map(),
        host: "h",
        random: randomBytes,
      });
      for (let turn = 0; turn < 4; turn += 1) await exchange.answer(randomBytes(time));
      expect(() => exchange.objection?.()).not.toThrow();
    }
  }
});
