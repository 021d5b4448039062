/** What `trace` prints: the story of a message in order and in words, and what to tell the person who asks. */
import { type Hang, visible } from "../../cli/output.ts";
import type { HistoryEvent } from "../../server/history/event.ts";
import type { DeliveryTry, Story } from "../../server/history/story.ts";
import type { Recipient } from "../../server/spool/envelope.ts";
import { explainReply } from "../../smtp/known-replies/explain.ts";
import { type KnownReply, meaningText, operatorText, senderText } from "../../smtp/known-replies/row.ts";
import { formatReply } from "../../smtp/reply.ts";
import { plural, sizeText } from "../queue/output.ts";

/** What of a message is still in the queue; undefined where it is not there any more. */
export interface InQueue {
  readonly held: string | undefined;
  /** When it is tried next, and when it is given up: milliseconds since the epoch. */
  readonly due: number;
  readonly until: number;
  readonly recipients: readonly Recipient[];
}

/** `2026-11-29 12:00:01`, in the zone of this host. */
export function momentText(at: number): string {
  const date = new Date(at);
  const two = (part: number) => String(part).padStart(2, "0");
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join("-");
  return `${day} ${[date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(":")}`;
}

const clockText = (at: number): string => momentText(at).slice(11);

/** Lines, without their ends, that begin at a day with that day. */
function newClock(): (at: number) => string {
  let day = "";
  return (at) => {
    const [today = "", clock = ""] = momentText(at).split(" ");
    if (today === day) return `${" ".repeat(10)} ${clock}`;
    day = today;
    return `${today} ${clock}`;
  };
}

type Heading = (text: string) => string;

/** The story of one message; `hang` fits its lines into a width. */
export function* storyText(
  story: Story,
  waiting: InQueue | undefined,
  heading: Heading,
  hang: Hang,
): Generator<string> {
  const { id, accepted, recipients, others } = story;
  yield heading(`${id}${accepted === undefined ? "" : `  ${visible(titleOf(accepted))}`}`);
  if (accepted?.messageId !== undefined) yield `  Message-ID: <${visible(accepted.messageId)}>`;
  const lines: StoryLine[] = others.map((event) => ({ at: event.at, text: eventText(event) }));
  if (accepted !== undefined) lines.push({ at: accepted.at, text: acceptanceText(accepted) });
  for (const [address, tries] of recipients)
    for (const one of tries) {
      const known = explainReply(one.reply, one.relay);
      const means = known && meaningText(known, one.reply.code);
      lines.push({ at: one.at, text: tryText(address, one), ...(means !== undefined && { means }) });
    }
  const clock = newClock();
  for (const { at, text, means } of lines.sort((one, other) => one.at - other.at)) {
    yield hang(`  ${clock(at)}  `, visible(text));
    if (means !== undefined) yield hang(`  ${" ".repeat(clockWidth)}  = `, means);
  }
  for (const text of adviceText(story, waiting)) yield hang("  => ", text);
}

interface StoryLine {
  readonly at: number;
  readonly text: string;
  /** What the reply in it means, where that is known. */
  readonly means?: string;
}

/** Characters of a day and a time. */
const clockWidth = 19;

function titleOf({ from, login, size, recipients }: NonNullable<Story["accepted"]>): string {
  const sender =
    from === "" ? "a report of the relay" : `from ${from}${login === undefined ? "" : ` (login ${login})`}`;
  return `${sender}, ${sizeText(size)}, ${plural(recipients, "recipient")}`;
}

function acceptanceText({ from, client, door, mechanism, login }: NonNullable<Story["accepted"]>): string {
  if (client === undefined) return from === "" ? "made by the relay" : "accepted";
  return `accepted from ${client}${door === undefined ? "" : ` by ${door}`}${login === undefined ? "" : `, logged in as ${login} (${mechanism})`}`;
}

function tryText(address: string, { result, relay, reply, command, tls, delay, times }: DeliveryTry): string {
  const at = relay === "none" ? "" : ` ${result === "sent" ? "to" : "by"} ${relay.replace(/:25$/, "")}`;
  const secured = tls === undefined ? "" : `, ${tls.charAt(0).toLowerCase()}${tls.slice(1)}`;
  const after = result === "sent" ? ` after ${secondsText(delay)}${secured}` : "";
  const repeated = times > 1 ? ` (${times} times in a row, this the last)` : "";
  const step = command === "" ? "" : ` (after ${command})`;
  return `${address}: ${resultWords[result]}${at}${after}${repeated}: ${formatReply(reply)}${step}`;
}

const resultWords = { sent: "handed over", deferred: "put off", bounced: "refused" } as const;

const milterWords = {
  accepted: "let it pass",
  held: "wants it held",
  discarded: "had it discarded without a word to the sender",
  rejected: "refused it",
  tempfailed: "put it off",
} as const;

const secondsText = (seconds: number): string =>
  seconds < 60 ? `${Number(seconds.toPrecision(2))} s` : `${Math.round(seconds / 60)} min`;

/** One line about an event, for people. */
export function eventText(event: HistoryEvent): string {
  switch (event.event) {
    case "accepted":
      return `${event.id} accepted`;
    case "delivery":
      return `${event.to}: ${formatReply(event.reply)}`;
    case "milter":
      return `the filter ${event.milter} ${milterWords[event.verdict]}${event.reason === "" ? "" : `: ${event.reason}`}`;
    case "milter-away":
      return `the filter ${event.milter} was away (${event.reason}), and when-away is "${event.action}"`;
    case "converted":
      return `rewritten in 7 bits for ${event.host}`;
    case "expired":
      return "given up: it was tried for as long as spool.lifetime says";
    case "failure-report":
      return `the sender was told that it failed, by message ${event.report}`;
    case "delay-report":
      return `the sender was told that it takes long, by message ${event.report}`;
    case "success-report":
      return `the sender was told of the delivery, as wished, by message ${event.report}`;
    case "report-dropped":
      return "discarded: it has no sender who could be told";
    case "removed":
      return "left the queue";
    case "held":
      return `held: ${event.reason}`;
    case "damaged":
      return `cannot be read: ${event.reason}`;
    case "operator-act":
      return `${event.act} by ${event.by}${event.reason === "" ? "" : `: ${event.reason}`}`;
    case "reject":
      return `refused at ${event.stage} from ${event.client}: ${formatReply(event.reply)} (sender <${event.from}>${event.to === "" ? "" : `, recipient <${event.to}>`})`;
    case "auth-accepted":
      return `${event.login} logged in from ${event.client} (${event.mechanism}${event.password === undefined ? "" : `, password ${event.password}`})`;
    case "auth-failed":
      return `${event.login || "somebody"} was not let in from ${event.client} (${event.mechanism}): ${event.reason}`;
    case "auth-in-vain":
      return `${event.login} could not use ${event.mechanism} from ${event.client}: ${event.reason}`;
    case "auth-braked":
      return `${event.login} was not tried from ${event.client}: too many wrong passwords before, until ${event.until}`;
    case "auth-frozen":
      return `${event.login} was not let in from ${event.client}: the login is frozen`;
    case "limit-reached":
      return `${event.login} reached the limit of ${event.limit}, until ${event.until}`;
    case "login-frozen":
      return `${event.login} was frozen by ${event.by}${event.reason === "" ? "" : `: ${event.reason}`}`;
    case "login-thawed":
      return `${event.login} was thawed by ${event.by}`;
    case "started":
      return `the relay started (tpa-submit ${event.version})`;
    case "stopped":
      return "the relay stopped";
  }
}

/** What is true now for each recipient, and what the person who asks may be told. */
function* adviceText({ recipients, others }: Story, waiting: InQueue | undefined): Generator<string> {
  const untried = (waiting?.recipients ?? []).filter(({ address }) => !recipients.has(address));
  for (const { address } of untried) yield `${visible(address)}: not tried yet.`;
  const isReported = others.some(({ event }) => event === "failure-report");
  for (const [address, tries] of recipients) {
    const last = tries.at(-1);
    if (last === undefined) continue;
    yield visible(`${address}: ${fateOf(address, last, waiting, isReported)}`);
  }
  if (waiting?.held !== undefined) yield `It is held and is not tried: ${visible(waiting.held)}.`;
  if (waiting === undefined && !others.some(({ event }) => event === "removed")) {
    yield "What became of it after that is not known here: it has left the queue.";
  }
}

function fateOf(
  address: string,
  { result, relay, reply, at }: DeliveryTry,
  waiting: InQueue | undefined,
  isReported: boolean,
): string {
  const host = relay.replace(/\[.*/, "");
  if (result === "sent") {
    return (
      `${host} has taken it at ${momentText(at)}, with the words "${formatReply(reply)}". From then on it is theirs: ` +
      "look in the spam folder; their postmaster finds it by these words."
    );
  }
  const known = explainReply(reply, relay);
  const mend = known === undefined ? "" : operatorAdvice(known);
  if (result === "bounced") {
    const tell = known === undefined ? "" : ` ${senderText(known, true)}`;
    const report = isReported ? "; the sender got a report that says so" : "";
    return `it was refused for good, and is not tried again${report}.${tell}${mend}`;
  }
  const still = waiting?.recipients.find((one) => one.address === address && one.state === "waiting");
  if (still === undefined || waiting === undefined) return "it was not delivered, and is not tried any more.";
  return `it waits, and is tried again at ${clockText(waiting.due)}; given up at ${momentText(waiting.until)}. Nobody need send it again.${mend}`;
}

/** For who runs the relay. */
function operatorAdvice(known: KnownReply): string {
  const act = operatorText(known);
  return act === "" ? "" : ` What you can do: ${act}.`;
}
