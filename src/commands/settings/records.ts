/** The DNS records by which clients find the server and receivers trust it, as a zone file has them. */
import { createHash, type X509Certificate } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { isIPv4, isIPv6 } from "node:net";
import { join } from "node:path";
import type { Config } from "../../config/settings.ts";
import type { Service } from "./client.ts";

export interface RecordSources {
  readonly config: Pick<Config, "hostname"> & {
    readonly listen: Pick<Config["listen"], "submission" | "submissions">;
  };
  /** Those whose mail goes out here. */
  readonly domains: readonly string[];
  readonly service: Service;
  /** Public ones of this host. */
  readonly addresses: readonly string[];
  /** The server's, or why there is none. */
  readonly certificate: X509Certificate | { readonly missing: string };
  /** sshd's public keys, each a line `TYPE KEY COMMENT`; undefined where nobody sends by SSH. */
  readonly hostKeys?: readonly string[] | undefined;
}

/** The public keys of sshd in its folder. None where it cannot be read. */
export async function hostKeysIn(folder: string): Promise<readonly string[]> {
  const names = await readdir(folder).catch(() => []);
  const keys = names.filter((name) => /^ssh_host_\w+_key\.pub$/.test(name)).toSorted();
  const texts = await Promise.all(keys.map((name) => readFile(join(folder, name), "utf8").catch(() => "")));
  return texts.map((text) => text.trim()).filter((text) => text !== "");
}

/** Lines of a zone file (RFC 1035 section 5); what stands behind ";" is for the reader. */
export function zoneLines({
  config,
  domains,
  service,
  addresses,
  certificate,
  hostKeys,
}: RecordSources): string {
  const { hostname, listen } = config;
  const ports = { implicit: listen.submissions[0]?.port, starttls: listen.submission[0]?.port };
  const known = addresses.length > 0 ? addresses : ["192.0.2.1"];
  const networks = known.map((address) => `${isIPv6(address) ? "ip6" : "ip4"}:${address}`);
  const each = (lines: (domain: string) => readonly string[]): readonly string[] => domains.flatMap(lines);
  return [
    ...part(
      `the server; an SRV or PTR record must name ${hostname} itself, never an alias (RFC 2782)`,
      ...(addresses.length > 0 ? [] : ["; 192.0.2.1 stands for the public address of this host"]),
      ...known.map((address) => `${hostname}. IN ${isIPv6(address) ? "AAAA" : "A"} ${address}`),
      ...(service.host === hostname ? [] : [`${service.host}. IN CNAME ${hostname}.`]),
    ),
    ...part(
      "clients that look for it: TLS from the first octet before STARTTLS (RFC 6186, RFC 8314 section 5.1)",
      ...each((domain) => [
        ...srv(`_submissions._tcp.${domain}`, 0, ports.implicit, hostname),
        ...srv(`_submission._tcp.${domain}`, 10, ports.starttls, hostname),
      ]),
      "; where the domain has no mailboxes anywhere, say so:",
      ...each((domain) =>
        ["_imap", "_imaps", "_pop3", "_pop3s"].map((name) => `; ${name}._tcp.${domain}. IN SRV 0 0 0 .`),
      ),
    ),
    ...part(
      "only with a web server there that answers for config-v1.1.xml and Autodiscover",
      ...each((domain) => [
        `; autoconfig.${domain}. IN CNAME www.${domain}.`,
        `; autodiscover.${domain}. IN CNAME www.${domain}.`,
        `; _autodiscover._tcp.${domain}. IN SRV 0 0 443 www.${domain}.`,
      ]),
    ),
    ...part(
      "who may send as the domain: one SPF record only, so put these into the one that is there (RFC 7208)",
      ...each((domain) => [`${domain}. IN TXT ${strings(`v=spf1 ${networks.join(" ")} mx -all`)}`]),
    ),
    ...part(
      "from whoever provides the address",
      ...known.map((address) => `${reverseName(address)}. IN PTR ${hostname}.`),
    ),
    ...part(
      "only where the zone is signed (RFC 7672, RFC 7673): the key, so it stays with the next certificate if the key does",
      ...tlsa(hostname, [ports.implicit, ports.starttls], certificate),
    ),
    ...(hostKeys === undefined
      ? []
      : part(
          "only where the zone is signed: the keys of sshd, for ssh's VerifyHostKeyDNS (RFC 4255)",
          ...sshfp(hostname, hostKeys),
        )),
  ]
    .map((line) => `${line}\n`)
    .join("")
    .trimStart();
}

/** A string of a TXT record has 255 octets at most; SPF puts several together as they are (RFC 7208 section 3.3). */
const strings = (text: string): string => text.replace(/.{1,255}/g, '"$&" ').trimEnd();

const part = (title: string, ...lines: readonly string[]): readonly string[] => ["", `; ${title}`, ...lines];

const srv = (name: string, priority: number, port: number | undefined, target: string): readonly string[] =>
  port === undefined ? [] : [`${name}. IN SRV ${priority} 1 ${port} ${target}.`];

/** DANE-EE, the public key, SHA-256 (RFC 7671 section 5.1). */
function tlsa(
  host: string,
  ports: readonly (number | undefined)[],
  certificate: RecordSources["certificate"],
): readonly string[] {
  if ("missing" in certificate) return [`; no TLSA record: ${certificate.missing}`];
  const key = certificate.publicKey.export({ type: "spki", format: "der" });
  const digest = createHash("sha256").update(key).digest("hex");
  return ports.flatMap((port) =>
    port === undefined ? [] : [`_${port}._tcp.${host}. IN TLSA 3 1 1 ${digest}`],
  );
}

/** RFC 4255 section 3.1.1, RFC 6594 section 3, RFC 7479 section 2. */
const sshAlgorithms: readonly (readonly [type: RegExp, number: number])[] = [
  [/^ssh-rsa$/, 1],
  [/^ecdsa-sha2-nistp\d+$/, 3],
  [/^ssh-ed25519$/, 4],
];

/** Type 2 is SHA-256 (RFC 6594 section 4). */
function sshfp(host: string, keys: readonly string[]): readonly string[] {
  const records = keys.flatMap((line) => {
    const [type = "", key = ""] = line.split(" ");
    const number = sshAlgorithms.find(([name]) => name.test(type))?.[1];
    if (number === undefined || key === "") return [];
    const digest = createHash("sha256").update(Buffer.from(key, "base64")).digest("hex");
    return [`${host}. IN SSHFP ${number} 2 ${digest}`];
  });
  return records.length > 0 ? records : ["; no SSHFP record: no /etc/ssh/ssh_host_*_key.pub can be read"];
}

/** RFC 1035 section 3.5; RFC 3596 section 2.5. */
export function reverseName(address: string): string {
  if (isIPv4(address)) return `${address.split(".").reverse().join(".")}.in-addr.arpa`;
  const [before = "", after] = address.split("::");
  const groups = (text: string): readonly string[] => (text === "" ? [] : text.split(":"));
  const [left, right] = [groups(before), groups(after ?? "")];
  const middle = after === undefined ? [] : Array.from({ length: 8 - left.length - right.length }, () => "0");
  const hex = [...left, ...middle, ...right].map((group) => group.padStart(4, "0")).join("");
  return `${hex.split("").reverse().join(".")}.ip6.arpa`;
}
