/**
 * What reads octets from outside takes time in proportion to their number: hostile forms of n, 4n and 16n, compared
 * with each other and not with a clock.
 */

import { createReadStream } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { setImmediate as nextTurn } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { findLines } from "../../src/config/positions.ts";
import { deliveryReportIn } from "../../src/probe/arrival/delivery-report.ts";
import { hopsOf } from "../../src/probe/arrival/trace.ts";
import { openDmarc } from "../../src/probe/reports/dmarc.ts";
import { openMail } from "../../src/probe/reports/mail.ts";
import { readTlsReport } from "../../src/probe/reports/tls-rpt.ts";
import { readResponse } from "../../src/server/delivery/dns/message.ts";
import { messageReader } from "../../src/server/delivery/dns/query.ts";
import { sevenBit } from "../../src/server/delivery/message/seven-bit.ts";
import { policyId, readPolicy } from "../../src/server/delivery/tls/mta-sts-policy.ts";
import { logBug } from "../../src/server/log/log.ts";
import { scram } from "../../src/server/submission/auth/scram.ts";
import { authorRefusal, completeAuthor } from "../../src/server/submission/header/author.ts";
import { fixHeader, signedFields } from "../../src/server/submission/header/fixups.ts";
import { readHeader } from "../../src/server/submission/header/reader.ts";
import { mailParameters, rcptParameters, readParameters } from "../../src/server/submission/parameters.ts";
import { parseAliases, senderPolicy } from "../../src/server/submission/sender-policy.ts";
import { newSessionLog } from "../../src/server/submission/session-log.ts";
import { pathFault, readPath } from "../../src/smtp/address.ts";
import { anyReply } from "../../src/smtp/client/connection.ts";
import { keywordsIn } from "../../src/smtp/client/ehlo.ts";
import { newDotStuffing, runTransaction } from "../../src/smtp/client/transaction.ts";
import { openWire } from "../../src/smtp/client/wire.ts";
import { fieldBody, splitFields } from "../../src/smtp/header.ts";
import { readMailboxes, readName } from "../../src/smtp/mailboxes.ts";
import { isMessageId } from "../../src/smtp/message-id.ts";
import { openMime } from "../../src/smtp/mime-parts.ts";
import { decodeWords, harmless, quotedLine, wrapped } from "../../src/smtp/mime-text.ts";
import { parseReply } from "../../src/smtp/reply.ts";
import { digestMd5 } from "../../src/smtp/sasl/digest.ts";
import { saslprep } from "../../src/smtp/saslprep.ts";
import { decodeXtext } from "../../src/smtp/xtext.ts";
import { talkTo } from "../smtp/client/server.ts";

type Work = () => unknown;

const senders = senderPolicy("own", "example.org", new Map());
const submitter = { login: "user1", sender: "user1@example.org", smtputf8: false };
const supplies = { hostname: "relay.example.org", id: "A1", time: 0 };
const journal = newSessionLog("submission", "192.0.2.1");
const ignoreFailure = (work: Work): unknown => {
  try {
    return work();
  } catch {
    return undefined;
  }
};

const scramFirst = (text: string): unknown =>
  scram({ name: "SCRAM-SHA-256", digest: "sha256", plus: false })
    .open({ offered: [], hostname: "mail.example.org", nonce: () => "n" })
    .step(text);

/** An answer whose records all lead through as many pointers as there are. */
function pointers(length: number): Buffer {
  const words = (...values: readonly number[]): Buffer => {
    const octets = Buffer.alloc(2 * values.length);
    for (const [at, value] of values.entries()) octets.writeUInt16BE(value, 2 * at);
    return octets;
  };
  const count = Math.min(8_000, Math.floor(length / 14));
  const chain = Array.from({ length: count }, (_, at) => 0xc000 + (at === 0 ? 12 : 29 + 2 * at));
  const [head, name] = [words(1, 0x8180, 1, count + 1, 0, 0), Buffer.from("\x01a\0", "latin1")];
  const long = words(0xc00c, 99, 1, 0, 0, 2 * count);
  const last = words(0xc000 + 29 + 2 * count, 99, 1, 0, 0, 0);
  return Buffer.concat([head, name, words(1, 1), long, words(...chain), ...Array<Buffer>(count).fill(last)]);
}

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
  ["", "=?a?B?", ""],
  ["", "?= ", "=?a?Q?"],
  ["x ", "(", "y"],
  ["n,,n=", "a,r=b", "\u0000"],
  ["n,,n=a,r=b", ",x=y", "\u0000"],
];

/** The readers of outside octets that take a text at once. */
const readers: Readonly<Record<string, (text: string) => unknown>> = {
  "a path": (text) => readPath(text),
  "what is wrong with a path": (text) => pathFault(text),
  "the name in a field": (text) => readName(text),
  "a message ID": (text) => isMessageId(text),
  "what is signed": (text) => signedFields(splitFields(`DKIM-Signature: ${text}\r\n`)),
  "where a header begins": (text) => readHeader(`${text}\r\n`),
  "what is mended in a header": (text) => fixHeader(splitFields(`${text}\r\n`), supplies),
  "who is missing in a header": (text) => completeAuthor(splitFields(`${text}\r\n`), submitter, senders),
  "the log of commands": (text) => journal.command(text),
  "an address list": (text) => readMailboxes(text),
  "a header": (text) => splitFields(text).map(fieldBody),
  "the authors of a message": (text) => authorRefusal(splitFields(`From: ${text}\r\n`), "user1", senders),
  "a reply": (text) => parseReply(text),
  "the extensions of a server": (text) => keywordsIn(["250-x", text]),
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
  "a subject": (text) => decodeWords(text),
  "words for a report": (text) => wrapped(harmless(text), ""),
  "quoted-printable": (text) => quotedLine(text),
  "the way of a message": (text) => hopsOf(`Received: ${text}\r\n`, 0, 1),
  "a report about a message": (text) =>
    deliveryReportIn(Buffer.from(`Content-Type: multipart/report\r\n\r\nid${text}`), "id"),
  "a DMARC report": (text) => ignoreFailure(() => openDmarc().write(`<feedback>${text}`)),
  "a TLS report": (text) => ignoreFailure(() => readTlsReport(`{"policies":["${text}`, 0)),
  "a mail with reports": (text) => ignoreFailure(() => openMail().write(Buffer.from(text, "latin1"))),
  "the parameters of MAIL": (text) => readParameters(mailParameters, text),
  "the parameters of RCPT": (text) => readParameters(rcptParameters, `ORCPT=${text}`),
  xtext: (text) => decodeXtext(text),
  "a name of SASL": (text) => saslprep(text),
  "the first message of SCRAM": (text) => scramFirst(text),
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
    if (!converted || !("body" in converted)) throw new Error(converted?.text);
    for await (const _chunk of converted.body());
  };
  expect(await isLinear(convert)).toBe(true);
});

test("fifteen Resent-From fields of 64 KiB are refused before they are read", () => {
  const field = `Resent-From: ${"user1@example.org, ".repeat(3400)}user1@example.org\r\n`;
  const header = `From: user1@example.org\r\n${field.repeat(15)}`;
  const said = authorRefusal(splitFields(header), "user1", senders);
  expect(said?.code).toBe(554);
  expect(said?.text).toContain("and may have 65536");
});

test("an answer of a name server that is full of pointers is read in proportion", {
  timeout: 120_000,
}, async () => {
  const read = (length: number): unknown => readResponse(pointers(length), { id: 1, name: "a", type: "A" });
  expect(await isLinear((length) => read(length))).toBe(true);
});

test("an answer of a name server that comes octet by octet is read in proportion", {
  timeout: 120_000,
}, async () => {
  const octet = Buffer.of(0xff);
  const read = (length: number): void => {
    const whole = messageReader();
    for (let count = 0; count < 1 + (2 / 3) * length; count++) whole(octet); // 65 535 octets are never whole here
  };
  expect(await isLinear(read)).toBe(true);
});

test("a line of a server that comes octet by octet is read in proportion", { timeout: 120_000 }, async () => {
  const read = (length: number): void => {
    const stream = new PassThrough();
    openWire(stream);
    for (let count = 0; count < 2 * length; count++) stream.emit("data", Buffer.of(97));
    stream.emit("data", Buffer.of(10));
    stream.destroy();
  };
  expect(await isLinear(read)).toBe(true);
});

test.each([
  ["a line without end", "a", 1],
  ["continuation lines", "250-a\r\n", 7],
  ["continuation lines, all at once", "250-a\r\n", 65_536],
  ["blank lines", "\n", 1],
  ["blank lines, all at once", "\n", 65_536],
  ["codes without end", "2", 65_536],
  ["replies that nobody asked for", "250 a\r\n", 65_536],
])("a next hop's %s are read in proportion, %j in pieces of %i", { timeout: 120_000 }, async (...row) => {
  const [, text, size] = row;
  const hear = async (length: number): Promise<void> => {
    const said = Buffer.from(text.repeat(Math.ceil((4 * length) / text.length)));
    const stream = new PassThrough();
    const wire = openWire(stream, anyReply);
    for (let at = 0; at < said.length; at += size) stream.emit("data", said.subarray(at, at + size));
    stream.emit("end");
    while ((await wire.readReply(0)).kind === "reply");
    stream.destroy();
  };
  expect(await isLinear(hear)).toBe(true);
});

test.each([".\r\n", "\r.", "\n", "\r", ".", "a"])(
  "dots are stuffed in proportion in %j",
  {
    timeout: 120_000,
  },
  async (text) => {
    const stuff = (length: number): Buffer => newDotStuffing().next(Buffer.from(text.repeat(4 * length)));
    expect(await isLinear(stuff)).toBe(true);
  },
);

test("dots are stuffed in turns: whatever the message is, others have theirs between two chunks", async () => {
  const folder = await mkdtemp(join(tmpdir(), "tpa-submit-dots-"));
  try {
    const [chunk, chunks] = [64 * 1024, 40];
    await writeFile(join(folder, "message"), ".\r\n".repeat(Math.ceil((chunk * chunks) / 3)));
    const ok = "250 ok\r\n";
    const { connection } = await talkTo(["220 x\r\n", ok, ok, "354 go\r\n", ok]);
    const { signal } = new AbortController();
    await connection.read(signal);
    let sent = false;
    const commands = { mail: "MAIL FROM:<>", recipients: ["RCPT TO:<a@example.net>"] };
    const body = createReadStream(join(folder, "message"));
    const sending = runTransaction(connection, commands, body, { signal, finalPatience: 10_000 }).then(
      ({ whole }) => {
        sent = true;
        expect(whole).toBe(true);
      },
    );
    let turns = 0;
    for (; !sent; turns += 1) await nextTurn();
    await sending;
    expect(turns).toBeGreaterThanOrEqual(chunks);
  } finally {
    await rm(folder, { recursive: true });
  }
});
