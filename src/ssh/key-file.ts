/**
 * The file of SSH keys, a line each: `LOGIN [OPTIONS] TYPE KEY`, as `tpa-submit sync` writes it. Of a key's options only those
 * count that make it weaker. Pure.
 */

/** A key that lets a login send. */
export interface SshKey {
  readonly login: string;
  /** `from="192.0.2.0/24"`, `expiry-time="20270101"`: what the key's owner limits it to. */
  readonly options: readonly string[];
  /** `ssh-ed25519`. */
  readonly type: string;
  /** Base64. */
  readonly key: string;
}

/** Types of OpenSSH 8 and later; ssh-dss is gone, and a certificate is signed by somebody else. */
const types: readonly string[] = [
  "ssh-ed25519",
  "ssh-rsa",
  "ecdsa-sha2-nistp256",
  "ecdsa-sha2-nistp384",
  "ecdsa-sha2-nistp521",
  "sk-ssh-ed25519@openssh.com",
  "sk-ecdsa-sha2-nistp256@openssh.com",
];

/** Options that limit where and until when a key is good. `restrict` and the command are ours. */
const kept = /^(?:from|expiry-time)="[\w.:/*?!,+-]{1,500}"$/i;

/** Options that say nothing against sending mail: they take away what `restrict` takes away as well. */
const harmless = /^(?:restrict|no-[a-z0-9-]+|verify-required)$/i;

/**
 * Reads a key as authorized_keys(5) and userdir-ldap have it, `[OPTIONS] TYPE KEY [COMMENT]`. Gives a text where it cannot be
 * used: of another type, or with an option that limits it to something else, such as another command.
 */
export function readKey(login: string, text: string): SshKey | string {
  const { options, rest } = splitOptions(text.trim());
  const [type = "", key = ""] = rest.split(/[ \t]+/);
  if (!types.includes(type)) {
    const [word = ""] = type.startsWith("AAAA") ? options : [type]; // what stands before a key is its type
    return `the key is of the type ${JSON.stringify(word.slice(0, 30))}, which is not known`;
  }
  if (!/^AAAA[A-Za-z0-9+/]{20,16000}={0,2}$/.test(key)) return "the key is not in Base64";
  if (!holdsType(key, type)) return "the key is not of the type that it says";
  const other = options.find((option) => !kept.test(option) && !harmless.test(option));
  if (other !== undefined) return `the key is for something else: ${other.replace(/=.*/s, "")}`;
  return { login, options: options.filter((option) => kept.test(option)), type, key };
}

/** A key begins with the name of its type (RFC 4253 section 6.6). */
function holdsType(key: string, type: string): boolean {
  const octets = Buffer.from(key.slice(0, 80), "base64");
  return octets.length > 4 && octets.toString("latin1", 4, 4 + octets.readUInt32BE(0)) === type;
}

/** What stands before the type: options, separated by commas that are in no quotes. */
function splitOptions(text: string): { readonly options: readonly string[]; readonly rest: string } {
  if (types.some((type) => text.startsWith(`${type} `))) return { options: [], rest: text };
  const options: string[] = [];
  let option = "";
  let isQuoted = false;
  for (let at = 0; at < text.length; at++) {
    const sign = text.charAt(at);
    if (sign === "\\" && isQuoted) {
      option += text.slice(at, at + 2);
      at++;
      continue;
    }
    if (sign === '"') isQuoted = !isQuoted;
    if (!isQuoted && (sign === " " || sign === "\t")) {
      return { options: [...options, option], rest: text.slice(at).trim() };
    }
    if (!isQuoted && sign === ",") {
      options.push(option);
      option = "";
    } else option += sign;
  }
  return { options: [], rest: text };
}

/** Logins as they may stand on a command line of a shell. */
const plainLogin = /^[A-Za-z0-9][A-Za-z0-9._+@-]{0,254}$/;

/** The lines of a file, sorted. Keys of logins that could mean something to a shell are left out. */
export function formatKeyFile(keys: readonly SshKey[]): string {
  return keys
    .filter(({ login }) => plainLogin.test(login))
    .map(
      ({ login, options, type, key }) =>
        `${[login, ...(options.length > 0 ? [options.join(",")] : []), type, key].join(" ")}\n`,
    )
    .toSorted((one, other) => (one < other ? -1 : Number(one > other)))
    .join("");
}

/** Reads what {@link formatKeyFile} wrote; a line that is anything else lets nobody in. */
export function parseKeyFile(text: string): readonly SshKey[] {
  return text.split("\n").flatMap((line) => {
    const [, login = "", rest = ""] = /^(\S+) (.+)$/.exec(line) ?? [];
    const found = plainLogin.test(login) ? readKey(login, rest) : "";
    return typeof found === "string" ? [] : [found];
  });
}

/** What the forced command is made of, paths without blanks and quotes. */
export interface ForcedCommand {
  readonly program: string;
  /** The relay's local listener. */
  readonly socket: string;
}

/** The line for sshd: the key is good for one command, and for nothing beside it. */
export function authorizedLine(
  { login, options, type, key }: SshKey,
  { program, socket }: ForcedCommand,
): string {
  const forced = `command="${program} ssh submit --login ${login} --socket ${socket}"`;
  return `${["restrict", forced, ...options].join(",")} ${type} ${key}\n`;
}
