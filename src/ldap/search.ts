/** The searches of sync: all accounts, the entries of some logins, and whether anything changed. */
import { attributesOf, type CollectedAccounts, collectAccounts, type RuleSettings } from "./account.ts";
import {
  equals,
  type LdapDirectory,
  type LdapEntry,
  LdapResultError,
  resultCode,
  type Search,
  textsOf,
} from "./directory.ts";
import type { SearchOutcome } from "./guard.ts";

/** Where the accounts are, as the settings of `[ldap]` name it. */
export interface SearchSettings {
  readonly base: string;
  readonly scope: "one" | "sub";
  readonly filter: string;
  readonly "page-size": number;
}

/** All accounts that the filter finds, and how the search ended; guard.ts says whether to trust it. */
export interface AccountSearch {
  readonly collected: CollectedAccounts;
  readonly outcome: SearchOutcome;
  /** The latest entryCSN of all entries found, "" where none can be seen. See {@link isOutdated}. */
  readonly latest: string;
}

/**
 * Searches for all accounts. `loggedIn` is whether the bind was not anonymous; the rules are judged at the time `now`.
 */
export async function searchAccounts(
  directory: LdapDirectory,
  settings: SearchSettings,
  rules: RuleSettings,
  { loggedIn, now }: { readonly loggedIn: boolean; readonly now: number },
): Promise<AccountSearch> {
  const collected = collectAccounts(rules, now);
  let latest = "";
  const before = await directory.whoami();
  const search = searchFor(settings, settings.filter, [...attributesOf(rules), "entryCSN"]);
  const ending = await readPages(directory, search, (entry) => {
    collected.add(entry);
    const [changed = ""] = textsOf(entry, "entryCSN");
    if (changed > latest) latest = changed;
  });
  const identities = [before, await directory.whoami()];
  const result = collected.result();
  return { collected: result, outcome: { loggedIn, identities, entries: result.entries, ...ending }, latest };
}

async function readPages(directory: LdapDirectory, search: Search, add: (entry: LdapEntry) => void) {
  const referrals: string[] = [];
  let limit = "";
  let emptyPage = false;
  let pages = 0;
  try {
    for await (const page of directory.pages(search)) {
      pages += 1;
      emptyPage = pages > 1 && page.entries.length + page.referrals.length === 0;
      referrals.push(...page.referrals);
      for (const entry of page.entries) add(entry);
    }
  } catch (error) {
    if (!(error instanceof LdapResultError && limits.includes(error.code))) throw error;
    limit = error.message;
  }
  return { limit, emptyPage, referrals };
}

const limits: readonly number[] = [
  resultCode.timeLimitExceeded,
  resultCode.sizeLimitExceeded,
  resultCode.adminLimitExceeded,
];

function searchFor(settings: SearchSettings, filter: string, attributes: readonly string[]): Search {
  return { base: settings.base, scope: settings.scope, filter, attributes, pageSize: settings["page-size"] };
}

/** Which of `logins` have an entry, whether the filter finds it or not. One search, so some hundred at most. */
export async function loginsWithEntry(
  directory: LdapDirectory,
  settings: SearchSettings,
  attribute: string,
  logins: readonly string[],
): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  if (logins.length === 0) return found;
  const filter = `(|${logins.map((login) => equals(attribute, login)).join("")})`;
  for await (const { entries } of directory.pages(searchFor(settings, filter, [attribute]))) {
    for (const entry of entries)
      for (const login of textsOf(entry, attribute)) found.add(login.toLowerCase());
  }
  return found;
}

/** The entries of one login, with `filter` or, where it is "", without. */
export async function entriesOf(
  directory: LdapDirectory,
  settings: SearchSettings,
  {
    attribute,
    login,
    filter,
  }: { readonly attribute: string; readonly login: string; readonly filter: string },
  attributes: readonly string[],
): Promise<readonly LdapEntry[]> {
  const found: LdapEntry[] = [];
  const own = equals(attribute, login);
  const search = searchFor(settings, filter === "" ? own : `(&${filter}${own})`, attributes);
  for await (const { entries } of directory.pages(search)) found.push(...entries);
  return found;
}

/**
 * The name of the entry at the top of the tree that `base` is in, where a directory keeps its contextCSN (RFC 4512
 * section 5.1 lists the tops). Undefined where it does not tell.
 */
export async function namingContextOf(directory: LdapDirectory, base: string): Promise<string | undefined> {
  const root = await directory.read("", ["namingContexts"]);
  const tops = root === undefined ? [] : textsOf(root, "namingContexts");
  const plain = (dn: string): string => dn.toLowerCase().replace(/[^,=]+/g, (part) => part.trim());
  return tops
    .filter((top) => plain(base) === plain(top) || plain(base).endsWith(`,${plain(top)}`))
    .toSorted((one, other) => other.length - one.length)[0];
}

/**
 * A value that changes with every change below `top`: OpenLDAP's contextCSN, one for each provider. "" where there is
 * none.
 */
export async function contextCsnOf(directory: LdapDirectory, top: string): Promise<string> {
  const entry = await directory.read(top, ["contextCSN"]);
  return entry === undefined ? "" : textsOf(entry, "contextCSN").toSorted().join(" ");
}

/**
 * Whether the state stands still although entries have changed since, as it does without OpenLDAP's syncprov where a
 * copied or restored database brought a contextCSN along. CSNs begin with the time and sort as text.
 */
export function isOutdated(state: string, latest: string): boolean {
  return state !== "" && state.split(" ").every((each) => each < latest);
}
