/** Which sender addresses a login may use, and the file of aliases, with lines such as `press@example.org: user1, user2`. */

import { exitStatus, Failure } from "../../failure.ts";
import { canonical, parseMailbox } from "../../smtp/address.ts";
import { type Reply, reply } from "../../smtp/reply.ts";

/** own: the login's address and those given to it. domain: any address of the domain. any: all. */
export type SenderPolicy = "own" | "domain" | "any";

/** Who may use an address: addresses in lower case to logins in lower case. */
export type Aliases = ReadonlyMap<string, ReadonlySet<string>>;

/**
 * The addresses of logins that are users of this host, by the login in lower case (`www-data@host.example.org`): the first is
 * its own; "*" stands for all.
 */
export type LocalSenders = ReadonlyMap<string, readonly string[]>;

export interface Senders {
  /** Whether `login` may send as `address`, which is in SMTP's syntax and not the null reverse-path. */
  mayUse(login: string, address: string): boolean;
  /** The login's own address. Whether it may use it is asked as for any other. */
  ownAddress(login: string): string;
  /** What `login` may use, for the person who was refused. */
  describe(login: string): string;
}

/** Addresses in a refusal: more would not be readable, nor fit a reply line (RFC 5321 section 4.5.3.1.5). */
const mostNamed = 4;

/** The rule of a site: its `policy`, the mail `domain` of its logins, its aliases, and those of this host's users. */
export function senderPolicy(
  policy: SenderPolicy,
  domain: string,
  aliases: Aliases,
  local: LocalSenders = new Map(),
): Senders {
  const home = domain.toLowerCase();
  const localOf = (login: string): readonly string[] => local.get(login.toLowerCase()) ?? [];
  const own = (login: string): string =>
    localOf(login).find((address) => address !== "*") ??
    canonical(login.includes("@") ? login : `${login}@${home}`).toLowerCase();

  function mayUse(login: string, address: string): boolean {
    if (policy === "any") return true;
    const wanted = canonical(address).toLowerCase();
    if (localOf(login).some((one) => one === "*" || one === wanted)) return true;
    if (policy === "domain" && wanted.endsWith(`@${home}`)) return true;
    return withoutTag(wanted) === own(login) || (aliases.get(wanted)?.has(login.toLowerCase()) ?? false);
  }

  function describe(login: string): string {
    if (policy === "any" || localOf(login).includes("*")) return "any address";
    const main = policy === "domain" ? `any address @${home}` : own(login);
    const given = [
      ...localOf(login).filter((address) => address !== main),
      ...[...aliases].filter(([, logins]) => logins.has(login.toLowerCase())).map(([address]) => address),
    ];
    const more = given.length > mostNamed ? [`${given.length - mostNamed} more`] : [];
    return [main, ...given.slice(0, mostNamed), ...more].join(", ");
  }

  return { mayUse, ownAddress: own, describe };
}

/**
 * The rules of a site with several domains: `main` for logins without a domain, `others` by theirs. A login of a domain that
 * is gone, as its messages may still be in the spool, may use nothing.
 */
export function senderPolicies(main: Senders, others: ReadonlyMap<string, Senders>): Senders {
  const nobodys: Senders = { mayUse: () => false, ownAddress: (login) => login, describe: () => "nobody" };
  const of = (login: string): Senders => {
    const at = login.lastIndexOf("@");
    return at < 0 ? main : (others.get(login.slice(at + 1).toLowerCase()) ?? nobodys);
  };
  return {
    mayUse: (login, address) => of(login).mayUse(login, address),
    ownAddress: (login) => of(login).ownAddress(login),
    describe: (login) => of(login).describe(login),
  };
}

/** Refuses `address` to `login` and names what it may use (RFC 6409 section 6.1). `where` tells where the address was. */
export function senderRefusal(senders: Senders, login: string, address: string, where: string): Reply {
  const allowed = senders.describe(login).slice(0, 250);
  return reply(550, "5.7.1", `${short(login)} may not send as ${short(address)}${where}, but as: ${allowed}`);
}

/** RFC 5321 section 4.5.3.1.5 allows a reply line 512 octets. */
const short = (text: string): string => (text.length > 80 ? `${text.slice(0, 79)}…` : text);

/** `user1+list@example.org` belongs to the owner of `user1@example.org`. */
function withoutTag(address: string): string {
  return address.replace(/^([^"+@][^+@]*)\+[^@]*@/, "$1@");
}

/**
 * Reads the text of `file` (its name is for the messages). Empty lines and lines that begin with "#" are ignored; an
 * address may have several lines. Throws one Failure that names every wrong line.
 */
export function parseAliases(text: string, file: string): Aliases {
  const aliases = new Map<string, Set<string>>();
  const mistakes: string[] = [];
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    const content = line.trim();
    if (content === "" || content.startsWith("#")) continue;
    const colon = content.indexOf(":");
    const address = canonical(content.slice(0, Math.max(colon, 0)).trim()); // as a session has it
    const list = colon < 0 ? "" : content.slice(colon + 1);
    const logins = list.split(/[\s,]+/).filter((login) => login !== "");
    if (!parseMailbox(address)?.domain || logins.length === 0) {
      mistakes.push(
        `${file}:${index + 1}: expected "address: login, login", got ${JSON.stringify(content.slice(0, 60))}; ` +
          "write the full address, a colon and who may send with it",
      );
      continue;
    }
    const known = aliases.get(address.toLowerCase()) ?? new Set();
    for (const login of logins) known.add(login.toLowerCase());
    aliases.set(address.toLowerCase(), known);
  }
  if (mistakes.length > 0) throw new Failure(exitStatus.config, mistakes.join("\n"));
  return aliases;
}

/**
 * Reads the text of `file` with lines `user: address, address`, for users of the host `hostname`. Root may use any address
 * where no line says otherwise. Throws one Failure that names every wrong line.
 */
export function parseLocalSenders(text: string, file: string, hostname: string): LocalSenders {
  const known = new Map<string, readonly string[]>([[localLogin("root", hostname), ["*"]]]);
  const mistakes: string[] = [];
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    const content = line.trim();
    if (content === "" || content.startsWith("#")) continue;
    const colon = content.indexOf(":");
    const user = content.slice(0, Math.max(colon, 0)).trim();
    const list = colon < 0 ? "" : content.slice(colon + 1);
    const addresses = list.split(/[\s,]+/).filter((address) => address !== "");
    const isGood = addresses.every((address) => address === "*" || parseMailbox(address)?.domain);
    if (!/^[^\s@]+$/.test(user) || addresses.length === 0 || !isGood) {
      mistakes.push(
        `${file}:${index + 1}: expected "user: address, address", got ${JSON.stringify(content.slice(0, 60))}; ` +
          'write a user of this host, a colon and full addresses, or "*" for any',
      );
      continue;
    }
    known.set(
      localLogin(user, hostname),
      addresses.map((address) => address.toLowerCase()),
    );
  }
  if (mistakes.length > 0) throw new Failure(exitStatus.config, mistakes.join("\n"));
  return known;
}

/** The login that a user of this host is. */
export const localLogin = (user: string, hostname: string): string => `${user}@${hostname}`.toLowerCase();
