/** MAIL behind the end of another message: what the host may answer, and that each message gets its own replies. */

import { createServer } from "node:net";
import { createSecureContext } from "node:tls";
import fc from "fast-check";
import { afterEach, describe, expect, onTestFinished, test, vi } from "vitest";
import type { RecipientOutcome } from "../../../src/server/delivery/message/outgoing-message.ts";
import { selfSigned } from "../../tools/certificate.ts";
import { type Act, close, type FakeServer, type Reaction, reset } from "../../tools/fakeserver.ts";
import { hop, replies } from "./fixtures.ts";
import { server } from "./hosts.ts";
import { type Posting, postman, to } from "./in-a-row.ts";

const queued = "250 2.0.0 queued as F00";

const one = to("one@example.net");
const two = to("two@example.net");

/** Said when MAIL has come behind the message. */
const late = (say: string, fault?: Act["fault"]): Reaction => ({ say, late: true, ...(fault && { fault }) });

const verbs = ({ commands }: FakeServer): string => commands.map((line) => line.split(/[ :]/)[0]).join(" ");

const texts = async (
  outcomes: Promise<readonly (readonly RecipientOutcome[])[]>,
): Promise<readonly (readonly string[])[]> => (await outcomes).map(replies);

afterEach(() => void vi.useRealTimers());

describe("MAIL behind the end of a message", () => {
  test("goes to a host that is far, before the reply has come", async () => {
    const at = await server({ message: [late(queued), queued] });
    const outcomes = await postman(at).deliverAll(one, two);
    expect(outcomes.map(replies)).toEqual([[queued], [queued]]);
    expect(outcomes.map(([outcome]) => outcome?.use)).toEqual([undefined, 2]);
    expect(verbs(at)).toBe("EHLO MAIL RCPT DATA MAIL RCPT DATA");
    expect(at.received.map(({ recipients }) => recipients)).toEqual([
      ["TO:<one@example.net>"],
      ["TO:<two@example.net>"],
    ]);
    expect(at.connections()).toBe(1);
  });

  test("goes on and on, and through long messages", async () => {
    const at = await server({ message: [late(queued), late(queued), late(queued), queued] });
    const long = `Subject: x\r\n\r\n${"..dots and words\r\n".repeat(20_000)}`;
    const postings = [one, { ...two, text: long }, { ...one, text: long }, two];
    expect(await texts(postman(at).deliverAll(...postings))).toEqual(postings.map(() => [queued]));
    expect(at.connections()).toBe(1);
    expect(at.received.map((received) => received.message === long)).toEqual([false, true, true, false]);
  });

  test("goes over TLS, and by LMTP, where each recipient has a reply", async () => {
    const pair = selfSigned(["localhost"]);
    const secure = await server(
      { EHLO: "250-fake\n250-PIPELINING\n250 STARTTLS", message: [late(queued), queued] },
      { tls: createSecureContext(pair) },
    );
    expect(await texts(postman(secure).deliverAll(one, two))).toEqual([[queued], [queued]]);
    expect(secure.received.map((received) => received.secure)).toEqual([true, true]);
    expect(secure.connections()).toBe(1);

    const local = await server({ message: (address) => `250 2.0.0 for ${address}` }, { lmtp: true });
    const both = to("one@example.net", "two@example.net");
    expect(await texts(postman(local, 50, { protocol: "lmtp" }).deliverAll(both, two))).toEqual([
      ["250 2.0.0 for TO:<one@example.net>", "250 2.0.0 for TO:<two@example.net>"],
      ["250 2.0.0 for TO:<two@example.net>"],
    ]);
    expect(local.connections()).toBe(1);
  });

  test("goes to a host that is near, in the same piece, where it waits for nothing but a place there", async () => {
    const pieces: string[] = [];
    const near = await hostInPieces(pieces);
    const { deliverAll, activities } = postman(near, 0, {}, { isFull: true });
    expect(await texts(deliverAll(one, two, one))).toEqual([
      ["250 2.0.0 taken"],
      ["250 2.0.0 taken"],
      ["250 2.0.0 taken"],
    ]);
    const verbsIn = (piece: string): string =>
      [...piece.matchAll(/^(?:EHLO|MAIL|RCPT|DATA|\.(?=\r\n))/gm)].map(([verb]) => verb).join(" ");
    expect(pieces.map(verbsIn)).toEqual([
      "EHLO",
      "MAIL RCPT DATA",
      ". MAIL RCPT DATA",
      ". MAIL RCPT DATA",
      ".",
    ]);
    expect(activities.filter((activity) => activity === "yields")).toHaveLength(2);
    expect(activities).toContain("waits"); // the last one
  });

  test("does not go to one of several hosts that are near: the next message may go to another", async () => {
    const at = await server();
    const others = [{ ...hop(at.port), host: "other.example.net" }];
    const { deliverAll, activities } = postman(at, 0, {}, { isFull: true, others });
    expect(await texts(deliverAll(one, two))).toEqual([[queued], [queued]]);
    expect(activities).not.toContain("yields");
  });

  test.each([
    { name: "is near, where others may open a connection", milliseconds: 0 },
    { name: "has no PIPELINING", EHLO: "250-fake\n250 8BITMIME" },
    { name: "takes a single message in a session", EHLO: "250-fake\n250-PIPELINING\n250 LIMITS MAILMAX=1" },
  ])("does not go to a host that $name", async ({ milliseconds = 50, EHLO }) => {
    const at = await server(EHLO === undefined ? {} : { EHLO });
    const { deliverAll, activities } = postman(at, milliseconds);
    expect(await texts(deliverAll(one, two))).toEqual([[queued], [queued]]);
    expect(activities).toContain("waits");
    expect(activities).not.toContain("yields");
  });

  const endings: readonly {
    name: string;
    message?: readonly Reaction[];
    MAIL?: readonly Reaction[];
    RCPT?: readonly Reaction[];
    first: string;
    connections: number;
  }[] = [
    {
      name: "refused for good",
      message: [late("550 5.7.1 no"), queued],
      first: "550 5.7.1 no",
      connections: 1,
    },
    { name: "put off", message: [late("451 4.3.0 later"), queued], first: "451 4.3.0 later", connections: 1 },
    {
      name: "refused by a host that then wants RSET",
      message: [late("550 5.7.1 no"), queued],
      MAIL: ["250 ok", "503 5.5.1 RSET first", "250 ok"],
      RCPT: ["250 ok", "503 5.5.1 RSET first", "250 ok"],
      first: "550 5.7.1 no",
      connections: 2,
    },
    {
      name: "refused by a host that forgets to forget its sender",
      message: [late("550 5.7.1 no"), queued],
      MAIL: ["250 ok", "503 5.5.1 nested MAIL command", "250 ok"],
      first: "550 5.7.1 no",
      connections: 2,
    },
    {
      name: "answered with 421",
      message: [late("421 4.3.2 shutting down", "close"), queued],
      first: "421 4.3.2 shutting down",
      connections: 2,
    },
    {
      name: "lost",
      message: [late("", "close"), queued],
      first:
        "451 4.4.2 lost connection with localhost[127.0.0.1] while sending end of data -- message may be sent more than once",
      connections: 2,
    },
    {
      name: "reset",
      message: [late("", "reset"), queued],
      first:
        "451 4.4.2 lost connection with localhost[127.0.0.1] while sending end of data -- message may be sent more than once",
      connections: 2,
    },
    {
      name: "taken by a host that goes away then",
      message: [late(queued, "close"), queued],
      first: queued,
      connections: 2,
    },
    {
      name: "taken by a host that resets at MAIL",
      message: [late(queued), queued],
      MAIL: ["250 ok", reset, "250 ok"],
      first: queued,
      connections: 2,
    },
    {
      name: "taken by a host that hangs up at MAIL",
      message: [late(queued), queued],
      MAIL: ["250 ok", close, "250 ok"],
      first: queued,
      connections: 2,
    },
    {
      name: "taken by a host that says 421 to MAIL",
      message: [late(queued), queued],
      MAIL: ["250 ok", { say: "421 4.7.0 enough", fault: "close" }, "250 ok"],
      first: queued,
      connections: 2,
    },
    {
      name: "answered twice",
      message: [late(`${queued}\n250 2.0.0 really`), queued],
      first: queued,
      connections: 2,
    },
    {
      name: "answered, and what then is refused was not asked for",
      message: [late(`${queued}\n550 5.7.1 spam`), queued],
      first: queued,
      connections: 2,
    },
  ];

  test.each(endings)("arrives all the same, once, if that message is $name", async (ending) => {
    const at = await server({
      ...(ending.message && { message: ending.message }),
      ...(ending.MAIL && { MAIL: ending.MAIL }),
      ...(ending.RCPT && { RCPT: ending.RCPT }),
    });
    const { deliverAll } = postman(at);
    expect(await texts(deliverAll(one, two))).toEqual([[ending.first], [queued]]);
    expect(at.connections()).toBe(ending.connections);
    expect(at.received.map(({ recipients }) => recipients.join())).toEqual([
      "TO:<one@example.net>",
      "TO:<two@example.net>",
    ]);
  });

  test("gets a reply that was meant for nobody, and no recipient hears another's refusal", async () => {
    const at = await server({
      message: [late(`${queued}\n250 2.0.0 really`), queued],
      RCPT: (argument) => (argument.includes("bad") ? "550 5.1.1 no such user" : "250 ok"),
    });
    expect(await texts(postman(at).deliverAll(one, to("bad@example.net", "good@example.net")))).toEqual([
      [queued],
      ["550 5.1.1 no such user", queued],
    ]);
  });

  test("is refused for good where all is in step, and the session goes on", async () => {
    const at = await server({
      message: [late(queued), queued],
      RCPT: (argument) => (argument.includes("bad") ? "550 5.1.1 no such user" : "250 ok"),
    });
    const { deliverAll } = postman(at);
    expect(await texts(deliverAll(one, to("bad@example.net"), two))).toEqual([
      [queued],
      ["550 5.1.1 no such user"],
      [queued],
    ]);
    expect(at.connections()).toBe(1);
  });

  test("waits ten seconds for another message's reply, which still counts when it comes", async () => {
    const slow = await slowHost();
    const { deliverAll, activities } = postman(slow, 50, patient);
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const both = deliverAll(one, two);
    await untilSaid(slow, /^MAIL FROM:.*TWO/ims);
    vi.advanceTimersByTime(9_999);
    await new Promise(setImmediate);
    expect(slow.conversations).toHaveLength(1);
    vi.advanceTimersByTime(1);
    vi.useRealTimers();
    await expect.poll(() => slow.conversations.length).toBe(2);
    expect(activities.slice(activities.indexOf("yields"))).toContain("waits"); // and uses its place again
    slow.answer();
    expect(await texts(both)).toEqual([["250 2.0.0 at last"], ["250 2.0.0 at once"]]);
    await expect.poll(() => slow.ended).toEqual([true, false]);
    expect(slow.conversations[0]).not.toMatch(/QUIT|RSET/); // they would be lines of a message
  });

  test("is given up at once where the relay ends, and the first message is waited for", async () => {
    const slow = await slowHost();
    const ending = new AbortController();
    const { deliverAll } = postman(slow, 50, patient);
    const both = deliverAll(one, { ...two, signal: ending.signal });
    await untilSaid(slow, /^MAIL FROM:.*TWO/ims);
    ending.abort();
    await new Promise(setImmediate);
    slow.answer();
    expect(await texts(both)).toEqual([["250 2.0.0 at last"], []]);
    expect(slow.conversations).toHaveLength(1);
  });

  test("is left to a third message where the second cannot be sent", async () => {
    const at = await server({ message: [late(queued), queued] });
    const tooLarge: Posting = { what: { ...two.what, size: 2_000_000 } };
    const outcomes = await postman(at).deliverAll(one, tooLarge, two);
    expect(outcomes.map(replies)).toEqual([
      [queued],
      ["552 5.3.4 the message has 2000000 octets, localhost[127.0.0.1] takes 1000000"],
      [queued],
    ]);
    expect(verbs(at)).toBe("EHLO MAIL RCPT DATA MAIL RCPT DATA");
    expect(at.connections()).toBe(1);
  });

  test("lets recipients who were too many wait for nobody", async () => {
    const at = await server({
      RCPT: (argument) =>
        argument.includes("/3") && at.received.length === 0 ? "452 4.5.3 too many" : "250 ok",
      message: [late(queued), queued],
    });
    const three = to("1/1@example.net", "1/2@example.net", "1/3@example.net");
    expect(await texts(postman(at).deliverAll(three, two))).toEqual([[queued, queued, queued], [queued]]);
    expect(
      at.received.map(({ recipients }) => recipients.length).toSorted((one, other) => one - other),
    ).toEqual([1, 1, 2]);
  });

  /** A host that may do anything at any moment, but refuses those who are "bad", and nobody else, with their addresses. */
  test("tells nobody of another's fate, and of a delivery only where there was one", async () => {
    const faults = fc.constantFrom<Act["fault"]>(undefined, undefined, undefined, "close", "reset");
    const says = fc.constantFrom(
      queued,
      queued,
      queued,
      `${queued}\n250 2.0.0 stray`,
      `${queued}\n550 5.7.1 stray`,
      `${queued}\n421 4.3.2 stray`,
      "451 4.3.0 later",
      "421 4.3.2 bye",
      "",
    );
    const act = fc.record({ say: says, fault: faults, late: fc.boolean() }).map(
      ({ say, fault, late: isLate }): Act => ({
        say,
        late: isLate,
        ...(fault !== undefined ? { fault } : say === "" ? { fault: "close" } : {}),
      }),
    );
    const letter = fc.array(fc.boolean(), { minLength: 1, maxLength: 3 });
    await fc.assert(
      fc.asyncProperty(
        fc.array(letter, { minLength: 2, maxLength: 6 }),
        fc.array(act, { minLength: 0, maxLength: 4 }),
        async (letters, acts) => {
          const at = await server({
            RCPT: (argument) =>
              argument.includes("bad") ? `550 5.1.1 no such user as ${argument.slice(3)}` : "250 ok",
            message: [...acts, queued],
          });
          const postings = letters.map((recipients, number) => ({
            ...to(
              ...recipients.map((good, place) => `${good ? "good" : "bad"}${number}.${place}@example.net`),
            ),
            text: `Subject: ${number}\r\n\r\nx\r\n`,
          }));
          const outcomes = await postman(at, 50, { timeouts: hurried }).deliverAll(...postings);
          for (const [number, result] of outcomes.entries()) {
            const had = at.received.filter((received) => received.message.startsWith(`Subject: ${number}\r`));
            for (const { recipient: who, reply } of result) {
              const path = `TO:<${who.address}>`;
              if (reply.code >= 500) expect(reply.text).toContain(`<${who.address}>`);
              if (reply.code < 400) expect(had.flatMap(({ recipients }) => recipients)).toContain(path);
              expect(
                had.flatMap(({ recipients }) => recipients).filter((to) => to === path).length,
              ).toBeLessThan(2);
            }
            expect(result).toHaveLength(letters[number]?.length ?? 0);
          }
          await at.close();
        },
      ),
      { numRuns: 60 },
    );
  }, 60_000);
});

/** Takes every message, and keeps each piece in which octets came. */
async function hostInPieces(pieces: string[]): Promise<{ readonly port: number }> {
  const listener = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.on("data", (octets) => {
      const text = octets.toString("latin1");
      pieces.push(text);
      const replies = [
        text.startsWith("EHLO") ? "250-fake\r\n250 PIPELINING\r\n" : "",
        text.includes("\r\n.\r\n") ? "250 2.0.0 taken\r\n" : "",
        text.includes("MAIL FROM") ? "250 ok\r\n250 ok\r\n354 go\r\n" : "",
      ];
      socket.write(replies.join(""));
    });
    socket.write("220 fake\r\n");
  });
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void listener.close());
  const address = listener.address();
  return { port: typeof address === "object" && address ? address.port : 0 };
}

const patient = { timeouts: { connect: 60_000, reply: 60_000, final: 60_000, transaction: 120_000 } };

/** For hosts that never answer some message: that is no fault here. */
const hurried = { connect: 2000, reply: 150, final: 150, transaction: 1000 };

interface SlowHost {
  readonly port: number;
  /** What each connection has sent. */
  readonly conversations: readonly string[];
  /** Whether it has been closed by its client. */
  readonly ended: readonly boolean[];
  /** Answers the first message, and what came behind it. */
  answer(): void;
}

/** Takes each message at once, but the first, which is answered when the test says so. */
async function slowHost(): Promise<SlowHost> {
  const conversations: string[] = [];
  const ended: boolean[] = [];
  let answer = (): void => undefined;
  const listener = createServer((socket) => {
    const number = conversations.length;
    let isOver = false;
    conversations.push("");
    ended.push(false);
    socket
      .on("error", () => undefined)
      .on("end", () => {
        ended[number] = true;
      });
    socket.on("data", (octets) => {
      const text = octets.toString("latin1");
      conversations[number] += text;
      if (isOver) return;
      if (text.startsWith("EHLO")) socket.write("250-fake\r\n250 PIPELINING\r\n");
      else if (text.startsWith("MAIL")) socket.write("250 ok\r\n250 ok\r\n354 go\r\n");
      else if (number > 0) socket.write("250 2.0.0 at once\r\n");
      else {
        isOver = true;
        answer = () => socket.write("250 2.0.0 at last\r\n250 ok\r\n250 ok\r\n354 go\r\n");
      }
    });
    socket.write("220 ready\r\n");
  });
  await new Promise<void>((resolve) => {
    listener.listen(0, "127.0.0.1", resolve);
  });
  onTestFinished(() => void listener.close());
  const address = listener.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    conversations,
    ended,
    answer: () => answer(),
  };
}

async function untilSaid({ conversations }: SlowHost, words: RegExp): Promise<void> {
  while (!words.test(conversations[0] ?? "")) await new Promise(setImmediate);
}
