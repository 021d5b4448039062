/** The PROXY header of a load balancer: the options, how they are read into its octets, the --dump section. */
import { isIP } from "node:net";
import { statusOf } from "../exit-status.ts";
import type { ProxyHeader } from "../plan.ts";
import type { OptionAnswers } from "./answers.ts";
import { mistake } from "./mistake.ts";
import type { DumpSection, OptionGroup } from "./option.ts";

const filled = /^.+$/;

export const proxyOptions = {
  title: "PROXY protocol",
  rows: [
    {
      name: "proxy",
      argument: "wanted",
      placeholder: "TEXT|@FILE|base64:TEXT",
      prompt: { text: "PROXY string: ", pattern: filled },
      file: true,
      help: "The header as it stands, with or without its beginning (the word PROXY, or the signature of version 2).",
      example: '-t bob@example.org -s mail.example.org --proxy "TCP4 192.0.2.7 192.0.2.25 40000 25"',
    },
    {
      name: "proxy-version",
      argument: "wanted",
      placeholder: "1|2",
      prompt: { text: "PROXY version: ", pattern: /^[12]$/ },
      standard: "1",
      help: "The version of the header.",
      example:
        "-t bob@example.org -s mail.example.org --proxy-version 2 --proxy-family AF_INET --proxy-source 192.0.2.7 --proxy-source-port 40000 --proxy-dest 192.0.2.25 --proxy-dest-port 25",
    },
    {
      name: "proxy-family",
      argument: "wanted",
      placeholder: "TCP4|AF_INET|…",
      prompt: { text: "PROXY family: ", pattern: filled },
      help: "TCP4 or TCP6; in version 2 AF_INET, AF_INET6, AF_UNIX or AF_UNSPEC.",
      example:
        "-t bob@example.org -s mail.example.org --proxy-family TCP4 --proxy-source 192.0.2.7 --proxy-source-port 40000 --proxy-dest 192.0.2.25 --proxy-dest-port 25",
    },
    {
      name: "proxy-source",
      argument: "wanted",
      placeholder: "ADDRESS",
      prompt: { text: "PROXY source: ", pattern: filled },
      help: "The client's address.",
      example:
        "-t bob@example.org -s mail.example.org --proxy-family TCP4 --proxy-source 192.0.2.7 --proxy-source-port 40000 --proxy-dest 192.0.2.25 --proxy-dest-port 25",
    },
    {
      name: "proxy-source-port",
      argument: "wanted",
      placeholder: "PORT",
      prompt: { text: "PROXY source_port: ", pattern: filled },
      help: "The client's port.",
      example:
        "-t bob@example.org -s mail.example.org --proxy-family TCP4 --proxy-source 192.0.2.7 --proxy-source-port 40000 --proxy-dest 192.0.2.25 --proxy-dest-port 25",
    },
    {
      name: "proxy-dest",
      argument: "wanted",
      placeholder: "ADDRESS",
      prompt: { text: "PROXY dest: ", pattern: filled },
      help: "The address that the client connected to.",
      example:
        "-t bob@example.org -s mail.example.org --proxy-family TCP4 --proxy-source 192.0.2.7 --proxy-source-port 40000 --proxy-dest 192.0.2.25 --proxy-dest-port 25",
    },
    {
      name: "proxy-dest-port",
      argument: "wanted",
      placeholder: "PORT",
      prompt: { text: "PROXY dest_port: ", pattern: filled },
      help: "The port that the client connected to.",
      example:
        "-t bob@example.org -s mail.example.org --proxy-family TCP4 --proxy-source 192.0.2.7 --proxy-source-port 40000 --proxy-dest 192.0.2.25 --proxy-dest-port 25",
    },
    {
      name: "proxy-protocol",
      argument: "wanted",
      placeholder: "STREAM|…",
      prompt: { text: "PROXY protocol: ", pattern: filled },
      standard: "STREAM",
      help: "STREAM, DGRAM or UNSPEC, in version 2.",
      example:
        "-t bob@example.org -s mail.example.org --proxy-family AF_INET --proxy-source 192.0.2.7 --proxy-source-port 40000 --proxy-dest 192.0.2.25 --proxy-dest-port 25 --proxy-version 2 --proxy-protocol STREAM",
    },
    {
      name: "proxy-command",
      argument: "wanted",
      placeholder: "PROXY|LOCAL",
      prompt: { text: "PROXY command: ", pattern: filled },
      standard: "PROXY",
      help: "PROXY or LOCAL, in version 2.",
      example:
        "-t bob@example.org -s mail.example.org --proxy-family AF_INET --proxy-source 192.0.2.7 --proxy-source-port 40000 --proxy-dest 192.0.2.25 --proxy-dest-port 25 --proxy-version 2 --proxy-command LOCAL",
    },
  ],
} as const satisfies OptionGroup;

type ProxyOption = (typeof proxyOptions.rows)[number]["name"];

/** The beginning of version 2 (section 2.2 of HAProxy's proxy-protocol.txt). */
const signature = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");

const families: Readonly<Record<1 | 2, readonly string[]>> = {
  1: ["TCP4", "TCP6"],
  2: ["AF_UNSPEC", "AF_INET", "AF_INET6", "AF_UNIX"],
};
const protocols = ["UNSPEC", "STREAM", "DGRAM"];
const commands = ["LOCAL", "PROXY"];

const parts = ["family", "source", "source-port", "dest", "dest-port"] as const;
const spareable = ["protocol", "command"] as const;

type ProxyPart = (typeof parts)[number] | (typeof spareable)[number];

/** A header by its parts, in capitals, or as its octets. */
export type ChosenProxy = { readonly version: 1 | 2 } & (
  | { readonly raw: Uint8Array }
  | { readonly words: ReadonlyMap<ProxyPart, string> }
);

const wrong = (text: string): Error => mistake(text, statusOf("proxy"));

/** Undefined where nothing is to be sent. */
export async function proxyOf(answers: OptionAnswers<ProxyOption>): Promise<ChosenProxy | undefined> {
  const version = await versionOf(answers);
  const given = [...parts, ...spareable].filter((part) => answers.has(`proxy-${part}`));
  if (answers.has("proxy")) {
    if (given.length > 0) throw wrong("Can't mix --proxy option with other --proxy-* options");
    return { version, raw: rawFrom((await answers.contents("proxy"))?.octets ?? Buffer.alloc(0), version) };
  }
  if (given.length === 0) return undefined;
  const words = new Map<ProxyPart, string>([
    ["protocol", "STREAM"],
    ["command", "PROXY"],
  ]);
  for (const part of given) words.set(part, ((await answers.text(`proxy-${part}`)) ?? "").toUpperCase());
  const missing = parts.filter((part) => !words.get(part)).map((part) => part.replace("-", "_"));
  if (missing.length > 0) throw wrong(`Incomplete set of --proxy-* options (missing ${missing.join(", ")})`);
  check("family", words, families[version], ` for version ${version}`);
  check("protocol", words, protocols);
  check("command", words, commands);
  return { version, words };
}

async function versionOf(answers: OptionAnswers<ProxyOption>): Promise<1 | 2> {
  const version = (await answers.text("proxy-version")) ?? "1";
  if (version === "1" || version === "2") return version === "1" ? 1 : 2;
  throw wrong(`Invalid argument to --proxy: ${version} is not a legal proxy version`);
}

function check(
  part: ProxyPart,
  words: ReadonlyMap<ProxyPart, string>,
  known: readonly string[],
  where = "",
): void {
  const word = words.get(part) ?? "";
  if (!known.includes(word)) throw wrong(`unknown --proxy-${part} argument ${word}${where}`);
}

/** What was given, decoded, without the beginning that every header has, and without the end of a line. */
function rawFrom(octets: Uint8Array, version: 1 | 2): Uint8Array {
  const text = Buffer.from(octets).toString("latin1");
  const decoded = text.startsWith("base64:")
    ? Buffer.from(text.slice("base64:".length), "base64").toString("latin1")
    : text;
  const beginning = version === 1 ? "PROXY " : signature.toString("latin1");
  const rest = decoded.startsWith(beginning) ? decoded.slice(beginning.length) : decoded;
  return Buffer.from(version === 1 ? rest.replace(/\r?\n$/, "") : rest, "latin1");
}

/** The octets to send: a line in version 1, the signature and what follows it in version 2. */
export function proxyPlan(choice: ChosenProxy): ProxyHeader {
  const { version } = choice;
  const body = "raw" in choice ? choice.raw : version === 1 ? lineOf(choice.words) : blockOf(choice.words);
  const octets =
    version === 1
      ? Buffer.concat([Buffer.from("PROXY "), body, Buffer.from("\r\n")])
      : Buffer.concat([signature, body]);
  return { version, octets };
}

function lineOf(words: ReadonlyMap<ProxyPart, string>): Uint8Array {
  const order = ["family", "source", "dest", "source-port", "dest-port"] as const;
  return Buffer.from(order.map((part) => words.get(part)).join(" "));
}

/** Version, command, family, protocol, length, addresses (section 2.2). */
function blockOf(words: ReadonlyMap<ProxyPart, string>): Uint8Array {
  const family = families[2].indexOf(words.get("family") ?? "");
  const protocol = protocols.indexOf(words.get("protocol") ?? "");
  const command = commands.indexOf(words.get("command") ?? "");
  const [source, dest] = [addressIn(words, "source", family), addressIn(words, "dest", family)];
  const ports =
    family === 1 || family === 2 ? [portIn(words, "source-port"), portIn(words, "dest-port")] : [];
  const addresses = Buffer.concat([source, dest, ...ports]);
  const head = Buffer.from([0x20 | command, (family << 4) | protocol, 0, 0]);
  head.writeUInt16BE(addresses.length, 2);
  return Buffer.concat([head, addresses]);
}

function addressIn(
  words: ReadonlyMap<ProxyPart, string>,
  part: "source" | "dest",
  family: number,
): Uint8Array {
  const text = words.get(part) ?? "";
  if (family === 0) return Buffer.alloc(0);
  if (family === 3) return Buffer.concat([Buffer.from(text), Buffer.alloc(108)]).subarray(0, 108);
  if (isIP(text) !== (family === 1 ? 4 : 6))
    throw wrong(`--proxy-${part} ${text} is no address of the family`);
  return family === 1 ? Buffer.from(text.split(".").map(Number)) : ipv6Octets(text);
}

function ipv6Octets(text: string): Uint8Array {
  // The URL parser writes any form of an address in hexadecimal groups (WHATWG URL, "IPv6 serializer").
  const written = new URL(`http://[${text}]`).hostname.slice(1, -1);
  const [front = "", back = ""] = written.split("::");
  const [before, after] = [front, back].map((half) => half.split(":").filter((group) => group !== ""));
  const zeros = Array<string>(8 - (before?.length ?? 0) - (after?.length ?? 0)).fill("0");
  const groups = [...(before ?? []), ...zeros, ...(after ?? [])];
  return Buffer.from(groups.map((group) => group.padStart(4, "0")).join(""), "hex");
}

function portIn(words: ReadonlyMap<ProxyPart, string>, part: "source-port" | "dest-port"): Uint8Array {
  const port = Number(words.get(part));
  if (!(port >= 0 && port <= 65535)) throw wrong(`--proxy-${part} ${words.get(part)} is no port`);
  const octets = Buffer.alloc(2);
  octets.writeUInt16BE(port);
  return octets;
}

/** The lines of `--dump PROXY`. */
export function proxySection(choice: ChosenProxy | undefined): DumpSection {
  const title = "PROXY Info";
  if (choice === undefined) return { title, lines: [["proxy", "no"]] };
  const raw = "raw" in choice ? Buffer.from(choice.raw) : undefined;
  const words = "words" in choice ? choice.words : new Map<ProxyPart, string>();
  const order = [...parts, "protocol", "command"] as const;
  return {
    title,
    width: "source port".length,
    lines: [
      ["proxy", "yes"],
      ["version", String(choice.version)],
      ...(raw
        ? ([["raw string", choice.version === 1 ? raw.toString("latin1") : raw.toString("base64")]] as const)
        : order.map((part) => [part.replace("-", " "), words.get(part) ?? ""] as const)),
    ],
  };
}
