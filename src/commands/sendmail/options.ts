/**
 * The command line of sendmail(8), a row for each option: getopt's, with values attached or in the next word, letters joined,
 * options behind recipients. What Postfix's sendmail passes over is passed over here. Pure.
 */
import { exitStatus, Failure } from "../../failure.ts";
import type { Notify } from "../../server/spool/envelope.ts";

/** What is to be done: take a message, speak SMTP, list the queue, try it anew, look at the aliases, or nothing. */
export type SendmailMode = "message" | "smtp" | "mailq" | "flush" | "aliases" | "nothing";

export interface SendmailCall {
  readonly mode: SendmailMode;
  /** -f, -r: reverse-path; "" is the null one. */
  readonly sender?: string;
  /** -F: the name for a From field that is missing. */
  readonly fullName?: string;
  /** -t: recipients stand in the header, too. */
  readonly fromHeader: boolean;
  /** Not -i: a line with a dot alone ends the message. */
  readonly dotEnds: boolean;
  readonly recipients: readonly string[];
  readonly notify?: readonly Notify[];
  readonly ret?: "FULL" | "HDRS";
  readonly envid?: string;
}

interface SendmailOption {
  readonly letter: string;
  /** The name of its value, where it has one; `[…]` where that is attached or missing. */
  readonly value?: string;
  /** undefined: it is passed over. */
  readonly help: string;
  /** Gives what it changes, or a text where the value is wrong. */
  readonly apply: (value: string) => Partial<SendmailCall> | string;
}

const nothing = (): Partial<SendmailCall> => ({});
const ignored = "Is passed over.";

const modes: Readonly<Record<string, SendmailMode>> = {
  m: "message",
  s: "smtp",
  p: "mailq",
  i: "aliases",
  h: "nothing",
  H: "nothing",
};

const notifyWords: readonly Notify[] = ["NEVER", "SUCCESS", "FAILURE", "DELAY"];

export const rows: readonly SendmailOption[] = [
  { letter: "A", value: "<file>", help: ignored, apply: nothing },
  {
    letter: "B",
    value: "<type>",
    help: "7BIT or 8BITMIME; is seen from the message itself.",
    apply: nothing,
  },
  {
    letter: "b",
    value: "<mode>",
    help: "m: take a message; s: speak SMTP; p: list the queue; i: look at the aliases.",
    apply: (value) => {
      const mode = modes[value];
      return mode === undefined ? `-b${value} is not offered: -bm, -bs, -bp and -bi are` : { mode };
    },
  },
  {
    letter: "C",
    value: "<file>",
    help: "Is refused: mail of this host goes by the relay's own configuration.",
    apply: () => "-C is not offered: the relay's own configuration counts",
  },
  {
    letter: "F",
    value: "<name>",
    help: "Name for a From field that is missing.",
    apply: (fullName) => ({ fullName }),
  },
  { letter: "f", value: "<address>", help: "Reverse-path.", apply: (value) => ({ sender: bare(value) }) },
  { letter: "G", help: ignored, apply: nothing },
  { letter: "h", value: "<count>", help: ignored, apply: nothing },
  { letter: "I", help: "As -bi.", apply: () => ({ mode: "aliases" }) },
  {
    letter: "i",
    help: "A line with a dot alone does not end the message.",
    apply: () => ({ dotEnds: false }),
  },
  { letter: "L", value: "<label>", help: ignored, apply: nothing },
  { letter: "m", help: ignored, apply: nothing },
  {
    letter: "N",
    value: "<when>",
    help: "When to be told: never, or success, failure, delay with commas (RFC 3461).",
    apply: (value) => {
      const words = value.toUpperCase().split(",");
      const notify = notifyWords.filter((word) => words.includes(word));
      const isRight = notify.length === words.length && (!words.includes("NEVER") || words.length === 1);
      return isRight ? { notify } : `-N ${value}: expected never, or success, failure, delay with commas`;
    },
  },
  { letter: "n", help: ignored, apply: nothing },
  { letter: "O", value: "<option>", help: ignored, apply: nothing },
  {
    letter: "o",
    value: "<option>",
    help: "-oi is -i; others are passed over.",
    apply: (value) => (value === "i" ? { dotEnds: false } : {}),
  },
  { letter: "p", value: "<protocol>", help: ignored, apply: nothing },
  {
    letter: "q",
    value: "[interval]",
    help: "Try what waits now.",
    apply: (value) =>
      value === "" ? { mode: "flush" } : `-q${value} is not offered: the relay tries mail again by itself`,
  },
  {
    letter: "R",
    value: "<part>",
    help: "hdrs or full: what of the message a report brings back (RFC 3461).",
    apply: (value) => {
      const ret = value.toUpperCase();
      return ret === "FULL" || ret === "HDRS" ? { ret } : `-R ${value}: expected hdrs or full`;
    },
  },
  { letter: "r", value: "<address>", help: "As -f.", apply: (value) => ({ sender: bare(value) }) },
  {
    letter: "t",
    help: "Recipients are those of To, Cc and Bcc as well.",
    apply: () => ({ fromHeader: true }),
  },
  { letter: "U", help: ignored, apply: nothing },
  {
    letter: "V",
    value: "<id>",
    help: "Envelope ID for reports (RFC 3461).",
    apply: (envid) =>
      /^[\x20-\x7e]{1,100}$/.test(envid) ? { envid } : "-V: expected at most 100 visible characters",
  },
  { letter: "v", help: ignored, apply: nothing },
  { letter: "X", value: "<file>", help: ignored, apply: nothing },
  { letter: "x", help: ignored, apply: nothing },
];

/** `<user@example.org>` without its brackets, as some callers write it. */
const bare = (address: string): string => /^<(.*)>$/.exec(address.trim())?.[1] ?? address.trim();

/** Reads the words behind "sendmail". Throws a Failure (64) where they are wrong. */
export function readCall(words: readonly string[]): SendmailCall {
  let call: SendmailCall = { mode: "message", fromHeader: false, dotEnds: true, recipients: [] };
  const recipients: string[] = [];
  const left = [...words];
  let onlyRecipients = false;
  for (let word = left.shift(); word !== undefined; word = left.shift()) {
    if (onlyRecipients || !word.startsWith("-") || word === "-") recipients.push(word);
    else if (word === "--") onlyRecipients = true;
    else call = { ...call, ...readWord(word.slice(1), left) };
  }
  return { ...call, recipients: recipients.flatMap(addressesIn) };
}

/** Reads the letters of a word; `left` are the words behind it, from which a value may be taken. */
function readWord(letters: string, left: string[]): Partial<SendmailCall> {
  let changes: Partial<SendmailCall> = {};
  for (let at = 0; at < letters.length; at++) {
    const letter = letters.charAt(at);
    const row = rows.find((one) => one.letter === letter);
    if (!row) throw new Failure(exitStatus.usage, `-${letter}: there is no such option`);
    const attached = letters.slice(at + 1);
    const isOptional = row.value?.startsWith("[") === true;
    const value = row.value === undefined || isOptional || attached !== "" ? attached : left.shift();
    if (value === undefined) throw new Failure(exitStatus.usage, `-${letter}: expected a value behind it`);
    const change = row.apply(row.value === undefined ? "" : value);
    if (typeof change === "string") throw new Failure(exitStatus.usage, change);
    changes = { ...changes, ...change };
    if (row.value !== undefined) break;
  }
  return changes;
}

/** A recipient on the command line, where several may stand in one word with commas. */
function addressesIn(word: string): readonly string[] {
  return word
    .split(",")
    .map(bare)
    .filter((address) => address !== "");
}
