/** What is read in one turn, and what waits. */
import { setImmediate as nextTurn } from "node:timers/promises";
import { expect, test } from "vitest";
import { CommandParser, type LineTaker } from "../../../src/server/submission/parser.ts";

interface Read {
  readonly parser: CommandParser;
  readonly lines: string[];
  /** Whether something was waited for at the end of each turn. */
  readonly turns: boolean[];
}

function reading(line: (text: string, parser: CommandParser) => void = () => undefined): Read {
  const lines: string[] = [];
  const turns: boolean[] = [];
  const taker: LineTaker = {
    line(read) {
      const text = typeof read === "string" ? read : String(read.code);
      lines.push(text);
      line(text, parser);
    },
    inExchange: () => false,
    turnOver: (isWaiting) => void turns.push(isWaiting),
    ended: () => void lines.push("ended"),
  };
  const parser = new CommandParser(taker);
  return { parser, lines, turns };
}

test("a megabyte of commands is read a hundred a turn, so that others get theirs", async () => {
  const { parser, lines, turns } = reading();
  const flood = Buffer.from("NOOP\r\n".repeat(170_000));
  parser.write(flood);
  expect(lines).toHaveLength(100);
  expect(parser.writableLength).toBe(flood.length);
  await nextTurn();
  expect(lines.length).toBeLessThanOrEqual(300);
  while (parser.writableLength > 0) await nextTurn();
  expect(lines).toHaveLength(170_000);
  expect(turns.at(-1)).toBe(false);
});

test("what comes in one piece is read in one turn, and its replies are one", () => {
  const { parser, lines, turns } = reading();
  parser.write("MAIL\r\nRCPT\r\nDA");
  expect(lines).toEqual(["MAIL", "RCPT"]);
  parser.write("TA\r\n");
  expect(lines).toEqual(["MAIL", "RCPT", "DATA"]);
  expect(turns).toEqual([false, false]);
});

test("nothing is read while something is waited for, and the end comes last", async () => {
  let go = (): void => undefined;
  const { parser, lines, turns } = reading((text, self) => {
    if (text !== "AUTH") return;
    self.waitFor(
      new Promise<void>((resolve) => {
        go = resolve;
      }),
    );
  });
  parser.write("AUTH\r\nNOOP\r\n");
  parser.end("QUIT\r\n");
  await nextTurn();
  expect(lines).toEqual(["AUTH"]);
  expect(turns).toEqual([true]);
  go();
  await nextTurn();
  expect(lines).toEqual(["AUTH", "NOOP", "QUIT", "ended"]);
});

test("raw octets are no lines, and what they leave is", () => {
  const taken: string[] = [];
  const { parser, lines } = reading((text, self) => {
    if (text !== "BDAT") return;
    let left = 5;
    self.expectRaw((octets) => {
      taken.push(octets.subarray(0, left).toString());
      left -= Math.min(left, octets.length);
      return left === 0 ? octets.subarray(taken.at(-1)?.length) : undefined;
    });
  });
  parser.write("BDAT\r\nab");
  parser.write("\r\ncNOOP\r\nBDAT\r\n12345QUIT\r\n");
  expect(taken).toEqual(["ab", "\r\nc", "12345"]);
  expect(lines).toEqual(["BDAT", "NOOP", "BDAT", "QUIT"]);
});

test("a parser that is closed reads no line more", async () => {
  const { parser, lines } = reading((text, self) => {
    if (text === "STARTTLS") self.isClosed = true;
  });
  parser.write("STARTTLS\r\nMAIL\r\n");
  parser.write("RCPT\r\n");
  await nextTurn();
  expect(lines).toEqual(["STARTTLS"]);
  expect(parser.writableLength).toBe(0);
});

test("what comes in octets is read at once, and waits in the stream while something is waited for", async () => {
  let go = (): void => undefined;
  const { parser, lines, turns } = reading((text, self) => {
    if (text !== "DATA") return;
    self.waitFor(
      new Promise<void>((resolve) => {
        go = resolve;
      }),
    );
  });
  expect(parser.write(Buffer.from("MAIL\r\nRC"))).toBe(true);
  expect(parser.writableLength).toBe(0);
  parser.write(Buffer.from("PT\r\nDATA\r\nNOOP\r\n"));
  expect(lines).toEqual(["MAIL", "RCPT", "DATA"]);
  expect(parser.writableLength).toBe("NOOP\r\n".length);
  expect(parser.write(Buffer.alloc(parser.writableHighWaterMark, "RSET\r\n"))).toBe(false);
  parser.end();
  expect(lines).toHaveLength(3);
  go();
  while (!lines.includes("ended")) await nextTurn();
  expect(lines.slice(3, 6)).toEqual(["NOOP", "RSET", "RSET"]);
  expect(lines.at(-1)).toBe("ended");
  expect(turns.at(-1)).toBe(false);
});
