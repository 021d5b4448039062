/**
 * The domains of a configuration. Each is a small site of its own: what is done for one is done with the configuration
 * as its logins have it, where its files and rules stand in the place of the main domain's.
 */
import type { Config } from "./settings.ts";

/** The names of all, the main domain first. */
export const domainNames = ({ domain, domains }: Pick<Config, "domain" | "domains">): readonly string[] => [
  domain,
  ...domains.map(({ name }) => name),
];

/** The configuration as each domain has it, the main domain's first. */
export const perDomain = (config: Config): readonly Config[] => [
  config,
  ...config.domains.map((own) => asDomain(config, own)),
];

/** The configuration as the domain `name` has it; undefined where there is no such domain. */
export const forDomain = (config: Config, name: string): Config | undefined =>
  perDomain(config).find(({ domain }) => domain === name.toLowerCase());

/** The configuration for `login`, with a domain or without; that of the main domain where its domain is not known. */
export const forLogin = (config: Config, login: string): Config =>
  forDomain(config, domainOfLogin(login, config.domain)) ?? config;

/** The domain of a login, in lower case: what stands behind the last @, else `main`. */
export function domainOfLogin(login: string, main: string): string {
  const at = login.lastIndexOf("@");
  return at < 0 ? main : login.slice(at + 1).toLowerCase();
}

/** Where keys that sign are: the main domain's folder, and that of each domain that has one of its own. */
export interface KeyPlace {
  readonly folder: string;
  /** The setting that names it. */
  readonly setting: string;
  /** Whether keys of `domain` count there. */
  readonly holds: (domain: string) => boolean;
}

/** All of them; none where nothing is signed. */
export function keyPlaces({ dkim, domains }: Pick<Config, "dkim" | "domains">): readonly KeyPlace[] {
  const apart = domains.filter((own) => own["dkim-folder"] !== "");
  const main: KeyPlace = {
    folder: dkim.folder,
    setting: "dkim.folder",
    holds: (domain) => !apart.some(({ name }) => name === domain),
  };
  const others = apart.map(
    ({ name, "dkim-folder": folder }): KeyPlace => ({
      folder: folder === "off" ? "" : folder,
      setting: `dkim-folder of ${name}`,
      holds: (domain) => domain === name,
    }),
  );
  return [main, ...others].filter(({ folder }) => folder !== "");
}

function asDomain(config: Config, own: Config["domains"][number]): Config {
  const { passwords, senders, dkim, ldap } = config;
  const isSynced = own["ldap-base"] !== "" || own["ldap-filter"] !== "";
  return {
    ...config,
    domain: own.name,
    passwords: {
      ...passwords,
      file: own["password-file"],
      "wrong-text": own["wrong-text"] ?? passwords["wrong-text"],
    },
    senders: { ...senders, policy: own["sender-policy"], aliases: own["sender-aliases"] },
    dkim: { ...dkim, folder: dkimFolder(own["dkim-folder"], dkim.folder) },
    ldap: {
      ...ldap,
      url: isSynced ? ldap.url : [],
      base: own["ldap-base"] || ldap.base,
      filter: own["ldap-filter"] || ldap.filter,
      "sender-attribute": own["sender-aliases"] === "" ? "" : ldap["sender-attribute"],
    },
  };
}

const dkimFolder = (own: string, main: string): string => (own === "" ? main : own === "off" ? "" : own);
