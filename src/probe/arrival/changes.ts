/** What happened to a message on its way, besides what every hop adds: found by comparing what was sent with what came. */
import { bodyOffset, type Field, fieldBody, splitFields } from "../../smtp/header.ts";

export interface Change {
  readonly kind: "field-gone" | "field-changed" | "field-added" | "body-changed";
  /** The field's name; "" for the body. */
  readonly field: string;
}

/** What hops add as a matter of course. */
const usual =
  /^(?:received(?:-spf)?|return-path|delivered-to|x-original-to|authentication-results|arc-.*|dkim-signature|x-google-.*|x-gm-.*|x-received|x-spam.*|x-ms-.*|x-microsoft.*|x-rspamd-.*|message-id|date)$/i;

/**
 * The differences between the octets that were `sent` and those that `came`, which may be cut off behind the header and
 * `cut` says so. A body whose last line ends were lost or doubled has not changed.
 */
export function changesIn(sent: Buffer, came: Buffer, cut: boolean): readonly Change[] {
  const [before, after] = [halves(sent), halves(came)];
  const changes: Change[] = [];
  for (const { name, raw } of before.fields) {
    const same = after.fields.filter((field) => sameName(field, name));
    if (same.length === 0) changes.push({ kind: "field-gone", field: name });
    else if (!same.some((field) => fieldBody(field) === fieldBody({ name, raw })))
      changes.push({ kind: "field-changed", field: name });
  }
  const added = after.fields.filter(
    ({ name }) => !usual.test(name) && !before.fields.some((field) => sameName(field, name)),
  );
  for (const name of new Set(added.map((field) => field.name)))
    changes.push({ kind: "field-added", field: name });
  if (!cut && before.body !== after.body) changes.push({ kind: "body-changed", field: "" });
  return changes;
}

const sameName = (field: Field, name: string): boolean => field.name.toLowerCase() === name.toLowerCase();

function halves(message: Buffer): { readonly fields: readonly Field[]; readonly body: string } {
  const start = bodyOffset(message) ?? message.length;
  return {
    fields: splitFields(message.toString("latin1", 0, start)),
    body: message.toString("latin1", start).replace(/(?:\r?\n)+$/, ""),
  };
}
