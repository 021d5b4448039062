/**
 * DKIM signatures (RFC 6376, RFC 8463) for a message on its way out. A signature says that the author is who From says,
 * so there is one only where the login may use that address. Nothing of the message is changed: the fields go before it.
 */
import { createHash, createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import type { Readable } from "node:stream";
import { setImmediate as nextTurn } from "node:timers/promises";
import { errorCode, errorText } from "../../../failure.ts";
import { asciiDomain, domainOf } from "../../../smtp/address.ts";
import { relaxedBodyHash, signedText } from "../../../smtp/dkim/canonical.ts";
import { tagsOf } from "../../../smtp/dkim/tags.ts";
import { bodyOffset, fieldBody, type HeaderField, isNamed, splitFields } from "../../../smtp/header.ts";
import { readMailboxes } from "../../../smtp/mailboxes.ts";
import { type Reply, reply } from "../../../smtp/reply.ts";
import { workOnMessage } from "../../log/event-loop.ts";
import { log } from "../../log/log.ts";
import type { Envelope } from "../../spool/envelope.ts";
import type { SigningKey, SigningKeys } from "./keys.ts";

/** What is to be sent, as it will be on the wire but for the dots. */
export interface Unsigned {
  readonly envelope: Envelope;
  readonly body: () => Readable;
  /** The same, where it is in memory. */
  readonly octets?: Buffer;
}

/**
 * The fields to send before the message, "" for none; a temporary reply if it cannot be read; undefined if `signal` was
 * raised first.
 */
export type Signer = (message: Unsigned, signal: AbortSignal) => Promise<string | Reply | undefined>;

export interface SignerDependencies {
  readonly keys: SigningKeys;
  /** Of the relay: its reports come from there. */
  readonly hostname: string;
  /** Whether `login` may send as `address`. */
  readonly mayUse: (login: string, address: string) => boolean;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

export function newSigner(dependencies: SignerDependencies): Signer {
  return async (message, signal) => {
    try {
      return await signatures(message, dependencies, signal);
    } catch (error) {
      if (errorCode(error) === "" || errorCode(error).startsWith("ERR_OSSL")) throw error;
      return reply(451, "4.3.0", `the message cannot be read: ${errorText(error)}`);
    }
  };
}

/**
 * The fields that are signed where they occur (RFC 6376 section 5.4.1), with List-Unsubscribe-Post (RFC 8058 section 4).
 * The `sealed` ones are named once more than they occur, so that none can be added (section 8.15); to others, such as
 * Sender and List-Id, a mailing list adds with good reason.
 */
const signedNames: readonly (readonly [name: string, sealed: "sealed" | "as it is"])[] = [
  ["From", "sealed"],
  ["Subject", "sealed"],
  ["Date", "sealed"],
  ["To", "sealed"],
  ["Cc", "sealed"],
  ["Reply-To", "sealed"],
  ["Message-ID", "sealed"],
  ["In-Reply-To", "sealed"],
  ["References", "sealed"],
  ["MIME-Version", "sealed"],
  ["Content-Type", "sealed"],
  ["Content-Transfer-Encoding", "sealed"],
  ["Resent-Date", "as it is"],
  ["Resent-From", "as it is"],
  ["Resent-To", "as it is"],
  ["Resent-Cc", "as it is"],
  ["List-Id", "as it is"],
  ["List-Help", "as it is"],
  ["List-Unsubscribe", "as it is"],
  ["List-Unsubscribe-Post", "as it is"],
  ["List-Subscribe", "as it is"],
  ["List-Post", "as it is"],
  ["List-Owner", "as it is"],
  ["List-Archive", "as it is"],
];

/** Fields of one name that are signed, from the last. Our choice: no honest message has as many. */
const mostOfOneName = 10;

/** Octets of a header that is read. Our choice: no client can submit as many. */
const longestHeader = 2 ** 20;

/** Octets of a body that are hashed in one turn. */
const perTurn = 65_536;

/** Why a message leaves without a signature, where there are keys. */
export type UnsignedReason = "no-key" | "not-allowed" | "unclear-from" | "long-header";

async function signatures(
  message: Unsigned,
  dependencies: SignerDependencies,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { id } = message.envelope;
  if (dependencies.keys.size === 0) return "";
  const unsigned = (reason: UnsignedReason): string => {
    log("dkim-unsigned", { id, reason });
    return "";
  };
  let start: Buffer = Buffer.alloc(0);
  let header: Header | undefined;
  let keys: readonly SigningKey[] | UnsignedReason = "unclear-from";
  const hash = relaxedBodyHash();
  for await (const chunk of piecesOf(message)) {
    if (signal.aborted) return undefined;
    let body = chunk;
    if (header === undefined) {
      start = start.length === 0 ? chunk : Buffer.concat([start, chunk]);
      if (start.length > longestHeader && bodyOffset(start) === undefined) return unsigned("long-header");
      header = workOnMessage(id, () => headerIn(start));
      if (header === undefined) continue;
      keys = keysFor(header.fields, message.envelope, dependencies);
      if (typeof keys === "string") return unsigned(keys);
      body = start.subarray(header.end);
    }
    workOnMessage(id, () => hash.write(body));
  }
  if (signal.aborted) return undefined;
  const fields = (header ?? { fields: splitFields(start.toString("latin1")) }).fields;
  if (header === undefined) keys = keysFor(fields, message.envelope, dependencies);
  if (typeof keys === "string") return unsigned(keys);
  const own = keys;
  const bodyHash = hash.end();
  const missing = workOnMessage(id, () => own.filter((key) => !isSignedBy(key, fields, bodyHash)));
  const made = await Promise.all(
    missing.map((key) => signatureBy(key, id, fields, bodyHash, dependencies.now())),
  );
  for (const { domain, selector, kind } of missing) {
    log("dkim-signed", { id, domain, selector, algorithm: algorithms[kind] });
  }
  return made.join("");
}

interface Header {
  readonly fields: readonly HeaderField[];
  /** Where the body begins. */
  readonly end: number;
}

function headerIn(start: Buffer): Header | undefined {
  const end = bodyOffset(start);
  if (end === undefined) return undefined;
  return { fields: splitFields(start.toString("latin1", 0, end - 2)), end };
}

/** The message in pieces for one turn each. */
async function* piecesOf({ octets, body }: Unsigned): AsyncGenerator<Buffer> {
  for await (const chunk of octets ? [octets] : body()) {
    const whole = chunk as Buffer;
    for (let at = 0; at < whole.length; at += perTurn) {
      if (at > 0 || !octets) await nextTurn();
      yield whole.subarray(at, at + perTurn);
    }
  }
}

/** The keys of the author's domain, if the login may write in that name; else why there are none. */
function keysFor(
  fields: readonly HeaderField[],
  { login }: Envelope,
  { keys, hostname, mayUse }: SignerDependencies,
): readonly SigningKey[] | UnsignedReason {
  const [from, ...others] = fields.filter((field) => isNamed(field, "From"));
  // Two are two authors, and which one is seen is chance.
  if (from === undefined || others.length > 0) return "unclear-from";
  const authors = readMailboxes(fieldBody(from)) ?? [];
  if (authors.length === 0) return "unclear-from";
  const domains = new Set(authors.map((address) => asciiDomain(domainOf(address))?.toLowerCase()));
  if (login === null) {
    const host = hostname.toLowerCase();
    return domains.size === 1 && domains.has(host) ? orNoKey(keysAt(host, keys)) : "not-allowed";
  }
  if (!authors.every((address) => mayUse(login, address))) return "not-allowed";
  return orNoKey([...domains].flatMap((domain) => (domain === undefined ? [] : (keys.get(domain) ?? []))));
}

const orNoKey = (keys: readonly SigningKey[]): readonly SigningKey[] | UnsignedReason =>
  keys.length === 0 ? "no-key" : keys;

/** Those of the relay's own name, or of the nearest domain above it, which DMARC counts as the same (RFC 9989). */
function keysAt(hostname: string, keys: SigningKeys): readonly SigningKey[] {
  return (
    namesUpwards(hostname)
      .map((name) => keys.get(name))
      .find((found) => found !== undefined) ?? []
  );
}

/** `hostname` and the domains above it, the nearest first. */
export function namesUpwards(hostname: string): readonly string[] {
  const labels = hostname.split(".");
  return labels.map((_, at) => labels.slice(at).join("."));
}

const algorithms = { rsa: "rsa-sha256", ed25519: "ed25519-sha256" } as const;

/** The whole field. Signing is done in a thread of libuv: RSA takes the better part of a millisecond. */
async function signatureBy(
  { domain, selector, kind, key }: SigningKey,
  id: string,
  fields: readonly HeaderField[],
  bodyHash: string,
  now: number,
): Promise<string> {
  const { field, data } = workOnMessage(id, () => {
    const names = namesFor(fields);
    const unfinished =
      `DKIM-Signature: v=1; a=${algorithms[kind]}; c=relaxed/relaxed; d=${domain};\r\n` +
      `\ts=${selector}; t=${Math.floor(now / 1000)};\r\n` +
      `\th=${foldedNames(names)};\r\n\tbh=${bodyHash};\r\n\tb=`;
    return { field: unfinished, data: signedText(fields, names, unfinished) };
  });
  const value = await signed(kind, data, key);
  const [first = "", ...rest] = value.toString("base64").match(/.{1,72}/g) ?? [];
  return `${[`${field}${first}`, ...rest].join("\r\n\t")}\r\n`;
}

function signed(kind: SigningKey["kind"], data: Buffer, key: KeyObject): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const done = (error: Error | null, value: Buffer): void => (error ? reject(error) : resolve(value));
    if (kind === "rsa") sign("sha256", data, key, done);
    else sign(null, digestOf(data), key, done); // RFC 8463 section 3: Ed25519 signs the hash
  });
}

const digestOf = (data: Buffer): Buffer => createHash("sha256").update(data).digest();

/** For the tag h=. */
function namesFor(fields: readonly HeaderField[]): readonly string[] {
  return signedNames.flatMap(([name, sealed]) => {
    const present = fields.filter((field) => isNamed(field, name)).length;
    return Array<string>(Math.min(present, mostOfOneName) + (sealed === "sealed" ? 1 : 0)).fill(name);
  });
}

/** On lines that no program has to fold again (RFC 5322 section 2.1.1). */
function foldedNames(names: readonly string[]): string {
  let text = "";
  let width = 0;
  for (const [at, name] of names.entries()) {
    const more = at === 0 ? name : `:${name}`;
    const folds = width + more.length > 70;
    text += folds ? `:\r\n\t${name}` : more;
    width = folds ? name.length : width + more.length;
  }
  return text;
}

/** Signatures in our name that are looked at. */
const mostOfOurs = 3;

/** Whether a valid signature by the same key is there: then the message has been here before, and is as it was. */
function isSignedBy(key: SigningKey, fields: readonly HeaderField[], bodyHash: string): boolean {
  const alike = fields.filter((field) => {
    if (!isNamed(field, "DKIM-Signature")) return false;
    const tags = tagsOf(fieldBody(field));
    return (
      tags.get("d")?.toLowerCase() === key.domain &&
      tags.get("s") === key.selector &&
      tags.get("a") === algorithms[key.kind] &&
      tags.get("c") === "relaxed/relaxed" &&
      tags.get("bh") === bodyHash &&
      !tags.has("l") &&
      !tags.has("x")
    );
  });
  return alike.slice(0, mostOfOurs).some((field) => isValid(key, field, fields));
}

function isValid({ kind, key }: SigningKey, field: HeaderField, fields: readonly HeaderField[]): boolean {
  const tags = tagsOf(fieldBody(field));
  const data = signedText(fields, (tags.get("h") ?? "").split(":"), field.raw);
  const value = Buffer.from(tags.get("b") ?? "", "base64");
  return kind === "rsa"
    ? verify("sha256", data, createPublicKey(key), value)
    : verify(null, digestOf(data), createPublicKey(key), value);
}
