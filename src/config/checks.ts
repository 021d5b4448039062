/**
 * What no setting can tell alone: settings that contradict each other, and numbers with a floor of their own.
 * One row each, in the words that stand behind FILE:LINE: KEY.
 */
import { isIPv4 } from "node:net";
import { parseStoreUrl } from "../store-url.ts";
import { domainNames } from "./domains.ts";
import { type RouteSettings, routeChecks } from "./route-settings.ts";
import type { Check } from "./schema.ts";
import { type HostAndPort, writeAddress } from "./setting-types.ts";
import type { Config } from "./settings.ts";

/** All that there are for `config`: those of a way stand for [delivery] and for each [[route]]. */
export function checksFor({ route, domains, milter }: Config): readonly Check<Config>[] {
  const routes = route.map((_, index) => [
    ...waysChecks(`route.${index}`, (config) => config.route[index]),
    matching(index),
    knownDomains(index),
  ]);
  return [
    ...checks,
    ...waysChecks("delivery", ({ delivery }) => delivery),
    ...routes.flat(),
    ...domains.flatMap((_, index) => domainChecks(index)),
    ...milter.flatMap((_, index) => milterChecks(index)),
  ];
}

/** Octets of a MiB. */
const mebi = 2 ** 20;

function waysChecks(
  table: string,
  wayIn: (config: Config) => RouteSettings | undefined,
): readonly Check<Config>[] {
  return routeChecks.map(({ settings: [first, ...others], mistake }) => ({
    settings: [`${table}.${first}`, ...others.map((key) => `${table}.${key}`)],
    mistake: (config) => {
      const way = wayIn(config);
      return way && mistake(way);
    },
  }));
}

const matching = (index: number): Check<Config> => ({
  settings: [`route.${index}.to`, `route.${index}.from`, `route.${index}.login-domain`],
  mistake: ({ route }) =>
    expected(
      [...(route[index]?.to ?? []), ...(route[index]?.from ?? []), ...(route[index]?.["login-domain"] ?? [])]
        .length > 0,
      'domains here or senders in from, "*" for all',
      "neither",
    ),
});

const knownDomains = (index: number): Check<Config> => ({
  settings: [`route.${index}.login-domain`, "domain"],
  mistake: (config) => {
    const names = domainNames(config);
    const stranger = config.route[index]?.["login-domain"].find((name) => !names.includes(name));
    return expected(stranger === undefined, `domains of ours (${names.join(", ")})`, `"${stranger}"`);
  },
});

/** Those of the domain with this number. */
function domainChecks(index: number): readonly Check<Config>[] {
  const table = `domains.${index}`;
  /** Whether a domain before it, or the main one, has the same. */
  const isTaken = (values: readonly string[]): boolean => {
    const own = values[index + 1] ?? "";
    return own !== "" && values.slice(0, index + 1).includes(own);
  };
  return [
    {
      settings: [`${table}.name`, "domain"],
      mistake: (config) => {
        const name = config.domains[index]?.name ?? "";
        return (
          expected(name.includes("."), "a full name such as example.net", `"${name}"`) ??
          expected(!isTaken(domainNames(config)), "each domain once", `"${name}" again`)
        );
      },
    },
    {
      settings: [`${table}.password-file`, "passwords.file"],
      mistake: ({ domains, passwords }) =>
        expected(
          !isTaken([passwords.file, ...domains.map((one) => one["password-file"])]),
          "a file of its own, since the same name means somebody else in each domain",
          "that of another domain",
        ),
    },
    {
      settings: [`${table}.sender-aliases`, "senders.aliases"],
      mistake: ({ domains, senders }) =>
        expected(
          !isTaken([senders.aliases, ...domains.map((one) => one["sender-aliases"])]),
          "a file of its own",
          "that of another domain",
        ),
    },
    {
      settings: [`${table}.ldap-filter`, `${table}.ldap-base`, "ldap.url"],
      mistake: ({ domains, ldap }) => {
        const { "ldap-filter": filter = "", "ldap-base": base = "" } = domains[index] ?? {};
        return expected(
          ldap.url.length > 0 || (filter === "" && base === ""),
          '"" here and in ldap-base while ldap.url is ""',
          `"${filter || base}"`,
        );
      },
    },
  ];
}

/** Clients wait for ten minutes for the reply to a message (RFC 5321 section 4.5.3.2.6), many for five. */
const longestMilter = 300_000;

const milterChecks = (index: number): readonly Check<Config>[] => [
  {
    settings: [`milter.${index}.name`],
    mistake: ({ milter }) => {
      const name = milter[index]?.name;
      const before = milter.slice(0, index).some((one) => one.name === name);
      return expected(!before, "a name that no other [[milter]] has", `"${name ?? ""}" again`);
    },
  },
  {
    settings: [`milter.${index}.timeout`],
    mistake: ({ milter }) => expected((milter[index]?.timeout ?? 0) >= 1000, "at least a second", "less"),
  },
  {
    settings: [`milter.${index}.deadline`, `milter.${index}.timeout`],
    mistake: ({ milter }) => {
      const { deadline = 0, timeout = 0 } = milter[index] ?? {};
      const fits = deadline >= timeout && deadline <= longestMilter;
      return expected(fits, 'at least timeout and at most "5m"', `${deadline / 1000} seconds`);
    },
  },
];

/** Octets. Our choice: the history is written in pieces of a quarter of a million, and goes in sevenths. */
const leastHistory = 4 * 2 ** 20;

const checks: readonly Check<Config>[] = [
  {
    settings: ["hostname"],
    mistake: ({ hostname }) =>
      expected(hostname.includes("."), "a full name such as submission.example.org", `"${hostname}"`),
  },
  {
    settings: ["domain"],
    mistake: ({ domain }) => expected(domain.includes("."), "a full name such as example.org", `"${domain}"`),
  },
  {
    settings: ["history.size"],
    mistake: ({ history }) =>
      expected(history.size >= leastHistory, 'at least "4M"', `${history.size} octets`),
  },
  {
    settings: ["group", "user"],
    mistake: ({ group, user }) => expected(group === "" || user !== "", '"" while user is ""', `"${group}"`),
  },
  {
    settings: ["listen.submission", "listen.submissions"],
    mistake: ({ listen }) =>
      expected(
        listen.submission.length + listen.submissions.length > 0,
        "an address here or in listen.submissions",
        "none in either",
      ),
  },
  {
    settings: ["listen.submission", "listen.submissions", "listen.http"],
    mistake: ({ listen }) => {
      const http = listen.http === null ? [] : [listen.http];
      const twice = repeated([...listen.submission, ...listen.submissions, ...http]);
      return expected(twice === undefined, "each address once in [listen]", `"${twice}" twice`);
    },
  },
  {
    settings: ["portal.key", "portal.certificate"],
    mistake: ({ portal }) =>
      expected(
        (portal.key === "") === (portal.certificate === ""),
        "both portal.certificate and portal.key, or neither",
        "one of them",
      ),
  },
  {
    settings: ["portal.proxies", "portal.sign-in"],
    mistake: ({ portal }) =>
      expected(
        portal["sign-in"] !== "header" || portal.proxies.length > 0,
        'the proxies that are believed where portal.sign-in is "header"',
        "none",
      ),
  },
  {
    settings: ["portal.idle", "portal.longest"],
    mistake: ({ portal }) =>
      expected(
        portal.idle >= 60_000 && portal.idle <= portal.longest,
        "a minute at least, and no longer than portal.longest",
        "another time",
      ),
  },
  {
    settings: ["sendmail.maildrop", "listen.local"],
    mistake: ({ sendmail, listen }) =>
      expected(
        sendmail.maildrop === "" || listen.local !== "",
        'a socket in listen.local, by which its messages are taken, or ""',
        `"${sendmail.maildrop}" without one`,
      ),
  },
  {
    // RFC 5321 section 4.5.3.1.7: 64K octets at least.
    settings: ["limits.message-size"],
    mistake: ({ limits }) =>
      expected(limits["message-size"] >= 65_536, 'at least "64K"', `${limits["message-size"]} octets`),
  },
  {
    settings: ["spool.lifetime"],
    mistake: ({ spool }) => expected(spool.lifetime >= 1000, "at least a second", "less"),
  },
  {
    settings: ["spool.warn-after", "spool.lifetime"],
    mistake: ({ spool }) =>
      expected(
        (spool["warn-after"] ?? 0) < spool.lifetime,
        'a time before spool.lifetime ends, or "" for never',
        "a later one",
      ),
  },
  {
    // journal-record.ts has eight digits for a place.
    settings: ["spool.journal-segment"],
    mistake: ({ spool }) =>
      expected(
        spool["journal-segment"] >= mebi && spool["journal-segment"] <= 64 * mebi,
        'a size between "1M" and "64M"',
        `${spool["journal-segment"]} octets`,
      ),
  },
  {
    settings: ["spool.store"],
    mistake: ({ spool: { store } }) => {
      const found = store === "" ? "" : parseStoreUrl(store);
      return typeof found === "string" && found !== "" ? found : undefined;
    },
  },
  {
    settings: ["spool.store-certificate", "spool.store-key"],
    mistake: ({ spool }) =>
      expected(
        (spool["store-certificate"] === "") === (spool["store-key"] === ""),
        "both spool.store-certificate and spool.store-key, or neither",
        "one of them",
      ),
  },
  {
    // The database is asked three times in a lease, and given a moment for its answer.
    settings: ["spool.lease"],
    mistake: ({ spool: { lease } }) =>
      expected(
        lease >= 2_000 && lease <= 600_000,
        'a time between "2s" and "10m"',
        `${String(lease / 1000)} seconds`,
      ),
  },
  {
    settings: ["delivery.retry-first"],
    mistake: ({ delivery }) => expected(delivery["retry-first"] >= 1000, "at least a second", "less"),
  },
  {
    settings: ["delivery.retry-longest", "delivery.retry-first"],
    mistake: ({ delivery }) =>
      expected(
        delivery["retry-longest"] >= delivery["retry-first"],
        "at least delivery.retry-first",
        "a shorter time",
      ),
  },
  {
    settings: ["delivery.port"],
    mistake: ({ delivery }) =>
      expected(delivery.port <= 65_535, "a port from 1 to 65535", String(delivery.port)),
  },
  {
    settings: ["delivery.mta-sts-port"],
    mistake: ({ delivery: { "mta-sts-port": port } }) =>
      expected(port <= 65_535, "a port from 1 to 65535", String(port)),
  },
  {
    settings: ["delivery.dnssec-resolver"],
    mistake: ({ delivery: { "dnssec-resolver": resolver } }) =>
      expected(
        resolver === null ||
          resolver.host === "::1" ||
          (isIPv4(resolver.host) && resolver.host.startsWith("127.")),
        'an address on this host, such as "127.0.0.1:53" (what another one says of signatures could be forged on the way)',
        resolver === null ? "" : `"${writeAddress(resolver)}"`,
      ),
  },
  {
    settings: ["ldap.base", "ldap.url"],
    mistake: ({ ldap }) =>
      expected(
        ldap.url.length === 0 || ldap.base !== "",
        'where the accounts are, such as "ou=users,dc=example,dc=org"',
        '""',
      ),
  },
  {
    settings: ["ldap.bind-password-file", "ldap.bind-dn"],
    mistake: ({ ldap }) =>
      expected(
        ldap["bind-password-file"] === "" || ldap["bind-dn"] !== "",
        '"" while ldap.bind-dn is ""',
        `"${ldap["bind-password-file"]}"`,
      ),
  },
  {
    settings: ["ldap.client-certificate", "ldap.client-key"],
    mistake: ({ ldap }) =>
      expected(
        (ldap["client-certificate"] === "") === (ldap["client-key"] === ""),
        "a certificate and its key in ldap.client-key, or neither",
        "one of them",
      ),
  },
  {
    settings: ["ldap.login-attribute"],
    mistake: ({ ldap }) => expected(ldap["login-attribute"] !== "", 'an attribute such as "uid"', '""'),
  },
  {
    settings: ["ldap.password-attribute"],
    mistake: ({ ldap }) =>
      expected(ldap["password-attribute"] !== "", 'an attribute such as "mailPassword"', '""'),
  },
  {
    settings: ["ldap.timeout"],
    mistake: ({ ldap }) => expected(ldap.timeout >= 1000, "at least a second", "less"),
  },
  {
    settings: ["ldap.deadline", "ldap.timeout"],
    mistake: ({ ldap }) => expected(ldap.deadline >= ldap.timeout, "at least ldap.timeout", "a shorter time"),
  },
  {
    settings: ["ldap.sender-attribute", "senders.aliases"],
    mistake: ({ ldap, senders }) =>
      expected(
        ldap["sender-attribute"] === "" || senders.aliases !== "",
        '"" unless senders.aliases names the file that it fills',
        `"${ldap["sender-attribute"]}"`,
      ),
  },
  {
    settings: ["ldap.ssh-key-attribute", "ssh.keys"],
    mistake: ({ ldap, ssh }) =>
      expected(
        ldap["ssh-key-attribute"] === "" || ssh.keys !== "",
        '"" unless ssh.keys names the file that it fills',
        `"${ldap["ssh-key-attribute"]}"`,
      ),
  },
  {
    settings: ["sync.largest-loss"],
    mistake: ({ sync }) =>
      expected(sync["largest-loss"] <= 100, "a number from 0 to 100", String(sync["largest-loss"])),
  },
  {
    settings: ["sync.interval"],
    mistake: ({ sync }) => expected(sync.interval >= 1000, "at least a second", "less"),
  },
];

function expected(fine: boolean, wanted: string, found: string): string | undefined {
  return fine ? undefined : `expected ${wanted}, found ${found}`;
}

/** The first address that stands there twice. Port 0 is a different port each time. */
function repeated(addresses: readonly HostAndPort[]): string | undefined {
  const written = addresses.filter(({ port }) => port !== 0).map(writeAddress);
  return written.find((address, index) => written.indexOf(address) !== index);
}
