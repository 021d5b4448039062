import { setMaxListeners } from "node:events";
import { Readable } from "node:stream";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  newDotStuffing,
  runTransaction,
  type TransactionResult,
} from "../../../src/smtp/client/transaction.ts";
import { type Behaviour, type Scripted, talkTo } from "./server.ts";

const { signal } = new AbortController();
setMaxListeners(0, signal); // one for each connection
const commands = {
  mail: "MAIL FROM:<a@example.org>",
  recipients: ["RCPT TO:<b@example.net>", "RCPT TO:<c@example.net>"],
};
const body = "Subject: hi\r\n\r\n.dot\r\n";

interface Done extends Scripted {
  readonly result: TransactionResult;
}

async function transact(
  hello: string,
  said: readonly (string | undefined)[],
  lmtp = false,
  behaviour: Behaviour = {},
  { inMemory = false, reset }: { readonly inMemory?: boolean; readonly reset?: number } = {},
): Promise<Done> {
  const words = ["220 hop\r\n", `250-hop\r\n250 ${hello}\r\n`, ...said];
  const made = await talkTo(words, { protocol: lmtp ? "lmtp" : "smtp", patience: 500 }, behaviour);
  await made.connection.read(signal);
  await made.connection.hello(false, signal);
  const result = await runTransaction(
    made.connection,
    commands,
    inMemory ? Buffer.from(body) : Readable.from([Buffer.from(body)]),
    { signal, finalPatience: 500, ...(reset !== undefined && { reset }) },
  );
  return { ...made, result };
}

const [ok, go, queued] = ["250 2.1.0 ok\r\n", "354 go ahead\r\n", "250 2.0.0 queued\r\n"];
const no = "550 5.1.1 no\r\n";
const envelope = [commands.mail, ...commands.recipients, "DATA"];

/** What happened, in short. */
function summary({ refused, accepted, finals, ending, begun, whole }: TransactionResult): string {
  const last =
    ending.kind === "reply"
      ? `${ending.command}: ${ending.text}`
      : ending.kind === "closing"
        ? `parting: ${ending.text}`
        : ending.kind;
  const both = [
    ...[...refused].map(([at, text]) => `${at}!${text}`),
    ...[...finals].map(([at, { text }]) => `${at}=${text}`),
  ];
  return [`${accepted} taken`, ...both, last, ...(begun ? ["begun"] : []), ...(whole ? ["whole"] : [])].join(
    ", ",
  );
}

const done = "2 taken, end of DATA: 250 2.0.0 queued, begun, whole";

describe.each([
  { hello: "PIPELINING", inMemory: false },
  { hello: "HELP", inMemory: false },
  { hello: "PIPELINING", inMemory: true },
  { hello: "HELP", inMemory: true },
])("a transaction with $hello, its message in memory: $inMemory,", ({ hello, inMemory }) => {
  test.each<{
    name: string;
    said: readonly (string | undefined)[];
    lmtp?: boolean;
    result: string;
    open?: boolean;
  }>([
    { name: "is taken", said: [ok, ok, ok, go, queued], result: done },
    {
      name: "is answered by anything that begins with 2 and 3",
      said: [ok, "251 x\r\n", "2\r\n", "399\r\n", queued],
      result: done,
    },
    {
      name: "has a recipient that is refused",
      said: [ok, no, ok, go, queued],
      result: "1 taken, 0!550 5.1.1 no, end of DATA: 250 2.0.0 queued, begun, whole",
    },
    { name: "is refused at DATA", said: [ok, ok, ok, "451 later\r\n"], result: "2 taken, DATA: 451 later" },
    { name: "has 250 for DATA", said: [ok, ok, ok, "250 fine\r\n"], result: "2 taken, DATA: 250 fine" },
    {
      name: "is refused at its end",
      said: [ok, ok, ok, go, "554 spam\r\n"],
      result: "2 taken, end of DATA: 554 spam, begun, whole",
    },
    {
      name: "has an end in which the codes differ",
      said: [ok, ok, ok, go, "250-fine\r\n554 or not\r\n"],
      result: "2 taken, end of DATA: 554-fine\n554 or not, begun, whole",
    },
    {
      name: "has no end",
      said: [ok, ok, ok, go, undefined],
      result: "2 taken, lost, begun, whole",
      open: false,
    },
    { name: "has a silent end", said: [ok, ok, ok, go, ""], result: "2 taken, late, begun, whole" },
    {
      name: "ends in the middle by 421",
      said: [ok, ok, "421 bye\r\n"],
      result: "1 taken, 1!421 bye, parting: 421 bye",
      open: false,
    },
    {
      name: "of LMTP has a reply for each recipient",
      said: [ok, ok, ok, go, `${queued}452 full\r\n`],
      lmtp: true,
      result: "2 taken, 0=250 2.0.0 queued, 1=452 full, end of DATA: 452 full, begun, whole",
    },
    {
      name: "of LMTP has a reply for one, and 421 for the other",
      said: [ok, ok, ok, go, `421 bye\r\n${queued}`],
      lmtp: true,
      result: "2 taken, 0=421 bye, parting: 421 bye, begun, whole",
      open: false,
    },
  ])("$name", async ({ said, lmtp = false, result, open = true }) => {
    const { result: had, connection } = await transact(hello, said, lmtp, {}, { inMemory });
    expect(summary(had)).toBe(result);
    expect(connection.isOpen).toBe(open);
  });
});

describe("commands", () => {
  test("go out in one piece where they may", async () => {
    const { pieces } = await transact("PIPELINING", [ok, ok, ok, go, queued]);
    expect(pieces[1]).toBe(`${envelope.join("\r\n")}\r\n`);
    expect(pieces.slice(2).join("")).toBe("Subject: hi\r\n\r\n..dot\r\n.\r\n");
  });

  test("go out in one piece with RSET before them, where the server is to be reset", async () => {
    const { result, pieces } = await transact(
      "PIPELINING",
      [ok, ok, ok, ok, go, queued],
      false,
      {},
      { reset: 500 },
    );
    expect(pieces[1]).toBe(`${["RSET", ...envelope].join("\r\n")}\r\n`);
    expect(summary(result)).toBe(done);
  });

  test("wait for the answer to RSET where they must", async () => {
    const { result, pieces } = await transact(
      "HELP",
      [ok, ok, ok, ok, go, queued],
      false,
      {},
      { reset: 500 },
    );
    expect(pieces.slice(1, 6)).toEqual(["RSET", ...envelope].map((line) => `${line}\r\n`));
    expect(summary(result)).toBe(done);
  });

  test.each(["PIPELINING", "HELP"])(
    "end the session where RSET is not answered as it should be, with %s",
    async (hello) => {
      for (const answer of ["502 what?\r\n", "421 bye\r\n", "", undefined]) {
        const said = answer === "" ? [] : [answer, ok, ok, ok, go, queued];
        const { result, connection, pieces } = await transact(hello, said, false, {}, { reset: 50 });
        expect(summary(result)).toBe("0 taken, unreset");
        expect(connection.isOpen).toBe(false);
        expect(pieces.join("")).not.toContain("Subject");
      }
    },
  );

  test("go out one by one where they must", async () => {
    const { pieces } = await transact("HELP", [ok, ok, ok, go, queued]);
    expect(pieces.slice(1, 5)).toEqual(envelope.map((line) => `${line}\r\n`));
  });

  test("refused all get a lone dot where DATA is taken all the same, and the session goes on", async () => {
    const { result, pieces, connection } = await transact("PIPELINING", [ok, no, no, go, "554 nobody\r\n"]);
    expect(summary(result)).toBe("0 taken, 0!550 5.1.1 no, 1!550 5.1.1 no, DATA: 554 nobody");
    expect(pieces.at(-1)).toBe(".\r\n");
    expect(connection.isQuiet).toBe(true);
  });

  test("of a sender who is refused count for nobody, whatever is said of them", async () => {
    const outOfOrder = "503 5.5.1 MAIL first\r\n";
    const said = ["451 4.7.1 greylisted\r\n", outOfOrder, outOfOrder, outOfOrder];
    const { result, connection } = await transact("PIPELINING", said);
    expect(result.ending).toMatchObject({ command: "MAIL FROM", text: "451 4.7.1 greylisted" });
    expect(connection.isQuiet).toBe(true);
  });

  test("of a sender who is refused end the session where DATA is taken", async () => {
    const { result, connection, pieces } = await transact("PIPELINING", [no, no, no, go]);
    expect(result.ending).toMatchObject({ command: "MAIL FROM", text: "550 5.1.1 no" });
    expect([connection.isOpen, pieces.length]).toEqual([false, 2]);
  });

  test("have their replies, however these are cut", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 5 }),
        fc.constantFrom("PIPELINING", "HELP"),
        async (cuts, hello) => {
          const said = [ok, no, "250-2.1.5 yes\r\n250 2.1.5 indeed\r\n", go, queued];
          const { result } = await transact(hello, said, false, { cuts });
          expect(summary(result)).toBe(
            "1 taken, 0!550 5.1.1 no, end of DATA: 250 2.0.0 queued, begun, whole",
          );
        },
      ),
      { numRuns: 20 },
    );
  });
});

describe("a message", () => {
  /** As RFC 5321 section 4.5.2 has it, over the whole text. */
  const stuffed = (text: string): string => {
    const lines = text.replaceAll(/\r\n|\r|\n/g, "\r\n");
    const ended = lines.endsWith("\r\n") || lines === "" ? lines : `${lines}\r\n`;
    return `${ended.replaceAll(/^\./gm, "..")}.\r\n`;
  };

  test("has its dots doubled and its line ends whole, however it is cut", () => {
    const octet = fc.constantFrom("\r", "\n", "\r\n", ".", "a", "\r\n.", "\r\n.\r\n");
    fc.assert(
      fc.property(fc.array(fc.array(octet, { maxLength: 8 }).map((parts) => parts.join(""))), (pieces) => {
        const stuffing = newDotStuffing();
        const out = pieces.map((piece) => stuffing.next(Buffer.from(piece)).toString());
        expect(out.join("") + stuffing.end().toString()).toBe(stuffed(pieces.join("")));
      }),
    );
  });

  test("is read no further than the server takes it", async () => {
    const made = await talkTo(
      ["220 x\r\n", "250 x\r\n", ok, ok, ok, go],
      { patience: 500 },
      { isFull: true },
    );
    await made.connection.read(signal);
    await made.connection.hello(false, signal);
    let read = 0;
    async function* endless(): AsyncGenerator<Buffer> {
      for (;;) {
        read += 64 * 1024;
        yield Buffer.alloc(64 * 1024, "x");
      }
    }
    const result = await runTransaction(
      made.connection,
      commands,
      Readable.from(endless(), { highWaterMark: 1 }),
      {
        signal,
        finalPatience: 500,
      },
    );
    expect(summary(result)).toBe("2 taken, late, begun");
    expect(made.connection.state).toBe("sending message body");
    expect(read).toBeLessThan(64 * 1024 * 1024);
  });

  test("gets its pieces back when they have left, and not before", async () => {
    const made = await talkTo(["220 x\r\n", "250 x\r\n", ok, ok, ok, go, ok]);
    await made.connection.read(signal);
    await made.connection.hello(false, signal);
    const pieces = Array.from({ length: 20 }, (_, at) => Buffer.alloc(at % 2 === 0 ? 1_000 : 300_000, "x"));
    let given = 0;
    const giveBack = (piece: Uint8Array): void => {
      given++;
      piece.fill(0x5a);
    };
    const stream = Object.assign(Readable.from(pieces), { giveBack });
    const result = await runTransaction(made.connection, commands, stream, { signal, finalPatience: 500 });
    expect(summary(result)).toMatch(/^2 taken, .*whole/);
    expect(made.pieces.join("")).not.toContain("Z");
    expect(given).toBeGreaterThanOrEqual(10);
  });

  test("that is refused before its end is sent no further", async () => {
    const made = await talkTo(["220 x\r\n", "250 x\r\n", ok, ok, ok, `${go}552 5.3.4 too big\r\n`]);
    await made.connection.read(signal);
    await made.connection.hello(false, signal);
    async function* halting(): AsyncGenerator<Buffer> {
      yield Buffer.from(body);
      await new Promise(() => undefined);
    }
    const halted = Readable.from(halting());
    const result = await runTransaction(made.connection, commands, halted, { signal, finalPatience: 500 });
    expect(result).toMatchObject({ begun: true, whole: false, ending: { isEarly: true } });
    expect(halted.destroyed).toBe(true);
  });

  test("in memory goes out in one piece with its end", async () => {
    const { pieces } = await transact("PIPELINING", [ok, ok, ok, go, queued], false, {}, { inMemory: true });
    expect(pieces.slice(2)).toEqual(["Subject: hi\r\n\r\n..dot\r\n.\r\n"]);
  });

  test("in memory may be larger than what is looked at in one turn", async () => {
    const made = await talkTo(["220 x\r\n", "250 x\r\n", ok, ok, ok, go, queued], { patience: 500 });
    await made.connection.read(signal);
    await made.connection.hello(false, signal);
    const large = Buffer.from(".dot\r\n".repeat(30_000));
    const result = await runTransaction(made.connection, commands, large, { signal, finalPatience: 5_000 });
    expect(summary(result)).toBe(done);
    expect(made.pieces.join("")).toContain(stuffed(large.toString()));
  });

  test("in memory that is refused before it is sent has an early refusal", async () => {
    const early = `${go}552 5.3.4 too big\r\n`;
    const { result } = await transact("PIPELINING", [ok, ok, ok, early], false, {}, { inMemory: true });
    expect(result).toMatchObject({ begun: true, ending: { isEarly: true, text: "552 5.3.4 too big" } });
  });

  test("in memory that the server does not take is not at its end", async () => {
    const made = await talkTo(
      ["220 x\r\n", "250 x\r\n", ok, ok, ok, go],
      { patience: 200 },
      { isFull: true },
    );
    await made.connection.read(signal);
    await made.connection.hello(false, signal);
    // More than the system keeps for a socket, in many pieces.
    const large = Buffer.alloc(64 * 1024 * 1024, "x");
    const result = await runTransaction(made.connection, commands, large, { signal, finalPatience: 500 });
    expect(summary(result)).toBe("2 taken, late, begun");
    expect(made.connection.state).toBe("sending message body");
  });

  test.each([
    ["small", Buffer.from("x\r\n")],
    ["large", Buffer.alloc(200_000, "x\r\n")],
    ["streamed", Readable.from([Buffer.from("x\r\n"), Buffer.from("y\r\n")])],
  ])("that may not end, a %s one, has no final dot", async (_, octets) => {
    const made = await talkTo(["220 x\r\n", "250 x\r\n", ok, ok, ok, go]);
    await made.connection.read(signal);
    await made.connection.hello(false, signal);
    const options = { signal, finalPatience: 500, mayEnd: () => false };
    const result = await runTransaction(made.connection, commands, octets, options);
    expect(result).toMatchObject({ begun: true, whole: false, ending: { kind: "withdrawn" } });
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(made.pieces.join("")).not.toContain("\r\n.\r\n");
  });

  test("that was cut short has no final dot", async () => {
    const made = await talkTo(["220 x\r\n", "250 x\r\n", ok, ok, ok, go]);
    await made.connection.read(signal);
    await made.connection.hello(false, signal);
    const cut = new Readable({ read: () => undefined });
    cut.push(Buffer.from(body));
    setTimeout(() => cut.destroy(), 50);
    const result = await runTransaction(made.connection, commands, cut, { signal, finalPatience: 500 });
    expect(result).toMatchObject({ whole: false, ending: { kind: "unreadable" } });
    expect(made.pieces.join("")).not.toContain("\r\n.\r\n");
  });
});
