/** `tpa-submit settings`: what to type into which client, files for them, DNS records. man/tpa-submit-settings.1 */
import {
  argument,
  command,
  flag,
  oneOf,
  parsed,
  parseOptions,
  type ValueReader,
  value,
} from "../cli/options.ts";
import { type HostAndPort, hostName } from "../config/setting-types.ts";
import { exitStatus } from "../failure.ts";

/** A host, or a host and its port; IMAP inside TLS is on 993 (RFC 8314). */
const incoming: ValueReader<HostAndPort> = {
  expected: 'a server such as "imap.example.org" or "imap.example.org:993"',
  read: (text) => {
    const [, name = "", digits = "993"] = /^([^:]+)(?::(\d{1,5}))?$/.exec(text) ?? [];
    const [host, port] = [hostName.read(name), Number(digits)];
    return host === undefined || port < 1 || port > 65_535 ? undefined : { host, port };
  },
};

const host: ValueReader<string> = { expected: hostName.expected, read: (text) => hostName.read(text) };

export const settingsCommand = command({
  name: "settings",
  summary: "Tell what to type into a mail client, and write its files.",
  options: {
    config: value("-c, --config <file>", "Configuration file.", "/etc/tpa-submit/tpa-submit.toml"),
    login: value("--login <name>", "Whose settings: a login."),
    server: parsed("--server <host>", "The name that people type, where it is not the host's own.", host),
    format: parsed(
      "--format <name>",
      "Print a file that a client takes.",
      oneOf("msmtprc", "muttrc", "gitconfig", "main.cf", "mobileconfig", "config-v1.1.xml", "autodiscover"),
    ),
    incoming: parsed("--incoming <host>", "Server with the mailboxes, for formats that want one.", incoming),
    dns: flag("--dns", "Print the DNS records."),
    site: value("--site <folder>", "Write a help site, a page for each client."),
    json: flag("--json", "Print the table as JSON."),
  },
  arguments: { client: argument("[client]", "A client of the list, such as thunderbird; none: the list.") },
  examples: [
    "tpa-submit settings thunderbird --login user1",
    "tpa-submit settings --format msmtprc --login user1 > ~/.msmtprc",
    "tpa-submit settings --format mobileconfig --login user1 --incoming imap.example.net > mail.mobileconfig",
    "tpa-submit settings --dns",
    "tpa-submit settings --site /var/www/mail",
  ],
});

export async function run(argv: readonly string[]): Promise<number> {
  const chosen = parseOptions(settingsCommand, argv);
  if (!chosen) return exitStatus.ok;
  const { tellSettings } = await import("./settings/carry-out.ts");
  return tellSettings(chosen.arguments.client, chosen.options);
}
