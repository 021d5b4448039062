/** --dump: what the options amount to, section by section, as swaks lays it out; and --support. */
import type { Auth, Data, Output, Transport, Xclient } from "../plan.ts";
import type { Answers } from "./answers.ts";
import { authSection, hidden } from "./auth.ts";
import { appSection, type Called } from "./command-line.ts";
import { outputSection } from "./output.ts";
import { protocolSection, type Said } from "./protocol.ts";
import { type ProxyChoice, proxySection } from "./proxy.ts";
import { printSection, type Section } from "./section.ts";
import { type TlsChoice, tlsSection } from "./tls.ts";
import { transportSection } from "./transport.ts";
import { xclientSection } from "./xclient.ts";

/** All that a dump tells. */
export interface Known {
  readonly answers: Answers;
  readonly called: Called;
  readonly output: Output;
  readonly transport: Transport;
  /** Where the run would connect. */
  readonly server: string;
  readonly said: Said;
  readonly xclient: Xclient | undefined;
  readonly proxy: ProxyChoice | undefined;
  readonly tls: TlsChoice | undefined;
  readonly auth: Auth | undefined;
}

/** What swaks tells of its Perl modules: here all of it is part of the program. */
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

/** Name -> what it tells; `words` stands in place of the password. */
const sections: readonly (readonly [string, (known: Known, words?: string) => Section | Promise<Section>])[] =
  [
    ["APP", ({ answers, called }, words) => appSection(answers.choices, called, words)],
    ["OUTPUT", ({ output, answers }) => outputSection(output, answers)],
    ["TRANSPORT", ({ transport, server }) => transportSection(transport, server)],
    ["PROTOCOL", ({ answers, said }) => protocolSection(answers, said)],
    ["XCLIENT", ({ xclient, answers }) => xclientSection(xclient, answers)],
    ["PROXY", ({ proxy }) => proxySection(proxy)],
    ["TLS", ({ tls }) => tlsSection(tls)],
    ["AUTH", ({ auth, answers }, words) => authSection(auth, answers, words)],
  ];

/** The sections that a list names, in any case; all without a list. Names that are none count for nothing. */
function wanted(list: string | undefined): (name: string) => boolean {
  const names = (list ?? "").toUpperCase().split(/\s*,\s*/);
  return (name) => list === undefined || list === "" || names.includes("ALL") || names.includes(name);
}

/** The text of `--dump LIST`; the message is in it as it would go out. */
export async function dumpText(known: Known, list: string | undefined, data: Data): Promise<Uint8Array> {
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

/** The body that --dump-as-body makes: everything but the message, the password only where that is asked for. */
export async function dumpBody(known: Known, list: string | undefined): Promise<Uint8Array> {
  const shows = known.answers.has("dump-as-body-shows-password");
  const texts = await printed(known, list, shows ? undefined : hidden(known.auth));
  return Buffer.from(`${texts.join("\n")}\n`);
}

/** The message with its body's lines as --dump prints them elsewhere; on the wire they end in CRLF. */
export function withLines(data: Data, body: Uint8Array): Data {
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

async function printed(known: Known, list: string | undefined, words?: string): Promise<string[]> {
  const isWanted = wanted(list);
  const texts: string[] = [];
  for (const [name, tell] of sections) if (isWanted(name)) texts.push(printSection(await tell(known, words)));
  return texts;
}
