/** All groups of options, one after the other, in swaks' order: so come questions and mistakes. */
import { buildMessage } from "../message/message.ts";
import type { Data, Output, Transport } from "../plan.ts";
import type { Answers } from "./answers.ts";
import { authOf, passwordVariable } from "./auth.ts";
import { draftOf } from "./data.ts";
import { dumpBody, type Known, withLines } from "./dump.ts";
import { lookUp } from "./netrc.ts";
import {
  type Addresses,
  addressesOf,
  dialectOf,
  endsBeforeRecipients,
  type Said,
  standardPort,
  stopsOf,
  timeoutOf,
} from "./protocol.ts";
import { proxyOf } from "./proxy.ts";
import { beginningOf, tlsOf } from "./tls.ts";
import { hasTarget, routed, transportOf } from "./transport.ts";
import type { World } from "./world.ts";
import { xclientOf } from "./xclient.ts";

/** Questions come in this order, which is swaks'. */
const asked = [
  "server",
  "socket",
  "pipe",
  "from",
  "local-interface",
  "local-port",
  "helo",
  "port",
  "to",
  "cc",
  "bcc",
  "timeout",
  "body",
  "data",
] as const;

/** Reads every group of options. `shown` is the message as --dump prints it. */
export async function readGroups(
  answers: Answers,
  output: Output,
  world: World,
  warn: (text: string) => void,
): Promise<{ readonly known: Known; readonly data: Data; readonly shown: Data }> {
  for (const name of asked) await answers.text(name);
  const dialect = await dialectOf(answers);
  const beginning = beginningOf(answers, dialect.tls);
  const transport = await transportOf(answers, standardPort(dialect, beginning?.kind), world.services);
  const stops = await stopsOf(answers);
  const mayLack = endsBeforeRecipients(stops) && hasTarget(transport);
  const addresses = await addressesOf(answers, world.names, mayLack);
  const helo = (await answers.text("helo")) || world.names.host;
  const said: Said = { dialect, addresses, stops, helo, timeout: await timeoutOf(answers) };
  const draft = await draftOf(answers, addresses);
  const tls = await tlsOf(answers, beginning, world, warn);
  const xclient = await xclientOf(answers);
  const proxy = await proxyOf(answers);
  const target = memoized(() => serverOf(transport, addresses, world));
  const auth = await authOf(answers, dialect.auth === true, {
    warn,
    ...variable(world.environment[passwordVariable]),
    netrc: async (user) => {
      const netrc = world.netrc();
      return netrc === undefined ? undefined : lookUp(netrc, await target(), user);
    },
  });
  const tellsItself = answers.has("dump-as-body") || answers.has("dump-as-body-shows-password");
  const server = answers.has("dump") || tellsItself ? await target() : "";
  const { called } = world;
  const known: Known = { answers, called, output, transport, server, said, xclient, proxy, tls, auth };
  const itself =
    tellsItself && draft.body === undefined
      ? await dumpBody(known, await answers.text("dump-as-body"))
      : undefined;
  const data = buildMessage(itself ? { ...draft, body: itself } : draft, world.circumstances);
  return { known, data, shown: itself ? withLines(data, itself) : data };
}

const variable = (password: string | undefined): { readonly password?: string } =>
  password === undefined || password === "" ? {} : { password };

/** The host that a run connects to first. */
async function serverOf(transport: Transport, addresses: Addresses, world: World): Promise<string> {
  const way = routed(transport, addresses);
  if (way.kind !== "inet") return "localhost";
  return way.server ?? world.route(way.copyRouting ?? "");
}

function memoized<Value>(find: () => Promise<Value>): () => Promise<Value> {
  let found: Promise<Value> | undefined;
  return () => {
    found ??= find();
    return found;
  };
}
