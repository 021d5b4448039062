/** What sendmail reads in a message's header, and what it adds: recipients for -t, a From field with the name of -F. Pure. */
import { exitStatus, Failure } from "../../failure.ts";
import { readHeader } from "../../server/submission/header/reader.ts";
import { isAscii } from "../../smtp/address.ts";
import { fieldBody, type HeaderField, isNamed } from "../../smtp/header.ts";
import { readMailboxes } from "../../smtp/mailboxes.ts";

/** Octets of a header. Our choice, and the relay's. */
export const longestHeader = 1_048_576;

/** The beginning of a message up to its body, and what follows. */
export interface SplitMessage {
  /** One character an octet ("latin1"), without the empty line. */
  readonly header: string;
  /** From the empty line on. */
  readonly rest: AsyncIterable<Buffer>;
}

/** Reads `message` up to its body. A header that is too long is taken as it is. */
export async function splitMessage(message: AsyncIterator<Buffer>): Promise<SplitMessage> {
  let head = Buffer.alloc(0);
  let end = -1;
  for (;;) {
    const next = await message.next();
    if (next.done === true) break;
    const from = Math.max(0, head.length - 3);
    head = Buffer.concat([head, next.value]);
    end = head.subarray(0, 2).toString("latin1") === "\r\n" ? 0 : head.indexOf("\r\n\r\n", from);
    if (end >= 0 || head.length > longestHeader) break;
  }
  const at = end < 0 ? head.length : end === 0 && head[0] === 13 ? 0 : end + 2;
  return { header: head.toString("latin1", 0, at), rest: after(head.subarray(at), message) };
}

async function* after(first: Buffer, message: AsyncIterator<Buffer>): AsyncGenerator<Buffer> {
  if (first.length > 0) yield first;
  for (let next = await message.next(); next.done !== true; next = await message.next()) yield next.value;
}

const recipientFields = ["To", "Cc", "Bcc"];

/** The recipients in a header: of its Resent fields where it has any (RFC 5322 section 3.6.6). Throws a Failure (65). */
export function recipientsIn(header: string): readonly string[] {
  const { fields } = readHeader(header);
  const named = (names: readonly string[]): readonly HeaderField[] =>
    fields.filter((field) => names.some((name) => isNamed(field, name)));
  const resent = named(recipientFields.map((name) => `Resent-${name}`));
  const wanted = resent.length > 0 ? resent : named(recipientFields);
  return wanted.flatMap((field) => {
    const body = fieldBody(field);
    if (body === "" || isEmptyGroup(body)) return [];
    const found = readMailboxes(body) ?? withLocalNames(body);
    if (found) return found;
    throw new Failure(exitStatus.data, `the ${field.name} field cannot be understood; nothing was sent`);
  });
}

/** The same where names of this host's users stand among the addresses: `root, Admin <admin>, user@example.org`. */
function withLocalNames(body: string): readonly string[] | undefined {
  const found: string[] = [];
  for (const element of elementsOf(body)) {
    const name = /^(?:[^<>@]*<)?([A-Za-z0-9._+-]+)>?$/.exec(element)?.[1];
    const addresses = name === undefined ? readMailboxes(element) : [name];
    if (!addresses) return undefined;
    found.push(...addresses);
  }
  return found;
}

/** What stands between commas that are in no quotes and no comment; comments are left out. */
function elementsOf(body: string): readonly string[] {
  const elements: string[] = [];
  let element = "";
  let isQuoted = false;
  let depth = 0;
  for (let at = 0; at < body.length; at++) {
    const sign = body.charAt(at);
    if (sign === "\\") {
      if (depth === 0) element += body.slice(at, at + 2);
      at++;
      continue;
    }
    if (sign === '"' && depth === 0) isQuoted = !isQuoted;
    if (!isQuoted && sign === "(") depth++;
    if (!isQuoted && depth === 0 && sign === ",") {
      elements.push(element);
      element = "";
    } else if (depth === 0) element += sign;
    if (!isQuoted && sign === ")" && depth > 0) depth--;
  }
  return [...elements, element].map((one) => one.trim()).filter((one) => one !== "");
}

/** `undisclosed-recipients:;` */
const isEmptyGroup = (body: string): boolean => /^[^:;<>@]*:[ \t]*;$/.test(body);

/** `header` with a From field of that name and address where it has none. */
export function withAuthor(header: string, name: string, address: string): string {
  const { fields, text } = readHeader(header);
  if (fields.some((field) => isNamed(field, "From"))) return header;
  const author = `From: ${phrase(name)} <${address}>\r\n`;
  return text === "" ? `${author}${header}` : `${author}\r\n${header}`;
}

/** A display name, in quotes or as an encoded word (RFC 2047). */
function phrase(name: string): string {
  const plain = name.replace(/[\x00-\x1f\x7f]/g, " ").slice(0, 200);
  if (!isAscii(plain)) return `=?utf-8?B?${Buffer.from(plain.slice(0, 30), "utf8").toString("base64")}?=`;
  return `"${plain.replace(/["\\]/g, "\\$&")}"`;
}
