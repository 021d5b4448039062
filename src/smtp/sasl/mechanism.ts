/**
 * A SASL mechanism on the client's side (RFC 4422): the octets of each message, and errors in the server's messages.
 * The caller does the base64.
 */

/** The input of a mechanism. */
export interface SaslCredentials {
  readonly user: string;
  readonly password: string;
  readonly extra: ReadonlyMap<string, string>;
  /** The server's name as given, for DIGEST-MD5 and NTLM. */
  readonly host: string;
  /** RFC 9266's tls-exporter, with TLS 1.3: for -PLUS mechanisms. */
  readonly binding?: Uint8Array;
  /** Random octets. */
  readonly random: (count: number) => Uint8Array;
}

/** One exchange. */
export interface SaslExchange {
  /** The initial response to go with AUTH; absent: AUTH goes alone. */
  readonly initial?: Uint8Array;
  /**
   * The answer to a challenge; undefined ends the exchange in "*" (the server's proof was wrong, or it asks too
   * often).
   */
  answer(challenge: Uint8Array): Uint8Array | undefined | Promise<Uint8Array | undefined>;
  /**
   * Why the exchange is no success, even though the server may say so: what was wrong, or what it still owes, such as
   * the proof that it knows the password. Undefined where nothing is wrong.
   */
  objection?(): string | undefined;
}

export interface SaslMechanism {
  readonly name: string;
  begin(credentials: SaslCredentials): SaslExchange;
  /**
   * For PLAIN and LOGIN: `octets`, one of this mechanism's responses, with the password replaced by `words`.
   */
  hidden?(octets: Uint8Array, password: string, words: string): Uint8Array;
}
