/** The explanations of --explain: EHLO keywords, the choice of a mechanism, refusals, TLS. */

import type { Keywords } from "../../smtp/client/ehlo.ts";
import { explainReply } from "../../smtp/known-replies/explain.ts";
import { meaningText, operatorText } from "../../smtp/known-replies/row.ts";
import { parseReply } from "../../smtp/reply.ts";
import { daysLeft, type TlsFacts } from "../tls.ts";
import type { DaneResult } from "./journal.ts";
import type { Transcript } from "./transcript.ts";

/** One line for each keyword. */
export function explainOffers(transcript: Transcript, offers: Keywords): void {
  for (const [keyword, words] of offers) {
    const meaning = keywords[keyword];
    const said = [keyword, ...words].join(" ");
    if (meaning !== undefined) transcript.explain(`${said}: ${meaning(words)}`);
    else
      transcript.explain(
        `${said}: not known to this program${keyword.startsWith("X") ? "; X marks private ones" : ""}`,
      );
  }
}

/** `tried` in their order; `isNamed`: an option asked for them. */
export function explainLogin(
  transcript: Transcript,
  tried: readonly string[],
  offered: readonly string[],
  isNamed: boolean,
): void {
  const order = isNamed
    ? "in the order that was asked for"
    : "in the order of the alphabet as swaks does, SCRAM after those; --auth names others";
  transcript.explain(
    `the server offers ${[...new Set(offered)].join(" ")}; tried: ${tried.join(", ")} (${order})`,
  );
}

/**
 * What the sender can do about it: by class (RFC 5321 section 4.2.1), and by some codes (RFC 3463, 5248). Then what is
 * known of these very words of `host`, "" where nothing was connected to that has a name.
 */
export function explainRefusal(transcript: Transcript, lines: readonly string[], host = ""): void {
  const [, code = "", status] = /^(\d{3})(?:[ -](\d\.\d{1,3}\.\d{1,3})?|$)/.exec(lines.at(-1) ?? "") ?? [];
  if (!/^[2-5]/.test(code)) return;
  const advice = {
    4: "temporary: try again later, as a queue does",
    5: "permanent: change something before trying again",
  }[code.charAt(0)];
  const meaning = codes[status ?? ""] ?? statuses[(status ?? "").replace(/^\d/, "X")] ?? codes[code];
  transcript.explain(
    [`${code}${status === undefined ? "" : ` ${status}`}`, advice ?? "not what was to come here", meaning]
      .filter((part) => part !== undefined)
      .join(": "),
  );
  const refusal = parseReply(lines.join("\n"));
  const known = explainReply(refusal, host);
  if (known === undefined) return;
  const act = operatorText(known);
  transcript.explain(
    `${meaningText(known, refusal.code)}${act === "" ? "" : `; what the operator can do: ${act}`}`,
  );
}

/** Reply codes (RFC 5321 section 4.2.2, RFC 4954 section 6). */
const codes: Readonly<Record<string, string>> = {
  "421": "the server is closing; it is busy, or stopping",
  "450": "the mailbox is not available now; greylisting says so, too",
  "451": "something went wrong on the server's side",
  "452": "too many recipients, or no room; send the rest in another transaction",
  "454": "TLS or logging in is not possible for the moment",
  "500": "the command is not understood",
  "501": "the command's argument is wrong",
  "502": "the command is not there",
  "503": "not the time for this command",
  "504": "the parameter is not there, or the mechanism of AUTH is not",
  "530": "log in, or begin TLS, first",
  "534": "the mechanism is too weak for this login",
  "535": "login or password is wrong",
  "538": "this mechanism needs TLS",
  "550": "the mailbox is not there, or policy says no",
  "551": "the user is elsewhere",
  "552": "the message, or the mailbox, is too large",
  "553": "the address is not allowed",
  "554": "the transaction failed, or nobody is served here",
  "555": "a parameter of MAIL or RCPT is not known",
};

/** Enhanced status codes (RFC 3463, RFC 4954, RFC 7372), whatever their class. */
const statuses: Readonly<Record<string, string>> = {
  "X.1.1": "there is no such mailbox",
  "X.1.2": "there is no such domain",
  "X.1.3": "the recipient's address is not written as one",
  "X.1.7": "the sender's address is not written as one",
  "X.1.8": "the sender's domain cannot be found",
  "X.2.1": "the mailbox is disabled",
  "X.2.2": "the mailbox is full",
  "X.3.4": "the message is too large for the server",
  "X.4.1": "the next host does not answer",
  "X.4.5": "too much is being sent",
  "X.5.1": "not the time for this command",
  "X.5.2": "the command is not understood",
  "X.5.3": "too many recipients",
  "X.5.4": "the command's argument is wrong",
  "X.6.0": "something about the message itself is wrong",
  "X.7.0": "the server's policy says no",
  "X.7.1": "the server's policy says no; relaying without a login is the usual reason",
  "X.7.8": "login or password is wrong",
  "X.7.9": "the mechanism is too weak for this login",
  "X.7.11": "this mechanism needs TLS",
  "X.7.23": "SPF says no",
  "X.7.26": "SPF, DKIM and DMARC all say no",
};

/** Version and cipher, each certificate with its days, the name. `now` is in milliseconds since the epoch. */
export function explainTls(transcript: Transcript, facts: TlsFacts, now: number): void {
  transcript.explain(
    `${facts.version}, ${facts.cipher} (${facts.bits} bits)${old.has(facts.version) ? ": outdated (RFC 8996)" : ""}`,
  );
  for (const [index, certificate] of facts.peer.entries()) {
    const days = daysLeft(certificate, now);
    const left = Number.isNaN(days)
      ? "without a readable end"
      : days < 0
        ? `ended ${-days} days ago`
        : `${days} days left`;
    const issuer = certificate.issuer?.split("\n").at(-1) ?? "";
    transcript.explain(`certificate ${index}: ${left}, issued by ${issuer}`);
  }
  transcript.explain(
    facts.distrust === undefined
      ? "the chain ends in a CA that is trusted here"
      : `the chain is not trusted: ${facts.distrust}; --tls-ca-path names other CAs`,
  );
  if (facts.host !== undefined)
    transcript.explain(
      facts.hostMatches ? `the certificate is for ${facts.host}` : `the certificate is not for ${facts.host}`,
    );
}

export function explainDane(transcript: Transcript, { records, authentic, matches }: DaneResult): void {
  const signed = authentic ? "signed" : "not known to be signed, so that they count for nothing";
  transcript.explain(
    `DANE: ${records} TLSA records, ${signed}; the certificate ${matches ? "is" : "is not"} one of theirs (RFC 7672)`,
  );
}

const old: ReadonlySet<string> = new Set(["TLSv1", "TLSv1.1", "SSLv3"]);

/** What the keywords of EHLO mean, one row each: IANA's "SMTP Service Extensions" and others in use. */

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
