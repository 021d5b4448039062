/**
 * Reverse-paths and forward-paths as SMTP writes them (RFC 5321 section 4.1.2, RFC 6531 section 3.3).
 * Not for the addresses in header fields, whose grammar is another (RFC 5322 section 3.4).
 */
import { isIPv4, isIPv6 } from "node:net";
import { domainToASCII } from "node:url";

export interface Path {
  /** Without angle brackets and source route, otherwise as it was given; "" for the null reverse-path. */
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
// The underscore is no letter of host names, but hosts with one exist and Postfix delivers to them.
const domainLabel =
  /^[A-Za-z0-9_\u{80}-\u{10ffff}](?:[A-Za-z0-9_\u{80}-\u{10ffff}-]*[A-Za-z0-9_\u{80}-\u{10ffff}])?$/u;

/**
 * Reads the path at the start of what follows `MAIL FROM:` or `RCPT TO:`.
 * `rest` is what stands behind it (the parameters, without the blank before them).
 * Gives undefined where the syntax or a length limit is broken.
 */
export function readPath(argument: string): { readonly path: Path; readonly rest: string } | undefined {
  // A ">" inside a quoted local part does not end the path.
  const found = /^<((?:[^"<>]|"(?:[^"\\]|\\.)*")*)>(?: +(.*))?$/su.exec(argument.trimEnd());
  if (!found) return undefined;
  const path = parseMailbox(withoutRoute(found[1] ?? ""));
  return path && { path, rest: found[2] ?? "" };
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

/** Reads `local@domain`, "" or `postmaster` (RFC 5321 section 4.1.1.3 lets that one go without a domain). */
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

/** The domain in lower-case A-labels, as the DNS wants it; undefined where it has no such form. */
export function asciiDomain(domain: string): string | undefined {
  if (domain.startsWith("[")) return domain;
  const ascii = domainToASCII(domain);
  return ascii === "" || ascii.length > longestDomain ? undefined : ascii;
}

/** What stands behind the last "@" of an address that was parsed before, "" where there is none. */
export function domainOf(address: string): string {
  const at = address.lastIndexOf("@");
  return at < 0 ? "" : address.slice(at + 1);
}

/** Whether the address can only travel with SMTPUTF8 (RFC 6531) unless its domain is turned into A-labels. */
export const isAscii = (text: string): boolean => !/[^\u0000-\u007f]/.test(text);

const octets = (text: string): number => Buffer.byteLength(text, "utf8");
