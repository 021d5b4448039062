/** The options of `tpa-submit init`. */
import { command, flag, type OptionsOf, value } from "../../cli/options.ts";

export const line = command({
  name: "init",
  summary:
    "Set up a relay: configuration, folders, a first login. Shows what it would change, and asks before it does.",
  options: {
    config: value("-c, --config <file>", "Configuration file.", "/etc/tpa-submit/tpa-submit.toml"),
    hostname: value("--hostname <name>", "Name of this host, as mail programs and other servers see it."),
    domain: value("--domain <domain>", "Mail domain of the logins."),
    certificate: value("--certificate <file>", "Certificate with its chain, PEM."),
    key: value("--key <file>", "Its private key, PEM."),
    login: value("--login <name>", "A first login; its password is made up and shown once."),
    ldap: value("--ldap <url>", "Directory that the logins come from."),
    base: value("--base <dn>", "Where the accounts are in the directory."),
    bindDn: value("--bind-dn <dn>", "Whom to log in as in the directory; its password is asked for."),
    bindPasswordFile: value(
      "--bind-password-file <file>",
      "File with that password, which is copied to one that the service alone reads.",
    ),
    relay: value("--relay <url>", 'Where mail leaves to: "mx", "smtp://host:port", "smtps://host:port" …'),
    relayUser: value("--relay-user <name>", "Login at that relay; its password is asked for."),
    relayPasswordFile: value("--relay-password-file <file>", "File with that password, likewise copied."),
    passwords: value("--passwords <file>", "The password file."),
    spool: value("--spool <folder>", "Where accepted messages wait."),
    user: value("--user <name>", "User that the relay runs as.", "tpa-submit"),
    offline: flag("--offline", "Ask no other host at the end, when everything is looked at."),
    dryRun: flag("-n, --dry-run", "Only show what would be changed."),
    yes: flag("-y, --yes", "Ask nothing: take what is given, and the defaults."),
  },
  arguments: {},
  examples: [
    "tpa-submit init",
    "tpa-submit init --hostname submission.example.org --domain example.org --login user1 --yes",
    "tpa-submit init --ldap ldaps://db.example.org --base ou=users,dc=example,dc=org",
  ],
});

export type InitOptions = OptionsOf<typeof line.options>;
