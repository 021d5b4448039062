/** What a filter answers: go on, its verdict, or a change of the message. Pure. */
import { parsePath } from "../../../smtp/address.ts";
import { type Reply, reply } from "../../../smtp/reply.ts";
import { FrameFields, type MilterFrame, MilterTrouble } from "./frames.ts";
import { type MilterAction, type MilterTerms, shown } from "./terms.ts";

/** What becomes of the message, where the filter does not simply go on. A refusal without a reply has ours. */
export type MilterVerdict =
  | { readonly kind: "accept" | "discard" | "reject" | "tempfail" }
  | { readonly kind: "reply"; readonly reply: Reply };

/** Texts are "latin1": one character an octet. A field is counted from 1, and so is its place in the header. */
export type MilterChange =
  | { readonly kind: "add"; readonly name: string; readonly value: string }
  | { readonly kind: "insert"; readonly at: number; readonly name: string; readonly value: string }
  | { readonly kind: "change"; readonly nth: number; readonly name: string; readonly value: string }
  | { readonly kind: "body"; readonly octets: Buffer }
  | { readonly kind: "sender" | "recipient" | "no recipient"; readonly address: string }
  | { readonly kind: "hold"; readonly reason: string };

export type MilterAnswer =
  | { readonly kind: "continue" | "progress" | "skip" }
  | { readonly verdict: MilterVerdict }
  | { readonly change: MilterChange };

type Read = (fields: FrameFields, data: Buffer, terms: MilterTerms) => MilterAnswer;

const verdict = (kind: "accept" | "discard" | "reject" | "tempfail"): Read => {
  const answer: MilterAnswer = { verdict: { kind } };
  return () => answer;
};

const go = (kind: "continue" | "progress" | "skip"): Read => {
  const answer: MilterAnswer = { kind };
  return () => answer;
};

interface AnswerRow {
  readonly read: Read;
  /** What must have been agreed on. */
  readonly needs?: MilterAction;
}

const answers: Readonly<Record<string, AnswerRow>> = {
  c: { read: go("continue") },
  p: { read: go("progress") },
  s: { read: go("skip") },
  a: { read: verdict("accept") },
  d: { read: verdict("discard") },
  r: { read: verdict("reject") },
  t: { read: verdict("tempfail") },
  y: { read: (fields) => ({ verdict: { kind: "reply", reply: readReply(fields.text()) } }) },
  // "421 shutdown" of the filter: this connection shall end, ours with the client.
  "4": { read: () => ({ verdict: { kind: "reply", reply: shutdown } }) },
  f: {
    read: () => {
      throw new MilterTrouble("it cannot work now");
    },
  },
  h: {
    needs: "add headers",
    read: (fields) => ({ change: { kind: "add", ...readField(fields) } }),
  },
  i: {
    needs: "add headers",
    read: (fields) => ({ change: { kind: "insert", at: fields.number(), ...readField(fields) } }),
  },
  m: {
    needs: "change headers",
    read: (fields) => ({ change: { kind: "change", nth: fields.number(), ...readField(fields) } }),
  },
  b: { needs: "replace the body", read: (_, octets) => ({ change: { kind: "body", octets } }) },
  "+": {
    needs: "add recipients",
    read: (fields) => ({ change: { kind: "recipient", address: readAddress(fields.text()) } }),
  },
  "2": {
    needs: "add recipients with parameters",
    read: (fields) => ({ change: { kind: "recipient", address: readAddress(fields.text()) } }),
  },
  "-": {
    needs: "delete recipients",
    read: (fields) => ({ change: { kind: "no recipient", address: readAddress(fields.text()) } }),
  },
  e: {
    needs: "change the sender",
    read: (fields) => ({ change: { kind: "sender", address: readAddress(fields.text()) } }),
  },
  q: {
    needs: "hold messages",
    read: (fields) => ({
      change: { kind: "hold", reason: visibleText(fields.text()).slice(0, longestReason) },
    }),
  },
};

/** Characters of a reason, and of a reply: it is sent as one line (RFC 5321 section 4.5.3.1.5 allows 512 octets). Our choices. */
const longestReason = 200;
const longestReply = 400;

const shutdown = reply(421, "4.7.0", "The filter of this server ended the session, please try again later");

/** Throws a {@link MilterTrouble} for what is no answer, or one that was not agreed on. */
export function readAnswer({ command, data }: MilterFrame, terms: MilterTerms): MilterAnswer {
  const row = Object.hasOwn(answers, command) ? answers[command] : undefined;
  if (row === undefined) throw new MilterTrouble(`it answered "${shown(command)}", which is no answer`);
  if (row.needs !== undefined && !terms.may(row.needs))
    throw new MilterTrouble(`it did not say that it would ${row.needs}`);
  return row.read(new FrameFields(data), data, terms);
}

/** RFC 5322 section 2.2: visible characters without the colon. */
const fieldName = /^[!-9;-~]{1,200}$/;

function readField(fields: FrameFields): { readonly name: string; readonly value: string } {
  const name = fields.text("latin1");
  if (!fieldName.test(name)) throw new MilterTrouble("it named a header field that cannot be one");
  return { name, value: fields.text("latin1") };
}

/** With or without its angle brackets. */
function readAddress(text: string): string {
  const path = parsePath(text.startsWith("<") ? text : `<${text}>`);
  if (path === undefined) throw new MilterTrouble("it gave an address that is none");
  return path.address;
}

/**
 * `550 5.7.1 text`, of several lines too. Sendmail's text is a format, in which a percent sign stands twice. A status of
 * another class than the code would contradict it.
 */
function readReply(said: string): Reply {
  const lines = said.split(/\r?\n/).filter((line) => line !== "");
  const parts = lines.map((line) => /^([45]\d\d)(?:[ -]([45]\.\d{1,3}\.\d{1,3}))?(?:[ -](.*))?$/.exec(line));
  const [first] = parts;
  if (!first || parts.includes(null)) throw new MilterTrouble("it gave a reply that is none");
  const code = first[1] ?? "";
  const status = first[2]?.startsWith(code.charAt(0)) === true ? first[2] : `${code.charAt(0)}.7.1`;
  const text = visibleText(parts.map((part) => part?.[3] ?? "").join(" ")).replaceAll("%%", "%");
  return reply(Number(code), status, text.slice(0, longestReply) || "Refused by a filter of this server");
}

/** In one line, without what could harm a terminal or a log. */
const visibleText = (text: string): string =>
  text
    .replace(/[^\x20-\x7e]+/g, " ")
    .replace(/ {2,}/g, " ")
    .trim();
