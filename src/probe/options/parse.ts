/** From a command line to a plan, or to a text to print, or to what is wrong: the door of this folder. */
import { errorCode, Failure } from "../../failure.ts";
import { buildMessage, type Circumstances } from "../message/message.ts";
import type { Auth, Data, Output, Plan, Transport } from "../plan.ts";
import { type Answers, answersOf, type Person } from "./answers.ts";
import { authOf, passwordVariable } from "./auth.ts";
import type { Choices } from "./choices.ts";
import type { Called } from "./command-line.ts";
import { completionFor } from "./completion.ts";
import { draftOf } from "./data.ts";
import { dumpBody, dumpText, type Known, support, withLines } from "./dump.ts";
import { helpText } from "./help.ts";
import { mistake, reason } from "./mistake.ts";
import { lookUp } from "./netrc.ts";
import { outputOf } from "./output.ts";
import {
  type Addresses,
  addressesOf,
  dialectOf,
  endsBeforeRecipients,
  type LocalNames,
  protocolOf,
  type Said,
  stopsOf,
  timeoutOf,
} from "./protocol.ts";
import { proxyOf, proxyPlan } from "./proxy.ts";
import { type Given, gather } from "./sources.ts";
import { beginningOf, type Files, tlsOf, tlsPlan } from "./tls.ts";
import { transportOf } from "./transport.ts";
import { xclientOf } from "./xclient.ts";

/** Everything outside that options may look at. */
export interface World extends Given, Files {
  readonly person: Person;
  readonly names: LocalNames;
  readonly called: Called;
  /** "tpa-submit 1.0.0": what --version prints. */
  readonly version: string;
  readonly circumstances: Circumstances;
  /** Somebody looks at standard error. */
  readonly terminal: boolean;
  /** Empties a file, or makes it. Throws as node:fs does. */
  readonly create: (path: string) => void;
  /** The text of /etc/services. */
  readonly services: () => string;
  /** The text of the user's .netrc; undefined where there is none. */
  readonly netrc: () => string | undefined;
  /** The host that takes mail for a domain. */
  readonly route: (domain: string) => Promise<string>;
}

/** Where printed text goes: paths, "&STDOUT" or "&STDERR". */
export type Places = Pick<Output, "stdout" | "stderr">;

/**
 * What comes of a command line. `warnings` are lines for standard error that come first, whatever happens.
 * run: obey the plan. print: write the octets to standard output and end with 0. mistake: write the text to standard
 * error, and end with the status.
 */
export type Outcome = { readonly warnings: readonly string[]; readonly places: Places } & (
  | { readonly kind: "run"; readonly plan: Plan }
  | { readonly kind: "print"; readonly octets: Uint8Array }
  | { readonly kind: "mistake"; readonly text: string; readonly status: number }
);

const usual: Places = { stdout: "&STDOUT", stderr: "&STDERR" };

/** Reads all options; asks, reads files and looks up what they need, and nothing that they do not. */
export async function parseProbe(world: World): Promise<Outcome> {
  const warnings: string[] = [];
  let places = usual;
  let quiet = false;
  const warn = (text: string): void => {
    if (!quiet) warnings.push(`*** ${text}`);
  };
  try {
    const choices = gather(world);
    const early = earlyText(choices, world);
    if (early !== undefined) return { kind: "print", octets: Buffer.from(early), warnings, places };
    if (choices.has("trigger-deprecation")) warn(deprecation);
    const answers = answersOf(choices, world.person, world.readFile);
    const output = await outputOf(answers);
    quiet = output.hide.all || output.silent === 3;
    openPlaces(output, world);
    places = { stdout: output.stdout, stderr: output.stderr };
    if (answers.has("support")) return { kind: "print", octets: Buffer.from(support), warnings, places };
    const { known, data, shown } = await read(answers, output, world, warn);
    if (answers.has("dump")) {
      const octets = await dumpText(known, await answers.text("dump"), shown);
      return { kind: "print", octets, warnings, places };
    }
    if (answers.has("dump-mail")) return { kind: "print", octets: mailOf(shown), warnings, places };
    if (world.terminal && !quiet && isVisible(choices)) warnings.push(visiblePassword);
    return { kind: "run", plan: await planOf(known, data, world), warnings, places };
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return { kind: "mistake", text: quiet ? "" : error.message, status: error.status, warnings, places };
  }
}

const deprecation =
  "DEPRECATION WARNING: Option --trigger-deprecation will be removed in the future.  Please see documentation for more information.";

const visiblePassword =
  "=== While this runs, ps shows the password: type it (-ap alone), or use --auth-password-file";

/** What is told before anything else is looked at. */
function earlyText(choices: Choices, world: World): string | undefined {
  if (choices.has("help")) return helpText;
  if (choices.has("version")) return `${world.version}\n`;
  const shell = choices.get("completion")?.value;
  return shell === undefined ? undefined : completionFor(shell);
}

const isVisible = (choices: Choices): boolean => {
  const password = choices.get("auth-password");
  return password?.visible === true && password.value !== undefined && password.value !== "";
};

function openPlaces({ stdout, stderr }: Places, world: World): void {
  for (const path of new Set([stdout, stderr])) {
    if (path === "&STDOUT" || path === "&STDERR") continue;
    try {
      world.create(path);
    } catch (error) {
      if (errorCode(error) === "") throw error;
      throw mistake(`Unable to open ${path} for writing`);
    }
  }
}

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
async function read(
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
    firstLine: (path) => firstLine(answers, path),
    netrc: async (user) => {
      const netrc = world.netrc();
      return netrc === undefined ? undefined : lookUp(netrc, await target(), user);
    },
  });
  const server = answers.has("dump") || answers.has("dump-as-body") ? await target() : "";
  const { called } = world;
  const known: Known = { answers, called, output, transport, server, said, xclient, proxy, tls, auth };
  const tellsItself = answers.has("dump-as-body") || answers.has("dump-as-body-shows-password");
  const itself =
    tellsItself && draft.body === undefined
      ? await dumpBody(known, await answers.text("dump-as-body"))
      : undefined;
  const data = buildMessage(itself ? { ...draft, body: itself } : draft, world.circumstances);
  return { known, data, shown: itself ? withLines(data, itself) : data };
}

const variable = (password: string | undefined): { readonly password?: string } =>
  password === undefined || password === "" ? {} : { password };

function standardPort(
  { core, port, tls }: Awaited<ReturnType<typeof dialectOf>>,
  beginning: "starttls" | "on-connect" | undefined,
): number {
  if (core === "lmtp") return 24; // IANA's "Private mail system", where swaks looks for LMTP
  if (beginning === "on-connect") return 465; // RFC 8314 section 3.3
  return tls === "starttls" ? (port ?? 25) : 25;
}

const hasTarget = (transport: Transport): boolean =>
  transport.kind !== "inet" || transport.server !== undefined || transport.copyRouting !== undefined;

/** With the domain that leads to the server, where none is named: the last of --to, whoever comes behind it. */
function routed(transport: Transport, { to, cc, bcc }: Addresses): Transport {
  if (transport.kind !== "inet" || hasTarget(transport)) return transport;
  const last = (to || cc || bcc).replace(/^.*,/s, "").trim();
  return { ...transport, copyRouting: last.replace(/^.*@/s, "") };
}

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

async function firstLine(answers: Answers, path: string): Promise<string> {
  const value = path === "-" ? "-" : `@${path}`;
  const contents = await answers.contentsOf({ name: "auth-password-file", value, visible: false });
  return new TextDecoder().decode(contents?.octets).replace(/\r?\n.*$/s, "");
}

/** As --dump-mail shows it. */
const mailOf = ({ octets, fixup }: Data): Uint8Array => (fixup ? octets.subarray(0, -1) : octets);

async function planOf(known: Known, data: Data, world: World): Promise<Plan> {
  const { answers, output, transport, said, xclient, proxy, tls } = known;
  const auth: Auth | undefined = known.auth;
  const readText = (path: string): string => {
    try {
      return new TextDecoder().decode(world.readFile(path));
    } catch (error) {
      const code = errorCode(error);
      if (code === "") throw error;
      throw mistake(`${path} could not be read (${reason(code)})`, 29);
    }
  };
  return {
    transport: routed(transport, said.addresses),
    protocol: await protocolOf(answers, said),
    ...(xclient && { xclient }),
    ...(proxy && { proxy: proxyPlan(proxy) }),
    ...(tls && { tls: tlsPlan(tls, readText, world) }),
    ...(auth && { auth }),
    data,
    output,
  };
}
