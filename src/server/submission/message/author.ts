/**
 * Who a message says it is from: its header fields are held to the same rule as the reverse-path, because they are
 * what its readers see. Pure; the rule itself is policy.ts.
 */
import { type Field, fieldBody, isNamed } from "../../../smtp/header.ts";
import { readMailboxes } from "../../../smtp/mailboxes.ts";
import { type Reply, reply } from "../../../smtp/reply.ts";
import { notYours, type Senders } from "../policy.ts";

interface Row {
  readonly name: string;
  /** RFC 5322 section 3.6: the field may be there once only. Blocks of Resent fields may be many. */
  readonly once: boolean;
  /** RFC 5322 section 3.6.2: it names one, and no more. */
  readonly single: boolean;
}

/** The fields that name somebody as author or sender. */
const rows: readonly Row[] = [
  { name: "From", once: true, single: false },
  { name: "Sender", once: true, single: true },
  { name: "Resent-From", once: false, single: false },
  { name: "Resent-Sender", once: false, single: true },
];

/** Octets of all such fields together. Our choice: some thousand addresses, read in a few milliseconds. */
const longest = 65_536;

/**
 * Gives the reply that refuses a message with these `fields` from `login`, undefined where nothing is wrong with its
 * authors. Resending is no exception (RFC 5322 section 3.6.6): with two more fields anybody could write in
 * anybody's name.
 */
export function authorObjection(
  fields: readonly Field[],
  login: string,
  senders: Senders,
): Reply | undefined {
  const octets = fields
    .filter((field) => rows.some(({ name }) => isNamed(field, name)))
    .reduce((sum, { raw }) => sum + raw.length, 0);
  if (octets > longest) {
    return malformed(
      `From, Sender and the Resent fields have ${octets} octets together, and may have ${longest}; write fewer addresses`,
    );
  }
  for (const row of rows) {
    const present = fields.filter((field) => isNamed(field, row.name));
    if (row.once && present.length > 1) {
      return malformed(`The message has ${present.length} ${row.name} fields, but may have one only`);
    }
    for (const field of present) {
      const objection = fieldObjection(row, fieldBody(field), login, senders);
      if (objection) return objection;
    }
  }
  return anonymity(fields);
}

function fieldObjection(
  { name, single }: Row,
  body: string,
  login: string,
  senders: Senders,
): Reply | undefined {
  const addresses = readMailboxes(body);
  if (!addresses) {
    return malformed(
      `The ${name} field cannot be understood; write it as ${name}: "Your Name" <you@example.org>, ` +
        "the name in quotes where it has commas or other signs",
    );
  }
  if (single && addresses.length !== 1)
    return malformed(`The ${name} field must name one address, and no more`);
  const foreign = addresses.find((address) => !senders.mayUse(login, address));
  return foreign === undefined ? undefined : notYours(senders, login, foreign, ` in the ${name} field`);
}

/** RFC 5322 section 3.6.2, RFC 6854 section 2.1: where From does not name exactly one author, Sender tells who sends. */
function anonymity(fields: readonly Field[]): Reply | undefined {
  const from = fields.find((field) => isNamed(field, "From"));
  if (!from || fields.some((field) => isNamed(field, "Sender"))) return undefined;
  if (readMailboxes(fieldBody(from))?.length === 1) return undefined;
  return malformed(
    "The From field does not name exactly one address, so a Sender field must tell who sends it",
  );
}

/** RFC 6409 section 5.1. */
const malformed = (text: string): Reply => reply(554, "5.6.0", text);
