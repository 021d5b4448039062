import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { buildMessage, localDate, messageId, type TokenValues } from "../../../src/probe/message.ts";
import { pathOf, real } from "../../tools/real.ts";
import { alike, draftOf, sender } from "./cases.ts";

const circumstances: TokenValues = {
  date: "Sun, 22 Nov 2026 13:40:12 +0000",
  messageId: "20261122134012.004711@client.example.org",
  version: "20240103.0",
  run: "4711",
};

const built = (...words: string[]): string =>
  Buffer.from(buildMessage(draftOf([...sender, ...words]), circumstances).octets).toString("latin1");

describe.skipIf(!real("swaks"))("the same octets as the real swaks", () => {
  const swaks = pathOf("swaks") ?? "swaks";
  /** Debian 12's knows no `..TOKEN..`. */
  const isOld = real("swaks") && execFileSync(swaks, ["--version"], { encoding: "utf8" }).includes("2020");
  const cases = isOld ? alike.filter((words) => !/\.\.[A-Z_]+\.\./.test(words.join(" "))) : alike;

  let printed: readonly string[] = [];
  beforeAll(() => {
    const tool = fileURLToPath(new URL("../../tools/many-swaks.pl", import.meta.url));
    const lines = cases.map((words) => ["--config", ...sender, ...words, "--dump-mail"]);
    const input = JSON.stringify(lines);
    printed = JSON.parse(
      execFileSync("perl", [tool, swaks], { encoding: "latin1", input: Buffer.from(input) }),
    );
  }, 120_000);

  /** What is different in every run is made equal; --dump-mail leaves out the LF that ends the message. */
  const alikened = (text: string): string =>
    `${text}\n`
      .replace(/\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}/g, circumstances.date)
      .replace(/\d{14}\.\d{6}@[\w.-]+/g, circumstances.messageId)
      .replace(/(MIME_BOUNDARY_\d{3})_\d+/g, `$1_${circumstances.run}`)
      .replace(/(?<=swaks v|[@.\w]+ )(?:\d{8}\.\d|DEVRELEASE)/g, circumstances.version);

  test.each(cases.map((words, index) => [words.join(" ") || "(nothing)", words, index] as const))(
    "%j",
    (_, words, index) => {
      const theirs = alikened(printed[index] ?? "");
      expect(built(...words)).toBe(words.includes("--no-data-fixup") ? theirs.slice(0, -1) : theirs);
    },
  );
});

test.each([
  ["a field's name knows no case", ["--header", "subject: mine"], "subject: mine", "Subject: test"],
  ["a name of one letter is a name", ["--data", "A: 1\\n\\nx", "--header", "A: 2"], "A: 2\r\n\r\n", "A: 1"],
  [
    "a body is not searched for fields",
    ["--body", "Ab: 1", "--header", "Ab: 2"],
    "Ab: 2\r\n\r\nAb: 1\r\n",
    "",
  ],
  [
    "a folded field stays whole",
    ["--header", "X: 1\\nSubject: a\\n b"],
    "\r\nSubject: a\r\n b\r\n",
    "X: 1\r\n b",
  ],
  [
    "an end in --add-header ends no header",
    ["--add-header", "A: 1\\n", "--header", "B: 2"],
    "A: 1\r\nB: 2\r\n\r\n",
    "",
  ],
  [
    "what a token says is not read again",
    ["--data", "%TO_ADDRESS%\\n", "--to", "%DATE%@example.org"],
    "%DATE%@",
    "",
  ],
])("better than swaks: %s", (_, words, there, gone) => {
  const message = built(...words);
  expect(message).toContain(there);
  if (gone !== "") expect(message).not.toContain(gone);
});

test("a dot at the very beginning is doubled, too", () => {
  expect(built("--data", ".")).toBe("..\r\n\r\n\r\n");
});

test("many recipients are folded behind commas, so that no line is longer than 998 octets", () => {
  const to = Array.from({ length: 200 }, (_, index) => `recipient${index}@example.org`);
  const message = built("--to", to.join(","), "--add-header", `X-Long: ${to.join(",")}`);
  const field = /^To: [^\r]*\r\n(?: [^\r]*\r\n)+/m.exec(message)?.[0] ?? "";
  expect(field.replace(/\r\n /g, "").trim()).toBe(`To: ${to.join(",")}`);
  expect(Math.max(...field.split("\r\n").map((line) => line.length))).toBeLessThanOrEqual(78);
  expect(message).toContain(`X-Long: ${to.join(",")}\r\n`);
});

test("without fixing up not one octet is changed", () => {
  const octets = Buffer.from([0, 255, 10, 46, 10, 13, 37]);
  const draft = { ...draftOf(["--no-data-fixup"]), template: octets };
  expect(buildMessage(draft, circumstances)).toEqual({ octets, fixup: false });
});

test("octets that are no UTF-8 go out as they came", () => {
  const draft = { ...draftOf(["--data", "Ab: 1\\n\\n%BODY%"]), body: Buffer.from([0, 255, 128]) };
  const expected = Buffer.from([...Buffer.from("Ab: 1\r\n\r\n"), 0, 255, 128, 13, 10]);
  expect(Buffer.from(buildMessage(draft, circumstances).octets)).toEqual(expected);
});

test("date and message ID are the host's, in two digits each", () => {
  const time = new Date(2026, 0, 2, 3, 4, 5).getTime();
  expect(localDate(time)).toMatch(/^Fri, 02 Jan 2026 03:04:05 [+-]\d{4}$/);
  expect(messageId(time, 4711, "client.example.org")).toBe("20260102030405.004711@client.example.org");
});
