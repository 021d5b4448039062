/** Which messages a filter means. */
import { expect, test } from "vitest";
import type { MessageFilter, QueuedMessage } from "../../../src/server/control/protocol.ts";
import { matches, statusOf } from "../../../src/server/control/query.ts";
import type { Envelope, LastReply } from "../../../src/server/spool/envelope.ts";
import { accepted, envelope, recipient } from "../delivery/fixtures.ts";

const hour = 3_600_000;
const now = accepted + 5 * hour;
const later: LastReply = {
  code: 451,
  status: "4.7.1",
  text: "Greylisted",
  relay: "mx.example.net[192.0.2.1]:25",
  command: "RCPT TO",
  at: accepted,
};

const some: Partial<Envelope> = {
  login: "user1",
  sender: "User1@example.org",
  attempts: 2,
  warned: true,
  recipients: [
    recipient("a@Example.NET", { reply: later }),
    recipient("gone@example.com", { state: "delivered", reply: { ...later, code: 250 } }),
  ],
};

const queued = (more: Partial<Envelope>): QueuedMessage => {
  const made = envelope(more);
  return { id: made.id, status: statusOf(made, false), envelope: made };
};

test.each<readonly [filter: MessageFilter, expected: boolean]>([
  [{}, true],
  [{ user: "user1" }, true],
  [{ user: "user" }, false],
  [{ sender: "user1@EXAMPLE.org" }, true],
  [{ sender: "*@example.org" }, true],
  [{ sender: "<user1@example.org>" }, true],
  [{ sender: "<>" }, false],
  [{ sender: "user.@example.org" }, false],
  [{ recipient: "a@example.net" }, true],
  [{ recipient: "a@*" }, true],
  [{ recipient: "gone@example.com" }, false],
  [{ domain: "example.net" }, true],
  [{ domain: "example.com" }, false],
  [{ domain: "net" }, false],
  [{ olderThan: 4 * hour }, true],
  [{ olderThan: 6 * hour }, false],
  [{ status: "deferred" }, true],
  [{ status: "late" }, true],
  [{ status: "waiting" }, false],
  [{ error: "greyLIST" }, true],
  [{ error: "mx.example.net" }, true],
  [{ error: "rcpt to" }, true],
  [{ error: "250" }, false],
  [{ user: "user1", domain: "example.com" }, false],
])("%o of a late message of user1 to example.net: %s", (filter, expected) => {
  expect(matches(filter, queued(some), now)).toBe(expected);
});

test("reports have no login and a null sender", () => {
  const report = queued({ login: null, sender: "" });
  expect(matches({ sender: "<>" }, report, now)).toBe(true);
  expect(matches({ user: "" }, report, now)).toBe(false);
});

test.each<readonly [more: Partial<Envelope>, isActive: boolean, expected: string]>([
  [{}, false, "waiting"],
  [{}, true, "active"],
  [{ attempts: 1 }, false, "deferred"],
  [{ recipients: [recipient("a@example.net", { reply: later })] }, false, "deferred"],
  [{ attempts: 1, held: { at: now, by: "root", reason: "" } }, false, "held"],
])("%o, active: %s, is %s", (more, isActive, expected) => {
  expect(statusOf(envelope(more), isActive)).toBe(expected);
});
