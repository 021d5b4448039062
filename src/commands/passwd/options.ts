/** The options of `tpa-submit passwd`: those of `doveadm pw` first, then what goes beyond them. */
import { command, flag, type OptionsOf, parsed, value, wholeNumber } from "../../cli/options.ts";

export const line = command({
  name: "passwd",
  summary: "Make, check and set password hashes; with the options of `doveadm pw`, and more.",
  options: {
    list: flag("-l, --list", "List the schemes."),
    plaintext: value(
      "-p, --plaintext <password>",
      "Take this password; others on this host can see it in ps(1).",
    ),
    rounds: parsed(
      "-r, --rounds <n>",
      "Work factor, within the scheme's limits; 0: its standard.",
      wholeNumber(0),
    ),
    scheme: value(
      "-s, --scheme <scheme>",
      "How to keep the password, with .HEX or .B64 behind it if wanted.",
      "CRYPT",
    ),
    testHash: value("-t, --test-hash <hash>", "Say whether the password belongs to this hash."),
    user: value("-u, --user <user>", "User name, for DIGEST-MD5."),
    reverseVerify: flag("-V, --reverse-verify", "Verify the new hash before it is printed."),
    noPrefix: flag("--no-prefix", "Print the hash without {SCHEME}, for mailPassword in userdir-ldap."),
    stdin: flag("--stdin", "Read the password from standard input, one line, once."),
    generate: flag("--generate", "Make a strong password; it is shown once, on standard error."),
    json: flag("--json", "Print JSON."),
    check: value("--check [hash|file]", "Tell what a hash is, or what is in a password file."),
    set: value("--set <user>", "Set the password of a user in the password file."),
    delete: value("--delete <user>", "Remove a user from the password file."),
    name: value(
      "--name <name>",
      "With --set, --delete, --freeze or --thaw: only the password of this name, such as one device's.",
    ),
    freeze: value("--freeze <user>", "Lock the password of a user that --name names; the others go on."),
    thaw: value("--thaw <user>", "Open it again."),
    verify: value("--verify <user>", "Say whether the relay lets a user in, and if not, why."),
    ldap: value("--ldap <user>", "Set the password of a user in the directory."),
    asAdmin: flag(
      "--as-admin",
      "With --ldap: log in as ldap.bind-dn instead of as the user. With --name: there, not in the file.",
    ),
    bindPasswordFile: value(
      "--bind-password-file <file>",
      "With --ldap: file with the user's directory password, which is asked for otherwise.",
    ),
    file: value("--file <file>", "Password file, instead of the one in the configuration."),
    config: value("-c, --config <file>", "Configuration file.", "/etc/tpa-submit/tpa-submit.toml"),
  },
  arguments: {},
  examples: [
    "tpa-submit passwd -s BLF-CRYPT",
    "tpa-submit passwd -t '{SHA512-CRYPT}$6$…'",
    "tpa-submit passwd --generate --no-prefix",
    "tpa-submit passwd --set user1 --file /var/lib/tpa-submit/mail-passwords",
    "tpa-submit passwd --set user1 --name phone --generate",
    "tpa-submit passwd --check",
  ],
});

export type PasswdOptions = OptionsOf<typeof line.options>;
