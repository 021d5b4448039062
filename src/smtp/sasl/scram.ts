/** SCRAM (RFC 5802, RFC 7677), with the channel bound by tls-exporter (RFC 9266) for the -PLUS mechanisms. */

import { createHash, createHmac, pbkdf2Sync, timingSafeEqual } from "node:crypto";
import { saslprep } from "../saslprep.ts";
import type { SaslMechanism } from "./mechanism.ts";

type Digest = "sha1" | "sha256" | "sha512";

/** Fewer rounds make a stolen answer easy to guess: RFC 5802 section 5.1. */
const fewestRounds = 4096;

/** More would take minutes; no server uses as many. */
const mostRounds = 10_000_000;

function scram(name: string, digest: Digest): SaslMechanism {
  return {
    name,
    begin(credentials) {
      const binds = name.endsWith("-PLUS");
      const header = `${binds ? "p=tls-exporter" : "n"},,`;
      const nonce = Buffer.from(credentials.random(18)).toString("base64");
      const first = `n=${escaped(prepared(credentials.user))},r=${nonce}`;
      const bound = binds ? (credentials.binding ?? new Uint8Array()) : new Uint8Array();
      let signature: Buffer | undefined;
      let objection: string | undefined = "the server has not proved that it knows the password";
      let isOver = false;
      const refuse = (why: string): undefined => {
        objection = why;
        isOver = true;
      };
      return {
        initial: Buffer.from(header + first),
        answer(challenge) {
          if (isOver) return undefined;
          const text = Buffer.from(challenge).toString("utf8");
          const said = attributes(text);
          const error = said.get("e");
          if (error !== undefined) return refuse(`the server refuses: ${error}`);
          if (signature !== undefined) {
            if (!isSame(Buffer.from(said.get("v") ?? "", "base64"), signature))
              return refuse("the server's proof is wrong: it does not know the password");
            objection = undefined;
            isOver = true;
            return Buffer.alloc(0);
          }
          const asked = {
            nonce: said.get("r") ?? "",
            salt: said.get("s") ?? "",
            rounds: Number(said.get("i")),
          };
          const complaint = complaintAbout(asked, nonce);
          if (complaint !== undefined) return refuse(complaint);
          const binding = Buffer.concat([Buffer.from(header), bound]).toString("base64");
          const unproved = `c=${binding},r=${asked.nonce}`;
          const proof = prove(digest, credentials.password, asked, `${first},${text},${unproved}`);
          signature = proof.signature;
          return Buffer.from(`${unproved},p=${proof.client.toString("base64")}`);
        },
        objection: () => objection,
      };
    },
  };
}

interface Asked {
  readonly nonce: string;
  /** In base64. */
  readonly salt: string;
  readonly rounds: number;
}

function complaintAbout({ nonce, salt, rounds }: Asked, ours: string): string | undefined {
  if (!nonce.startsWith(ours) || nonce.length === ours.length)
    return "the server's nonce does not continue ours";
  if (salt === "") return "the server's first message has no salt";
  if (!(rounds >= fewestRounds)) return `the server asks for ${rounds} rounds, fewer than ${fewestRounds}`;
  if (rounds > mostRounds) return `the server asks for ${rounds} rounds, more than ${mostRounds}`;
  return undefined;
}

/** The client's proof, and the signature that the server must send (RFC 5802 section 3). */
function prove(
  digest: Digest,
  password: string,
  { salt, rounds }: Asked,
  message: string,
): { readonly client: Buffer; readonly signature: Buffer } {
  const length = createHash(digest).digest().length;
  const salted = pbkdf2Sync(prepared(password), Buffer.from(salt, "base64"), rounds, length, digest);
  const hmac = (key: Uint8Array, text: string): Buffer => createHmac(digest, key).update(text).digest();
  const clientKey = hmac(salted, "Client Key");
  const clientSignature = hmac(createHash(digest).update(clientKey).digest(), message);
  return {
    client: Buffer.from(clientKey.map((octet, at) => octet ^ (clientSignature[at] ?? 0))),
    signature: hmac(hmac(salted, "Server Key"), message),
  };
}

/** Text that SASLprep prohibits is sent as it was typed; the server decides. */
const prepared = (text: string): string => saslprep(text) ?? text;

/** `a=value,b=value`: one letter each, values without commas. */
const attributes = (text: string): ReadonlyMap<string, string> =>
  new Map(text.split(",").map((part) => [part.slice(0, 1), part.slice(2)]));

/** A comma or an equals sign in a name (RFC 5802 section 5.1). */
const escaped = (name: string): string => name.replaceAll("=", "=3D").replaceAll(",", "=2C");

const isSame = (one: Buffer, other: Buffer): boolean =>
  one.length === other.length && timingSafeEqual(one, other);

/** The strongest first. */
export const scrams: readonly SaslMechanism[] = [
  scram("SCRAM-SHA-512-PLUS", "sha512"),
  scram("SCRAM-SHA-256-PLUS", "sha256"),
  scram("SCRAM-SHA-1-PLUS", "sha1"),
  scram("SCRAM-SHA-512", "sha512"),
  scram("SCRAM-SHA-256", "sha256"),
  scram("SCRAM-SHA-1", "sha1"),
];
