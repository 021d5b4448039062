/** How much a server takes at a time, where it says so in answer to EHLO (RFC 9422). */

/** Infinity where nothing is said. */
export interface ServerLimits {
  /** Messages in one session. */
  readonly mails: number;
  /** Recipients of one message. */
  readonly recipients: number;
  /** Domains of these recipients. */
  readonly domains: number;
}

/** Reads the LIMITS among `extensions`, the lines of the answer to EHLO without codes; limits it does not know are passed over. */
export function serverLimits(extensions: readonly string[]): ServerLimits {
  const line = extensions.find((extension) => /^LIMITS\s/i.test(extension)) ?? "";
  const limit = (name: string): number => {
    const said = Number(new RegExp(`\\s${name}=(\\d{1,6})(?!\\S)`, "i").exec(line)?.[1] ?? 0);
    return said > 0 ? said : Number.POSITIVE_INFINITY;
  };
  return { mails: limit("MAILMAX"), recipients: limit("RCPTMAX"), domains: limit("RCPTDOMAINMAX") };
}
