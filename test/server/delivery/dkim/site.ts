/** A domain with keys, the signer that has them, and mailauth as a receiver that asks no name server but this. */
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { Readable } from "node:stream";
import { dkimVerify } from "mailauth/lib/dkim/verify.js";
import type { SigningKey } from "../../../../src/server/delivery/dkim/keys.ts";
import { newSigner, type SignerDependencies } from "../../../../src/server/delivery/dkim/signer.ts";
import type { Envelope } from "../../../../src/server/spool/envelope.ts";
import type { KeyKind } from "../../../../src/smtp/dkim/record.ts";
import { accepted, envelope } from "../fixtures.ts";

/** Made once: RSA takes its time. */
export const pairs = {
  rsa: generateKeyPairSync("rsa", { modulusLength: 2048 }),
  ed25519: generateKeyPairSync("ed25519"),
};

export const key = (selector: string, kind: KeyKind, domain = "example.org"): SigningKey => ({
  domain,
  selector,
  kind,
  key: pairs[kind].privateKey,
  made: accepted,
});

/** RFC 6376 section 3.6.1, RFC 8463 section 4.2 */
export function recordOf(kind: KeyKind, pair: { readonly publicKey: KeyObject } = pairs[kind]): string {
  const der = pair.publicKey.export({ type: "spki", format: "der" });
  const octets = kind === "rsa" ? der : der.subarray(-32);
  return `v=DKIM1; k=${kind}; p=${octets.toString("base64")}`;
}

export const both = [key("a", "rsa"), key("b", "ed25519")];

export const never = new AbortController().signal;

/** Signs in chunks of `size` octets; 0 has the message in memory. */
export async function signedBy(
  text: string,
  more: Partial<SignerDependencies> & { readonly size?: number; readonly envelope?: Partial<Envelope> } = {},
): Promise<string> {
  const { size = 0, envelope: special, ...rest } = more;
  const octets = Buffer.from(text, "latin1");
  const sign = newSigner({
    keys: new Map([["example.org", both]]),
    hostname: "submission.example.org",
    mayUse: () => true,
    now: () => accepted,
    ...rest,
  });
  const body = (): Readable => Readable.from(size === 0 ? [octets] : cut(octets, size));
  const made = await sign({ envelope: envelope(special), body, ...(size === 0 && { octets }) }, never);
  if (typeof made !== "string") throw new Error(`not signed: ${JSON.stringify(made)}`);
  return made;
}

function* cut(octets: Buffer, size: number): Generator<Buffer> {
  for (let at = 0; at < octets.length; at += size) yield octets.subarray(at, at + size);
}

interface Result {
  readonly signingDomain: string;
  readonly selector: string;
  readonly status: { readonly result: string; readonly comment?: string };
}

/** What mailauth finds: `SELECTOR pass` for each signature, from the first. */
export async function verified(
  message: string,
  records: Readonly<Record<string, string>> = dns,
): Promise<string[]> {
  const resolver = async (name: string): Promise<string[][]> => {
    const found = records[name.split(".")[0] ?? ""];
    if (found === undefined) throw Object.assign(new Error(`no ${name}`), { code: "ENOTFOUND" });
    return [[found]];
  };
  const lines = message.endsWith("\r\n") ? message : `${message}\r\n`; // as SMTP has it
  const wire = lines.includes("\r\n\r\n") ? lines : `${lines}\r\n`; // mailauth finds no header without
  const { results } = (await dkimVerify(Buffer.from(wire, "latin1"), { resolver })) as {
    readonly results: readonly Result[];
  };
  return results.map(({ selector, status }) => `${selector} ${status.result}`);
}

const dns = { a: recordOf("rsa"), b: recordOf("ed25519") };
