/**
 * The author of a message: checked, and completed where there is none. Readers see the header, so its fields follow the
 * same rule as the reverse-path. Pure; the rule is in sender-policy.ts.
 */

import { domainOf, isAscii, parseMailbox } from "../../../smtp/address.ts";
import { fieldBody, type HeaderField, isNamed } from "../../../smtp/header.ts";
import { readMailboxes, readName } from "../../../smtp/mailboxes.ts";
import { type Reply, reply } from "../../../smtp/reply.ts";
import { type Senders, senderRefusal } from "../sender-policy.ts";
import { signedFields } from "./fixups.ts";

interface AuthorField {
  readonly name: string;
  /** RFC 5322 section 3.6: the field may occur only once. There may be many blocks of Resent fields. */
  readonly once: boolean;
  /** RFC 5322 section 3.6.2: it names exactly one mailbox. */
  readonly single: boolean;
}

/** The addresses in a field; undefined where it cannot be understood. */
export type MailboxReader = (field: HeaderField) => readonly string[] | undefined;

/** Reads each field once. */
export function newMailboxReader(): MailboxReader {
  const known = new Map<HeaderField, readonly string[] | undefined>();
  return (field) => {
    if (!known.has(field)) known.set(field, readMailboxes(fieldBody(field)));
    return known.get(field);
  };
}

/** The fields that name an author or a sender. */
const authorFields: readonly AuthorField[] = [
  { name: "From", once: true, single: false },
  { name: "Sender", once: true, single: true },
  { name: "Resent-From", once: false, single: false },
  { name: "Resent-Sender", once: false, single: true },
];

/** Most octets of all such fields together. Our choice: some thousand addresses, read in a few milliseconds. */
const longestAuthors = 65_536;

/**
 * Gives the reply that refuses a message with these `fields` from `login`; undefined where its authors are right. Resent
 * fields are no exception (RFC 5322 section 3.6.6): otherwise anybody could write in anybody's name with two more fields.
 */
export function authorRefusal(
  fields: readonly HeaderField[],
  login: string,
  senders: Senders,
  mailboxesIn: MailboxReader = newMailboxReader(),
): Reply | undefined {
  const given = fields.filter((field) => authorFields.some(({ name }) => isNamed(field, name)));
  const octets = given.reduce((sum, { raw }) => sum + raw.length, 0);
  if (octets > longestAuthors) {
    return malformed(
      `From, Sender and the Resent fields have ${octets} octets together, and may have ${longestAuthors}; write fewer addresses`,
    );
  }
  for (const kind of authorFields) {
    const present = given.filter((field) => isNamed(field, kind.name));
    if (kind.once && present.length > 1) {
      return malformed(`The message has ${present.length} ${kind.name} fields, but may have one only`);
    }
    for (const field of present) {
      const objection = fieldRefusal(kind, mailboxesIn(field), login, senders);
      if (objection) return objection;
    }
  }
  return missingSender(given, mailboxesIn);
}

function fieldRefusal(
  { name, single }: AuthorField,
  addresses: readonly string[] | undefined,
  login: string,
  senders: Senders,
): Reply | undefined {
  if (!addresses) {
    return malformed(
      `The ${name} field cannot be understood; write it as ${name}: "Your Name" <you@example.org>, ` +
        "the name in quotes where it has commas or other signs",
    );
  }
  if (single && addresses.length !== 1)
    return malformed(`The ${name} field must name one address, and no more`);
  const foreign = addresses.find((address) => !senders.mayUse(login, address));
  return foreign === undefined ? undefined : senderRefusal(senders, login, foreign, ` in the ${name} field`);
}

/** RFC 5322 section 3.6.2, RFC 6854 section 2.1: where From does not name exactly one author, Sender tells who sends. */
function missingSender(fields: readonly HeaderField[], mailboxesIn: MailboxReader): Reply | undefined {
  const from = fields.find((field) => isNamed(field, "From"));
  if (!from || fields.some((field) => isNamed(field, "Sender"))) return undefined;
  if (mailboxesIn(from)?.length === 1) return undefined;
  return malformed(
    "The From field does not name exactly one address, so a Sender field must tell who sends it",
  );
}

/** RFC 6409 section 5.1. */
const malformed = (text: string): Reply => reply(554, "5.6.0", text);

// An author for mail that has none (RFC 6409 sections 8 and 8.1): no From, one without an address, or one of some local
// machine (`root@localhost`). Only what would be refused is completed, only with an address that the login may use, and
// nothing that is signed.

export interface Submitter {
  readonly login: string;
  /** The reverse-path, "" for the null one. */
  readonly sender: string;
  readonly smtputf8: boolean;
}

/** Octets of a name that is kept. Our choice: it stays on one line with the longest address. */
const longestName = 200;

/** Octets of a field that is read. */
const longestField = 8_192;

export interface CompletedFields {
  readonly fields: readonly HeaderField[];
  /** The address that was put in; "" where nothing was lacking, or nothing could be done about it. */
  readonly author: string;
}

/** The fields, with From and Sender completed where they name nobody. */
export function completeAuthor(
  fields: readonly HeaderField[],
  submitter: Submitter,
  senders: Senders,
  mailboxesIn: MailboxReader = newMailboxReader(),
): CompletedFields {
  const names = ["From", "Sender"].filter((name) => count(fields, name) === 1);
  const lacking = fields.filter(
    (field) =>
      names.some((name) => isNamed(field, name)) && lacksAuthor(field, mailboxesIn, submitter.login, senders),
  );
  const isMissing = count(fields, "From") === 0;
  if (lacking.length === 0 && !isMissing) return { fields, author: "" }; // most messages
  const address = addressOf(submitter, senders);
  if (address === undefined) return { fields, author: "" };
  const isSigned = signedFields(fields);
  const toComplete = new Set(lacking.filter(({ name }) => !isSigned(name)));
  const addsFrom = isMissing && !isSigned("From");
  const completed = fields.map((field) =>
    toComplete.has(field)
      ? authorField(isNamed(field, "From") ? "From" : "Sender", address, readName(fieldBody(field)))
      : field,
  );
  return {
    fields: addsFrom ? [authorField("From", address, undefined), ...completed] : completed,
    author: addsFrom || toComplete.size > 0 ? address : "",
  };
}

const count = (fields: readonly HeaderField[], name: string): number =>
  fields.filter((field) => isNamed(field, name)).length;

/** The reverse-path, or the login's own address where that is null, if it can stand in a header. */
function addressOf({ login, sender, smtputf8 }: Submitter, senders: Senders): string | undefined {
  return [sender, senders.ownAddress(login)].find(
    (address) =>
      parseMailbox(address)?.domain && senders.mayUse(login, address) && (smtputf8 || isAscii(address)),
  );
}

function lacksAuthor(
  field: HeaderField,
  mailboxesIn: MailboxReader,
  login: string,
  senders: Senders,
): boolean {
  if (field.raw.length > longestField) return false;
  const addresses = mailboxesIn(field);
  if (!addresses) return !/@(?!\(none\)|>|$)/.test(fieldBody(field)); // "(none)" is the name of a Linux host without one
  return (
    addresses.length > 0 && addresses.every(isLocal) && !addresses.every((one) => senders.mayUse(login, one))
  );
}

/** Whether the domain means a different machine at each site. */
function isLocal(address: string): boolean {
  const domain = domainOf(address).toLowerCase();
  return (!domain.includes(".") && !domain.startsWith("[")) || /\.(?:localhost|localdomain)$/.test(domain);
}

function authorField(field: string, address: string, name: string | undefined): HeaderField {
  const written = Buffer.from(address, "utf8").toString("latin1");
  const bare = (name ?? "").replace(/^"|"$/g, "").toLowerCase();
  const known = [written, written.slice(0, written.lastIndexOf("@"))].map((one) => one.toLowerCase());
  const isNew = name !== undefined && name.length <= longestName && bare !== "" && !known.includes(bare);
  return { name: field, raw: `${field}: ${isNew ? `${name} <${written}>` : written}\r\n` };
}
