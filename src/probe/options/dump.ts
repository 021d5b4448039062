/** --dump: what the options amount to, section by section, as swaks lays it out; and --support. */
import type { AuthPlan, MessageData, OutputPlan, TransportPlan, XclientPlan } from "../plan.ts";
import type { OptionAnswers } from "./answers.ts";
import { authSection, hidden } from "./auth.ts";
import type { DumpSection, OptionChoice, OptionChoices } from "./option.ts";
import { outputSection } from "./output.ts";
import { type ChosenProtocol, protocolSection } from "./protocol.ts";
import { type ChosenProxy, proxySection } from "./proxy.ts";
import { type OptionName, rows } from "./table.ts";
import { type ChosenTls, tlsSection } from "./tls.ts";
import { transportSection } from "./transport.ts";
import { xclientSection } from "./xclient.ts";

/** All that a dump shows. */
export interface DumpedOptions {
  readonly answers: OptionAnswers<OptionName>;
  readonly choices: OptionChoices;
  readonly programNames: ProgramNames;
  readonly output: OutputPlan;
  readonly transport: TransportPlan;
  /** Where the run would connect. */
  readonly server: string;
  readonly protocol: ChosenProtocol;
  readonly xclient: XclientPlan | undefined;
  readonly proxy: ChosenProxy | undefined;
  readonly tls: ChosenTls | undefined;
  readonly auth: AuthPlan | undefined;
}

/** In swaks these depend on Perl modules; here all of them are part of the program. */
export const support = [
  "AUTH CRAM-MD5",
  "AUTH CRAM-SHA1",
  "AUTH DIGEST-MD5",
  "AUTH NTLM",
  "Basic AUTH",
  "Date Manipulation",
  "High Resolution Timing",
  "IPv4/v6 Socket Transport",
  "Legacy IPv4 Socket Transport",
  "Legacy IPv4/v6 Socket Transport",
  "Local Hostname Detection",
  "MX Routing",
  "Netrc Credentials",
  "Pipe Transport",
  "TLS",
  "UNIX Socket Transport",
]
  .map((feature) => `=== ${feature} supported\n`)
  .join("");

/** Name -> its section; `words` is shown in place of the password. */
const sections: readonly (readonly [
  string,
  (known: DumpedOptions, words?: string) => DumpSection | Promise<DumpSection>,
])[] = [
  ["APP", ({ choices, programNames }, words) => appSection(choices, programNames, words)],
  ["OUTPUT", ({ output, answers }) => outputSection(output, answers)],
  ["TRANSPORT", ({ transport, server }) => transportSection(transport, server)],
  ["PROTOCOL", ({ answers, protocol }) => protocolSection(answers, protocol)],
  ["XCLIENT", ({ xclient, answers }) => xclientSection(xclient, answers)],
  ["PROXY", ({ proxy }) => proxySection(proxy)],
  ["TLS", ({ tls }) => tlsSection(tls)],
  ["AUTH", ({ auth, answers }, words) => authSection(auth, answers, words)],
];

/** The sections that a list names, in any case; all without a list. Unknown names are ignored. */
function wanted(list: string | undefined): (name: string) => boolean {
  const names = (list ?? "").toUpperCase().split(/\s*,\s*/);
  return (name) => list === undefined || list === "" || names.includes("ALL") || names.includes(name);
}

/** The text of `--dump LIST`; the message is in it as it would go out. */
export async function dumpText(
  known: DumpedOptions,
  list: string | undefined,
  data: MessageData,
): Promise<Uint8Array> {
  const isWanted = wanted(list);
  const parts = (await printed(known, list)).map((text) => Buffer.from(text));
  if (isWanted("SUPPORT")) parts.unshift(Buffer.from(support));
  if (isWanted("DATA"))
    parts.push(
      Buffer.concat([
        Buffer.from("DATA Info:\n  data = <<.\n"),
        data.octets,
        Buffer.from(data.fixup ? ".\n" : "\n"),
      ]),
    );
  return Buffer.concat(parts.flatMap((part, at) => (at === 0 ? [part] : [Buffer.from("\n"), part])));
}

/** The body of --dump-as-body: everything but the message; the password only where an option asks for it. */
export async function dumpBody(known: DumpedOptions, list: string | undefined): Promise<Uint8Array> {
  const shows = known.answers.has("dump-as-body-shows-password");
  const texts = await printed(known, list, shows ? undefined : hidden(known.auth));
  return Buffer.from(`${texts.join("\n")}\n`);
}

/** The message with its body's lines as --dump prints them elsewhere; on the wire they end in CRLF. */
export function withLines(data: MessageData, body: Uint8Array): MessageData {
  const text = Buffer.from(body).toString("latin1").slice(0, -1);
  const octets = Buffer.from(data.octets).toString("latin1");
  return {
    ...data,
    octets: Buffer.from(
      octets.replace(text.replaceAll("\n", "\r\n"), () => text),
      "latin1",
    ),
  };
}

async function printed(known: DumpedOptions, list: string | undefined, words?: string): Promise<string[]> {
  const isWanted = wanted(list);
  const texts: string[] = [];
  for (const [name, tell] of sections) if (isWanted(name)) texts.push(printSection(await tell(known, words)));
  return texts;
}

// `--dump APP`: the options as one command line, whatever source each came from, in swaks' order.

/** Names on one line stand in the order in which they were given. */
const theirs: readonly (readonly OptionName[])[] = [
  ["config"],
  ["from"],
  ["to"],
  ["cc"],
  ["bcc"],
  ["helo"],
  ["server"],
  ["4"],
  ["6"],
  ["copy-routing"],
  ["port"],
  ["protocol"],
  ["data"],
  ["dump-as-body"],
  ["dump-as-body-shows-password"],
  ["timeout"],
  ["quit-after"],
  ["drop-after"],
  ["drop-after-send"],
  ["suppress-data"],
  ["auth"],
  ["auth-user"],
  ["auth-password"],
  ["auth-map"],
  ["auth-extra"],
  ["auth-hide-password"],
  ["auth-plaintext"],
  ["auth-optional"],
  ["auth-optional-strict"],
  ["local-interface"],
  ["local-port"],
  ["tls"],
  ["tls-optional"],
  ["tls-optional-strict"],
  ["tls-on-connect"],
  ["tls-cert"],
  ["tls-key"],
  ["tls-chain"],
  ["tls-protocol"],
  ["tls-cipher"],
  ["tls-get-peer-cert"],
  ["tls-get-peer-chain"],
  ["tls-sni"],
  ["tls-verify"],
  ["tls-verify-ca"],
  ["tls-verify-host"],
  ["tls-verify-target"],
  ["tls-ca-path"],
  ["silent"],
  ["no-strip-from"],
  ["no-hints"],
  ["no-send-hints"],
  ["no-receive-hints"],
  ["no-info-hints"],
  ["hide-receive"],
  ["hide-send"],
  ["protect-prompt"],
  ["hide-informational"],
  ["hide-all"],
  ["show-time-lapse"],
  ["no-data-fixup"],
  ["show-raw-text"],
  ["output"],
  ["output-file-stdout"],
  ["output-file-stderr"],
  ["socket"],
  ["pipe"],
  ["body"],
  ["attach", "attach-body", "attach-type", "attach-name"],
  ["add-header", "header"],
  ["dump"],
  ["dump-mail"],
  ["pipeline"],
  ["prdr"],
  ["force-getpwuid"],
  [
    "xclient-name",
    "xclient-addr",
    "xclient-port",
    "xclient-proto",
    "xclient-destaddr",
    "xclient-destport",
    "xclient-helo",
    "xclient-login",
    "xclient-reverse-name",
    "xclient-delim",
    "xclient",
  ],
  ["xclient-optional"],
  ["xclient-optional-strict"],
  ["xclient-before-starttls"],
  ["xclient-no-verify"],
  ["proxy-version"],
  ["proxy-family"],
  ["proxy-command"],
  ["proxy-protocol"],
  ["proxy-source"],
  ["proxy-source-port"],
  ["proxy-dest"],
  ["proxy-dest-port"],
  ["proxy"],
];

const placed = new Set<string>(theirs.flat());

/** swaks' order, then the options that it does not have. */
const order: readonly (readonly string[])[] = [
  ...theirs,
  ...rows.filter(({ name }) => !placed.has(name)).map(({ name }) => [name]),
];

/** How the program names itself. */
export interface ProgramNames {
  /** The beginning of the command line: "tpa-submit probe". */
  readonly program: string;
  /** The X-Mailer of test messages. */
  readonly mailer: string;
}

/** `words` stands in place of the password. */
function appSection(choices: OptionChoices, { program, mailer }: ProgramNames, words?: string): DumpSection {
  const sorted = order.flatMap((names) => choices.all.filter(({ row }) => names.includes(row.name)));
  return {
    title: "App Info",
    lines: [
      ["X-Mailer", mailer],
      ["Cmd Line", [program, ...sorted.map((choice) => wordOf(choice, words))].join(" ")],
    ],
  };
}

function wordOf({ row: { name }, value }: OptionChoice, words: string | undefined): string {
  if (value === undefined || value === "") return `--${name}`;
  const shown = name === "auth-password" ? (words ?? value) : value;
  return `--${name} '${shown.replaceAll("'", "'\\''")}'`;
}

/** The section's lines, each with its line feed. */
function printSection({ title, lines, width = 0 }: DumpSection): string {
  const column = Math.max(width, ...lines.map(([name]) => name.length));
  const below = `\n${" ".repeat(column + 5)}`;
  const printed = lines.map(([name, value]) => {
    const text = typeof value === "string" ? value : value.join(below);
    return `  ${name.padEnd(column)} = ${text}\n`;
  });
  return `${title}:\n${printed.join("")}`;
}
