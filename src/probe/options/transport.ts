/** Where to connect, and through what: the options, how they are read into the plan, the --dump section. */
import { isIP, isIPv4 } from "node:net";
import { parseProxy } from "../../smtp/client/proxy.ts";
import type { TransportPlan } from "../plan.ts";
import type { OptionAnswers } from "./answers.ts";
import { mistake } from "./mistake.ts";
import type { DumpSection, OptionGroup } from "./option.ts";

export const transportOptions = {
  title: "Where to connect",
  rows: [
    {
      name: "server",
      aliases: ["s"],
      argument: "wanted",
      placeholder: "HOST[:PORT]",
      prompt: { text: "Server: " },
      standard: "the mail exchanger of the last recipient's domain",
      help: "Connect to this host. Other forms: [HOST]:PORT and HOST/PORT, which suit IPv6, too.",
      example: "-t bob@example.org -s mail.example.org",
    },
    {
      name: "port",
      aliases: ["p"],
      argument: "wanted",
      placeholder: "PORT",
      prompt: { text: "Port: ", pattern: /^\w+$/ },
      standard: "25; 465 with --tls-on-connect; 24 with LMTP",
      help: "The port, as a number or a name from /etc/services. It beats a port inside --server.",
      example: "-t bob@example.org -s mail.example.org -p submission",
    },
    {
      name: "local-interface",
      aliases: ["li"],
      argument: "wanted",
      placeholder: "ADDRESS[:PORT]",
      prompt: { text: "Interface: " },
      help: "Connect from this address of this host.",
      example: "-t bob@example.org -s mail.example.org --local-interface 192.0.2.7",
    },
    {
      name: "local-port",
      aliases: ["lport", "lp"],
      argument: "wanted",
      placeholder: "PORT",
      prompt: { text: "Local Port: ", pattern: /^\w+$/ },
      help: "Connect from this port of this host.",
      example: "-t bob@example.org -s mail.example.org --local-port 2525",
    },
    {
      name: "copy-routing",
      argument: "wanted",
      placeholder: "DOMAIN",
      help: "Connect to the mail exchanger of this domain instead of the recipient's.",
      example: "-t bob@example.org --copy-routing example.net",
    },
    {
      name: "4",
      argument: "none",
      help: "Use IPv4 alone.",
      example: "-t bob@example.org -s mail.example.org -4",
    },
    {
      name: "6",
      argument: "none",
      help: "Use IPv6 alone.",
      example: "-t bob@example.org -s mail.example.org -6",
    },
    {
      name: "socket",
      argument: "wanted",
      placeholder: "PATH",
      prompt: { text: "Socket File: " },
      help: "Connect to a UNIX socket.",
      example: "-t bob@example.org --protocol lmtp --socket /run/dovecot/lmtp",
    },
    {
      name: "pipe",
      argument: "wanted",
      placeholder: "COMMAND",
      prompt: { text: "Pipe: " },
      help: "Start a command and talk to its standard input and output.",
      example: '-t bob@example.org --pipe "/usr/sbin/exim -bh 192.0.2.7"',
    },
    {
      name: "via",
      argument: "required",
      placeholder: "URL",
      help: "Go through a SOCKS5 or HTTP proxy: socks5h://HOST:PORT, socks5://… or http://…, perhaps with USER:PASSWORD@. With socks5h the proxy finds the host's address.",
      example: "-t bob@example.org -s mail.example.org --via socks5h://127.0.0.1:9050",
      ours: true,
    },
  ],
} as const satisfies OptionGroup;

type TransportOption = (typeof transportOptions.rows)[number]["name"];

const kinds = ["server", "socket", "pipe"] as const;

/** `standardPort` holds where no option names one; `services` is the text of /etc/services. */
export async function transportOf(
  answers: OptionAnswers<TransportOption>,
  standardPort: number,
  services: () => string,
): Promise<TransportPlan> {
  if (kinds.filter((kind) => answers.has(kind)).length > 1)
    throw mistake("Multiple transport types specified, exiting");
  const path = await answers.text("socket");
  if (path !== undefined) return { kind: "unix", path };
  const command = await answers.text("pipe");
  if (command !== undefined) return { kind: "pipe", command };

  const server = endpointFrom(await answers.text("server"));
  const local = endpointFrom(await answers.text("local-interface"));
  const port = (await answers.text("port")) ?? server?.port;
  const localPort = (await answers.text("local-port")) ?? local?.port;
  const copyRouting = await answers.text("copy-routing");
  const via = await answers.text("via");
  const family = familyFor(answers, server?.host, local?.host);
  return {
    kind: "inet",
    ...(server === undefined ? {} : { server: server.host }),
    port: port === undefined ? standardPort : portFrom(port, services),
    ...(copyRouting === undefined ? {} : { copyRouting }),
    ...(family === undefined ? {} : { family }),
    ...(local === undefined ? {} : { localInterface: local.host }),
    ...(localPort === undefined ? {} : { localPort: portFrom(localPort, services) }),
    ...(via === undefined ? {} : { via: viaFrom(via) }),
  };
}

/** Lists of addresses, as typed. */
interface RecipientLists {
  readonly to: string;
  readonly cc: string;
  readonly bcc: string;
}

/** Whether it is known where to go without looking at recipients. */
export const hasTarget = (transport: TransportPlan): boolean =>
  transport.kind !== "inet" || transport.server !== undefined || transport.copyRouting !== undefined;

/** With the domain whose MX is the server, where none is named: that of the last address of --to. */
export function routed(transport: TransportPlan, { to, cc, bcc }: RecipientLists): TransportPlan {
  if (transport.kind !== "inet" || hasTarget(transport)) return transport;
  const last = (to || cc || bcc).replace(/^.*,/s, "").trim();
  return { ...transport, copyRouting: last.replace(/^.*@/s, "") };
}

/** An empty answer stands for the default. */
const endpointFrom = (text: string | undefined): HostPort | undefined =>
  text === undefined || text === "" ? undefined : endpointOf(text);

function portFrom(text: string, services: () => string): number {
  const port = portOf(text, services);
  if (port > 65535) throw mistake(`there is no port ${text}, exiting`);
  return port;
}

function viaFrom(text: string): string {
  if (parseProxy(text) !== undefined) return text;
  throw mistake("--via: expected socks5h://HOST:PORT, socks5://HOST:PORT or http://HOST:PORT, exiting");
}

/** 4 or 6 where an option says so; addresses must agree with it and with one another. */
function familyFor(answers: OptionAnswers<TransportOption>, server = "", local = ""): 4 | 6 | undefined {
  if (answers.has("4") && answers.has("6"))
    throw mistake("Options -4 and -6 are mutually exclusive, cannot proceed");
  const family = answers.has("4") ? 4 : answers.has("6") ? 6 : undefined;
  const of = { server: familyOf(server), "local-interface": familyOf(local) };
  for (const [name, found] of Object.entries(of)) {
    if (family !== undefined && found !== 0 && found !== family)
      throw mistake(`Option -${family} is set but ${name} appears to be ipv${found}, cannot proceed`);
  }
  if (of.server !== 0 && of["local-interface"] !== 0 && of.server !== of["local-interface"])
    throw mistake(
      `server is ipv${of.server} but local-interface is ipv${of["local-interface"]}, cannot proceed`,
    );
  return family;
}

/** The lines of `--dump TRANSPORT`; `server` is where the run would connect. */
export function transportSection(transport: TransportPlan, server: string): DumpSection {
  const title = "Transport Info";
  const width = "local interface".length;
  if (transport.kind === "unix")
    return {
      title,
      width,
      lines: [
        ["type", "socket-unix"],
        ["sockfile", transport.path],
      ],
    };
  if (transport.kind === "pipe")
    return {
      title,
      width,
      lines: [
        ["type", "pipe"],
        ["process", transport.command],
      ],
    };
  return {
    title,
    lines: [
      ["type", "socket-inet"],
      ["inet protocol", String(transport.family ?? "any")],
      ["server", server],
      ["port", String(transport.port ?? "")],
      ["local interface", transport.localInterface ?? ""],
      ["local port", String(transport.localPort ?? "")],
      ["copy routing", transport.copyRouting ?? "FALSE"],
    ],
  };
}

// Hosts with ports: HOST, HOST:PORT, [HOST]:PORT, HOST/PORT. Ports by number or by name.

export interface HostPort {
  readonly host: string;
  /** As written. */
  readonly port?: string;
}

/** Reads one; a host with several colons is an IPv6 address, and has no port. */
function endpointOf(text: string): HostPort {
  const bracketed = /^\[(.*)\](?::(.*))?$/s.exec(text);
  const parted = bracketed ?? /^([^/]+)\/([^/]+)$/s.exec(text) ?? /^([^:]+):([^:]+)$/s.exec(text);
  const [, host, port] = parted ?? [];
  if (host === undefined) return { host: text };
  return port === undefined || port === "" ? { host } : { host, port };
}

/** The number behind a port's name. `services` is the text of /etc/services. */
function portOf(port: string, services: () => string): number {
  if (/^\d+$/.test(port)) return Number(port);
  for (const line of services().split("\n")) {
    const [name, place = "", ...others] = line.replace(/#.*/, "").trim().split(/\s+/);
    const [, number] = /^(\d+)\/tcp$/.exec(place) ?? [];
    if (number !== undefined && [name, ...others].includes(port)) return Number(number);
  }
  throw mistake(`unable to resolve service name ${port} into a port, exiting`);
}

/** 4 or 6 for an address, without its zone; 0 for a name. */
export function familyOf(host: string): number {
  const bare = host.split("%", 1)[0] ?? "";
  return bare.includes(":") ? isIP(bare) : isIPv4(bare) ? 4 : 0; // Node's test for IPv6 is dear at its first use
}
