/** Mechanisms that answer a challenge with its keyed digest: CRAM-MD5 (RFC 2195) and DIGEST-MD5 (RFC 2831). */

import { createHash, createHmac } from "node:crypto";
import type { SaslCredentials, SaslMechanism } from "./mechanism.ts";

/** CRAM-MD5, and the same with SHA-1 that some servers have. */
const cram = (name: string, digest: "md5" | "sha1"): SaslMechanism => ({
  name,
  begin({ user, password }) {
    let isAnswered = false;
    return {
      answer(challenge) {
        if (isAnswered) return undefined;
        isAnswered = true;
        return Buffer.from(`${user} ${createHmac(digest, password).update(challenge).digest("hex")}`);
      },
    };
  },
});

export const cramMd5 = cram("CRAM-MD5", "md5");
export const cramSha1 = cram("CRAM-SHA1", "sha1");

/** Octets of a challenge (RFC 2831 section 2.1.1: "less than 2048"), and of the proof behind it. */
const longest = 2048;

/** DIGEST-MD5 with qop=auth: no layer of its own. */
export const digestMd5: SaslMechanism = {
  name: "DIGEST-MD5",
  begin(credentials) {
    let expected: string | undefined;
    let objection: string | undefined = "the server has not proved that it knows the password";
    let isProved = false;
    return {
      answer(challenge) {
        const text = Buffer.from(challenge).toString("utf8");
        if (isProved) return undefined;
        if (challenge.length > longest) {
          objection = `the server's challenge has ${challenge.length} octets, more than the ${longest} that RFC 2831 allows`;
          return undefined;
        }
        if (expected !== undefined) {
          isProved = directives(text).get("rspauth")?.[0] === expected;
          objection = isProved ? undefined : "the server's proof (rspauth) is wrong";
          return isProved ? Buffer.alloc(0) : undefined;
        }
        const answered = respond(directives(text), credentials);
        if (typeof answered === "string") {
          objection = answered;
          return undefined;
        }
        expected = answered.expected;
        return answered.response;
      },
      objection: () => objection,
    };
  },
};

interface Answered {
  readonly response: Uint8Array;
  /** What the server must send to prove that it knows the password, too (RFC 2831 section 2.1.3). */
  readonly expected: string;
}

/** The digest-response, its directives in alphabetical order like swaks's, or a text that says why there is none. */
function respond(
  offered: Directives,
  { user, password, extra, host, random }: SaslCredentials,
): Answered | string {
  const nonce = offered.get("nonce")?.[0];
  if (nonce === undefined) return "the server's challenge has no nonce";
  const qops = (offered.get("qop")?.[0] ?? "auth").split(/[\s,]+/);
  if (!qops.includes("auth"))
    return `the server wants a layer of protection (qop ${qops.join(", ")}); only auth is supported`;
  const isUtf8 = offered.get("charset")?.[0]?.toLowerCase() === "utf-8";
  const realm = extra.get("realm") ?? offered.get("realm")?.[0];
  const cnonce = Buffer.from(random(16)).toString("hex");
  const uri = digestUri(extra, host);
  // In UTF-8, like swaks and Dovecot; section 2.1.2.1 prefers ISO 8859-1 where that is enough.
  const secret = md5(`${user}:${realm ?? ""}:${password}`);
  const session = hex(Buffer.concat([secret, Buffer.from(`:${nonce}:${cnonce}`)]));
  const proof = (method: string): string =>
    hex(`${session}:${nonce}:00000001:${cnonce}:auth:${hex(`${method}:${uri}`)}`);
  const parts = [
    ...(isUtf8 ? ["charset=utf-8"] : []),
    `cnonce=${quoted(cnonce)}`,
    `digest-uri=${quoted(uri)}`,
    "nc=00000001",
    `nonce=${quoted(nonce)}`,
    "qop=auth",
    ...(realm === undefined ? [] : [`realm=${quoted(realm)}`]),
    `response=${proof("AUTHENTICATE")}`,
    `username=${quoted(user)}`,
  ];
  return { response: Buffer.from(parts.join(","), isUtf8 ? "utf8" : "latin1"), expected: proof("") };
}

/** Type of service, host, and the name of the service where it differs (RFC 2831 section 2.1.2). */
function digestUri(extra: ReadonlyMap<string, string>, host: string): string {
  const name = extra.get("dmd5-serv-name");
  const type = extra.get("dmd5-serv-type") ?? "smtp";
  return `${type}/${extra.get("dmd5-host") ?? host}${name === undefined ? "" : `/${name}`}`;
}

type Directives = ReadonlyMap<string, readonly string[]>;

/** `name=value, name="quoted \" value"`, names in lower case; some, such as realm, may occur several times. */
function directives(text: string): Directives {
  const found = new Map<string, string[]>();
  for (const [, name = "", inQuotes, bare] of text.matchAll(
    /([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))/g,
  )) {
    const value = inQuotes?.replace(/\\(.)/g, "$1") ?? bare ?? "";
    found.set(name.toLowerCase(), [...(found.get(name.toLowerCase()) ?? []), value]);
  }
  return found;
}

const quoted = (text: string): string => `"${text.replace(/["\\]/g, "\\$&")}"`;
const md5 = (data: string | Uint8Array): Buffer => createHash("md5").update(data).digest();
const hex = (data: string | Uint8Array): string => md5(data).toString("hex");
