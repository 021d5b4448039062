/** The part of a report that programs read: message/delivery-status (RFC 3464, with RFC 3461 section 6.3). */
import { isAscii } from "../../smtp/address.ts";
import { formatDate } from "../../smtp/date.ts";
import { formatReply } from "../../smtp/reply.ts";
import type { Envelope, LastReply } from "../spool/envelope.ts";
import { wrapped } from "./prose.ts";
import type { Told } from "./report.ts";

/** The groups of fields, CRLF line ends, ASCII only. `until` is when we give up, for "delayed". */
export function statusFields(
  told: readonly Told[],
  { id, accepted, envid }: Envelope,
  hostname: string,
  until: number,
): string {
  const message = [
    field("Reporting-MTA", `dns; ${hostname}`),
    envid !== undefined && field("Original-Envelope-Id", plain(envid)),
    field("Arrival-Date", formatDate(accepted)),
    field("X-Queue-ID", id),
  ];
  const groups = told.map(({ recipient, action }) => {
    const { address, orcpt, reply } = recipient;
    const remote = reply !== undefined && reply.relay !== "none";
    return [
      orcpt !== undefined && field("Original-Recipient", plain(orcpt.replace(";", "; "))),
      field("Final-Recipient", typedAddress(address)),
      field("Action", action),
      // RFC 3463 section 3.5: "time expired" only where the actual problem has no code of its own.
      field("Status", reply?.status ?? "4.4.7"),
      remote && field("Remote-MTA", `dns; ${plain(reply.relay.replace(/\[.*$/, ""))}`),
      reply !== undefined && field("Diagnostic-Code", diagnostic(reply, remote)),
      reply !== undefined && field("Last-Attempt-Date", formatDate(reply.at)),
      action === "delayed" && field("Will-Retry-Until", formatDate(until)),
    ];
  });
  return [message, ...groups].map((lines) => lines.filter((line) => line !== false).join("")).join("\r\n");
}

/** What a server said is SMTP's; what we found ourselves has no registered type (RFC 3464 section 2.3.6). */
function diagnostic(reply: LastReply, remote: boolean): string {
  return remote ? `smtp; ${plain(formatReply(reply))}` : `x-tpa-submit; ${plain(reply.text)}`;
}

/** RFC 6533 section 3: a non-ASCII address as utf-8-addr-xtext, which any reader of RFC 3464 can take. */
function typedAddress(address: string): string {
  if (isAscii(address)) return `rfc822; ${plain(address)}`;
  const encoded = Array.from(address, (sign) =>
    /[!-*,-<>-[\]-~]/.test(sign) ? sign : `\\x{${(sign.codePointAt(0) ?? 0).toString(16).toUpperCase()}}`,
  );
  return `utf-8; ${encoded.join("")}`;
}

/** ASCII on one line, whatever a stranger wrote. */
const plain = (text: string): string => text.replace(/[^\u0020-\u007e]/gu, "?");

/** A header field, folded between words where it is long (RFC 5322 section 2.2.3). */
function field(name: string, value: string): string {
  return `${wrapped(`${name}: ${value}`, "").replaceAll("\n", "\r\n ")}\r\n`;
}
