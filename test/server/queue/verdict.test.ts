import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { RecipientOutcome } from "../../../src/server/delivery/message/outgoing-message.ts";
import { delayAfter } from "../../../src/server/queue/backoff.ts";
import { conclude, isDone, wanting, withOutcomes } from "../../../src/server/queue/verdict.ts";
import type { Recipient } from "../../../src/server/spool/envelope.ts";
import { accepted, envelope, recipient } from "../delivery/fixtures.ts";
import { patience } from "./test-scheduler.ts";

const hour = 3_600_000;

function said(
  about: Recipient,
  code: number,
  status: string,
  relay = "mx.example.net[192.0.2.1]:25",
): RecipientOutcome {
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
      delayed: [],
      expired: false,
      envelope: { attempts: 1, due: accepted + hour + patience.first, warned: false },
    });
  });

  test("tells once, after four hours, that it takes long", () => {
    const first = conclude(after, patience, accepted + 4 * hour, 0.5);
    expect(first.delayed.map(({ address }) => address)).toEqual(["c@example.net"]);
    expect(conclude(first.envelope, patience, accepted + 5 * hour, 0.5).delayed).toEqual([]);
    expect(conclude(after, { ...patience, warnAfter: null }, accepted + 9 * hour, 0.5).delayed).toEqual([]);
  });

  test("counts no attempt where the destination pauses, and waits for its end however long that takes", () => {
    const resumed = accepted + hour + 60_000;
    const verdict = conclude(after, patience, accepted + hour, 0.5, { until: resumed, isPause: true });
    expect(verdict).toMatchObject({
      envelope: { attempts: 0, due: resumed },
      due: accepted + 4 * hour, // when its sender is to be warned
      suspended: true,
    });
    // Whole milliseconds, which is what a database has room for.
    const odd = conclude(after, patience, accepted + hour, 0.5, { until: resumed - 0.4, isPause: true });
    expect(odd.envelope.due).toBe(resumed);
    const warned = { ...after, warned: true };
    const later = conclude(warned, patience, accepted + 5 * hour, 0.5, { until: resumed, isPause: true });
    expect(later.due).toBe(accepted + 9 * hour);
  });

  test.each([
    { whose: "a message", sender: "user1@example.org", after: 5 * 24 * hour },
    { whose: "a report", sender: "", after: 24 * hour },
  ])("gives $whose up after its own time", ({ sender, after: end }) => {
    const waiting = envelope({ sender, warned: true });
    expect(conclude(waiting, patience, accepted + end - 1, 0.5).expired).toBe(false);
    expect(conclude(waiting, patience, accepted + end, 0.5).expired).toBe(true);
  });

  test("gives up what is still waiting when the lifetime is over", () => {
    const verdict = conclude(after, patience, accepted + patience.lifetime, 0.5);
    expect(verdict.envelope.recipients.map(({ state }) => state)).toEqual(["delivered", "failed", "expired"]);
    expect(verdict.failed).toHaveLength(2);
    expect(verdict.delayed).toEqual([]);
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
