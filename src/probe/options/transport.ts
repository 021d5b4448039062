/** Where to connect: from options to the plan's transport and its --dump section. */
import { parseProxy } from "../../smtp/client/proxy.ts";
import type { Transport } from "../plan.ts";
import type { Answers } from "./answers.ts";
import { type Endpoint, endpointOf, familyOf, portOf } from "./endpoint.ts";
import { mistake } from "./mistake.ts";
import type { Section } from "./section.ts";

const kinds = ["server", "socket", "pipe"] as const;

/** `standardPort` holds where no option names one; `services` is the text of /etc/services. */
export async function transportOf(
  answers: Answers,
  standardPort: number,
  services: () => string,
): Promise<Transport> {
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
interface Recipients {
  readonly to: string;
  readonly cc: string;
  readonly bcc: string;
}

/** Whether it is known where to go without looking at recipients. */
export const hasTarget = (transport: Transport): boolean =>
  transport.kind !== "inet" || transport.server !== undefined || transport.copyRouting !== undefined;

/** With the domain that leads to the server, where none is named: the last of --to, whoever comes behind it. */
export function routed(transport: Transport, { to, cc, bcc }: Recipients): Transport {
  if (transport.kind !== "inet" || hasTarget(transport)) return transport;
  const last = (to || cc || bcc).replace(/^.*,/s, "").trim();
  return { ...transport, copyRouting: last.replace(/^.*@/s, "") };
}

/** Without a host there is none: an empty answer stands for the default. */
const endpointFrom = (text: string | undefined): Endpoint | undefined =>
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
function familyFor(answers: Answers, server = "", local = ""): 4 | 6 | undefined {
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
export function transportSection(transport: Transport, server: string): Section {
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
