/** TLS: the options, how they are read into the plan, the --dump section. */
import type { Requirement, TlsPlan } from "../plan.ts";
import type { OptionAnswers } from "./answers.ts";
import { mistake } from "./mistake.ts";
import { type DumpSection, needWords, type OptionGroup } from "./option.ts";
import type { Dialect } from "./protocol.ts";

export const tlsOptions = {
  title: "TLS",
  rows: [
    {
      name: "tls",
      argument: "none",
      help: "STARTTLS, or fail.",
      example: "-t bob@example.org -s mail.example.org -p 587 -tls",
    },
    {
      name: "tls-optional",
      aliases: ["tlso"],
      argument: "none",
      help: "STARTTLS where it is offered. When a handshake fails the run goes on in clear, on a new connection.",
      example: "-t bob@example.org -s mail.example.org -tlso",
    },
    {
      name: "tls-optional-strict",
      aliases: ["tlsos"],
      argument: "none",
      help: "STARTTLS where it is offered; then it must succeed.",
      example: "-t bob@example.org -s mail.example.org -tlsos",
    },
    {
      name: "tls-on-connect",
      aliases: ["tlsc"],
      argument: "none",
      help: "TLS from the first octet, on port 465 if no other is given.",
      example: "-t bob@example.org -s mail.example.org -tlsc",
    },
    {
      name: "tls-protocol",
      aliases: ["tlsp"],
      argument: "required",
      placeholder: "VERSION[,VERSION…]",
      help: "The versions to use: tlsv1, tlsv1_1, tlsv1_2, tlsv1_3; or, all with no_ in front, those not to use.",
      example: "-t bob@example.org -s mail.example.org -tls --tls-protocol tlsv1_3",
    },
    {
      name: "tls-cipher",
      argument: "required",
      placeholder: "CIPHERS",
      help: "The ciphers to offer, as OpenSSL writes them.",
      example: "-t bob@example.org -s mail.example.org -tls --tls-cipher ECDHE+AESGCM",
    },
    {
      name: "tls-verify",
      argument: "none",
      help: "Accept only a certificate of a trusted authority that carries the host's name.",
      example: "-t bob@example.org -s mail.example.org -tls --tls-verify",
    },
    {
      name: "tls-verify-ca",
      argument: "none",
      help: "Accept only a certificate of a trusted authority.",
      example: "-t bob@example.org -s 192.0.2.25 -tls --tls-verify-ca",
    },
    {
      name: "tls-verify-host",
      argument: "none",
      help: "Accept only a certificate that carries the host's name.",
      example: "-t bob@example.org -s mail.example.org -tls --tls-verify-host",
    },
    {
      name: "tls-verify-target",
      argument: "required",
      placeholder: "NAME",
      standard: "the host connected to",
      help: "The name that the certificate must carry.",
      example: "-t bob@example.org -s 192.0.2.25 -tls --tls-verify --tls-verify-target mail.example.org",
    },
    {
      name: "tls-ca-path",
      argument: "required",
      placeholder: "PATH",
      standard: "the system's authorities",
      help: "Trust the authorities in this PEM file, or in the PEM files of this directory.",
      example: "-t bob@example.org -s mail.example.org -tls --tls-verify --tls-ca-path ca.pem",
    },
    {
      name: "tls-cert",
      argument: "required",
      placeholder: "FILE",
      help: "A client certificate (PEM); it needs --tls-key.",
      example: "-t bob@example.org -s mail.example.org -tls --tls-cert me.pem --tls-key me.key",
    },
    {
      name: "tls-key",
      argument: "required",
      placeholder: "FILE",
      help: "The client certificate's private key (PEM).",
      example: "-t bob@example.org -s mail.example.org -tls --tls-cert me.pem --tls-key me.key",
    },
    {
      name: "tls-chain",
      argument: "required",
      placeholder: "FILE",
      help: "Certificates to send after the client's own (PEM).",
      example:
        "-t bob@example.org -s mail.example.org -tls --tls-cert me.pem --tls-key me.key --tls-chain ca.pem",
    },
    {
      name: "tls-get-peer-cert",
      argument: "optional",
      placeholder: "FILE",
      help: "Show the server's certificate, or write it into a file.",
      example: "-s mail.example.org -tls --tls-get-peer-cert -q tls",
    },
    {
      name: "tls-get-peer-chain",
      argument: "optional",
      placeholder: "FILE",
      help: "Show all certificates of the server, or write them into a file.",
      example: "-s mail.example.org -tls --tls-get-peer-chain chain.pem -q tls",
    },
    {
      name: "tls-sni",
      argument: "required",
      placeholder: "NAME",
      standard: "the server's name, where it is no address",
      help: 'The name to ask for in the handshake; "<>" asks for none.',
      example: "-t bob@example.org -s 192.0.2.25 -tls --tls-sni mail.example.org",
    },
  ],
} as const satisfies OptionGroup;

type TlsOption = (typeof tlsOptions.rows)[number]["name"];

/** Versions as --tls-protocol and --dump write them -> Node's names, the oldest first. */
const versions: ReadonlyMap<string, string> = new Map([
  ["TLSv1", "TLSv1"],
  ["TLSv1_1", "TLSv1.1"],
  ["TLSv1_2", "TLSv1.2"],
  ["TLSv1_3", "TLSv1.3"],
]);

/** Files and folders, as tls needs them. */
export interface FileAccess {
  /** Throws as node:fs does. */
  readonly readFile: (path: string) => Uint8Array;
  /** The names in a folder; undefined where the path is none. */
  readonly list: (path: string) => readonly string[] | undefined;
}

/** What the options say; the files that they name are not read yet. */
export interface ChosenTls {
  readonly kind: TlsPlan["kind"];
  readonly need: Requirement;
  /** As typed, what is known of it. */
  readonly requested: readonly string[];
  readonly ciphers?: string;
  readonly verifyCa: boolean;
  readonly verifyHost: boolean;
  readonly target?: string;
  readonly caPath?: string;
  readonly certificate?: string;
  readonly key?: string;
  readonly chain?: string;
  readonly saveCertificate?: string;
  readonly saveChain?: string;
  readonly sni?: string;
}

/** How TLS begins; undefined where nothing asks for it. `implied` is what the protocol's name says. */
export function beginningOf(
  answers: OptionAnswers<TlsOption>,
  implied: Dialect["tls"],
): { readonly kind: TlsPlan["kind"]; readonly need: Requirement } | undefined {
  if (answers.has("tls-optional-strict")) return { kind: "starttls", need: "strict" };
  if (answers.has("tls-optional")) return { kind: "starttls", need: "optional" };
  if (answers.has("tls")) return { kind: "starttls", need: "required" };
  if (answers.has("tls-on-connect")) return { kind: "on-connect", need: "required" };
  return implied && { kind: implied, need: "required" };
}

/** Reads the other options; `warn` is called for unknown versions. */
export async function tlsOf(
  answers: OptionAnswers<TlsOption>,
  beginning: ReturnType<typeof beginningOf>,
  files: FileAccess,
  warn: (text: string) => void,
): Promise<ChosenTls | undefined> {
  if (beginning === undefined) return undefined;
  const certificate = await answers.text("tls-cert");
  const key = await answers.text("tls-key");
  const chain = await answers.text("tls-chain");
  if ((certificate === undefined) !== (key === undefined))
    throw mistake("--tls-cert and --tls-key require each other.  Exiting");
  if (chain !== undefined && certificate === undefined)
    throw mistake("--tls-chain requires both --tls-cert and --tls-key.  Exiting");
  const caPath = await answers.text("tls-ca-path");
  const requested = requestedFrom(await answers.text("tls-protocol"), warn);
  if (caPath !== undefined && !exists(caPath, files))
    throw mistake(`--tls-ca-path: ${caPath} is not a valid file or directory.  Exiting.`);
  const ciphers = await answers.text("tls-cipher");
  const target = await answers.text("tls-verify-target");
  const sni = await answers.text("tls-sni");
  const saved = async (name: "tls-get-peer-cert" | "tls-get-peer-chain"): Promise<string | undefined> =>
    answers.has(name) ? ((await answers.text(name)) ?? "") : undefined;
  const saveCertificate = await saved("tls-get-peer-cert");
  const saveChain = await saved("tls-get-peer-chain");
  return {
    ...beginning,
    requested,
    verifyCa: answers.has("tls-verify") || answers.has("tls-verify-ca"),
    verifyHost: answers.has("tls-verify") || answers.has("tls-verify-host"),
    ...(ciphers === undefined ? {} : { ciphers }),
    ...(target === undefined ? {} : { target }),
    ...(caPath === undefined ? {} : { caPath }),
    ...(certificate === undefined ? {} : { certificate }),
    ...(key === undefined ? {} : { key }),
    ...(chain === undefined ? {} : { chain }),
    ...(saveCertificate === undefined ? {} : { saveCertificate }),
    ...(saveChain === undefined ? {} : { saveChain }),
    ...(sni === undefined ? {} : { sni: sni === "<>" ? "" : sni }),
  };
}

/** The known ones of a list of versions, all of the form `x` or all of the form `no_x`. */
function requestedFrom(text: string | undefined, warn: (text: string) => void): readonly string[] {
  if (text === undefined) return [];
  if (text === "") throw mistake("Option processing error: option tls-protocol specified with no argument");
  const known: string[] = [];
  for (const word of text.split(/\s*,\s*/)) {
    if (versionOf(word) === undefined) warn(`${word} in --tls-protocol is not a known/supported protocol`);
    else known.push(word);
  }
  const negative = known.filter(isNegative).length;
  if (negative > 0 && negative < known.length)
    throw mistake("cannot mix X and no_X forms in --tls-protocol option");
  if (known.length === 0) throw mistake("no valid arguments provided to --tls-protocol, exiting");
  return known;
}

const isNegative = (word: string): boolean => /^no_/i.test(word);

function versionOf(word: string): string | undefined {
  const bare = word.replace(/^no_/i, "").toLowerCase();
  for (const [name, version] of versions) if (name.toLowerCase() === bare) return version;
  return undefined;
}

const exists = (path: string, files: FileAccess): boolean => {
  if (files.list(path) !== undefined) return true;
  try {
    files.readFile(path);
    return true;
  } catch {
    return false; // unreadable is the same as absent here
  }
};

/** Reads the files. Throws a Failure with `status` where one cannot be read. */
export function tlsPlan(choice: ChosenTls, read: (path: string) => string, files: FileAccess): TlsPlan {
  const { requested, caPath, certificate, key, chain, ...rest } = choice;
  const negative = requested.some(isNegative);
  const named = new Set(requested.map(versionOf));
  const allowed = [...versions.values()].filter((version) => named.has(version) !== negative);
  const [oldest] = allowed;
  const newest = allowed.at(-1);
  return {
    ...rest,
    ...(requested.length === 0 || oldest === undefined || newest === undefined ? {} : { oldest, newest }),
    ...(caPath === undefined ? {} : { ca: authorities(caPath, read, files) }),
    ...(certificate === undefined ? {} : { certificate: read(certificate) }),
    ...(key === undefined ? {} : { key: read(key) }),
    ...(chain === undefined ? {} : { chain: read(chain) }),
  };
}

/** The certificates in a file, or in all files of a folder. */
function authorities(path: string, read: (path: string) => string, files: FileAccess): string {
  const names = files.list(path);
  if (names === undefined) return read(path);
  return names
    .map((name) => `${path}/${name}`)
    .filter((file) => files.list(file) === undefined)
    .map(read)
    .filter((text) => text.includes("-----BEGIN CERTIFICATE-----"))
    .join("\n");
}

/** The lines of `--dump TLS`. */
export function tlsSection(tls: ChosenTls | undefined): DumpSection {
  const title = "TLS / Encryption Info";
  if (tls === undefined) return { title, lines: [["tls", "no"]] };
  const checks = [...(tls.verifyCa ? ["CA"] : []), ...(tls.verifyHost ? ["HOST"] : [])].join(", ");
  const place = (path: string | undefined): string => (path === "" ? "STDOUT" : (path ?? ""));
  return {
    title,
    lines: [
      ["tls", `starttls${tls.kind === "on-connect" ? " on connect" : ""} (${needWords[tls.need]})`],
      ["peer cert", place(tls.saveCertificate)],
      ["peer chain", place(tls.saveChain)],
      ["local cert", tls.certificate ?? ""],
      ["local key", tls.key ?? ""],
      ["local chain", tls.chain ?? ""],
      ["local cipher list", tls.ciphers ?? ""],
      ["ca path", tls.caPath ?? ""],
      ["sni string", tls.sni ?? ""],
      ["verify server cert", checks || "FALSE"],
      ["verify target host", tls.target ?? ""],
      ["available protocols", [...versions.keys()].join(", ")],
      ["requested protocols", tls.requested.join(", ")],
    ],
  };
}
