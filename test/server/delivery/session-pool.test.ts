/** When a session carries more than one message, and when it must not. */

import { createSecureContext } from "node:tls";
import { afterEach, describe, expect, test, vi } from "vitest";
import { attempt } from "../../../src/server/delivery/attempt.ts";
import type { RecipientOutcome } from "../../../src/server/delivery/message/outgoing-message.ts";
import type { NextHop } from "../../../src/server/delivery/next-hop.ts";
import { sessionKey } from "../../../src/server/delivery/session.ts";
import { newSessionPool, type SessionPool } from "../../../src/server/delivery/session-pool.ts";
import type { TransportSettings } from "../../../src/server/delivery/transport-settings.ts";
import type { Envelope } from "../../../src/server/spool/envelope.ts";
import { selfSigned } from "../../tools/certificate.ts";
import { close, type FakeServer, type Script } from "../../tools/fakeserver.ts";
import { hop, outgoing, recipient, replies, transportSettings } from "./fixtures.ts";
import { server } from "./hosts.ts";

const pair = selfSigned(["localhost"]);
const context = createSecureContext(pair);

const opened: SessionPool[] = [];

afterEach(() => {
  vi.useRealTimers();
  for (const sessions of opened.splice(0)) sessions.close();
});

/** Delivers messages to one host, in sessions that wait for each other's messages. */
function postman(at: FakeServer, now: () => number = Date.now) {
  const sessions = newSessionPool(now);
  opened.push(sessions);
  return {
    sessions,
    deliver: (
      what: Partial<Envelope> = {},
      more: Partial<TransportSettings> = {},
      to: Partial<NextHop> = {},
    ) =>
      attempt(
        outgoing(what),
        [{ ...hop(at.port), ...to }],
        transportSettings({ now, sessions, ...more }),
        now,
        new AbortController().signal,
      ),
  };
}

const uses = (outcomes: readonly RecipientOutcome[]): readonly (number | undefined)[] =>
  outcomes.map(({ use }) => use);

const fine = ["250 2.0.0 queued as F00"];

const verbs = ({ commands }: FakeServer): string => commands.map((line) => line.split(/[ :]/)[0]).join(" ");

describe("a session", () => {
  test("carries the next message to the same host, and says which it is", async () => {
    const at = await server();
    const { deliver } = postman(at, () => 0);
    expect(uses(await deliver())).toEqual([undefined]);
    expect(uses(await deliver())).toEqual([2]);
    expect(uses(await deliver())).toEqual([3]);
    expect(at.connections()).toBe(1);
    expect(verbs(at)).toBe("EHLO MAIL RCPT DATA MAIL RCPT DATA MAIL RCPT DATA");
  });

  test("is asked by RSET whether it still lives, where it has waited for a second", async () => {
    const at = await server();
    let now = 0;
    const { deliver } = postman(at, () => now);
    await deliver();
    now = 1000;
    await deliver();
    expect(verbs(at)).toBe("EHLO MAIL RCPT DATA RSET MAIL RCPT DATA");
  });

  test("is reset where the last message was refused", async () => {
    const at = await server({ message: ["550 5.7.1 no", "250 ok"] });
    const { deliver } = postman(at, () => 0);
    await deliver();
    await deliver();
    expect(verbs(at)).toBe("EHLO MAIL RCPT DATA RSET MAIL RCPT DATA");
  });

  test("carries one message at a time", async () => {
    const at = await server();
    const { deliver } = postman(at);
    await Promise.all([deliver(), deliver(), deliver()]);
    expect(at.connections()).toBe(3);
    await Promise.all([deliver(), deliver(), deliver()]);
    expect(at.connections()).toBe(3);
    expect(at.received).toHaveLength(6);
  });

  test("goes on after a message that was refused", async () => {
    const at = await server({ RCPT: ["550 5.1.1 no such user", "250 ok"] });
    const { deliver } = postman(at);
    expect(replies(await deliver())).toEqual(["550 5.1.1 no such user"]);
    expect(replies(await deliver())).toEqual(fine);
    expect(at.connections()).toBe(1);
  });

  test("goes on within one message whose first hundred were refused", async () => {
    const at = await server({ RCPT: (to) => (/<r\d\d?@/.test(to) ? "550 5.1.1 no" : "250 ok") });
    const many = Array.from({ length: 101 }, (_, number) => recipient(`r${number}@example.net`));
    const outcomes = await postman(at).deliver({ recipients: many });
    expect(replies(outcomes).at(-1)).toBe(fine[0]);
    expect(verbs(at)).toMatch(/DATA RSET MAIL RCPT DATA$/);
  });

  const closings: readonly { name: string; script: Script; connections: number }[] = [
    {
      name: "hung up behind the last message",
      script: { message: [{ say: "250 ok", fault: "close" }, "250 2.0.0 queued as F00"] },
      connections: 2,
    },
    {
      name: "was reset behind the last message",
      script: { message: [{ say: "250 ok", fault: "reset" }, "250 2.0.0 queued as F00"] },
      connections: 2,
    },
    {
      name: "said 421 behind the last message",
      script: { message: [{ say: "250 ok\n421 4.4.2 idle", fault: "close" }, "250 2.0.0 queued as F00"] },
      connections: 2,
    },
    { name: "hangs up at RSET", script: { RSET: close }, connections: 2 },
    { name: "says 421 to RSET", script: { RSET: { say: "421 4.4.2 idle", fault: "close" } }, connections: 2 },
    { name: "knows no RSET", script: { RSET: "502 5.5.1 what?" }, connections: 2 },
    {
      name: "hangs up at the next MAIL",
      script: { MAIL: ["250 ok", close, "250 ok"] },
      connections: 2,
    },
    {
      name: "says 421 to the next MAIL",
      script: { MAIL: ["250 ok", { say: "421 4.7.0 enough", fault: "close" }, "250 ok"] },
      connections: 2,
    },
    {
      name: "hangs up at the next DATA",
      script: { DATA: ["354 go", close, "354 go"] },
      connections: 2,
    },
  ];

  const atOnce = closings.filter(({ script }) => script.RSET === undefined);

  test.each([
    ...closings.map((closing) => ({ ...closing, waited: 1000 })),
    ...atOnce.map((closing) => ({ ...closing, waited: 0 })),
  ])("that $name costs a connection at most, after $waited ms", async ({ script, connections, waited }) => {
    const at = await server(script);
    let now = 0;
    const { deliver } = postman(at, () => now);
    expect(replies(await deliver())).toEqual([expect.stringMatching(/^250/)]);
    now += waited;
    expect(replies(await deliver())).toEqual(fine);
    expect(at.connections()).toBe(connections);
    expect(at.received).toHaveLength(2);
  });

  test("that may have the message is not followed by another at once", async () => {
    const at = await server({ message: ["250 ok", close] });
    const { deliver } = postman(at);
    await deliver();
    expect(replies(await deliver())).toEqual([expect.stringContaining("may be sent more than once")]);
    expect(at.received).toHaveLength(2);
    expect(at.connections()).toBe(1);
  });

  test("that is the second to be of no use is the host's own trouble", async () => {
    const at = await server({ MAIL: ["250 ok", close] });
    const { deliver } = postman(at);
    await deliver();
    expect(replies(await deliver())).toEqual([expect.stringContaining("lost connection")]);
    expect(at.connections()).toBe(2);
  });

  const strangers: readonly { name: string; more?: Partial<TransportSettings>; to?: Partial<NextHop> }[] = [
    { name: "another host name", to: { host: "mx.example.net" } },
    { name: "another policy of TLS for the host", to: { tls: { kind: "opportunistic" } } },
    { name: "another EHLO name", more: { hostname: "other.example.org" } },
    { name: "another source address", more: { source: { v4: "127.0.0.1" } } },
    { name: "another CA", more: { ca: "-----BEGIN CERTIFICATE-----" } },
    { name: "other patience", more: { timeouts: { connect: 1, reply: 1, final: 1, transaction: 1 } } },
  ];

  test.each(strangers)("is not used for $name", async ({ more, to }) => {
    const at = await server();
    const { sessions, deliver } = postman(at);
    await deliver();
    const plain = { hop: hop(at.port), terms: transportSettings({ sessions, now: Date.now }) };
    expect(sessions.take(sessionKey({ ...plain.hop, ...to }, { ...plain.terms, ...more }))).toBeUndefined();
    expect(sessions.take(sessionKey(plain.hop, plain.terms))).toBeDefined();
  });

  test("is not used for a login, nor with another password", async () => {
    const { cert: ca } = pair;
    const at = await server({ EHLO: "250-fake\n250-STARTTLS\n250 AUTH PLAIN" }, { tls: context });
    const { deliver } = postman(at);
    const login = (password: string): Partial<TransportSettings> => ({
      tls: "verified",
      ca,
      credentials: { user: "relay", password, setIn: "the test" },
    });
    for (const password of ["one", "one", "other"])
      expect(await deliver({}, login(password))).toHaveLength(1);
    expect(at.connections()).toBe(2);
    await deliver({}, { tls: "verified", ca });
    expect(at.connections()).toBe(3);
  });

  test("in clear after a handshake that failed is not kept: the next message tries TLS again", async () => {
    const script = { EHLO: "250-fake\n250 STARTTLS", handshake: ["nonsense", ""] };
    const at = await server(script, { tls: context });
    const { deliver } = postman(at);
    for (const _ of [1, 2]) await deliver();
    expect(at.received.map(({ secure }) => secure)).toEqual([false, true]);
  });

  test("ends after a hundred messages", async () => {
    const at = await server();
    const { deliver } = postman(at);
    for (let sent = 0; sent < 101; sent++) await deliver();
    expect(at.connections()).toBe(2);
  });

  test("ends after five minutes", async () => {
    let now = 0;
    const at = await server();
    const { deliver } = postman(at, () => now);
    await deliver();
    now = 299_999;
    await deliver();
    now = 300_000;
    await deliver();
    expect(at.connections()).toBe(1);
    await deliver();
    expect(at.connections()).toBe(2);
  });

  test("waits for five seconds, then says goodbye", async () => {
    const at = await server();
    const { deliver } = postman(at);
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    await deliver();
    vi.advanceTimersByTime(4_999);
    expect(verbs(at)).toBe("EHLO MAIL RCPT DATA");
    vi.advanceTimersByTime(1);
    vi.useRealTimers();
    await expect.poll(() => verbs(at)).toBe("EHLO MAIL RCPT DATA QUIT");
  });

  test("says goodbye at the end, and none is kept after it", async () => {
    const at = await server();
    const { sessions, deliver } = postman(at);
    await deliver();
    sessions.close();
    await expect.poll(() => verbs(at)).toBe("EHLO MAIL RCPT DATA QUIT");
    await deliver();
    await expect.poll(() => at.commands.filter((line) => line === "QUIT")).toHaveLength(2);
  });
});

describe("a host that announces limits (RFC 9422)", () => {
  const five = ["a@example.net", "b@example.net", "c@example.org", "d@example.org", "e@example.com"].map(
    (one) => recipient(one),
  );

  test.each([
    { limits: "RCPTMAX=2", transactions: [2, 2, 1], connections: 1 },
    { limits: "rcptmax=4 MAILMAX=1", transactions: [4, 1], connections: 2 },
    { limits: "MAILMAX=2 RCPTMAX=1", transactions: [1, 1, 1, 1, 1], connections: 3 },
    { limits: "RCPTDOMAINMAX=1", transactions: [2, 2, 1], connections: 1 },
    { limits: "RCPTDOMAINMAX=2 X=9", transactions: [4, 1], connections: 1 },
    { limits: "RCPTMAX=0 MAILMAX=many", transactions: [5], connections: 1 },
    { limits: "XRCPTMAX=1", transactions: [5], connections: 1 },
  ])("gets no more than $limits", async ({ limits, transactions, connections }) => {
    const at = await server({ EHLO: `250-fake\n250-PIPELINING\n250 LIMITS ${limits}` });
    expect(replies(await postman(at).deliver({ recipients: five }))).toEqual(five.map(() => fine[0]));
    expect(at.received.map(({ recipients }) => recipients.length)).toEqual(transactions);
    expect(at.connections()).toBe(connections);
  });
});
