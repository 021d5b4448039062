/**
 * An author for mail that has none (RFC 6409 sections 8 and 8.1): no From, one without an address, or one of this or
 * that machine (`root@localhost`). Only what would be refused is completed, only with an address that the login may use,
 * and nothing that is signed. Pure.
 */
import { domainOf, isAscii, parseMailbox } from "../../../smtp/address.ts";
import { type Field, fieldBody, isNamed } from "../../../smtp/header.ts";
import { readMailboxes, readName } from "../../../smtp/mailboxes.ts";
import type { Senders } from "../policy.ts";
import { signedIn } from "./signed.ts";

export interface Submitter {
  readonly login: string;
  /** The reverse-path, "" for the null one. */
  readonly sender: string;
  readonly smtputf8: boolean;
}

/** Octets of a name that is taken over. Our choice: it stays on one line with the longest address. */
const longestName = 200;

/** Octets of a field that is looked at. */
const longest = 8_192;

/** The fields with From and Sender completed where they name nobody; the same where there is nothing to do. */
export function withAuthor(
  fields: readonly Field[],
  submitter: Submitter,
  senders: Senders,
): readonly Field[] {
  const address = addressOf(submitter, senders);
  if (address === undefined) return fields;
  const isSigned = signedIn(fields);
  const names = ["From", "Sender"].filter((name) => !isSigned(name) && count(fields, name) === 1);
  const completed = fields.map((field) => {
    const name = names.find((one) => isNamed(field, one));
    if (name === undefined || !namesNobody(field, submitter.login, senders)) return field;
    return authorField(name, address, readName(fieldBody(field)));
  });
  const isMissing = count(fields, "From") === 0 && !isSigned("From");
  return isMissing ? [authorField("From", address, undefined), ...completed] : completed;
}

const count = (fields: readonly Field[], name: string): number =>
  fields.filter((field) => isNamed(field, name)).length;

/** The reverse-path, or where that is null the login's own address, if such an address can stand in a header. */
function addressOf({ login, sender, smtputf8 }: Submitter, senders: Senders): string | undefined {
  return [sender, senders.ownAddress(login)].find(
    (address) =>
      parseMailbox(address)?.domain && senders.mayUse(login, address) && (smtputf8 || isAscii(address)),
  );
}

function namesNobody(field: Field, login: string, senders: Senders): boolean {
  if (field.raw.length > longest) return false;
  const body = fieldBody(field);
  const addresses = readMailboxes(body);
  if (!addresses) return !/@(?!\(none\)|>|$)/.test(body); // "(none)" is the name of a Linux host without one
  return (
    addresses.length > 0 && addresses.every(isLocal) && !addresses.every((one) => senders.mayUse(login, one))
  );
}

/** Of a domain that means another machine at each place. */
function isLocal(address: string): boolean {
  const domain = domainOf(address).toLowerCase();
  return (!domain.includes(".") && !domain.startsWith("[")) || /\.(?:localhost|localdomain)$/.test(domain);
}

function authorField(field: string, address: string, name: string | undefined): Field {
  const written = Buffer.from(address, "utf8").toString("latin1");
  const bare = (name ?? "").replace(/^"|"$/g, "").toLowerCase();
  const known = [written, written.slice(0, written.lastIndexOf("@"))].map((one) => one.toLowerCase());
  const isNew = name !== undefined && name.length <= longestName && bare !== "" && !known.includes(bare);
  return { name: field, raw: `${field}: ${isNew ? `${name} <${written}>` : written}\r\n` };
}
