/**
 * The exchange of AUTH, whatever the mechanism (RFC 4954 section 4): challenges and responses in base64, until there
 * are credentials. The mechanisms are rows in mechanisms.ts.
 */
import type { Challenge, Proofs, Verdict } from "../../../passwd/verifier.ts";
import { type Reply, reply } from "../../../smtp/reply.ts";
import { saslprep } from "../../../smtp/saslprep.ts";

export type SaslMechanism =
  | "PLAIN"
  | "LOGIN"
  | Challenge
  | "SCRAM-SHA-1-PLUS"
  | "SCRAM-SHA-256-PLUS"
  | "EXTERNAL";

export interface SaslCredentials {
  readonly mechanism: SaslMechanism;
  readonly login: string;
  /** Where no password is said: the response that stands for it. */
  readonly password: string;
  /** On whose behalf; "" or the login itself, anything else is refused later. */
  readonly authzid: string;
  /** What the exchange has shown already; absent where a password was said, which is still to be checked. */
  readonly verdict?: Verdict;
}

export type SaslStep =
  /** Sent as `334` and base64; the client's next line goes to `next`. */
  | { readonly kind: "challenge"; readonly challenge: string; readonly next: SaslExchange }
  | { readonly kind: "credentials"; readonly credentials: SaslCredentials }
  | KeyLookup
  | { readonly kind: "refused"; readonly reply: Reply };

/** Goes on with what the password file has for `login`. */
export interface KeyLookup {
  readonly kind: "question";
  readonly mechanism: SaslMechanism;
  readonly login: string;
  readonly lookUp: (proofs: Proofs) => Promise<SaslStep>;
}

/** Takes the client's next line, still in base64. */
export type SaslExchange = (line: string) => SaslStep;

/** Takes a response in clear, says what comes next. */
export type ResponseHandler = (response: string) => SaslStep;

/** The first challenge of a mechanism, and what takes the response to it. */
export interface SaslStart {
  readonly first: string;
  readonly step: ResponseHandler;
}

/** What the mechanisms know of session and site. */
export interface SaslContext {
  /** Those that EHLO announces. */
  readonly offered: readonly SaslMechanism[];
  readonly hostname: string;
  /** The octets of tls-exporter (RFC 9266), where the session has them. */
  readonly binding?: Uint8Array | undefined;
  /** The address that the client's certificate names. */
  readonly certifiedAddress?: string | undefined;
  /** An unguessable word of letters and digits, "-" and "_". */
  readonly nonce: () => string;
}

/** Sends `text`; the response to it goes to `step`. */
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

// "=" alone would be an empty initial response; "=AAA" and other padding in the wrong place is no base64.
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

/** Ends the exchange with what the client says it is; with a refusal where no name can be so. */
export function credentials(given: SaslCredentials): SaslStep {
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
