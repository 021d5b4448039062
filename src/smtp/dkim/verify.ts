/**
 * Verifies the DKIM signatures of a message (RFC 6376 section 6, RFC 8301, RFC 8463), for who looks at what has arrived.
 * The message is a stranger's: what is read of it is bounded, and no word of it gets out unshortened.
 */
import { createHash, verify } from "node:crypto";
import { bodyOffset, fieldBody, type HeaderField, isNamed, splitFields } from "../header.ts";
import { type FieldForm, relaxedBodyHash, signedText, simpleBodyHash } from "./canonical.ts";
import { type KeyRecord, readKeyRecord, recordName } from "./record.ts";
import { tagsOf } from "./tags.ts";

export interface SignatureFinding {
  /** d=, in lower case. */
  readonly domain: string;
  readonly selector: string;
  readonly algorithm: string;
  /** RFC 8601 section 2.7.1. */
  readonly result: "pass" | "fail" | "neutral" | "permerror" | "temperror";
  /** Why it did not pass; "" where it did. */
  readonly words: string;
  /** Of the key; absent where it was not read. */
  readonly bits?: number;
}

/** The TXT records at a name, each as one text; "trouble" where the DNS does not answer. */
export type TxtLookup = (name: string) => Promise<readonly string[] | "trouble">;

/** Our choices, against hostile messages: as many as large receivers look at. */
const mostSignatures = 10;
const mostNames = 300;
const longestHeader = 2 ** 20;

/** The findings for each signature of the `message`, from the first. `now` is in milliseconds since the epoch. */
export async function verifySignatures(
  message: Buffer,
  lookUp: TxtLookup,
  now: number,
): Promise<readonly SignatureFinding[]> {
  const end = Math.min(bodyOffset(message) ?? message.length, longestHeader);
  const fields = splitFields(message.toString("latin1", 0, end));
  const signatures = fields.filter((field) => isNamed(field, "DKIM-Signature")).slice(0, mostSignatures);
  const body = message.subarray(end);
  return Promise.all(signatures.map((field) => verifyOne(field, { fields, body, lookUp, now })));
}

interface Verification {
  readonly fields: readonly HeaderField[];
  readonly body: Buffer;
  readonly lookUp: TxtLookup;
  readonly now: number;
}

const hostLike = /^[a-z0-9_](?:[a-z0-9._-]{0,250}[a-z0-9])?$/i;

async function verifyOne(
  field: HeaderField,
  { fields, body, lookUp, now }: Verification,
): Promise<SignatureFinding> {
  const tags = tagsOf(fieldBody(field));
  const domain = plain(tags.get("d") ?? "").toLowerCase();
  const selector = plain(tags.get("s") ?? "");
  const algorithm = plain(tags.get("a") ?? "");
  const ends = (
    result: SignatureFinding["result"],
    words: string,
    key?: Pick<KeyRecord, "bits">,
  ): SignatureFinding => ({ domain, selector, algorithm, result, words, ...(key && { bits: key.bits }) });

  const mistake = mistakeIn(tags, domain, selector);
  if (mistake !== undefined) return ends("permerror", mistake);
  // RFC 6376 section 8.2: what stands behind that part may be anybody's.
  if (tags.has("l")) return ends("neutral", "it covers the beginning of the body only (l=)");
  const expires = Number(tags.get("x") ?? Number.POSITIVE_INFINITY);
  if (expires * 1000 < now) return ends("fail", "it has expired (x=)");
  const texts = await lookUp(recordName(selector, domain));
  if (texts === "trouble") return ends("temperror", "the DNS does not answer for its key");
  const record = readKeyRecord(texts);
  if ("fault" in record) return ends("permerror", `the record of its key ${record.words}`);
  const kind = algorithm === "rsa-sha256" ? "rsa" : "ed25519";
  if (record.kind !== kind) return ends("permerror", `its key is of another kind, ${record.kind}`, record);
  const agent = (tags.get("i") ?? `@${domain}`).split("@").at(-1)?.toLowerCase();
  if (record.isStrict && agent !== domain)
    return ends("permerror", "its i= names a sub-domain, which the record forbids (t=s)", record);
  const [headerForm = "simple", bodyForm = "simple"] = (tags.get("c") ?? "simple").split("/");
  if (hashOf(body, bodyForm) !== tags.get("bh")) return ends("fail", "the body is another", record);
  const names = (tags.get("h") ?? "").split(":").slice(0, mostNames);
  const data = signedText(fieldsBefore(fields, field), names, field.raw, headerForm as FieldForm);
  if (!isValid(record, data, Buffer.from(tags.get("b") ?? "", "base64")))
    return ends("fail", "a field that it covers is another, or the key is", record);
  return record.isTesting
    ? ends("neutral", "it is valid, but its key is in test mode (t=y)", record)
    : ends("pass", "", record);
}

/** What must be there, and what it may be (RFC 6376 section 6.1.1). */
function mistakeIn(tags: ReadonlyMap<string, string>, domain: string, selector: string): string | undefined {
  const missing = ["v", "a", "b", "bh", "d", "h", "s"].find((tag) => !tags.get(tag));
  if (missing !== undefined) return `it lacks the tag ${missing}=`;
  if (tags.get("v") !== "1") return "its version (v=) is not 1";
  if (!hostLike.test(domain) || !hostLike.test(selector)) return "its d= or s= is no name";
  const algorithm = tags.get("a") ?? "";
  if (algorithm === "rsa-sha1") return "rsa-sha1 counts as no signature (RFC 8301)";
  if (algorithm !== "rsa-sha256" && algorithm !== "ed25519-sha256") return "its algorithm (a=) is not known";
  if (!/^(?:simple|relaxed)(?:\/(?:simple|relaxed))?$/.test(tags.get("c") ?? "simple"))
    return "its c= is not known";
  const names = (tags.get("h") ?? "").toLowerCase().split(":");
  if (!names.includes("from")) return "it does not cover From";
  const agent = (tags.get("i") ?? `@${domain}`).split("@").at(-1)?.toLowerCase() ?? "";
  if (agent !== domain && !agent.endsWith(`.${domain}`)) return "its i= is not of its d=";
  return undefined;
}

/** A signature covers others of its kind, but never itself. */
const fieldsBefore = (fields: readonly HeaderField[], own: HeaderField): readonly HeaderField[] =>
  fields.filter((field) => field !== own);

function hashOf(body: Buffer, form: string): string {
  if (form === "simple") return simpleBodyHash(body);
  const hash = relaxedBodyHash();
  hash.write(body);
  return hash.end();
}

function isValid({ kind, key }: KeyRecord, data: Buffer, value: Buffer): boolean {
  return kind === "rsa"
    ? verify("sha256", data, key, value)
    : verify(null, createHash("sha256").update(data).digest(), key, value); // RFC 8463 section 3
}

const plain = (text: string): string => text.replace(/[^\x21-\x7e]/g, "?").slice(0, 255);
