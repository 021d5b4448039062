/**
 * A delivery report (RFC 3464, in the multipart/report of RFC 6522): which message it is about, and what happened to
 * it. Strangers wrote it, so its texts are cut to one short line of plain text.
 */
import { bodyOffset, fieldBody, isNamed, splitFields } from "../../smtp/header.ts";
import { isReport } from "./mailbox.ts";

export interface DeliveryReport {
  /** RFC 3464 section 2.3.3. */
  readonly action: "failed" | "delayed" | "delivered" | "relayed" | "expanded";
  /** Enhanced status code, such as "5.1.1"; "" where there is none. */
  readonly status: string;
  /** What the other side said, in one line. */
  readonly diagnostic: string;
  /** The Reporting-MTA. */
  readonly reporter: string;
}

const actions: readonly DeliveryReport["action"][] = [
  "failed",
  "delayed",
  "delivered",
  "relayed",
  "expanded",
];

/** More than any real diagnostic has; our choice. */
const longest = 500;

/**
 * The report in `message` about the message whose ENVID, or left side of the Message-ID, is `id`; undefined where it is
 * none. The octets may be cut off behind the parts that matter.
 */
export function deliveryReportIn(message: Buffer, id: string): DeliveryReport | undefined {
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

/** One line of plain text, whatever a stranger wrote. */
const plain = (text: string): string =>
  text
    .replace(/[^\x21-\x7e]+/g, " ")
    .trim()
    .slice(0, longest);
