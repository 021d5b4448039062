/** Finds what a reply of a receiver means: the rows of its provider first, by the name of the host, then the rest. */
import { providerOf, type ReplyWording } from "../providers.ts";
import { formatReply, type Reply } from "../reply.ts";
import { largest } from "./largest.ts";
import { anywhere, receivers } from "./receivers.ts";
import type { KnownReply, ReplyClass } from "./row.ts";

/** All that is known, by whose words they are. */
export const knownReplies: Readonly<Record<ReplyWording, readonly KnownReply[]>> & {
  readonly anywhere: readonly KnownReply[];
} = { ...largest, ...receivers, anywhere };

/** Characters of a reply that are looked at. Our choice: more than any receiver says before it repeats itself. */
const longest = 1_000;

/** The words of a host that come in a reply of ours: it refused to talk to us at all, or closed the session. */
const quoted = /\bhost ([^\s[\]]{1,255})\[[^\s[\]]{1,64}\] (?:refused to talk to me|said): /;

interface Said {
  /** Host name, or "" where nobody said anything. */
  readonly host: string;
  /** With its codes: `550 5.1.1 No such user`. */
  readonly text: string;
}

/** `relay` as the log names it, `mx.example.net[192.0.2.1]:25`, or "none". */
function saidIn(reply: Reply, relay: string): Said {
  if (relay !== "none") return { host: hostIn(relay), text: formatReply(reply).slice(0, longest) };
  const text = reply.text.slice(0, longest);
  const found = quoted.exec(text);
  if (found === null) return { host: "", text: "" };
  const words = text.slice(found.index + found[0].length);
  // "554-5.7.1 one / 554 5.7.1 two": the lines of a greeting
  const joined = words.replace(/ \/ \d{3}[ -](?:\d\.\d{1,3}\.\d{1,3} )?/g, " ").replace(/^(\d{3})-/, "$1 ");
  return { host: found[1] ?? "", text: joined };
}

/** The name may be an address: `2001:db8::1[2001:db8::1]:25`. */
const hostIn = (relay: string): string => relay.replace(/\[[^[\]]{1,64}\](?::\d{1,5})?$/, "");

/** What a refusal means; undefined where no row knows it, where it is none, and where no host said it. */
export function explainReply(reply: Reply, relay: string): KnownReply | undefined {
  if (reply.code < 400) return undefined;
  return rowFor(saidIn(reply, relay));
}

function rowFor({ host, text }: Said): KnownReply | undefined {
  if (text === "") return undefined;
  const wording = providerOf(host)?.wording;
  const own = wording === undefined ? [] : knownReplies[wording];
  return own.find(fits(text)) ?? anywhere.find(fits(text));
}

const fits =
  (text: string) =>
  ({ patterns }: KnownReply): boolean =>
    patterns.every((pattern) => pattern.test(text));

/** The class of a refusal; "unknown" where a host said what no row knows, "no-answer" where no host said anything. */
export function replyClassOf(reply: Reply, relay: string): ReplyClass | "unknown" | "no-answer" {
  const said = saidIn(reply, relay);
  return said.text === "" ? "no-answer" : (rowFor(said)?.class ?? "unknown");
}

/** A host in words of ours: "connect to mx.example.net[192.0.2.1]:25: …", "lost connection with …". */
const named = /\b(?:to|with|by|host) ([^\s[\]]{1,255})\[[^\s[\]]{1,64}\]/;

/** The host that took or refused a message, also one that did not talk to us; "" where none is known. */
export function hostOf(reply: Reply, relay: string): string {
  return relay === "none" ? (named.exec(reply.text.slice(0, longest))?.[1] ?? "") : hostIn(relay);
}
