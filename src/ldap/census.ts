/** All entries of a search taken together: who has an account, who has none and why. Fed page by page. */
import { type Account, type Exclusion, isAccount, judge, loginOf, type Terms } from "./account.ts";
import { type Entry, textsOf } from "./entry.ts";
import { shown } from "./shown.ts";

export interface Census {
  /** Entries that the filter let through. */
  readonly entries: number;
  /** By login. */
  readonly accounts: ReadonlyMap<string, Account>;
  readonly exclusions: readonly Exclusion[];
  /** Sender addresses of the accounts: the logins that each address is given to. Empty where none were asked for. */
  readonly senders: ReadonlyMap<string, ReadonlySet<string>>;
  /** Values that were passed over while their entry counts; for the log. */
  readonly remarks: readonly string[];
}

export interface CensusTaker {
  add(entry: Entry): void;
  result(): Census;
}

/** Starts to count, at the time `now`. */
export function takeCensus(terms: Terms, now: number): CensusTaker {
  const judged: { readonly login: string; readonly one: Account | Exclusion }[] = [];
  const claims = new Map<string, number>(); // entries that have a login, also beside others, in any case
  const addresses = new Map<string, readonly string[]>(); // by login
  return {
    add(entry) {
      const one = judge(entry, terms, now);
      const login = loginOf(entry, terms);
      judged.push({ login, one });
      for (const name of loginsOf(entry, terms)) claims.set(name, (claims.get(name) ?? 0) + 1);
      if (isAccount(one) && terms["sender-attribute"] !== "") {
        addresses.set(login, textsOf(entry, terms["sender-attribute"]));
      }
    },
    result() {
      const accounts = new Map<string, Account>();
      const exclusions: Exclusion[] = [];
      for (const { login, one } of judged) {
        const count = claims.get(login) ?? 0;
        if (!isAccount(one) && one.reason === "no-login") exclusions.push(one);
        else if (count > 1) exclusions.push(duplicate(login, one, count));
        else if (isAccount(one)) accounts.set(login, one);
        else exclusions.push(one);
      }
      return { entries: judged.length, accounts, exclusions, ...gather(accounts, addresses) };
    },
  };
}

function loginsOf(entry: Entry, terms: Terms): ReadonlySet<string> {
  return new Set(textsOf(entry, terms["login-attribute"]).map((login) => login.toLowerCase()));
}

/** Nobody can tell which of them is meant, so none gets in. */
function duplicate(login: string, one: Account | Exclusion, count: number): Exclusion {
  const dn = isAccount(one) ? shown(one.dn, "") : one.dn;
  return { login: shown(login, ""), dn, reason: "duplicate", detail: `${count} entries have this login` };
}

function gather(accounts: ReadonlyMap<string, Account>, addresses: ReadonlyMap<string, readonly string[]>) {
  const senders = new Map<string, Set<string>>();
  const remarks: string[] = [];
  for (const [login, given] of addresses) {
    if (!accounts.has(login)) continue;
    for (const address of given) {
      if (!mailbox.test(address)) {
        remarks.push(`${login}: ${shown(address)} is no address to send as`);
        continue;
      }
      const key = address.toLowerCase();
      senders.set(key, (senders.get(key) ?? new Set()).add(login));
    }
  }
  return { senders, remarks };
}

const atom = "[a-z0-9!#$%&'*+/=?^_`{|}~-]+";
const label = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?";

/**
 * RFC 5321 section 4.1.2, Dot-string "@" Domain, with the lengths of section 4.5.3.1 and RFC 1035 section 2.3.4, but for
 * a leading "#", which begins a comment in the file of aliases. `serve` would refuse that file for one bad line.
 */
const mailbox = new RegExp(
  `^(?!#)(?=.{1,64}@)(?=.{1,254}$)${atom}(?:\\.${atom})*@(?:${label}\\.)+${label}$`,
  "i",
);
