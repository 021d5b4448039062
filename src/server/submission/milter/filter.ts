/**
 * The filters of a site, in order: each sees what the ones before it have left of a message, and the message waits until all
 * have spoken. None of them can hold it for longer than its patience, and what happens where one is away the site chooses.
 */
import { isIPv6 } from "node:net";
import { isAscii, isSameMailbox, parseMailbox, shownAddress } from "../../../smtp/address.ts";
import { type HeaderField, splitFields } from "../../../smtp/header.ts";
import { formatReply, isPermanent, type Reply, reply } from "../../../smtp/reply.ts";
import type { ListenerName } from "../../log/events.ts";
import { log } from "../../log/log.ts";
import { shortenAddress } from "../../log/privacy.ts";
import type { Recipient } from "../../spool/envelope.ts";
import type { Scratch } from "../../spool/spool.ts";
import { newLineRepair } from "../line-ends.ts";
import type { MilterVerdict } from "./answers.ts";
import { type MilterAddress, type MilterPatience, withMilter } from "./client.ts";
import { converse, type MilterDecision, type MilterEnvelope } from "./conversation.ts";
import { MilterTrouble } from "./frames.ts";
import { changeHeader, isHeaderChange } from "./header-changes.ts";

export interface Milter extends MilterPatience {
  /** As the log and the client's reply have it. */
  readonly name: string;
  readonly address: MilterAddress;
  readonly whenAway: "tempfail" | "accept" | "hold" | "reject";
  /** shortened: of the client only its network, and no name. */
  readonly privacy: "full" | "shortened";
}

/** The octets behind the empty line; may be read again and again. Throws the system's error. */
export type FilteredBody = () => AsyncIterable<Buffer>;

/** A message that is whole and promised to nobody. */
export interface FilterRequest {
  /** Queue ID. */
  readonly id: string;
  readonly hostname: string;
  readonly door: ListenerName;
  /** The client as the log names it. */
  readonly client: string;
  readonly address: string;
  readonly helo: string;
  /** IANA's name of the TLS cipher; undefined where the message came from within this host. */
  readonly cipher: string | undefined;
  readonly login: string;
  readonly mechanism: string;
  readonly sender: string;
  readonly recipients: readonly Recipient[];
  readonly smtputf8: boolean;
  readonly eightBit: boolean;
  readonly octets: number;
  /** "latin1", our own Received field first, without the empty line behind it. */
  readonly header: string;
  readonly body: FilteredBody;
  /** Octets of a body that a filter may put in its place. */
  readonly largestBody: number;
  /** The relay is being stopped, and waits no longer. */
  readonly stop: AbortSignal;
  /** A file for such a body. Throws the system's error. */
  readonly scratch: () => Promise<Scratch>;
}

/** What the filters have left of the message. */
export interface FilteredMessage {
  readonly header: string;
  readonly body: FilteredBody;
  readonly isBodyReplaced: boolean;
  readonly sender: string;
  readonly recipients: readonly Recipient[];
  /** Who wants it to be held, and why. */
  readonly held?: { readonly by: string; readonly reason: string };
  /** Call when the body is not needed any more. */
  close(): Promise<void>;
}

/** Gives the reply that the client gets at once where the message is not to be stored. Throws the system's error. */
export type MessageMilters = (message: FilterRequest) => Promise<FilteredMessage | Reply>;

type FilterDraft = Omit<FilteredMessage, "header" | "close"> & { readonly fields: readonly HeaderField[] };

/** `steady` is in milliseconds of a clock that nobody sets. */
export function newMessageFilter(milters: readonly Milter[], steady: () => number): MessageMilters {
  return async (message) => {
    // Ours comes first, and filters neither see nor count it: what they put on top comes below it, as with Postfix.
    const [received, ...fields] = splitFields(message.header);
    const { sender, recipients, body } = message;
    let draft: FilterDraft = { fields, body, isBodyReplaced: false, sender, recipients };
    const scratches: Scratch[] = [];
    const close = async (): Promise<void> => {
      for (const scratch of scratches.splice(0)) await scratch.close();
    };
    try {
      for (const milter of milters) {
        const next = await ask(milter, message, draft, steady, scratches);
        if ("code" in next) {
          await close();
          return next;
        }
        draft = next;
      }
    } catch (error) {
      await close();
      throw error;
    }
    const { fields: left, ...rest } = draft;
    return { ...rest, header: [received, ...left].map((field) => field?.raw ?? "").join(""), close };
  };
}

/** What one filter leaves, or the reply that ends the message. */
async function ask(
  milter: Milter,
  message: FilterRequest,
  draft: FilterDraft,
  steady: () => number,
  scratches: Scratch[],
): Promise<FilterDraft | Reply> {
  const begun = steady();
  const { id, door, client } = message;
  const note = (
    verdict: "accepted" | "held" | "discarded" | "rejected" | "tempfailed",
    reason: string,
  ): void =>
    log("milter", {
      door,
      client,
      id,
      milter: milter.name,
      verdict,
      seconds: (steady() - begun) / 1000,
      reason,
    });
  /** Trouble with our own disk is none of the filter's. */
  let ownTrouble: { readonly error: unknown } | undefined;
  const own = async <Result>(work: () => Promise<Result>): Promise<Result> => {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof MilterTrouble)) ownTrouble = { error };
      throw error;
    }
  };
  const newBody = newBodyWriter(message, scratches);
  let decision: MilterDecision;
  let next: FilterDraft;
  try {
    decision = await withMilter(
      milter.address,
      milter,
      (channel) =>
        converse(
          channel,
          envelopeFor(milter, message, draft),
          { fields: draft.fields, body: readWith(own, draft.body) },
          (octets) => own(() => newBody.write(octets)),
        ),
      message.stop,
    );
    const body = await own(() => newBody.end());
    next = changed(draft, decision, message, milter.name);
    if (body) next = { ...next, body, isBodyReplaced: true };
  } catch (error) {
    if (ownTrouble) throw ownTrouble.error;
    if (!(error instanceof MilterTrouble)) throw error;
    if (message.stop.aborted) return stopping;
    log("milter-away", {
      door,
      client,
      id,
      milter: milter.name,
      action: milter.whenAway,
      seconds: (steady() - begun) / 1000,
      reason: error.message,
    });
    return whenAway(milter, draft, error.message);
  }
  const { verdict, recipient } = decision;
  const refusal = refusalOf(verdict, milter.name, recipient);
  if (refusal) {
    note(isPermanent(refusal) ? "rejected" : "tempfailed", formatReply(refusal));
    return refusal;
  }
  if (verdict.kind === "discard" || next.recipients.length === 0) {
    note("discarded", verdict.kind === "discard" ? "" : "no recipient is left");
    return reply(250, "2.0.0", `Ok: queued as ${id}`); // whom it tells to drop something must not tell the sender
  }
  const hold = decision.changes.find(({ kind }) => kind === "hold");
  if (hold?.kind === "hold") note("held", hold.reason);
  else note("accepted", summaryOf(decision, newBody.isBegun));
  return next;
}

const stopping = reply(451, "4.3.2", "the server is being restarted, please try again in a moment");

function refusalOf(verdict: MilterVerdict, name: string, recipient: string | undefined): Reply | undefined {
  const about = recipient === undefined ? "" : `${shownAddress(recipient)}: `;
  switch (verdict.kind) {
    case "reject":
      return reply(550, "5.7.1", `${about}refused by the filter ${name} of this server`);
    case "tempfail":
      return reply(451, "4.7.1", `${about}the filter ${name} of this server asks to try again later`);
    case "reply":
      return verdict.reply;
    default:
      return undefined;
  }
}

function whenAway(milter: Milter, draft: FilterDraft, reason: string): FilterDraft | Reply {
  switch (milter.whenAway) {
    case "accept":
      return draft;
    case "hold":
      return {
        ...draft,
        held: draft.held ?? { by: `milter ${milter.name}`, reason: `not looked at: ${reason}` },
      };
    case "reject":
      return reply(
        550,
        "5.7.1",
        `the filter ${milter.name} of this server is away, and nothing goes out without it`,
      );
    case "tempfail":
      return reply(451, "4.7.1", `the filter ${milter.name} of this server is away, please try again later`);
  }
}

/** Throws a {@link MilterTrouble} for an address that the message cannot have. */
function changed(
  draft: FilterDraft,
  { changes }: MilterDecision,
  { smtputf8 }: FilterRequest,
  name: string,
): FilterDraft {
  let { sender, recipients, held } = draft;
  for (const change of changes) {
    if (change.kind === "hold") held ??= { by: `milter ${name}`, reason: change.reason };
    if (!("address" in change)) continue;
    const { kind, address } = change;
    const fits = smtputf8 || isAscii(address);
    const isFull = (parseMailbox(address)?.domain ?? "") !== "";
    if (!fits || !(isFull || (kind === "sender" && address === "")))
      throw new MilterTrouble("it gave an address that this message cannot have");
    if (kind === "sender") sender = address;
    else {
      const others = recipients.filter((one) => !isSameMailbox(one.address, address));
      if (kind === "no recipient") recipients = others;
      else if (others.length === recipients.length) recipients = [...others, { address, state: "waiting" }];
    }
  }
  const fields = changeHeader(draft.fields, changes.filter(isHeaderChange));
  return { ...draft, fields, sender, recipients, ...(held && { held }) };
}

/** What it changed, in a few words. */
function summaryOf({ changes }: MilterDecision, isBodyNew: boolean): string {
  const header = changes.filter(isHeaderChange).map(({ name }) => name);
  const names = [...new Set(header)].slice(0, 5);
  const kinds = new Set(changes.map(({ kind }) => kind));
  const what = [
    ...(names.length > 0
      ? [`header (${names.join(", ")}${names.length < new Set(header).size ? ", …" : ""})`]
      : []),
    ...(isBodyNew ? ["body"] : []),
    ...(kinds.has("sender") ? ["sender"] : []),
    ...(kinds.has("recipient") || kinds.has("no recipient") ? ["recipients"] : []),
  ];
  return what.length === 0 ? "" : `changed ${what.join(", ")}`;
}

/** What a filter is told. Of the two TLS versions that we speak only the later one has such names of ciphers. */
function envelopeFor(
  { privacy }: Milter,
  { id, hostname, door, address, helo, cipher, login, mechanism, smtputf8, eightBit, octets }: FilterRequest,
  { sender, recipients }: FilterDraft,
): MilterEnvelope {
  const network = shortenAddress(address).replace(/\/\d+$/, "");
  const shownClient = privacy === "full" ? address : network;
  return {
    client: { address: shownClient, isIPv6: isIPv6(shownClient) },
    helo: privacy === "full" ? helo : `[${network}]`,
    sender,
    parameters: [`SIZE=${octets}`, ...(eightBit ? ["BODY=8BITMIME"] : []), ...(smtputf8 ? ["SMTPUTF8"] : [])],
    recipients: recipients.map((recipient) => recipient.address),
    macros: {
      i: id,
      j: hostname,
      v: "tpa-submit",
      _: `unknown [${shownClient}]`,
      daemon_name: door,
      client_addr: shownClient,
      client_name: "unknown",
      client_ptr: "unknown",
      ...(cipher !== undefined && {
        tls_version: cipher.includes("_WITH_") ? "TLSv1.2" : "TLSv1.3",
        cipher,
        cipher_bits: cipher.includes("128") ? "128" : "256",
      }),
      auth_type: mechanism,
      auth_authen: login,
    },
  };
}

type Own = <Result>(work: () => Promise<Result>) => Promise<Result>;

/** The body, read by `own`. */
async function* readWith(own: Own, body: FilteredBody): AsyncGenerator<Buffer, void> {
  const chunks = body()[Symbol.asyncIterator]();
  for (;;) {
    const chunk = await own(() => chunks.next());
    if (chunk.done === true) return;
    yield chunk.value;
  }
}

/** Another body, as a filter gives it, with the line ends that every message has (RFC 5321 section 2.3.8). */
function newBodyWriter({ largestBody, scratch: newScratch }: FilterRequest, scratches: Scratch[]) {
  const repair = newLineRepair();
  let scratch: Scratch | undefined;
  let last: number | undefined;

  async function store(pieces: Iterable<Buffer>): Promise<void> {
    for (const piece of pieces) {
      if (scratch === undefined) {
        scratch = await newScratch();
        scratches.push(scratch);
      }
      if (scratch.size + piece.length > largestBody)
        throw new MilterTrouble("it gave a body that is larger than messages may be");
      await scratch.write(piece);
      last = piece.at(-1) ?? last;
    }
  }

  return {
    get isBegun() {
      return scratch !== undefined;
    },
    write: (octets: Buffer): Promise<void> => store(repair.add(octets)),
    /** Undefined where the body stays. */
    async end(): Promise<FilteredBody | undefined> {
      if (scratch === undefined) return undefined;
      await store(repair.end());
      if (last !== undefined && last !== 0x0a) await store([Buffer.from("\r\n")]);
      const file = scratch;
      return () => file.read(0);
    },
  };
}
