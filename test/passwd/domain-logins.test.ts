import { describe, expect, test } from "vitest";
import { joinLogins } from "../../src/passwd/domain-logins.ts";
import type { AuthenticationResult, Verifier } from "../../src/passwd/verifier.ts";

/** Lets everybody in by the name before the @, and notes whom it was asked for. */
function everybody(
  slowest: number,
  challenge: "CRAM-MD5" | "SCRAM-SHA-1",
): Verifier & { readonly asked: string[] } {
  const asked: string[] = [];
  const accepted = (name: string): AuthenticationResult => {
    asked.push(name);
    return { kind: "accepted", login: name.replace(/@.*/, "").toLowerCase() };
  };
  return {
    asked,
    verify: async (name) => accepted(name),
    sasl: {
      cram: async (name) => ({ check: () => accepted(name) }),
      scram: async (name) => ({
        salt: Buffer.of(1),
        rounds: 4096,
        check: async () => ({ result: accepted(name), signature: Buffer.of(2) }),
      }),
      external: async (name) => accepted(name),
    },
    slowestCheck: async () => slowest,
    hashes: async (name) => [name],
    stillValid: (name) => asked.push(name) > 0,
    challenges: () => [challenge],
    size: () => 1,
    reload: async () => undefined,
    close: async () => undefined,
  };
}

const main = everybody(10, "CRAM-MD5");
const net = everybody(30, "SCRAM-SHA-1");
const joined = joinLogins(main, () => new Map([["example.net", net]]));

const named = (login: string): AuthenticationResult => ({ kind: "accepted", login });

describe("the logins of two domains", () => {
  test.each([
    ["Anna", "anna"],
    ["anna@example.org", "anna"],
    ["anna@example.com", "anna"], // main's file knows that it is none of its own
    ["Anna@Example.NET", "anna@example.net"],
    ["anna@home@example.net", "anna@example.net"],
  ])("%s is %s, by every mechanism", async (name, login) => {
    expect(await joined.verify(name, "secret")).toEqual(named(login));
    expect(await joined.sasl.external(name)).toEqual(named(login));
    const cram = await joined.sasl.cram(name);
    expect("check" in cram && cram.check("challenge", Buffer.of())).toEqual(named(login));
    const scram = await joined.sasl.scram(name, "sha256");
    expect("check" in scram && (await scram.check("", Buffer.of()))).toEqual({
      result: named(login),
      signature: Buffer.of(2),
    });
    expect(scram).toMatchObject({ salt: Buffer.of(1), rounds: 4096 });
  });

  test("each is asked of its own file", async () => {
    await joined.verify("bert", "secret");
    expect(joined.stillValid("carla@example.net", [])).toBe(true);
    expect(await joined.hashes("dora@example.net")).toEqual(["dora@example.net"]);
    expect(main.asked.at(-1)).toBe("bert");
    expect(net.asked.at(-1)).toBe("carla@example.net");
  });

  test("a refusal takes as long as the slowest check of any of them, and all their mechanisms are offered", async () => {
    expect(await joined.slowestCheck()).toBe(30);
    expect(joined.challenges()).toEqual(["CRAM-MD5", "SCRAM-SHA-1"]);
  });
});
