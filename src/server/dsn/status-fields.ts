/**
 * The part of a report that programs read: message/delivery-status (RFC 3464, with RFC 3461 section 6.3), or its sister
 * with UTF-8 in it (RFC 6533 section 4).
 */
import { isAscii } from "../../smtp/address.ts";
import { formatDate } from "../../smtp/date.ts";
import { harmless, wrapped } from "../../smtp/mime-text.ts";
import { formatReply } from "../../smtp/reply.ts";
import { embedHidden, embedUnicode } from "../../smtp/xtext.ts";
import type { Envelope, LastReply, Recipient } from "../spool/envelope.ts";

/** RFC 3464 section 2.3.3, without "expanded": we have no lists. */
export interface ReportedRecipient {
  readonly recipient: Recipient;
  readonly action: "failed" | "delayed" | "delivered" | "relayed";
  /** Copies that the recipient may have all the same. */
  readonly copies?: number;
}

/**
 * The groups of fields, CRLF line ends. UTF-8 is among them only where the sender used SMTPUTF8, and so can read it.
 * `until` is when we give up, for "delayed".
 */
export function statusFields(
  told: readonly ReportedRecipient[],
  { id, accepted, envid, smtputf8 }: Envelope,
  hostname: string,
  until: number,
): string {
  const spelling = smtputf8 ? inUtf8 : inAscii;
  const message = [
    field("Reporting-MTA", `dns; ${hostname}`),
    envid !== undefined && field("Original-Envelope-Id", inAscii.text(envid)),
    field("Arrival-Date", formatDate(accepted)),
    field("X-Queue-ID", id),
  ];
  const groups = told.map(({ recipient, action, copies = 0 }) => {
    const { address, orcpt, reply } = recipient;
    const remote = reply !== undefined && reply.relay !== "none";
    return [
      orcpt !== undefined && field("Original-Recipient", originalOf(orcpt, spelling)),
      field("Final-Recipient", typedAddress(address, spelling)),
      field("Action", action),
      // RFC 3463 section 3.5: "time expired" only where the actual problem has no code of its own.
      field("Status", reply?.status ?? "4.4.7"),
      remote && field("Remote-MTA", `dns; ${inAscii.text(reply.relay.split("[", 1)[0] ?? "")}`),
      reply !== undefined && field("Diagnostic-Code", diagnostic(reply, remote, spelling)),
      reply !== undefined && field("Last-Attempt-Date", formatDate(reply.at)),
      copies > 0 && field("X-Possible-Copies", `${copies}`),
      action === "delayed" && field("Will-Retry-Until", formatDate(until)),
    ];
  });
  return [message, ...groups].map((lines) => lines.filter((line) => line !== false).join("")).join("\r\n");
}

/** How strangers' words and addresses are written, on one line. */
interface Spelling {
  readonly text: (words: string) => string;
  /** Of the type "utf-8" (RFC 6533 section 3). */
  readonly address: (address: string) => string;
}

const inAscii: Spelling = {
  text: (words) => words.replace(/[^\u0020-\u007e]/gu, "?"),
  address: embedUnicode,
};

const inUtf8: Spelling = { text: harmless, address: embedHidden };

/** What a server said is SMTP's; what we found ourselves has no registered type (RFC 3464 section 2.3.6). */
function diagnostic(reply: LastReply, remote: boolean, { text }: Spelling): string {
  return remote ? `smtp; ${text(formatReply(reply))}` : `x-tpa-submit; ${text(reply.text)}`;
}

function typedAddress(address: string, spelling: Spelling): string {
  if (isAscii(address)) return `rfc822; ${inAscii.text(address)}`;
  return `utf-8; ${spelling.address(address.replaceAll("\\", "\\x{5C}"))}`;
}

/** ORCPT as the client gave it, `type;address`. */
function originalOf(orcpt: string, spelling: Spelling): string {
  const [type = "", ...rest] = orcpt.split(";");
  const address = rest.join(";");
  const unicode = type.toLowerCase() === "utf-8" && !isAscii(address);
  return `${inAscii.text(type)}; ${unicode ? spelling.address(address) : inAscii.text(address)}`;
}

/** A header field, folded between words where it is long (RFC 5322 section 2.2.3). */
function field(name: string, value: string): string {
  return `${wrapped(`${name}: ${value}`, "").replaceAll("\n", "\r\n ")}\r\n`;
}
