import { getEventListeners } from "node:events";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Connection, ServerAnswer } from "../../../src/smtp/client/connection.ts";
import { type Behaviour, type Scripted, talkTo, type Words } from "./server.ts";

const { signal } = new AbortController();

/** Greeting and EHLO. */
async function enter(words: Words, lmtp = false, behaviour: Behaviour = {}): Promise<Scripted> {
  const all = ["220 hop.example.net\r\n", ...words];
  const made = await talkTo(all, { protocol: lmtp ? "lmtp" : "smtp" }, behaviour);
  await made.connection.read(signal);
  await made.connection.hello(false, signal);
  return made;
}

const ready = "250-hop.example.net\r\n250-PIPELINING\r\n250-8bitmime\r\n250 SIZE 2000\r\n";

const textOf = (answer: ServerAnswer): string => (answer.kind === "reply" ? answer.text : answer.kind);

describe("a greeting", () => {
  test.each<{ name: string; words: string | undefined; heard: ServerAnswer }>([
    { name: "is read", words: "220 hi\r\n", heard: { kind: "reply", text: "220 hi" } },
    { name: "may have LF alone", words: "220 hi\n", heard: { kind: "reply", text: "220 hi" } },
    {
      name: "of several lines has the last one's code",
      words: "220-hi\r\n220-there\r\n554 no\r\n",
      heard: { kind: "reply", text: "554-hi\n554-there\n554 no" },
    },
    {
      name: "may be no SMTP",
      words: "HTTP/1.1 400 no\r\n",
      heard: { kind: "reply", text: "HTTP/1.1 400 no" },
    },
    {
      name: "may follow empty lines",
      words: "\r\n \r\n220 hi\r\n",
      heard: { kind: "reply", text: "220 hi" },
    },
    {
      name: "is in UTF-8",
      words: "220 gr\u00c3\u00bc\u00c3\u009f\r\n",
      heard: { kind: "reply", text: "220 grüß" },
    },
    {
      name: "is in Latin-1, where it is no UTF-8",
      words: "220 gr\u00fc\u00df\r\n",
      heard: { kind: "reply", text: "220 grüß" },
    },
    { name: "does not come", words: "", heard: { kind: "late" } },
    { name: "never ends", words: `220 ${"x".repeat(100_000)}`, heard: { kind: "lost" } },
    { name: "is nothing but line ends", words: "\n".repeat(100_000), heard: { kind: "lost" } },
    { name: "has lines without end", words: "220-x\r\n".repeat(12_000), heard: { kind: "lost" } },
  ])("$name", async ({ words, heard }) => {
    const { connection } = await talkTo([words], { patience: 300 });
    expect(await connection.read(signal)).toEqual(heard);
  });

  test.each<{ words: string; heard: ServerAnswer }>([
    { words: "421 4.3.2 by", heard: { kind: "lost", rest: "421 4.3.2 by" } },
    { words: "550-no\r\n550 and n", heard: { kind: "lost", rest: "550 and n" } },
    { words: "220 h", heard: { kind: "lost" } },
    { words: "42", heard: { kind: "lost" } },
  ])("that breaks off at $words", async ({ words, heard }) => {
    const { connection, socket } = await talkTo([words]);
    socket.end();
    expect(await connection.read(signal)).toEqual(heard);
  });

  test("is not waited for when the caller has no more time", async () => {
    const { connection } = await talkTo([""]);
    const enough = new AbortController();
    const heard = connection.read(enough.signal);
    enough.abort();
    expect(await heard).toEqual({ kind: "late" });
  });
});

describe("EHLO", () => {
  test("tells what the server has, and nothing that it has not", async () => {
    const { connection } = await enter([ready]);
    expect(connection.limits.size).toBe(2000);
    const extensions = ["8BITMIME", "SIZE", "PIPELINING", "DSN", "SMTPUTF8"] as const;
    expect(extensions.map((one) => connection.offers(one))).toEqual([true, true, true, false, false]);
    expect(connection.isHeloOnly).toBe(false);
  });

  test("refused is followed by HELO, which tells nothing", async () => {
    const { connection, pieces } = await enter(["502 what?\r\n", "250 hop\r\n"]);
    expect(pieces.join("")).toBe("EHLO client.example.org\r\nHELO client.example.org\r\n");
    expect(connection.isHeloOnly).toBe(true);
    expect(connection.limits.size).toBe(Number.POSITIVE_INFINITY);
  });

  test("is LHLO in LMTP, and nothing follows", async () => {
    const { pieces } = await enter(["502 what?\r\n", "250 hop\r\n"], true);
    expect(pieces.join("")).toBe("LHLO client.example.org\r\n");
  });
});

describe("a connection", () => {
  test("that hears 421 is at its end, whatever was asked", async () => {
    const { connection } = await enter([ready, "421 4.3.2 going down\r\n250 ok\r\n"]);
    expect(textOf(await connection.command("RSET", signal))).toBe("421 4.3.2 going down");
    expect(connection.isOpen).toBe(false);
    expect(await connection.command("RSET", signal)).toEqual({ kind: "lost" });
  });

  const states: readonly (readonly [say: (connection: Connection) => void, state: string])[] = [
    [() => undefined, "performing the EHLO handshake"],
    [(one) => one.write("MAIL FROM:<a@example.org>"), "sending MAIL FROM"],
    [(one) => one.write("MAIL FROM:<>", "RCPT TO:<a@example.org>"), "sending RCPT TO"],
    [(one) => one.write("MAIL FROM:<>", "RCPT TO:<a@example.org>", "DATA"), "sending DATA"],
    [(one) => one.write("AUTH LOGIN", "dXNlcg=="), "performing the AUTH exchange"],
    [(one) => one.write("STARTTLS"), "performing the STARTTLS exchange"],
    [(one) => one.write("QUIT"), "sending QUIT"],
  ];
  test.each(states)("knows what it is at: %#, %j", async (say, state) => {
    const { connection } = await enter([ready]);
    say(connection);
    expect(connection.state).toBe(state);
  });

  test("is not quiet where more was said than asked", async () => {
    const { connection } = await enter([`${ready}250 one\r\n250 two\r\n`]);
    await expect.poll(() => connection.isQuiet).toBe(false);
    expect(connection.isOpen).toBe(true);
  });

  test("that waits is woken unharmed", async () => {
    const { connection } = await enter([ready, "250 ok\r\n"]);
    let ended = 0;
    connection.rest(() => ended++);
    connection.wake();
    expect(textOf(await connection.command("RSET", signal))).toBe("250 ok");
    expect([ended, connection.isQuiet]).toEqual([0, true]);
  });

  test.each([
    { name: "hangs up", words: undefined },
    { name: "says 421", words: "421 4.4.2 idle\r\n" },
    { name: "says anything", words: "250 well\r\n" },
  ])("that waits ends when the server $name", async ({ words }) => {
    const { connection, socket } = await enter([ready]);
    const ended = new Promise<void>((resolve) => connection.rest(resolve));
    if (words === undefined) socket.end();
    else socket.write(words);
    await ended;
    expect(connection.isOpen).toBe(false);
  });

  test.each<{ name: string; end: (made: Scripted) => void }>([
    { name: "the server hangs up", end: ({ socket }) => socket.end() },
    { name: "it is closed", end: ({ connection }) => connection.close() },
  ])("no longer listens to its caller's signal when $name", async ({ end }) => {
    const made = await enter([ready]);
    const one = new AbortController();
    const heard = made.connection.read(one.signal);
    expect(getEventListeners(one.signal, "abort")).toHaveLength(1);
    end(made);
    expect(await heard).toEqual({ kind: "lost" });
    expect(await made.connection.read(one.signal)).toEqual({ kind: "lost" });
    expect(getEventListeners(one.signal, "abort")).toEqual([]);
  });

  test("has its replies, however they are cut", async () => {
    const replies = [
      "250 a\r\n",
      "250-b\r\n250 \u00c3\u00bc\r\n",
      "550 no\r\n",
      "250-c\r\n\r\n",
      "354 go\r\n",
    ];
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 6 }),
        async (cuts) => {
          const { connection } = await enter([ready, replies.join("")], false, { cuts });
          connection.write("NOOP");
          const heard: string[] = [];
          for (const _ of replies) heard.push(textOf(await connection.read(signal)));
          expect(heard).toEqual(["250 a", "250-b\n250 ü", "550 no", "250-c\n", "354 go"]);
          expect(connection.isQuiet).toBe(true);
          connection.close();
        },
      ),
      { numRuns: 25 },
    );
  });
});
