/**
 * A report about a message (RFC 3464, in the multipart/report of RFC 6522) as far as a probe wants to know it: about which
 * message, and what happened. The report's words come from strangers: short, on one line, and nothing but text.
 */
import { bodyOffset, fieldBody, isNamed, splitFields } from "../../smtp/header.ts";
import { isReport } from "./mailbox.ts";

export interface Returned {
  /** RFC 3464 section 2.3.3. */
  readonly action: "failed" | "delayed" | "delivered" | "relayed" | "expanded";
  /** Enhanced status code, such as "5.1.1"; "" where there is none. */
  readonly status: string;
  /** What the other side said, as text of one line. */
  readonly diagnostic: string;
  /** Who says so. */
  readonly reporter: string;
}

const actions: readonly Returned["action"][] = ["failed", "delayed", "delivered", "relayed", "expanded"];

/** No honest diagnostic is longer; our choice. */
const longest = 500;

/**
 * The report in `message` where it is one about the message whose ENVID, or Message-ID's left side, is `id`; else undefined.
 * The octets may be cut off behind the parts that matter.
 */
export function returnedIn(message: Buffer, id: string): Returned | undefined {
  const start = bodyOffset(message);
  if (start === undefined) return undefined;
  if (!isReport(message)) return undefined;
  const body = message.toString("latin1", start);
  if (!body.includes(id)) return undefined;
  const part = /^Content-Type:\s*message\/(?:global-)?delivery-status\b/im.exec(body);
  if (!part) return undefined;
  const rest = body.slice(part.index);
  const fields = splitFields(rest.slice(rest.indexOf("\r\n\r\n") + 4).split(/^--/m, 1)[0] ?? "");
  const value = (name: string): string => {
    const field = fields.find((one) => isNamed(one, name));
    return field ? plain(fieldBody(field)) : "";
  };
  const action = actions.find((one) => one === value("Action").toLowerCase());
  if (!action) return undefined;
  return {
    action,
    status: /\d\.\d{1,3}\.\d{1,3}/.exec(value("Status"))?.[0] ?? "",
    diagnostic: value("Diagnostic-Code").replace(/^[\w-]+\s*;\s*/, ""),
    reporter: value("Reporting-MTA").replace(/^[\w-]+\s*;\s*/, ""),
  };
}

/** Text of one line, whatever a stranger wrote. */
const plain = (text: string): string =>
  text
    .replace(/[^\x21-\x7e]+/g, " ")
    .trim()
    .slice(0, longest);
