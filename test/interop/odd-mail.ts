/**
 * Messages of odd shapes as a client may submit them: those of the dialogues, those that a signer may get wrong, those of
 * strangers who write at great length, and MIME of every depth and encoding, made from a seed: each run has the same.
 */
import { readdirSync, readFileSync } from "node:fs";
import { odd } from "../server/delivery/dkim/odd.ts";
import { messages as long } from "../tools/long-forms.ts";

export interface OddMessage {
  readonly name: string;
  /** "latin1", CRLF lines, the last one whole. */
  readonly text: string;
}

/** `count` of them; with `eightBit` only those that have octets above 127. */
export function oddMail(count: number, eightBit: boolean): readonly OddMessage[] {
  const isWanted = ({ text }: OddMessage): boolean => !eightBit || /[\x80-\xff]/.test(text);
  const found = [...ofDialogues(), ...ofTests()].filter(isWanted);
  for (let seed = 1; found.length < count; seed++) {
    const message = { name: `made ${seed}`, text: mime(chanceFrom(seed)) };
    if (isWanted(message)) found.push(message);
  }
  return found.slice(0, count);
}

const whole = (text: string): string => (text.endsWith("\r\n") ? text : `${text}\r\n`);

function ofTests(): readonly OddMessage[] {
  const tests = odd.map(([name, text]) => ({ name, text: whole(text) }));
  const lengthy = Object.entries(long).map(([name, write]) => ({ name, text: write(3_000) }));
  return [...tests, ...lengthy];
}

/** What the clients of the dialogues send between 354 and 250, with an author of ours where it has another. */
function ofDialogues(): readonly OddMessage[] {
  const folder = new URL("../dialogues/", import.meta.url);
  const files = readdirSync(folder).filter((name) => name.endsWith(".smtp"));
  return files.flatMap((file) => {
    const text = readFileSync(new URL(file, folder), "utf8");
    const found = text.matchAll(/^C: DATA\nS: 354[^\n]*\n((?:C: [^\n]*\n)+?)C: \.\nS: 250/gm);
    return [...found].map(([, lines = ""], index) => ({
      name: `${file} ${index}`,
      text: Buffer.from(
        lines
          .replace(/^C: /gm, "")
          .replace(/\{(\d+)\*(.)\}/g, (_, times: string, one: string) => one.repeat(Number(times)))
          .replace(/^\./gm, "") // stuffed there
          .replaceAll("\n", "\r\n"),
      ).toString("latin1"),
    }));
  });
}

type Chance = (most: number) => number;

/** The same numbers for the same seed (a linear congruential generator; Knuth's constants). */
function chanceFrom(seed: number): Chance {
  let state = BigInt(seed);
  return (most) => {
    state = BigInt.asUintN(64, state * 6_364_136_223_846_793_005n + 1_442_695_040_888_963_407n);
    return Number((state >> 33n) % BigInt(most));
  };
}

const oneOf = <Item>(chance: Chance, items: readonly [Item, ...Item[]]): Item =>
  items[chance(items.length)] ?? items[0];

function mime(chance: Chance): string {
  const optional = [
    "Subject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\r\n =?utf-8?b?8J+YgA==?=\r\n",
    "SUBJECT:no blank\r\n",
    "Subject:   many   blanks\t \r\n",
    "To: x@example.net\r\n",
    'To: A B <a@example.net>,\r\n\tgroup: x@example.net;,\r\n   "C, D" <c@example.net>\r\n',
    "Cc: undisclosed-recipients:;\r\n",
    "Reply-To: user1@example.org (a (nested) comment)\r\n",
    "References: <1@example.org>\r\n <2@example.org>\r\n",
    "In-Reply-To: <1@example.org>\r\n",
    "List-Id: A list <list.example.org>\r\n",
    "List-Unsubscribe: <https://example.org/u?x=1>,\r\n <mailto:u@example.org>\r\n",
    "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n",
    "X-Empty:\r\n",
    "X-Twice: one\r\nX-Twice: two\r\n",
    `X-Long: ${"x".repeat(900)}\r\n`,
    "Importance: high\r\n",
    "Organization: \t\r\n",
  ].filter(() => chance(3) === 0);
  const from = oneOf(chance, [
    "From: user1@example.org\r\n",
    "from :  User One <user1@example.org>\r\n",
    'From: "One, User" (x)\r\n <user1@example.org>\r\n',
    "From: =?utf-8?q?J=C3=B6rg?= <user1@example.org>\r\n",
  ]);
  const at = chance(optional.length + 1);
  const header = [...optional.slice(0, at), from, ...optional.slice(at)].join("");
  return `${header}MIME-Version: 1.0\r\n${part(chance, 0)}`;
}

/** Content fields, the empty line, the content. */
function part(chance: Chance, depth: number): string {
  if (depth < 4 && chance(3) === 0) {
    const boundary = oneOf(chance, ["b", "=_x", "----=_Part_1", "a b c"]) + depth;
    const kind = oneOf(chance, ["mixed", "alternative", "related"]);
    const parts = Array.from({ length: 1 + chance(3) }, () => `--${boundary}\r\n${part(chance, depth + 1)}`);
    const preamble = oneOf(chance, ["", "This is MIME.\r\n", "\r\n\r\n"]);
    const end = oneOf(chance, ["\r\n", "  \r\n", "\r\nepilogue\r\n", "\r\n\r\n\r\n"]);
    return `Content-Type: multipart/${kind};\r\n boundary="${boundary}"\r\n${oneOf(chance, ["", "Content-Transfer-Encoding: 8bit\r\n"])}\r\n${preamble}${parts.join("")}--${boundary}--${end}`;
  }
  const text = content(chance);
  const type = `Content-Type: text/${oneOf(chance, ["plain", "html"])}; charset=utf-8\r\n`;
  switch (chance(3)) {
    case 0:
      return `${type}Content-Transfer-Encoding: 8bit\r\n\r\n${text}`;
    case 1: {
      const lines =
        Buffer.from(text, "latin1")
          .toString("base64")
          .match(/.{1,76}/g) ?? [];
      return `${type}Content-Transfer-Encoding: base64\r\n\r\n${lines.map((line) => `${line}\r\n`).join("")}`;
    }
    default:
      return `${type}Content-Transfer-Encoding: quoted-printable\r\n\r\n${text.replace(
        /[^\x20-\x3c\x3e-\x7e\r\n]/g,
        (one) => `=${one.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`,
      )}`;
  }
}

function content(chance: Chance): string {
  const lines = Array.from({ length: chance(12) }, () =>
    oneOf(chance, [
      "",
      "plain",
      " blank in front",
      "blanks behind  \t ",
      "\t",
      ".",
      "..",
      ".dot",
      "From the beginning",
      "--b0",
      "gr\u00c3\u00bc\u00c3\u009fe",
      "\u00f0\u009f\u0098\u0080".repeat(1 + chance(60)),
      "x".repeat(1 + chance(998)),
      "a  b\tc   d",
    ]),
  );
  return lines.map((line) => `${line}\r\n`).join("");
}
