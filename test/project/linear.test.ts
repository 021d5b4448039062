/**
 * What reads octets from outside takes time in proportion to their number: hostile forms of n, 4n and 16n, compared
 * with each other and not with a clock.
 */
import { Readable } from "node:stream";
import { describe, expect, test } from "vitest";
import { findLines } from "../../src/config/lines.ts";
import { digestMd5 } from "../../src/probe/sasl/digest.ts";
import { offersIn } from "../../src/probe/transaction/hello.ts";
import { openMime } from "../../src/server/delivery/letter/mime-parts.ts";
import { sevenBit } from "../../src/server/delivery/letter/seven-bit.ts";
import { policyId, readPolicy } from "../../src/server/delivery/tls/sts-policy.ts";
import { logBug } from "../../src/server/observe/log.ts";
import { parseAliases } from "../../src/server/submission/aliases.ts";
import { newJournal } from "../../src/server/submission/journal.ts";
import { authorObjection } from "../../src/server/submission/message/author.ts";
import { withAuthor } from "../../src/server/submission/message/completion.ts";
import { fixHeader } from "../../src/server/submission/message/fixups.ts";
import { readOpening } from "../../src/server/submission/message/opening.ts";
import { signedIn } from "../../src/server/submission/message/signed.ts";
import { senderPolicy } from "../../src/server/submission/policy.ts";
import { pathFault, readPath } from "../../src/smtp/address.ts";
import { fieldBody, splitFields } from "../../src/smtp/header.ts";
import { readMailboxes, readName } from "../../src/smtp/mailboxes.ts";
import { isMessageId } from "../../src/smtp/message-id.ts";
import { parseReply } from "../../src/smtp/reply.ts";

type Work = () => unknown;

const senders = senderPolicy("own", "example.org", new Map());
const submitter = { login: "user1", sender: "user1@example.org", smtputf8: false };
const supplies = { hostname: "relay.example.org", id: "A1", time: 0 };
const journal = newJournal("submission", "192.0.2.1");
const ignoreFailure = (work: Work): unknown => {
  try {
    return work();
  } catch {
    return undefined;
  }
};

function mimeLine(text: string): unknown {
  const pieces: unknown[] = [];
  const reader = openMime((piece) => pieces.push(piece));
  for (const line of ["Content-Type: multipart/mixed; boundary=x\r\n", "MIME-Version: 1.0\r\n", "\r\n"])
    reader.line(line);
  reader.line(text);
  reader.end();
  return pieces;
}

/** A message whose body is one line, in pieces as a file gives them. */
function pieces(body: string): Readable {
  const text = `MIME-Version: 1.0\r\nContent-Transfer-Encoding: 8bit\r\nContent-Type: text/plain\r\n\r\n${body}`;
  const whole = Buffer.from(text, "latin1");
  const chunks: Buffer[] = [];
  for (let at = 0; at < whole.length; at += 1024) chunks.push(whole.subarray(at, at + 1024));
  return Readable.from(chunks);
}

/** What stays the same, what is repeated, and what ends it. */
const forms: readonly (readonly [before: string, repeated: string, after: string])[] = [
  ["", "<", ""],
  ["<", "@a,", "a"],
  ["<", "@a", ">"],
  ["<", '"', ">"],
  ["<", '\\"', ">"],
  ["", " ", "x"],
  ["", "\t ", "x"],
  ["x", "  ", "\rx"],
  ["250-x", " y", "\r"],
  ["250 ", "a", "\r"],
  ["--", " ", "x\r\n"],
  ["", "(", ")"],
  ["", "a, ", "b"],
  ["x: ", ",", ""],
  ["x ", " : ", "y"],
  ["", "\r\n ", "x"],
  ["", "a\r\n", "x"],
  ["", "From: a\r\n", "x"],
  ["", "a:\r\n", "x"],
  ["", "=?", "="],
  ["", "=?a?q?", "?="],
  ["(", "<a@", ")"],
  ["", ";", "="],
  ["v=STSv1;", " ", "x"],
  ["version: STSv1\nmx:", " ", "\u0001"],
  ["", "a=", '"'],
  ["", "#", "\n"],
  ["", "\n", "x"],
  ["", "a", ""],
];

/** The readers of outside octets that take a text at once. */
const readers: Readonly<Record<string, (text: string) => unknown>> = {
  "a path": (text) => readPath(text),
  "what is wrong with a path": (text) => pathFault(text),
  "the name in a field": (text) => readName(text),
  "a message ID": (text) => isMessageId(text),
  "what is signed": (text) => signedIn(splitFields(`DKIM-Signature: ${text}\r\n`)),
  "where a header begins": (text) => readOpening(`${text}\r\n`),
  "what is mended in a header": (text) => fixHeader(splitFields(`${text}\r\n`), supplies),
  "who is missing in a header": (text) => withAuthor(splitFields(`${text}\r\n`), submitter, senders),
  "the log of commands": (text) => journal.heard(text),
  "an address list": (text) => readMailboxes(text),
  "a header": (text) => splitFields(text).map(fieldBody),
  "the authors of a message": (text) => authorObjection(splitFields(`From: ${text}\r\n`), "user1", senders),
  "a reply": (text) => parseReply(text),
  "the extensions of a server": (text) => offersIn(["250-x", text]),
  "a challenge": (text) =>
    digestMd5
      .begin({
        user: "u",
        password: "p",
        extra: new Map(),
        host: "h",
        random: (n: number) => Buffer.alloc(n),
      } as never)
      .answer(Buffer.from(text)),
  "an MTA-STS record": (text) => policyId([text]),
  "an MTA-STS policy": (text) => readPolicy(text),
  "a line of a MIME message": mimeLine,
  "the file of aliases": (text) => ignoreFailure(() => parseAliases(text, "aliases")),
  "the lines of a configuration": (text) =>
    ignoreFailure(() => findLines(`a = 1\n${text.replace(/[^#\n \t]/g, "")}`)),
  "the stack of a bug": (text) => logBug("here", text),
};

const repeated = (form: readonly [string, string, string], length: number): string => {
  const [before, one, after] = form;
  return before + one.repeat(Math.ceil(length / one.length)) + after;
};

/** Milliseconds of processor time; the least of several tries. */
async function least(work: Work): Promise<number> {
  let best = Number.POSITIVE_INFINITY;
  for (let time = 0; time < 3; time++) {
    const begin = process.cpuUsage();
    await work();
    const { user, system } = process.cpuUsage(begin);
    best = Math.min(best, (user + system) / 1000);
  }
  return best;
}

/** Sixteen times as much may take sixteen times as long; what is quadratic takes 256 times. */
const most = 90;
/** Milliseconds below which nothing is compared. */
const floor = 0.5;
const size = 6_000;

async function isLinear(work: (length: number) => unknown): Promise<boolean> {
  // Where 4n is dear already, 16n would be an hour.
  const [one, four] = [await least(() => work(size)), await least(() => work(4 * size))];
  if (four > (most / 4) * Math.max(one, floor)) return false;
  return (await least(() => work(16 * size))) <= most * Math.max(one, floor);
}

describe.each(Object.entries(readers))("%s", (_name, read) => {
  test.each(forms)("is read in proportion to %j %j %j", { timeout: 120_000 }, async (...form) => {
    expect(await isLinear((length) => read(repeated(form, length)))).toBe(true);
  });
});

test.each([
  ["one line", (length: number) => `${"ä".repeat(length * 4)}\r\n`],
  ["a boundary that is none", (length: number) => `--${" ".repeat(length)}x\r\n`],
  ["long lines that become base64", (length: number) => `${"ä".repeat(3000)}\r\n`.repeat(length / 100)],
])("an 8-bit message with %s is converted in proportion", { timeout: 120_000 }, async (_name, bodyOf) => {
  const convert = async (length: number): Promise<void> => {
    const body = bodyOf(length);
    const converted = await sevenBit(() => pieces(body));
    if (!("body" in converted)) throw new Error(converted.text);
    for await (const _chunk of converted.body());
  };
  expect(await isLinear(convert)).toBe(true);
});

test("fifteen Resent-From fields of 64 KiB are refused before they are read", () => {
  const field = `Resent-From: ${"user1@example.org, ".repeat(3400)}user1@example.org\r\n`;
  const header = `From: user1@example.org\r\n${field.repeat(15)}`;
  const said = authorObjection(splitFields(header), "user1", senders);
  expect(said?.code).toBe(554);
  expect(said?.text).toContain("and may have 65536");
});
