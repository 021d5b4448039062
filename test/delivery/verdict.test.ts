import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { delayAfter } from "../../src/server/delivery/backoff.ts";
import type { Outcome } from "../../src/server/delivery/letter.ts";
import { newPauses } from "../../src/server/delivery/pauses.ts";
import { conclude, isDone, wanting, withOutcomes } from "../../src/server/delivery/verdict.ts";
import type { Recipient } from "../../src/server/spool/envelope.ts";
import { accepted, envelope, recipient } from "./letters.ts";
import { patience } from "./office.ts";

const hour = 3_600_000;

function said(
  about: Recipient,
  code: number,
  status: string,
  relay = "mx.example.net[192.0.2.1]:25",
): Outcome {
  const command = relay === "none" ? "" : "RCPT TO";
  return {
    recipient: about,
    reply: { code, status, text: "words", relay, command, at: accepted },
    transmitting: 0,
  };
}

describe("the delay before the next attempt", () => {
  const backoff = { first: 300, longest: 4000 };

  test("doubles up to its cap", () => {
    const delays = [1, 2, 3, 4, 5, 6, 1000].map((attempts) => delayAfter(attempts, backoff, 0.5));
    expect(delays).toEqual([300, 600, 1200, 2400, 4000, 4000, 4000]);
  });

  test("is blurred by a tenth to either side", () => {
    fc.assert(
      fc.property(fc.nat(100), fc.double({ min: 0, max: 1, noNaN: true }), (attempts, chance) => {
        const plain = delayAfter(attempts, backoff, 0.5);
        const delay = delayAfter(attempts, backoff, chance);
        expect(Math.abs(delay - plain)).toBeLessThanOrEqual(plain / 10 + 1);
      }),
    );
  });
});

describe("a round of attempts", () => {
  const [a, b, c] = ["a", "b", "c"].map((name) => recipient(`${name}@example.net`)) as [
    Recipient,
    Recipient,
    Recipient,
  ];
  const before = envelope({ recipients: [a, b, c] });
  const after = withOutcomes(before, [said(a, 250, "2.0.0"), said(b, 550, "5.1.1"), said(c, 451, "4.3.0")]);

  test("leaves the refused waiting until their sender is told", () => {
    expect(after.recipients.map(({ state }) => state)).toEqual(["delivered", "waiting", "waiting"]);
  });

  test("ends with the refused failed and the others due again", () => {
    const verdict = conclude(after, patience, accepted + hour, 0.5);
    expect(verdict.envelope.recipients.map(({ state }) => state)).toEqual(["delivered", "failed", "waiting"]);
    expect(verdict.failed.map(({ address }) => address)).toEqual(["b@example.net"]);
    expect(verdict).toMatchObject({
      late: [],
      expired: false,
      envelope: { attempts: 1, due: accepted + hour + patience.first, warned: false },
    });
  });

  test("tells once, after four hours, that it takes long", () => {
    const first = conclude(after, patience, accepted + 4 * hour, 0.5);
    expect(first.late.map(({ address }) => address)).toEqual(["c@example.net"]);
    expect(conclude(first.envelope, patience, accepted + 5 * hour, 0.5).late).toEqual([]);
    expect(conclude(after, { ...patience, warnAfter: null }, accepted + 9 * hour, 0.5).late).toEqual([]);
  });

  test("gives up what is still waiting when the lifetime is over", () => {
    const verdict = conclude(after, patience, accepted + patience.lifetime, 0.5);
    expect(verdict.envelope.recipients.map(({ state }) => state)).toEqual(["delivered", "failed", "expired"]);
    expect(verdict.failed).toHaveLength(2);
    expect(verdict.late).toEqual([]);
    expect(verdict.expired).toBe(true);
    expect(isDone(verdict.envelope)).toBe(true);
  });

  test("puts the last attempt at the end of the lifetime", () => {
    const tired = { ...after, attempts: 50 };
    expect(conclude(tired, patience, accepted + patience.lifetime - hour, 0.5).envelope.due).toBe(
      accepted + patience.lifetime,
    );
  });
});

describe("the sender", () => {
  const all = [
    recipient("plain@example.net"),
    recipient("never@example.net", { notify: ["NEVER"] }),
    recipient("success@example.net", { notify: ["SUCCESS"] }),
    recipient("failure@example.net", { notify: ["FAILURE"] }),
    recipient("all@example.net", { notify: ["SUCCESS", "FAILURE", "DELAY"] }),
  ];
  const names = (event: "SUCCESS" | "FAILURE" | "DELAY", sender = "user1@example.org"): readonly string[] =>
    wanting(event, envelope({ sender }), all).map(({ address }) => address.replace(/@.*/, ""));

  test("hears what NOTIFY asks for, and of failure and delay where it is not given", () => {
    expect(names("SUCCESS")).toEqual(["success", "all"]);
    expect(names("FAILURE")).toEqual(["plain", "failure", "all"]);
    expect(names("DELAY")).toEqual(["plain", "all"]);
  });

  test("that is null hears nothing", () => {
    expect([...names("SUCCESS", ""), ...names("FAILURE", ""), ...names("DELAY", "")]).toEqual([]);
  });
});

describe("a destination", () => {
  const who = recipient("a@example.net");

  test("pauses for a while after it could not be reached", () => {
    let now = 0;
    const pauses = newPauses(1000, () => now);
    expect(pauses.reason("example.net")).toBeUndefined();
    pauses.learn("example.net", [said(who, 451, "4.4.1", "none")]);
    expect(pauses.reason("example.net")).toEqual({
      code: 451,
      status: "4.4.1",
      text: "delivery temporarily suspended: words",
    });
    expect(pauses.reason("example.org")).toBeUndefined();
    now = 1000;
    expect(pauses.reason("example.net")).toBeUndefined();
  });

  test("does not pause after an answer, for good, or for the message's sake", () => {
    const pauses = newPauses(1000, () => 0);
    const harmless = [
      said(who, 451, "4.4.1"),
      said(who, 550, "5.4.4", "none"),
      said(who, 451, "4.3.0", "none"),
      said(who, 250, "2.0.0"),
    ];
    for (const outcome of harmless) pauses.learn("example.net", [outcome]);
    pauses.learn("example.net", [said(who, 451, "4.4.2", "none"), said(who, 550, "5.1.1")]);
    pauses.learn("example.net", []);
    expect(pauses.reason("example.net")).toBeUndefined();
  });

  test("goes on at once when it answers again", () => {
    const pauses = newPauses(1000, () => 0);
    pauses.learn("example.net", [said(who, 451, "4.4.1", "none")]);
    pauses.learn("example.net", [said(who, 450, "4.2.1")]);
    expect(pauses.reason("example.net")).toBeUndefined();
  });
});
