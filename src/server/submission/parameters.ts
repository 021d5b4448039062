/** The parameters of MAIL and RCPT (RFC 5321 section 4.1.2): a row for each that is known. */
import { type Reply, reply } from "../../smtp/reply.ts";
import { decodeXtext } from "../../smtp/xtext.ts";
import { isDropName } from "../spool/drop-name.ts";
import type { Notify } from "../spool/envelope.ts";

export interface MailParameters {
  /** RFC 1870: octets that the client will send. */
  readonly size?: number;
  /** RFC 6531. */
  readonly smtputf8?: true;
  /** RFC 3461 section 4.4, xtext decoded. */
  readonly envid?: string;
  /** RFC 3461 section 4.3. */
  readonly ret?: "FULL" | "HDRS";
  /** RFC 8689. */
  readonly requireTls?: true;
  /** At the local listener: the name of the file in the maildrop that the message comes from. */
  readonly drop?: string;
}

export interface RcptParameters {
  /** RFC 3461 section 4.1. */
  readonly notify?: readonly Notify[];
  /** RFC 3461 section 4.2: `type;value`, xtext decoded. */
  readonly orcpt?: string;
}

/** Reads a value ("" where "=" or the value is missing). Undefined where it is wrong. */
type ParameterReader<Values> = (value: string) => Partial<Values> | undefined;
type ParameterTable<Values> = ReadonlyMap<string, ParameterReader<Values>>;

export const mailParameters: ParameterTable<MailParameters> = new Map<
  string,
  ParameterReader<MailParameters>
>([
  ["SIZE", (value) => (/^\d{1,20}$/.test(value) ? { size: Number(value) } : undefined)],
  // Later read from the octets themselves, so that a client's mistake does no harm.
  ["BODY", (value) => (/^(?:7BIT|8BITMIME)$/i.test(value) ? {} : undefined)],
  ["SMTPUTF8", (value) => (value === "" ? { smtputf8: true } : undefined)],
  // RFC 4954 section 5: accepted, but no client is trusted to tell who first submitted a message.
  ["AUTH", (value) => (value !== "" && decodeXtext(value) !== undefined ? {} : undefined)],
  ["RET", ret],
  ["ENVID", envid],
  ["REQUIRETLS", (value) => (value === "" ? { requireTls: true } : undefined)],
  ["XDROP", (value) => (isDropName(value) ? { drop: value } : undefined)],
]);

export const rcptParameters: ParameterTable<RcptParameters> = new Map<
  string,
  ParameterReader<RcptParameters>
>([
  ["NOTIFY", notify],
  ["ORCPT", orcpt],
]);

/**
 * Reads what follows a path. An unknown keyword is answered with 555 (RFC 5321 section 4.1.1.11), one that is given twice
 * or has a wrong value with 501.
 */
export function readParameters<Values>(table: ParameterTable<Values>, text: string): Partial<Values> | Reply {
  if (text === "") return {}; // most have none
  let values: Partial<Values> = {};
  const seen = new Set<string>();
  for (const word of text.split(/[ \t]+/).filter((part) => part !== "")) {
    const found = /^([A-Za-z0-9][A-Za-z0-9-]*)(?:=([^=]+))?$/.exec(word);
    const keyword = found?.[1]?.toUpperCase() ?? "";
    if (!found) return reply(501, "5.5.4", "Parameters are written KEYWORD or KEYWORD=VALUE");
    const read = table.get(keyword);
    if (!read) return reply(555, "5.5.4", `Parameter ${keyword.slice(0, 40)} is not known here`);
    if (seen.has(keyword)) return reply(501, "5.5.4", `Parameter ${keyword} is given twice`);
    seen.add(keyword);
    const value = read(found[2] ?? "");
    if (!value) return reply(501, "5.5.4", `Parameter ${keyword} has a wrong value`);
    values = { ...values, ...value };
  }
  return values;
}

function ret(value: string): MailParameters | undefined {
  const wanted = value.toUpperCase();
  return wanted === "FULL" || wanted === "HDRS" ? { ret: wanted } : undefined;
}

/** RFC 3461 section 4.4: at most 100 characters; decoded, visible ones and spaces. */
function envid(value: string): MailParameters | undefined {
  const decoded = value.length <= 100 ? decodeXtext(value) : undefined;
  return decoded !== undefined && /^[\x20-\x7e]+$/.test(decoded) ? { envid: decoded } : undefined;
}

const notifyWords: readonly Notify[] = ["NEVER", "SUCCESS", "FAILURE", "DELAY"];

function notify(value: string): RcptParameters | undefined {
  const words = value.toUpperCase().split(",");
  const known = notifyWords.filter((word) => words.includes(word));
  if (!words.every((word) => known.some((other) => other === word))) return undefined;
  return known.includes("NEVER") && words.length > 1 ? undefined : { notify: known };
}

/** RFC 3461 section 4.2: at most 500 characters. Type utf-8 may come unencoded (RFC 6533 section 3). */
function orcpt(value: string): RcptParameters | undefined {
  const found = value.length <= 500 ? /^([A-Za-z0-9-]+);(.+)$/.exec(value) : null;
  if (!found) return undefined;
  const [, type = "", written = ""] = found;
  const isPlain = type.toLowerCase() === "utf-8" && /[^\x00-\x7f]/.test(written);
  const address = isPlain ? written : decodeXtext(written);
  const isVisible = address !== undefined && /^[^\x00-\x1f\x7f-\x9f]+$/.test(address);
  return isVisible ? { orcpt: `${type};${address}` } : undefined;
}
