/**
 * What was changed in a message on its way, besides what every hop adds: what was sent is compared with what arrived.
 */
import { bodyOffset, fieldBody, type HeaderField, splitFields } from "../../smtp/header.ts";

export interface MessageChange {
  readonly kind: "field-gone" | "field-changed" | "field-added" | "body-changed";
  /** The field's name; "" for the body. */
  readonly field: string;
}

/** What hops always add. */
const usual =
  /^(?:received(?:-spf)?|return-path|delivered-to|x-original-to|authentication-results|arc-.*|dkim-signature|x-google-.*|x-gm-.*|x-received|x-spam.*|x-ms-.*|x-microsoft.*|x-rspamd-.*|message-id|date)$/i;

/**
 * The differences between the octets that were `sent` and those that `came`. `cut`: what came is cut off behind the
 * header. A body whose last line ends were lost or doubled has not changed.
 */
export function changesIn(sent: Buffer, came: Buffer, cut: boolean): readonly MessageChange[] {
  const [before, after] = [halves(sent), halves(came)];
  const [known, found] = [byName(before.fields), byName(after.fields)];
  const changes: MessageChange[] = [];
  for (const field of before.fields) {
    const bodies = found.get(field.name.toLowerCase());
    if (!bodies) changes.push({ kind: "field-gone", field: field.name });
    else if (!bodies.has(fieldBody(field))) changes.push({ kind: "field-changed", field: field.name });
  }
  const added = after.fields
    .map(({ name }) => name)
    .filter((name) => name !== "" && !usual.test(name) && !known.has(name.toLowerCase()));
  for (const name of [...new Set(added)].slice(0, mostAdded))
    changes.push({ kind: "field-added", field: name.slice(0, longestName) });
  if (!cut && before.body !== after.body) changes.push({ kind: "body-changed", field: "" });
  return changes;
}

/** Our choices, for hostile headers. */
const mostAdded = 50;
const longestName = 80;

/** Bodies of fields by name in lower case. */
function byName(fields: readonly HeaderField[]): ReadonlyMap<string, ReadonlySet<string>> {
  const found = new Map<string, Set<string>>();
  for (const field of fields) {
    const name = field.name.toLowerCase();
    const bodies = found.get(name) ?? new Set();
    found.set(name, bodies.add(fieldBody(field)));
  }
  return found;
}

function halves(message: Buffer): { readonly fields: readonly HeaderField[]; readonly body: string } {
  const start = bodyOffset(message) ?? message.length;
  let end = message.length;
  while (end > start && (message[end - 1] === 0x0a || message[end - 1] === 0x0d)) end--;
  return {
    fields: splitFields(message.toString("latin1", 0, start)),
    body: message.toString("latin1", start, end),
  };
}
