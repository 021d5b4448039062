/** What the keywords of EHLO mean, one row each: IANA's "SMTP Service Extensions" and what is in use besides. */

/** Keyword -> what it means, given the words behind it. */
export const keywords: Readonly<Record<string, (words: readonly string[]) => string>> = {
  "8BITMIME": () => "takes octets beyond ASCII in the message (RFC 6152)",
  ATRN: () => "hands over the mail of domains to who logs in for them (RFC 2645)",
  AUTH: (words) => `logging in with ${words.join(" or ")} (RFC 4954)`,
  BINARYMIME: () => "takes messages that have no lines, by BDAT (RFC 3030)",
  BURL: () => "takes the message from an IMAP server (RFC 4468)",
  CHUNKING: () => "takes the message in pieces, by BDAT (RFC 3030)",
  DELIVERBY: ([seconds]) =>
    `delivers by a time${seconds === undefined ? "" : `, at least ${seconds} s away`} (RFC 2852)`,
  DSN: () => "reports what became of a message, when and as asked for (RFC 3461)",
  ENHANCEDSTATUSCODES: () => "says more exactly why, as in 5.1.1 (RFC 2034)",
  ETRN: () => "begins to send what waits for a domain (RFC 1985)",
  EXPN: () => "tells the members of a list (RFC 5321)",
  FUTURERELEASE: () => "holds a message until a time (RFC 4865)",
  HELP: () => "answers HELP (RFC 5321)",
  LIMITS: (words) => `bounds what a session may hold: ${words.join(", ")} (RFC 9422)`,
  "MT-PRIORITY": () => "sends some messages first (RFC 6710)",
  MTRK: () => "lets a message be followed (RFC 3885)",
  "NO-SOLICITING": () => "does not want advertisements (RFC 3865)",
  PIPELINING: () => "takes several commands at once (RFC 2920)",
  PRDR: () => "answers for each recipient behind the message (draft-hall-prdr)",
  REQUIRETLS: () => "sends on with TLS all the way, or not at all (RFC 8689)",
  RRVS: () => "delivers only if the mailbox is as old as said (RFC 7293)",
  SIZE: ([octets]) =>
    octets === undefined || octets === "0"
      ? "wants to know a message's size before (RFC 1870)"
      : `takes messages of up to ${octets} octets (RFC 1870)`,
  SMTPUTF8: () => "takes addresses and headers in UTF-8 (RFC 6531)",
  STARTTLS: () => "encrypts the rest of the session (RFC 3207)",
  SUBMITTER: () => "takes the responsible submitter (RFC 4405, historic)",
  TURN: () => "changes the roles of both sides (RFC 5321: not to be used)",
  VRFY: () => "tells whether a mailbox exists (RFC 5321)",
  XCLIENT: (words) => `lets trusted hosts say who the client is: ${words.join(", ")} (Postfix)`,
  XFORWARD: (words) =>
    `lets trusted hosts say who the client was, for the log: ${words.join(", ")} (Postfix)`,
};
