/**
 * What stands in place of %BODY% when something is attached: the parts of a multipart/mixed message, as swaks lays
 * them out. Octets are carried in "latin1" strings; lines end in LF until the whole message is fixed up.
 */

import { encode, wrap } from "nodemailer/lib/base64";
import type { Attachment } from "../plan.ts";

interface Part {
  readonly type: string;
  readonly octets: Uint8Array;
  readonly name?: string;
}

/** A multipart entity: its Content-Type, and what stands between its boundaries. */
interface Multipart {
  readonly type: string;
  readonly content: string;
}

/**
 * What the message becomes. The body comes first: `text` unless there are bodies of their own, of which several are
 * alternatives (RFC 2046 section 5.1.4). `run` tells the boundaries of two runs apart.
 */
export function multipart(attachments: readonly Attachment[], text: Uint8Array, run: string): Multipart {
  const bodies = partsOf("body", attachments, "text/plain").map(bodyPart);
  const parts = partsOf("part", attachments, "application/octet-stream").map(attachedPart);
  if (bodies.length > 1 && parts.length === 0) return entity("alternative", bodies, `000_${run}`);
  const alternatives = entity("alternative", bodies, `004_${run}`);
  const [first = bodyPart({ type: "text/plain", octets: text })] = bodies;
  const body = bodies.length > 1 ? `Content-Type: ${alternatives.type}\n\n${alternatives.content}` : first;
  return entity("mixed", [body, ...parts], `000_${run}`);
}

function entity(subtype: string, parts: readonly string[], label: string): Multipart {
  const boundary = `----=_MIME_BOUNDARY_${label}`;
  const enclosed = parts.map((part) => `--${boundary}\n${part}`).join("");
  return { type: `multipart/${subtype}; boundary="${boundary}"`, content: `${enclosed}--${boundary}--\n` };
}

/** The parts of one kind. A name is the next part's; a type holds for the parts that follow, up to the next body. */
function partsOf(
  kind: "part" | "body",
  attachments: readonly Attachment[],
  standard: string,
): readonly Part[] {
  const parts: Part[] = [];
  let type: string | undefined;
  let named: { readonly name?: string } | undefined;
  for (const attachment of attachments) {
    if (attachment.kind === "type") type = attachment.type;
    else if (attachment.kind === "name") named = attachment;
    else {
      if (attachment.kind === kind) {
        const { name } = named ?? attachment;
        const { octets } = attachment;
        parts.push({ type: type ?? standard, octets, ...(name === undefined ? {} : { name }) });
      }
      if (attachment.kind === "body") type = undefined;
      named = undefined;
    }
  }
  return parts;
}

const isPlain = (type: string): boolean => type.toLowerCase() === "text/plain";

/** A body has no name, and only what is no text is called an attachment. */
function bodyPart({ type, octets }: Part): string {
  if (isPlain(type)) return plainPart(type, octets);
  const disposition = /^text\//i.test(type) ? "" : "Content-Disposition: attachment\n";
  return `Content-Type: ${type}\n${disposition}${base64(octets)}`;
}

function attachedPart({ type, octets, name }: Part): string {
  if (name === undefined) {
    if (isPlain(type)) return plainPart(type, octets);
    return `Content-Type: ${type}\nContent-Disposition: attachment\n${base64(octets)}`;
  }
  const shown = Buffer.from(name).toString("latin1");
  return (
    `Content-Type: ${type}; name="${shown}"\nContent-Description: ${shown}\n` +
    `Content-Disposition: attachment; filename="${shown}"\n${base64(octets)}`
  );
}

/** As it is: its line ends, tokens and dots are the whole message's business. */
const plainPart = (type: string, octets: Uint8Array): string =>
  `Content-Type: ${type}\n\n${Buffer.from(octets).toString("latin1")}\n`;

/** In lines of 76 characters, the longest that RFC 2045 section 6.8 allows. */
function base64(octets: Uint8Array): string {
  const lines = wrap(encode(Buffer.from(octets)), 76).replaceAll("\r\n", "\n");
  return `Content-Transfer-Encoding: BASE64\n\n${lines === "" ? "" : `${lines}\n`}\n`;
}
