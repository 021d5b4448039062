/** What a person types into a client, from the configuration. */
import { usageMistake } from "../../cli/options.ts";
import type { Config } from "../../config/settings.ts";
import { exitStatus, Failure } from "../../failure.ts";
import type { Service } from "./client.ts";

/** Stands where nobody has said whose login it is. */
export const anybody = "NAME";

/**
 * `host` is the name that people type, where it is another one than the host's own. `main` is the main domain: only its
 * people may leave out theirs.
 */
export function serviceOf(
  {
    hostname,
    domain,
    domains,
    listen,
    passwords,
    ssh,
  }: Pick<Config, "hostname" | "domain" | "domains" | "listen" | "passwords" | "ssh">,
  login: string | undefined,
  host = hostname,
  main = domain,
): Service {
  const implicit = listen.submissions[0]?.port;
  const starttls = listen.submission[0]?.port;
  const port = implicit ?? starttls;
  if (port === undefined)
    throw new Failure(
      exitStatus.config,
      "listen.submission and listen.submissions are both empty: there is no door",
    );
  const name = login === undefined ? anybody : loginIn(login, domain);
  const others = login === undefined ? domains.map((one) => one.name) : [];
  return {
    host,
    domain,
    ...(others.length > 0 && { others }),
    login: domain === main || login === undefined ? name : `${name}@${domain}`,
    address: `${name}@${domain}`,
    port,
    isImplicit: implicit !== undefined,
    starttls,
    sshAccount: ssh.account,
    wrongText: passwords["wrong-text"],
  };
}

// It goes into files with quotes of many kinds, so nothing is taken that means something in one of them.
const name = /^[a-z0-9](?:[a-z0-9._+-]{0,62}[a-z0-9])?$/i;

function loginIn(text: string, domain: string): string {
  const [login = "", own, ...more] = text.split("@");
  if (more.length === 0 && name.test(login) && (own === undefined || own.toLowerCase() === domain))
    return login;
  throw usageMistake(
    "settings",
    `--login: expected a login such as user1 or user1@${domain}, found ${JSON.stringify(text)}`,
  );
}
