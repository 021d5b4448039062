/**
 * Reverse-paths and forward-paths as SMTP writes them (RFC 5321 section 4.1.2, RFC 6531 section 3.3).
 * Addresses in header fields have another grammar (RFC 5322 section 3.4): see mailboxes.ts.
 */
import { isIPv4, isIPv6 } from "node:net";
import { domainToASCII } from "node:url";

export interface Path {
  /**
   * Without angle brackets and source route, in quotes where its dots are odd, otherwise as it was given; "" for the
   * null reverse-path.
   */
  readonly address: string;
  /** The local part's meaning: quotes and backslashes resolved. */
  readonly local: string;
  /** As given, "" for the null reverse-path and for `<postmaster>`. */
  readonly domain: string;
}

// RFC 5321 sections 4.5.3.1.1 to 4.5.3.1.3, in octets.
const longestLocal = 64;
const longestDomain = 255;
const longestPath = 256;

const atomText = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~\\u{80}-\\u{10ffff}-]+";
const dotString = new RegExp(`^${atomText}(?:\\.${atomText})*$`, "u");
const quotedString = /^"(?:[\u{20}-\u{21}\u{23}-\u{5b}\u{5d}-\u{7e}\u{80}-\u{10ffff}]|\\[\u{20}-\u{7e}])*"$/u;
// Host names have no underscore, but hosts with one exist, and Postfix delivers to them.
const domainLabel =
  /^[A-Za-z0-9_\u{80}-\u{10ffff}](?:[A-Za-z0-9_\u{80}-\u{10ffff}-]*[A-Za-z0-9_\u{80}-\u{10ffff}])?$/u;

/**
 * Dots at the beginning, at the end or side by side, as some mobile providers had: Postfix quotes such a local part.
 */
const oddDots = new RegExp(`^\\.*${atomText}(?:\\.+${atomText})*\\.*$`, "u");

interface Written {
  readonly inside: string;
  readonly rest: string;
}

/**
 * Reads the path behind `MAIL FROM:` or `RCPT TO:`, in angle brackets or, like Postfix, without. `rest` is what follows
 * it (the parameters, without the blank before them). Undefined if the syntax is wrong or a length limit is exceeded.
 */
export function readPath(argument: string): { readonly path: Path; readonly rest: string } | undefined {
  const written = inBrackets(argument) ?? bare(argument);
  const path = written && parseMailbox(canonical(withoutRoute(written.inside)));
  return path && { path, rest: written.rest };
}

function inBrackets(argument: string): Written | undefined {
  // A ">" inside a quoted local part does not end the path.
  const found = /^<((?:[^"<>]|"(?:[^"\\]|\\.)*")*)>(?: +(.*))?$/su.exec(argument.trimEnd());
  return found ? { inside: found[1] ?? "", rest: found[2] ?? "" } : undefined;
}

/** Parameters may follow, but no path in brackets: then the first word would be a display name. */
function bare(argument: string): Written | undefined {
  const found = /^((?:[^"<> ]|"(?:[^"\\]|\\.)*")+)(?: +([^<].*))?$/su.exec(argument.trimEnd());
  return found ? { inside: found[1] ?? "", rest: found[2] ?? "" } : undefined;
}

/** `a..b@example.org` as RFC 5321 section 4.1.2 writes it, `"a..b"@example.org`; any other address unchanged. */
export function canonical(address: string): string {
  const at = address.lastIndexOf("@");
  if (at < 0 || octets(address) > longestPath) return address;
  const local = address.slice(0, at);
  return !dotString.test(local) && oddDots.test(local) ? `"${local}"${address.slice(at)}` : address;
}

/** What is wrong with an argument that readPath() cannot read: the address, then the fault. */
export function pathFault(argument: string): string {
  const text = argument.trimEnd();
  if (text === "") return "there is no address";
  const written = inBrackets(text) ?? bare(text);
  if (!written) return `${shownAddress(text)}: the address must stand in angle brackets that are closed`;
  return `${shownAddress(withoutRoute(written.inside))}: ${addressFault(withoutRoute(written.inside))}`;
}

function addressFault(address: string): string {
  const at = address.lastIndexOf("@");
  const [local, domain] = at < 0 ? [address, ""] : [address.slice(0, at), address.slice(at + 1)];
  if (octets(local) > longestLocal) return `more than ${longestLocal} octets before the @`;
  if (octets(domain) > longestDomain) return `more than ${longestDomain} octets behind the @`;
  if (local === "") return "nothing stands before the @";
  if (localPart(local) === undefined && !oddDots.test(local)) {
    if (local.includes("@")) return "it has more than one @";
    if (/[^\x21-\x7e]/.test(local))
      return "a blank or a control character stands before the @, and not in quotes";
    return "what stands before the @ has signs that must stand in quotes";
  }
  if (at >= 0 && domain === "") return "nothing stands behind the @";
  if (at >= 0 && !isDomain(domain)) return "what stands behind the @ is no domain name";
  return `it has more than ${longestPath - 2} octets, or ${longestLocal} before the @ once it stands in quotes`;
}

/** Of an address in a reply: enough to recognise it (RFC 5321 section 4.5.3.1.5 allows a reply line 512 octets). */
const shownOctets = 100;

/** Any address in a form that is safe for a reply: in brackets, cut, and only visible ASCII. */
export function shownAddress(address: string): string {
  const inside = address.slice(0, shownOctets).replace(/^<|>$/g, "");
  const safe = inside.replace(
    /[^\x20-\x3b\x3d\x3f-\x5b\x5d-\x7e]/gu,
    (sign) => `\\x{${(sign.codePointAt(0) ?? 0).toString(16)}}`,
  );
  const isCut = address.length > shownOctets || safe.length > 2 * shownOctets;
  return `<${safe.slice(0, 2 * shownOctets)}${isCut ? "..." : ""}>`;
}

/** Reads a path in angle brackets and nothing else. */
export function parsePath(text: string): Path | undefined {
  const found = readPath(text);
  return found?.rest === "" ? found.path : undefined;
}

/** RFC 5321 section 4.1.1.3: a source route is recognised and ignored. */
function withoutRoute(inside: string): string {
  const route = /^@[^\s:"]+:/.exec(inside);
  return route ? inside.slice(route[0].length) : inside;
}

/** Reads `local@domain`, "" or `postmaster` (RFC 5321 section 4.1.1.3 allows that one without a domain). */
export function parseMailbox(address: string): Path | undefined {
  if (address === "") return { address, local: "", domain: "" };
  if (octets(address) > longestPath - 2) return undefined; // the limit counts the brackets
  if (/^postmaster$/i.test(address)) return { address, local: address, domain: "" };
  const at = address.lastIndexOf("@");
  const [written, domain] = at < 0 ? [address, ""] : [address.slice(0, at), address.slice(at + 1)];
  const local = localPart(written);
  if (local === undefined || (at >= 0 && !isDomain(domain))) return undefined;
  return { address, local, domain };
}

function localPart(written: string): string | undefined {
  if (octets(written) > longestLocal) return undefined;
  if (dotString.test(written)) return written;
  return quotedString.test(written) ? written.slice(1, -1).replace(/\\(.)/g, "$1") : undefined;
}

function isDomain(domain: string): boolean {
  if (octets(domain) > longestDomain) return false;
  return addressLiteral(domain) !== undefined || domain.split(".").every((label) => domainLabel.test(label));
}

/** The IP address in `[192.0.2.1]` or `[IPv6:2001:db8::1]`, undefined for any other domain. */
export function addressLiteral(domain: string): string | undefined {
  const inside = /^\[(.*)\]$/.exec(domain)?.[1];
  if (inside === undefined) return undefined;
  if (isIPv4(inside)) return inside;
  const six = /^IPv6:(.+)$/i.exec(inside)?.[1];
  return six !== undefined && isIPv6(six) ? six : undefined;
}

/** The domain in lower-case A-labels, as the DNS needs it; undefined if it has no such form. */
export function asciiDomain(domain: string): string | undefined {
  if (domain.startsWith("[")) return domain;
  const ascii = domainToASCII(domain);
  return ascii === "" || ascii.length > longestDomain ? undefined : ascii;
}

/** The domain of an address that was parsed before, behind the last "@"; "" if there is none. */
export function domainOf(address: string): string {
  const at = address.lastIndexOf("@");
  return at < 0 ? "" : address.slice(at + 1);
}

/** Whether the address can only travel with SMTPUTF8 (RFC 6531) unless its domain is turned into A-labels. */
export const isAscii = (text: string): boolean => !/[^\u0000-\u007f]/.test(text);

const octets = (text: string): number => Buffer.byteLength(text, "utf8");

/** Domains ignore case, local parts may not (RFC 5321 section 2.4). */
export function isSameMailbox(one: string, other: string): boolean {
  const [oneAt, otherAt] = [one.lastIndexOf("@"), other.lastIndexOf("@")];
  return (
    one.slice(0, oneAt) === other.slice(0, otherAt) &&
    one.slice(oneAt).toLowerCase() === other.slice(otherAt).toLowerCase()
  );
}
