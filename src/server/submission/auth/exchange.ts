/**
 * The exchange of AUTH for all mechanisms (RFC 4954 section 4): challenges and responses in base64, until there are
 * credentials. The mechanisms are rows in mechanisms.ts.
 */
import type { AuthenticationResult, Challenge, SaslLogins } from "../../../passwd/verifier.ts";
import { type Reply, reply } from "../../../smtp/reply.ts";
import { saslprep } from "../../../smtp/saslprep.ts";

export type SaslMechanismName =
  | "PLAIN"
  | "LOGIN"
  | Challenge
  | "SCRAM-SHA-1-PLUS"
  | "SCRAM-SHA-256-PLUS"
  | "EXTERNAL";

export interface SaslResult {
  readonly mechanism: SaslMechanismName;
  readonly login: string;
  /** The response in its place, where the mechanism sends no password. */
  readonly password: string;
  /** On whose behalf: "" or the login itself. Anything else is refused later. */
  readonly authzid: string;
  /** The result of the exchange. Absent where there is a password, which is still to be checked. */
  readonly verdict?: AuthenticationResult;
}

export type SaslStep =
  /** Sent as `334` and base64. The client's next line goes to `next`. */
  | { readonly kind: "challenge"; readonly challenge: string; readonly next: SaslLineHandler }
  | { readonly kind: "credentials"; readonly credentials: SaslResult }
  | KeyLookup
  | { readonly kind: "refused"; readonly reply: Reply };

/** Continues with what the password file has for `login`. */
export interface KeyLookup {
  readonly kind: "question";
  readonly mechanism: SaslMechanismName;
  readonly login: string;
  readonly lookUp: (proofs: SaslLogins) => Promise<SaslStep>;
}

/** Reads the client's next line, in base64. */
export type SaslLineHandler = (line: string) => SaslStep;

/** Reads a decoded response and gives the next step. */
export type ResponseHandler = (response: string) => SaslStep;

/** The first challenge of a mechanism, and what reads the response to it. */
export interface SaslStart {
  readonly first: string;
  readonly step: ResponseHandler;
}

/** What the mechanisms know of the session and the site. */
export interface SaslContext {
  /** The mechanisms that EHLO announces. */
  readonly offered: readonly SaslMechanismName[];
  readonly hostname: string;
  /** The octets of tls-exporter (RFC 9266), where the session has them. */
  readonly binding?: Uint8Array | undefined;
  /** The address that the client's certificate names. */
  readonly certifiedAddress?: string | undefined;
  /** An unguessable word of letters and digits, "-" and "_". */
  readonly nonce: () => string;
}

/** Sends `text`. The response to it goes to `step`. */
export function challenge(text: string, step: ResponseHandler): SaslStep {
  return {
    kind: "challenge",
    challenge: Buffer.from(text).toString("base64"),
    next: (line) =>
      line.trim() === "*"
        ? refused(501, "5.7.0", "Authentication given up as you asked")
        : decodeResponse(line, step),
  };
}

// "=" alone is an empty initial response; padding in the wrong place, such as "=AAA", is no base64.
const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

export function decodeResponse(line: string, step: ResponseHandler): SaslStep {
  if (!base64.test(line)) return refused(501, "5.5.2", "This is not base64");
  try {
    return step(
      new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Buffer.from(line, "base64")),
    );
  } catch (error) {
    if (error instanceof TypeError) return refused(501, "5.5.2", "The response is not UTF-8");
    throw error;
  }
}

/** Ends the exchange with credentials, or with a refusal where they have characters that no name can have. */
export function credentials(given: SaslResult): SaslStep {
  const name = saslprep(given.login);
  const authzid = saslprep(given.authzid);
  if (name === undefined || authzid === undefined || /\0/.test(given.password)) {
    return refused(501, "5.5.2", "The user name or the password has characters that no name can have");
  }
  return { kind: "credentials", credentials: { ...given, login: name, authzid } };
}

export function refused(code: number, status: string, text: string): SaslStep {
  return { kind: "refused", reply: reply(code, status, text) };
}
