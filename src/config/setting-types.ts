/**
 * What a setting's value may be: each kind says what it expects and reads one TOML value strictly.
 */
import { isIP } from "node:net";

/** `read` gives undefined for a value that is not of the kind. */
export interface SettingType<Value> {
  /** Completes "expected …": `a duration such as "30s", "15m", "4h" or "5d"`. */
  readonly expected: string;
  readonly read: (value: unknown) => Value | undefined;
  /** Of a list: the kind of its elements. */
  readonly each?: SettingType<unknown>;
}

/** An address to listen on or to connect to; an IPv6 `host` stands without brackets. */
export interface HostAndPort {
  readonly host: string;
  readonly port: number;
}

/** Where mail goes next; `mx` asks the DNS for each recipient's domain. */
export type RelayAddress =
  | { readonly kind: "mx" }
  | { readonly kind: "smtp" | "smtps" | "lmtp"; readonly host: string; readonly port: number }
  | { readonly kind: "file"; readonly directory: string };

export type LogTargetSetting =
  | { readonly kind: "stdout" | "journal" }
  | { readonly kind: "file" | "socket"; readonly path: string }
  | { readonly kind: "syslog"; readonly host: string; readonly port: number };

export const text: SettingType<string> = {
  expected: "a text",
  read: (value) => (typeof value === "string" ? value : undefined),
};

/** An address in plain ASCII, or "". */
export const addressOrNone: SettingType<string> = {
  expected: 'an address such as "postmaster@example.org", or ""',
  read: (value) =>
    typeof value === "string" && /^(?:[\w.+-]{1,64}@[\w.-]{1,255})?$/.test(value) ? value : undefined,
};

/** Words of one line, or "". */
export const lineOrNone: SettingType<string> = {
  expected: "one line of text, of 100 characters at most",
  read: (value) => (typeof value === "string" && /^\P{C}{0,100}$/u.test(value) ? value : undefined),
};

/** Words that go into a reply: a reply line has 512 octets at most (RFC 5321 section 4.5.3.1.5). */
export const replyText: SettingType<string> = {
  expected: "one line of text, of 400 characters in ASCII at most",
  read: (value) => (typeof value === "string" && /^[ -~]{1,400}$/.test(value) ? value : undefined),
};

/** What stands behind a refusal: short, so that there is room for the refusal. */
export const helpText: SettingType<string> = {
  expected: 'a page or an address such as "https://www.example.org/mail", of 100 characters in ASCII at most',
  read: (value) =>
    typeof value === "string" && /^[!-~](?:[ -~]{0,98}[!-~])?$/.test(value) ? value : undefined,
};

/** A file or folder. */
export const path: SettingType<string> = {
  expected: 'an absolute path such as "/etc/tpa-submit/name"',
  read: (value) =>
    typeof value === "string" && value.startsWith("/") && !value.includes("\0") ? value : undefined,
};

/** A file or folder, or "". */
export const pathOrNone: SettingType<string> = {
  expected: `${path.expected}, or "" for none`,
  read: (value) => (value === "" ? "" : path.read(value)),
};

/** A digit by which a host is known, or "". */
export const hostMark: SettingType<string> = {
  expected: 'one of the digits 0 to 9 and A to F, or "" for none',
  read: (value) => (typeof value === "string" && /^[0-9A-F]?$/.test(value) ? value : undefined),
};

/** A folder, or a word in its place. */
export const folderOrOff: SettingType<string> = {
  expected: `${path.expected}, "off", or "" for the usual one`,
  read: (value) => (value === "off" ? "off" : pathOrNone.read(value)),
};

const label = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/i;

/** A domain name as RFC 1123 section 2.1 has it, in ASCII. */
export const hostName: SettingType<string> = {
  expected: 'a host name such as "submission.example.org"',
  read: (value) =>
    typeof value === "string" && value.length <= 253 && value.split(".").every((part) => label.test(part))
      ? value.toLowerCase()
      : undefined,
};

/** Domains in lower case: one, with a dot in front those below it, or all. */
export const domainPattern: SettingType<string> = {
  expected: 'a domain such as "example.net", ".example.net" for those below it, or "*"',
  read: (value) => {
    if (typeof value !== "string" || value === "*") return value === "*" ? "*" : undefined;
    const name = hostName.read(value.replace(/^\./, ""));
    return name === undefined ? undefined : `${value.startsWith(".") ? "." : ""}${name}`;
  },
};

/** Senders in lower case: as domains are, or one address, or "<>" for the null reverse-path. */
export const senderPattern: SettingType<string> = {
  expected: 'an address, a domain such as "example.org", ".example.org" for those below it, "<>", or "*"',
  read: (value) => {
    const [local, domain] =
      typeof value === "string" ? (/^([^\s@<>]+)@([^@]+)$/.exec(value)?.slice(1) ?? []) : [];
    if (local === undefined) return value === "<>" ? "<>" : domainPattern.read(value);
    return hostName.read(domain) === undefined ? undefined : `${local}@${domain}`.toLowerCase();
  },
};

/** One address in ASCII, without quotes; its domain in lower case. */
export const mailAddress: SettingType<string> = {
  expected: 'an address such as "postmaster@example.org"',
  read: (value) => {
    const at = typeof value === "string" ? value.lastIndexOf("@") : -1;
    if (typeof value !== "string" || at < 1 || at > 64) return undefined;
    const [local, domain] = [value.slice(0, at), hostName.read(value.slice(at + 1))];
    return domain !== undefined && /^[\w!#$%&'*+/=?^`{|}~.-]+$/.test(local)
      ? `${local}@${domain}`
      : undefined;
  },
};

export const flag: SettingType<boolean> = {
  expected: "true or false",
  read: (value) => (typeof value === "boolean" ? value : undefined),
};

/** A whole number of at least `least`. */
export const count = (least: number): SettingType<number> => ({
  expected: `a whole number of at least ${least}`,
  read: (value) =>
    typeof value === "number" && Number.isSafeInteger(value) && value >= least ? value : undefined,
});

const secondsIn = { s: 1, m: 60, h: 3600, d: 86_400 } as const;

/** Milliseconds. */
export const duration: SettingType<number> = {
  expected: 'a duration such as "30s", "15m", "4h" or "5d"',
  read: (value) => {
    const found = typeof value === "string" ? /^(\d{1,7})([smhd])$/.exec(value) : null;
    return found ? Number(found[1]) * secondsIn[found[2] as keyof typeof secondsIn] * 1000 : undefined;
  },
};

const octetsIn = { "": 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 } as const;

/** Octets. */
export const size: SettingType<number> = {
  expected: 'a size such as "500K", "50M" or "1G"',
  read: (value) => {
    const found = typeof value === "string" ? /^(\d{1,9})([KMG]?)$/.exec(value) : null;
    return found ? Number(found[1]) * octetsIn[found[2] as keyof typeof octetsIn] : undefined;
  },
};

/** One of the words given. */
export const choice = <const Word extends string>(...words: readonly Word[]): SettingType<Word> => ({
  expected: `one of ${words.map((word) => `"${word}"`).join(", ")}`,
  read: (value) => words.find((word) => word === value),
});

export const address: SettingType<HostAndPort> = {
  expected: 'an address such as "0.0.0.0:587", "[::]:587" or "localhost:587"',
  read: (value) => (typeof value === "string" ? readAddress(value) : undefined),
};

/** A Unix socket, an address, or "" for none. */
export const pathOrAddress: SettingType<HostAndPort | string> = {
  expected: `${path.expected}, ${address.expected}, or "" for none`,
  read: (value) =>
    value === "" || (typeof value === "string" && value.startsWith("/"))
      ? pathOrNone.read(value)
      : address.read(value),
};

/** A submission server: STARTTLS for smtp, which must be had; TLS from the first octet for smtps. */
export interface Server extends HostAndPort {
  readonly kind: "smtp" | "smtps";
}

export const server: SettingType<Server> = {
  expected: '"smtp://HOST:PORT" (with STARTTLS) or "smtps://HOST:PORT"',
  read: (value) => {
    const [, kind, at = ""] = typeof value === "string" ? (/^(smtps?):\/\/(.+)$/.exec(value) ?? []) : [];
    const found = address.read(at);
    return found && (kind === "smtp" || kind === "smtps") ? { kind, ...found } : undefined;
  },
};

/** Addresses that begin with the same `prefix` bits; all of one address have 32 or 128. */
export interface Network {
  readonly address: string;
  readonly prefix: number;
}

export const network: SettingType<Network> = {
  expected: 'an IP address or a network such as "192.0.2.7", "192.0.2.0/24" or "2001:db8::/32"',
  read: (value) => {
    const found = typeof value === "string" ? /^([0-9a-f:.]+)(?:\/(\d{1,3}))?$/i.exec(value) : null;
    const [address = "", bits] = found?.slice(1) ?? [];
    const most = { 4: 32, 6: 128 }[isIP(address)];
    const prefix = bits === undefined ? most : Number(bits);
    if (most === undefined || prefix === undefined || prefix < 1 || prefix > most) return undefined;
    return { address, prefix };
  },
};

/** A certificate with its chain, and its private key. */
export const keyPair: SettingType<{ readonly certificate: string; readonly key: string }> = {
  expected: 'a certificate and its key such as "/etc/tpa-submit/tls/chain.pem /etc/tpa-submit/tls/key.pem"',
  read: (value) => {
    const [certificate, key, ...others] = typeof value === "string" ? value.split(" ").map(path.read) : [];
    return certificate !== undefined && key !== undefined && others.length === 0
      ? { certificate, key }
      : undefined;
  },
};

export const list = <Value>(kind: SettingType<Value>): SettingType<readonly Value[]> => ({
  expected: `a list, each ${kind.expected}`,
  each: kind,
  read: (value) => {
    if (!Array.isArray(value)) return undefined;
    const values = value.map(kind.read);
    return values.every((one) => one !== undefined) ? values : undefined;
  },
});

/** One, or a list of them; read as a list. */
export const oneOrMore = <Value>(kind: SettingType<Value>): SettingType<readonly Value[]> => ({
  expected: `${kind.expected}, or a list of them`,
  each: kind,
  read: (value) => list(kind).read(Array.isArray(value) ? value : [value]),
});

/** "" means none, and is read as null. */
export const optional = <Value>(kind: SettingType<Value>): SettingType<Value | null> => ({
  expected: `${kind.expected}, or "" for none`,
  read: (value) => (value === "" ? null : kind.read(value)),
});

const oneDirectory: SettingType<string> = {
  expected: 'a directory such as "ldaps://db.example.org"',
  read: (value) => (typeof value === "string" && /^ldap[si]?:\/\/[^\s@]*$/.test(value) ? value : undefined),
};

/** Where the directory is: one URL, or a list of them to be tried in order; "" for nowhere, read as none. */
export const directories: SettingType<readonly string[]> = {
  expected: `${oneDirectory.expected}, a list of them, or "" for none`,
  each: oneDirectory,
  read: (value) => {
    if (value === "") return [];
    return list(oneDirectory).read(typeof value === "string" ? [value] : value);
  },
};

/** Where a web server of ours is, by its name: "https://mail.example.org", perhaps with a port. "" for none. */
export const portalUrl: SettingType<string> = {
  expected: 'a URL such as "https://mail.example.org", without a path, or ""',
  read: (value) => {
    if (value === "") return "";
    const [, host = "", port = ""] =
      typeof value === "string" ? (/^https:\/\/([^\s/:@?#]+)(:\d{1,5})?\/?$/.exec(value) ?? []) : [];
    const name = hostName.read(host);
    return name === undefined ? undefined : `https://${name}${port === ":443" ? "" : port}`;
  },
};

/** Permission bits of a file that others may not write: "0640" is 0o640. */
export const fileMode: SettingType<number> = {
  expected: 'permissions such as "0640", without writing for group and others',
  read: (value) =>
    typeof value === "string" && /^0[0-7][0145]{2}$/.test(value) ? Number.parseInt(value, 8) : undefined,
};

/** Permission bits of a socket: "0660" is 0o660. */
export const socketMode: SettingType<number> = {
  expected: 'permissions such as "0660", none of them for others',
  read: (value) =>
    typeof value === "string" && /^0[0-7]{2}0$/.test(value) ? Number.parseInt(value, 8) : undefined,
};

export const relay: SettingType<RelayAddress> = {
  expected: '"mx", "smtp://host:port", "smtps://host:port", "lmtp://host:port" or "file:/directory"',
  read: (value) => {
    if (typeof value !== "string") return undefined;
    if (value === "mx") return { kind: "mx" };
    if (value.startsWith("file:/")) return { kind: "file", directory: value.slice("file:".length) };
    const found = /^(smtps?|lmtp):\/\/(.+)$/.exec(value);
    const at = found ? readAddress(found[2] ?? "") : undefined;
    return found && at ? { kind: found[1] as "smtp" | "smtps" | "lmtp", ...at } : undefined;
  },
};

export const logTarget: SettingType<LogTargetSetting> = {
  expected: '"stdout", "journal", "socket:/dev/log", "file:/path" or "syslog:host:port"',
  read: (value) => {
    if (value === "stdout" || value === "journal") return { kind: value };
    if (typeof value !== "string") return undefined;
    for (const kind of ["file", "socket"] as const) {
      if (value.startsWith(`${kind}:/`)) return { kind, path: value.slice(kind.length + 1) };
    }
    const at = value.startsWith("syslog:") ? readAddress(value.slice("syslog:".length)) : undefined;
    return at ? { kind: "syslog", ...at } : undefined;
  },
};

/** Where a filter listens, as Postfix's smtpd_milters name it. */
export type MilterAddressSetting =
  | { readonly kind: "unix"; readonly path: string }
  | ({ readonly kind: "inet" } & HostAndPort);

export const milterAddress: SettingType<MilterAddressSetting> = {
  expected: 'a socket such as "unix:/run/rspamd/milter.sock" or "inet:127.0.0.1:11332"',
  read: (value) => {
    const [, kind, at = ""] = typeof value === "string" ? (/^(unix|inet):(.+)$/.exec(value) ?? []) : [];
    if (kind === "unix") return at.startsWith("/") && !at.includes("\0") ? { kind, path: at } : undefined;
    const found = kind === "inet" ? readAddress(at) : undefined;
    return found && { kind: "inet", ...found };
  },
};

/** As people write it. */
export const writeMilterAddress = (address: MilterAddressSetting): string =>
  address.kind === "unix" ? `unix:${address.path}` : `inet:${writeAddress(address)}`;

/** A name for logs and labels of metrics. */
export const shortName: SettingType<string> = {
  expected: 'a name of letters, digits, "-", "_" and ".", 40 at most',
  read: (value) => (typeof value === "string" && /^[A-Za-z0-9._-]{1,40}$/.test(value) ? value : undefined),
};

/** HOST:PORT, where an IPv6 address stands in brackets. */
export const writeAddress = ({ host, port }: HostAndPort): string =>
  host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;

/** The other way round; undefined where it is none. */
function readAddress(value: string): HostAndPort | undefined {
  const found = /^(?:\[([0-9a-f:.]+)\]|([^\s:[\]/]+)):(\d{1,5})$/i.exec(value);
  const host = found?.[1] ?? found?.[2];
  const port = Number(found?.[3]);
  if (host === undefined || port > 65_535 || (found?.[1] !== undefined && isIP(host) === 0)) return undefined;
  return { host, port };
}
