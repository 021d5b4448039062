/** A message on its way through the site's filters into its draft: told to them as it is stored, stored as they leave it. */
import { isAscii } from "node:buffer";
import { bodyOffset, fieldBody, isNamed, splitFields } from "../../smtp/header.ts";
import type { Reply } from "../../smtp/reply.ts";
import type { Envelope, Held } from "../spool/envelope.ts";
import type { Scratch } from "../spool/spool.ts";
import type { MessagePlan } from "./header/message-writer.ts";
import { newHeaderBuffer } from "./header/reader.ts";
import type { FilteredBody, FilteredMessage, MessageMilters } from "./milter/filter.ts";
import { clientName } from "./session.ts";

/** What of the envelope filters decide. */
export type FilteredEnvelope = Pick<Envelope, "sender" | "recipients" | "eightBit"> & {
  readonly held?: Held;
};

interface WholeMessage {
  readonly plan: MessagePlan;
  /** With its header fixed and our trace on top. */
  readonly octets: Buffer | Scratch;
  readonly eightBit: boolean;
  readonly stop: AbortSignal;
}

/** `octets` taken apart. */
interface MessageParts {
  /** "latin1", without the empty line. */
  readonly header: string;
  readonly body: FilteredBody;
  readonly hasBody: boolean;
}

/**
 * Gives the reply for the client where the message is not to be stored, or `store` gives one. Throws the system's error.
 * `messageId` is given where a filter changed the header.
 */
export async function filterMessage(
  filter: MessageMilters,
  { plan, octets, eightBit, stop }: WholeMessage,
  store: (octets: Buffer) => Promise<Reply | undefined>,
): Promise<(FilteredEnvelope & { readonly messageId?: string }) | Reply> {
  const { mail, id, context } = plan;
  const { session, login, transaction, cipher } = mail;
  const { header, body, hasBody } = await (Buffer.isBuffer(octets) ? partsOf(octets) : partsIn(octets));
  const filtered = await filter({
    id,
    hostname: context.hostname,
    door: session.listener,
    client: clientName(session),
    address: session.address,
    helo: session.helo,
    cipher,
    login: login.name,
    mechanism: login.mechanism,
    sender: transaction.sender,
    recipients: transaction.recipients,
    smtputf8: transaction.parameters.smtputf8 ?? false,
    eightBit,
    octets: Buffer.isBuffer(octets) ? octets.length : octets.size,
    header,
    body,
    largestBody: context.messageSize,
    stop,
    scratch: () => context.spool.scratch(id),
  });
  if ("code" in filtered) return filtered;
  try {
    const stored = await storeAll(filtered, hasBody, store);
    if (typeof stored === "object") return stored;
    const { sender, recipients, held, isBodyReplaced } = filtered;
    const isChanged = filtered.header !== header;
    return {
      sender,
      recipients,
      eightBit: isChanged || isBodyReplaced ? !stored : eightBit,
      ...(held && { held: { ...held, at: context.now() } }),
      ...(isChanged && { messageId: messageIdIn(filtered.header) }),
    };
  } finally {
    await filtered.close();
  }
}

/** Resolves to whether all of it is ASCII, or to the reply of `store`. */
async function storeAll(
  { header, body, isBodyReplaced }: FilteredMessage,
  hasBody: boolean,
  store: (octets: Buffer) => Promise<Reply | undefined>,
): Promise<boolean | Reply> {
  const hasEmptyLine = hasBody || isBodyReplaced;
  const start = Buffer.from(hasEmptyLine ? `${header}\r\n` : header, "latin1");
  const refusal = await store(start);
  if (refusal) return refusal;
  let ascii = isAscii(start);
  for await (const chunk of body()) {
    ascii &&= isAscii(chunk);
    const trouble = await store(chunk);
    if (trouble) return trouble;
  }
  return ascii;
}

function partsOf(octets: Buffer): MessageParts {
  const offset = bodyOffset(octets);
  const body = octets.subarray(offset ?? octets.length);
  return {
    header: octets.toString("latin1", 0, offset === undefined ? octets.length : offset - 2),
    body: async function* () {
      if (body.length > 0) yield body;
    },
    hasBody: offset !== undefined,
  };
}

/** Of a longer one the header alone is read: it is not longer than limits.header and our trace. */
async function partsIn(file: Scratch): Promise<MessageParts> {
  const buffer = newHeaderBuffer();
  for await (const chunk of file.read(0)) {
    const whole = buffer.add(chunk);
    if (whole === undefined) continue;
    const { octets, end } = whole;
    return { header: octets.toString("latin1", 0, end), body: () => file.read(end + 2), hasBody: true };
  }
  return { header: buffer.octets().toString("latin1"), body: () => file.read(file.size), hasBody: false };
}

/** Without angle brackets, for the log. */
function messageIdIn(header: string): string {
  const field = splitFields(header).find((one) => isNamed(one, "Message-ID"));
  return field === undefined ? "" : fieldBody(field).replace(/^<|>$/g, "").slice(0, 250);
}
