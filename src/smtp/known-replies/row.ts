/**
 * What a refusal means and who can do what about it: the columns of the table of known replies. Its rows are in
 * largest.ts and receivers.ts; explain.ts finds the one for a reply.
 */

/** Why a receiver does not take a message now. Also a label of a metric: keep them few. */
export type ReplyClass =
  | "our-fault"
  | "authentication"
  | "rate"
  | "content"
  | "reputation"
  | "policy"
  | "greylisting"
  | "mailbox-full"
  | "no-such-user"
  | "theirs";

/** What the operator can do, in the order of the words that tell it. */
export type OperatorStep =
  | "dns"
  | "auth"
  | "slow"
  | "stolen"
  | "delist"
  | "ask-first"
  | "postmaster"
  | "form"
  | "tls"
  | "split"
  | "route";

/** What the sender can do. */
export type SenderAct = "wait" | "address" | "trim" | "from" | "other-way";

/**
 * Whether waiting helps: yes; yes, if less is sent to them (slow); no; or not before the cause is mended (fix). A 5xx is
 * final for its message all the same (RFC 5321 section 4.2.1): after a repair it must be sent again.
 */
export type WaitingHelps = "yes" | "slow" | "no" | "fix";

export interface KnownReply {
  /** All of them must be found in the reply. Each alone, so that none of them is slower than linear. */
  readonly patterns: readonly RegExp[];
  readonly class: ReplyClass;
  /** What it means, without an end. */
  readonly meaning: string;
  readonly operator: readonly OperatorStep[];
  readonly sender: SenderAct;
  readonly waiting: WaitingHelps;
  /** For the sender in place of the words of the class. */
  readonly tells?: string;
}

/** A row of the table. */
export function row(
  patterns: readonly RegExp[],
  kind: ReplyClass,
  meaning: string,
  operator: readonly OperatorStep[],
  sender: SenderAct,
  waiting: WaitingHelps,
  tells?: string,
): KnownReply {
  return {
    patterns,
    class: kind,
    meaning,
    operator,
    sender,
    waiting,
    ...(tells !== undefined && { tells }),
  };
}

const operatorWords: Readonly<Record<OperatorStep, string>> = {
  dns: "look at our PTR record, our HELO name and our records in the DNS",
  auth: "look at SPF, DKIM and DMARC of the sender's domain",
  slow: "send them less at once",
  stolen: "look for a stolen password or a bad list of recipients",
  delist: "ask them to take us off the list, as their words tell",
  "ask-first": "write to the address in their words",
  postmaster: "ask their postmaster",
  form: "look at the form of the message, and at our SMTP",
  tls: "look at TLS with that host",
  split: "nothing, it is sent again by itself",
  route: "look at the route: that server is none for the domain's mail",
};

/** What the operator does about it, without an end; "" where that is nothing. */
export function operatorText({ operator }: KnownReply): string {
  return operator.map((act) => operatorWords[act]).join("; ");
}

const waitingWords: Readonly<Record<WaitingHelps, string>> = {
  yes: "waiting helps",
  slow: "waiting helps where less is sent to them",
  no: "waiting does not help",
  fix: "waiting does not help until that is mended",
};

/** What a refusal with this reply code means, and whether waiting helps; without an end. */
export function meaningText({ meaning, waiting }: KnownReply, code: number): string {
  const isFinal = code >= 500 && (waiting === "yes" || waiting === "slow");
  return `${meaning}; ${isFinal ? "final for this message, a later one may pass" : waitingWords[waiting]}`;
}

/** To the sender: why, a sentence or two. */
const senderReasons: Readonly<Record<ReplyClass, string>> = {
  "our-fault":
    "The other side does not like how this server sent the message; your postmaster can mend that.",
  authentication:
    "The other side found no proof that the message is from the domain in its sender's address; your postmaster can help.",
  rate: "The other side takes only so much mail at a time, and that was more.",
  content: "The other side takes the message for unwanted because of what is in it.",
  reputation: "The other side does not take mail from this server for now; your postmaster can mend that.",
  policy: "A rule of the other side forbids this message.",
  greylisting: "Some servers take mail from somebody they do not know only at a later try.",
  "mailbox-full": "The mailbox is full.",
  "no-such-user": "There is no such mailbox.",
  theirs: "The other side's mail server is not in order, which is theirs to mend.",
};

/** To the sender of a message that has failed: what now. */
const senderAdvice: Readonly<Record<SenderAct, string>> = {
  wait: "Send the message again later.",
  address: "Check the address for typing mistakes.",
  trim: "Send it shorter or changed, without attachments and links.",
  from: "Send it with an address of ours in From.",
  "other-way": "Tell the recipient in another way.",
};

/** What the sender is told, about a message that failed or one that is still tried. */
export function senderText({ class: kind, sender, tells }: KnownReply, failed: boolean): string {
  if (tells !== undefined) return tells;
  if (!failed) return senderReasons[kind];
  if (kind === "mailbox-full") {
    return "The mailbox is full. Tell the recipient in another way, and send the message again later.";
  }
  return `${senderReasons[kind]} ${senderAdvice[sender]}`;
}

/** A known refusal for programs: its class, and the words that people read. */
export interface PlainReply {
  readonly class: ReplyClass;
  readonly meaning: string;
  readonly waiting: WaitingHelps;
  /** Absent where the operator need do nothing. */
  readonly operator?: string;
  readonly sender: string;
}

/** What `known` says in plain words of a recipient that has failed, or one that is still tried. */
export function plainReply(known: KnownReply, failed: boolean): PlainReply {
  const operator = operatorText(known);
  return {
    class: known.class,
    meaning: known.meaning,
    waiting: known.waiting,
    ...(operator !== "" && { operator }),
    sender: senderText(known, failed),
  };
}
