/** How long a refusal takes: nothing of it may tell who exists, what is stored or what was asked before. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { newSaslLogins } from "../../../../src/passwd/sasl-logins.ts";
import type { AuthenticationResult } from "../../../../src/passwd/verifier.ts";
import { authenticate, refusalDue } from "../../../../src/server/submission/auth/login.ts";
import { startSasl } from "../../../../src/server/submission/auth/mechanisms.ts";
import { newAuthRateLimiter } from "../../../../src/server/submission/limits/auth-rate-limiter.ts";
import { newSession, type SessionContext } from "../../../../src/server/submission/session.ts";
import { loginsOf } from "../../../tools/logins.ts";
import { testContext } from "../test-listener.ts";

const rejected: AuthenticationResult = { kind: "rejected", reason: "wrong password" };

/** A site whose clock goes on only while a password is checked, for as long as `takes` says, or an answer waits. */
function newSite(
  takes: (login: string) => number,
  slowestCheck: number,
  changes: Partial<SessionContext> = {},
) {
  let now = 0;
  const site: SessionContext = {
    ...testContext(),
    timeouts: { ...testContext().timeouts, wrongPassword: 1_000 },
    authLimiter: newAuthRateLimiter(() => 0, Buffer.alloc(32)),
    steady: () => now,
    pause: async (milliseconds) => {
      now += milliseconds;
    },
    slowestCheck: async () => slowestCheck,
    verify: async (login) => {
      now += takes(login);
      return login.startsWith("broken") ? { kind: "unavailable", reason: "no thread" } : rejected;
    },
    ...changes,
  };
  /** Milliseconds until the answer, and its code. */
  async function answered(login: string, password = "wrong"): Promise<readonly [number, number]> {
    const began = now;
    const credentials = { mechanism: "PLAIN", login, password, authzid: "" } as const;
    const { replies } = await authenticate(newSession("smtps", "192.0.2.7"), credentials, site);
    return [now - began, replies[0]?.code ?? 0];
  }
  return {
    site,
    answered,
    spend: (milliseconds: number) => {
      now += milliseconds;
    },
    now: () => now,
  };
}

describe("the time of an answer", () => {
  test("is the pause, or the next of even steps that the dearest check fits into", () => {
    const times = { spent: 60, wait: 1_000, pause: 1_000, slowestCheck: 75 };
    expect(refusalDue(times)).toBe(1_000);
    expect(refusalDue({ ...times, wait: 4_000 })).toBe(4_000);
    expect(refusalDue({ ...times, spent: 1_001 })).toBe(2_000);
    expect(refusalDue({ ...times, slowestCheck: 4_000 })).toBe(5_000);
    expect(refusalDue({ ...times, slowestCheck: 4_000, spent: 5_001 })).toBe(10_000);
    expect(refusalDue({ ...times, slowestCheck: 4_000, wait: 15_000 })).toBe(15_000);
  });

  test("is the same for all checks that take no longer than the slowest one, and never in the past", () => {
    const upTo = fc.double({ min: 0, max: 60_000, noNaN: true });
    fc.assert(
      fc.property(upTo, upTo, upTo, upTo, fc.double({ min: 0, max: 1, noNaN: true }), (...given) => {
        const [wait, pause, slowestCheck, late, share] = given;
        const times = { wait, pause: pause + 1, slowestCheck };
        const due = refusalDue({ ...times, spent: slowestCheck });
        expect(refusalDue({ ...times, spent: share * slowestCheck })).toBe(due);
        expect(due).toBeGreaterThanOrEqual(wait);
        expect(refusalDue({ ...times, spent: late })).toBeGreaterThanOrEqual(late - 1e-6);
      }),
    );
  });
});

describe("a refusal comes at the same time", () => {
  test("whatever is stored for the login, and whether it was seen before", async () => {
    const costs = new Map([
      ["cheap", 0.1],
      ["dear", 2_900],
      ["two", 700],
      ["broken", 1_700],
    ]);
    const { answered } = newSite((login) => costs.get(login) ?? 60, 3_000);
    for (const login of [...costs.keys(), "nobody", "somebody"]) {
      const code = login === "broken" ? 454 : 535;
      expect(await answered(login), login).toEqual([3_750, code]);
    }
    costs.clear(); // everything from memory now
    expect(await answered("dear")).toEqual([3_750, 535]);
  });

  test("at a site whose checks all are short: after the pause, not the pause later", async () => {
    const { answered } = newSite((login) => (login === "user1" ? 60 : 300), 375);
    expect(await answered("user1")).toEqual([1_000, 535]);
    expect(await answered("user2")).toEqual([1_000, 535]);
    expect(await answered("user1", "another")).toEqual([2_000, 535]);
  });

  test("where no password is looked at any more", async () => {
    const { answered } = newSite(() => 60, 3_000);
    for (let times = 0; times < 10; times++) await answered("user1", `guess ${times}`);
    expect(await answered("user1", "guess")).toEqual([3_750, 454]);
  });

  test("and a right password is answered at once", async () => {
    let began = 0;
    const site = newSite(() => 0, 3_000, { verify: async (login) => ({ kind: "accepted", login }) });
    began = site.now();
    expect(await site.answered("user1", "secret")).toEqual([0, 235]);
    expect(site.now()).toBe(began);
  });
});

describe("mechanisms that say no password", () => {
  const logins = loginsOf(["user1:{PLAIN}secret", "user2:{PLAIN}one", "user2:{PLAIN}two"].join("\n"));
  const encoded = (text: string): string => Buffer.from(text).toString("base64");
  const real = newSaslLogins(async () => logins, "example.org", Buffer.from("secret"));

  test("refuse at the same time, too", async () => {
    for (const [login, takes] of [
      ["user1", 3],
      ["user2", 400],
      ["nobody", 0],
    ] as const) {
      const site = newSite(() => 0, 75);
      const proofs: SessionContext["proofs"] = {
        ...real,
        cram: async (name) => {
          site.spend(takes);
          return real.cram(name);
        },
      };
      const ground = { offered: ["CRAM-MD5"], hostname: "relay.example.org", nonce: () => "NONCE" } as const;
      const opening = startSasl("CRAM-MD5", ground);
      if (opening.kind !== "challenge") throw new Error("no challenge");
      const question = opening.next(encoded(`${login} ${"0".repeat(32)}`));
      if (question.kind !== "question") throw new Error("no question");
      const { replies } = await authenticate(newSession("smtps", "192.0.2.7"), question, {
        ...site.site,
        proofs,
      });
      expect([site.now(), replies[0]?.code], login).toEqual([1_000, 535]);
    }
  });

  test("make keys of passwords only for a proof, so that what SCRAM tells first comes as quickly for all", async () => {
    let read = 0;
    const watched = new Map(
      ["user1", "user2"].map((login) => [
        login,
        (logins.entries.get(login) ?? []).map((line) => {
          const keys = {
            kind: "cleartext" as const,
            get password() {
              read++;
              return line.stored.value;
            },
          };
          return { ...line, stored: { ...line.stored, inspection: { ...line.stored.inspection, keys } } };
        }),
      ]),
    );
    const proofs = newSaslLogins(
      async () => ({ ...logins, entries: watched }),
      "example.org",
      Buffer.from("s"),
    );
    for (const [login, passwords] of [
      ["user1", 1],
      ["user2", 2],
      ["nobody", 0],
    ] as const) {
      const side = await proofs.scram(login, "sha256");
      if ("kind" in side) throw new Error("unavailable");
      expect(read, login).toBe(0);
      expect((await side.check("message", Buffer.alloc(32))).result.kind).toBe("rejected");
      expect(read, login).toBe(passwords);
      read = 0;
    }
  });
});
