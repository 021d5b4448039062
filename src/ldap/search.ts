/** The questions that sync puts to a directory: everybody, the entries of some logins, whether anything changed. */
import { attributesOf, type Census, type Terms, takeCensus } from "./account.ts";
import {
  type Directory,
  type Entry,
  equals,
  Refusal,
  resultCode,
  type Search,
  textsOf,
} from "./directory.ts";
import type { Course } from "./guard.ts";

/** Where the accounts are, as `[ldap]` names it. */
export interface Where {
  readonly base: string;
  readonly scope: "one" | "sub";
  readonly filter: string;
  readonly "page-size": number;
}

/** Everybody that the filter finds, and how the search went; guard.ts says whether to believe it. */
export interface Survey {
  readonly census: Census;
  readonly course: Course;
  /** The latest entryCSN of all that came, "" where none can be seen. See {@link isStill}. */
  readonly latest: string;
}

/** The whole search. `loggedIn` is whether we came as somebody; `now` is what the rules are judged by. */
export async function survey(
  directory: Directory,
  where: Where,
  terms: Terms,
  { loggedIn, now }: { readonly loggedIn: boolean; readonly now: number },
): Promise<Survey> {
  const census = takeCensus(terms, now);
  let latest = "";
  const before = await directory.whoami();
  const search = searchFor(where, where.filter, [...attributesOf(terms), "entryCSN"]);
  const ending = await everyPage(directory, search, (entry) => {
    census.add(entry);
    const [changed = ""] = textsOf(entry, "entryCSN");
    if (changed > latest) latest = changed;
  });
  const identities = [before, await directory.whoami()];
  const result = census.result();
  return { census: result, course: { loggedIn, identities, entries: result.entries, ...ending }, latest };
}

async function everyPage(directory: Directory, search: Search, add: (entry: Entry) => void) {
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
    if (!(error instanceof Refusal && limits.includes(error.code))) throw error;
    limit = error.message;
  }
  return { limit, emptyPage, referrals };
}

const limits: readonly number[] = [
  resultCode.timeLimitExceeded,
  resultCode.sizeLimitExceeded,
  resultCode.adminLimitExceeded,
];

function searchFor(where: Where, filter: string, attributes: readonly string[]): Search {
  return { base: where.base, scope: where.scope, filter, attributes, pageSize: where["page-size"] };
}

/** Which of `logins` have an entry, whatever the filter says of it. One question: some hundred at most. */
export async function loginsWithEntry(
  directory: Directory,
  where: Where,
  attribute: string,
  logins: readonly string[],
): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  if (logins.length === 0) return found;
  const filter = `(|${logins.map((login) => equals(attribute, login)).join("")})`;
  for await (const { entries } of directory.pages(searchFor(where, filter, [attribute]))) {
    for (const entry of entries)
      for (const login of textsOf(entry, attribute)) found.add(login.toLowerCase());
  }
  return found;
}

/** The entries of one login, with `filter` or, where it is "", without. */
export async function entriesOf(
  directory: Directory,
  where: Where,
  {
    attribute,
    login,
    filter,
  }: { readonly attribute: string; readonly login: string; readonly filter: string },
  attributes: readonly string[],
): Promise<readonly Entry[]> {
  const found: Entry[] = [];
  const own = equals(attribute, login);
  const search = searchFor(where, filter === "" ? own : `(&${filter}${own})`, attributes);
  for await (const { entries } of directory.pages(search)) found.push(...entries);
  return found;
}

/**
 * The name of the entry at the top of the tree that `base` is in, where a directory keeps its contextCSN (RFC 4512
 * section 5.1 lists the tops). Undefined where it does not tell.
 */
export async function topOf(directory: Directory, base: string): Promise<string | undefined> {
  const root = await directory.read("", ["namingContexts"]);
  const tops = root === undefined ? [] : textsOf(root, "namingContexts");
  const plain = (dn: string): string => dn.toLowerCase().replace(/[^,=]+/g, (part) => part.trim());
  return tops
    .filter((top) => plain(base) === plain(top) || plain(base).endsWith(`,${plain(top)}`))
    .toSorted((one, other) => other.length - one.length)[0];
}

/** What moves with every change below `top`: OpenLDAP's contextCSN, one for each provider. "" where there is none. */
export async function stateOf(directory: Directory, top: string): Promise<string> {
  const entry = await directory.read(top, ["contextCSN"]);
  return entry === undefined ? "" : textsOf(entry, "contextCSN").toSorted().join(" ");
}

/**
 * Whether the state stands still although entries have changed since, as it does without OpenLDAP's syncprov where a
 * copied or restored database brought a contextCSN along. CSNs begin with the time and sort as text.
 */
export function isStill(state: string, latest: string): boolean {
  return state !== "" && state.split(" ").every((each) => each < latest);
}
