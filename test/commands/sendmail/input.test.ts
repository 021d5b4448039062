import { expect, test } from "vitest";
import { recipientsIn, splitMessage, withAuthor } from "../../../src/commands/sendmail/header.ts";
import { messageIn } from "../../../src/commands/sendmail/input.ts";

async function* pieces(text: string, length: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < text.length; at += length) yield Buffer.from(text.slice(at, at + length), "latin1");
}

async function read(text: string, dotEnds: boolean, length: number): Promise<string> {
  const found: Buffer[] = [];
  for await (const octets of messageIn(pieces(text, length), dotEnds)) found.push(octets);
  return Buffer.concat(found).toString("latin1");
}

const inputs: readonly (readonly [what: string, input: string, dotEnds: boolean, message: string])[] = [
  ["LF", "a\n\nb\n", true, "a\r\n\r\nb\r\n"],
  ["CRLF, which is not doubled", "a\r\n\r\nb\r\n", true, "a\r\n\r\nb\r\n"],
  ["several CRs before LF", "a\r\r\nb\n", true, "a\r\nb\r\n"],
  ["no end of the last line", "a\n\nb", true, "a\r\n\r\nb\r\n"],
  ["a dot alone", "a\n.\nb\n", true, "a\r\n"],
  ["a dot alone with CR", "a\r\n.\r\nb\r\n", true, "a\r\n"],
  ["a dot alone at first", ".\nb\n", true, ""],
  ["a dot at the very end", "a\n.", true, "a\r\n"],
  ["a dot alone with -i", "a\n.\nb\n", false, "a\r\n.\r\nb\r\n"],
  ["other lines with dots", "a\n..\n.b\n. \nc.\n.\rx\n", true, "a\r\n..\r\n.b\r\n. \r\nc.\r\n.\r\nx\r\n"],
  ["nothing", "", true, ""],
];

test.each(inputs)("messageIn() with %s, in pieces however small", async (_, input, dotEnds, message) => {
  for (const length of [1, 2, 3, 1_000]) expect(await read(input, dotEnds, length)).toBe(message);
});

test.each([
  ["a: b\r\n\r\nbody\r\n", "a: b\r\n"],
  ["\r\nbody\r\n", ""],
  ["a: b\r\n", "a: b\r\n"],
  ["", ""],
])("splitMessage() of %j", async (text, header) => {
  for (const length of [1, 2, 3, 1_000]) {
    const split = await splitMessage(pieces(text, length));
    const rest: Buffer[] = [];
    for await (const octets of split.rest) rest.push(octets);
    expect(split.header).toBe(header);
    expect(split.header + Buffer.concat(rest).toString("latin1")).toBe(text);
  }
});

test.each([
  [
    "To: a@example.org, Friends: b@example.org;\r\nCc: root\r\nBcc: c@example.org\r\n",
    ["a@example.org", "b@example.org", "root", "c@example.org"],
  ],
  ["To: a@example.org\r\nResent-To: b@example.org\r\n", ["b@example.org"]],
  ["To: undisclosed-recipients:;\r\nBcc: c@example.org\r\n", ["c@example.org"]],
  ["Subject: none\r\n", []],
])("recipientsIn(%j)", (header, recipients) => {
  expect(recipientsIn(header)).toEqual(recipients);
});

test("recipientsIn() refuses what it cannot understand, and sends to nobody", () => {
  expect(() => recipientsIn("To: a@example.org, <b@\r\n")).toThrow(/the To field cannot be understood/);
});

test.each([
  ["Subject: x\r\n", 'From: "Cron \\"D\\"" <root>\r\nSubject: x\r\n'],
  ["From: me\r\n", "From: me\r\n"],
  ["just text\r\n", 'From: "Cron \\"D\\"" <root>\r\n\r\njust text\r\n'],
])("withAuthor(%j)", (header, completed) => {
  expect(withAuthor(header, 'Cron "D"', "root")).toBe(completed);
});
