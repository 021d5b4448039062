/** The domains whose accounts come from the directory, each with a search and files of its own. */
import { perDomain } from "../../config/domains.ts";
import type { Config } from "../../config/settings.ts";

/** The configuration as each of them has it: the main domain, and the others that have a filter or a base. */
export const syncedSites = (config: Config): readonly Config[] =>
  perDomain(config).filter((site, index) => index === 0 || site.ldap.url.length > 0);
