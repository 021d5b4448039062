/** Reads a command line into a plan, a text to print, or a mistake: the entry of this folder. */
import { errorCode, Failure } from "../../failure.ts";
import { statusOf } from "../exit-status.ts";
import { buildMessage, type TokenValues } from "../message.ts";
import type { MessageData, OutputPlan, ProbePlan, TransportPlan } from "../plan.ts";
import { answersOf, type OptionAnswers, type UserInput } from "./answers.ts";
import { arrivalOf } from "./arrival.ts";
import { authOf, lookUp, passwordVariable } from "./auth.ts";
import { draftOf } from "./data.ts";
import { type DumpedOptions, dumpBody, dumpText, type ProgramNames, support, withLines } from "./dump.ts";
import { completionFor, helpText } from "./help.ts";
import { mistake, reason } from "./mistake.ts";
import type { OptionChoices } from "./option.ts";
import { outputOf } from "./output.ts";
import {
  addressesOf,
  type ChosenProtocol,
  dialectOf,
  type EnvelopeAddresses,
  endsBeforeRecipients,
  type LocalNames,
  protocolOf,
  standardPort,
  stopsOf,
  timeoutOf,
} from "./protocol.ts";
import { proxyOf, proxyPlan } from "./proxy.ts";
import { gather, type OptionSources } from "./sources.ts";
import type { OptionName } from "./table.ts";
import { beginningOf, type FileAccess, tlsOf, tlsPlan } from "./tls.ts";
import { hasTarget, routed, transportOf } from "./transport.ts";
import { xclientOf } from "./xclient.ts";

/** What reading options needs from outside. */
export interface OptionDependencies extends OptionSources, FileAccess {
  readonly user: UserInput;
  readonly names: LocalNames;
  readonly programNames: ProgramNames;
  /** "tpa-submit 1.0.0": what --version prints. */
  readonly version: string;
  readonly tokens: TokenValues;
  /** Standard error is a terminal. */
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
export type OutputPlaces = Pick<OutputPlan, "stdout" | "stderr">;

/**
 * The result of a command line. `warnings` are lines for standard error, which come first in any case. run: carry out
 * the plan. print: write the octets to standard output and end with 0. mistake: write the text to standard error, and
 * end with the status.
 */
export type ParsedCommandLine = { readonly warnings: readonly string[]; readonly places: OutputPlaces } & (
  | { readonly kind: "run"; readonly plan: ProbePlan }
  | { readonly kind: "print"; readonly octets: Uint8Array }
  | { readonly kind: "mistake"; readonly text: string; readonly status: number }
);

const usual: OutputPlaces = { stdout: "&STDOUT", stderr: "&STDERR" };

/** Reads all options; it asks, reads files and looks up only what they need. */
export async function parseProbe(dependencies: OptionDependencies): Promise<ParsedCommandLine> {
  const warnings: string[] = [];
  let places = usual;
  let quiet = false;
  const warn = (text: string): void => {
    if (!quiet) warnings.push(`*** ${text}`);
  };
  try {
    const choices = gather(dependencies);
    const answers: OptionAnswers<OptionName> = answersOf(choices, dependencies.user, dependencies.readFile);
    const early = earlyText(answers, choices, dependencies);
    if (early !== undefined) return { kind: "print", octets: Buffer.from(early), warnings, places };
    if (answers.has("trigger-deprecation")) warn(deprecation);
    const output = await outputOf(answers);
    quiet = output.hide.all || output.silent === 3;
    openPlaces(output, dependencies);
    places = { stdout: output.stdout, stderr: output.stderr };
    if (answers.has("support")) return { kind: "print", octets: Buffer.from(support), warnings, places };
    const { known, data, shown } = await readGroups(answers, choices, output, dependencies, warn);
    if (answers.has("dump")) {
      const octets = await dumpText(known, await answers.text("dump"), shown);
      return { kind: "print", octets, warnings, places };
    }
    if (answers.has("dump-mail")) return { kind: "print", octets: mailOf(shown), warnings, places };
    if (dependencies.terminal && !quiet && isVisible(choices)) warnings.push(visiblePassword);
    return { kind: "run", plan: await planOf(known, data, dependencies), warnings, places };
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return { kind: "mistake", text: quiet ? "" : error.message, status: error.status, warnings, places };
  }
}

const deprecation =
  "DEPRECATION WARNING: Option --trigger-deprecation will be removed in the future.  Please see documentation for more information.";

const visiblePassword =
  "=== While this runs, ps shows the password: type it (-ap alone), or use --auth-password-file";

/** What is printed before anything else is read. */
function earlyText(
  answers: OptionAnswers<OptionName>,
  choices: OptionChoices,
  dependencies: OptionDependencies,
): string | undefined {
  if (answers.has("help")) return helpText;
  if (answers.has("version")) return `${dependencies.version}\n`;
  const shell = choices.get("completion")?.value;
  return shell === undefined ? undefined : completionFor(shell);
}

const isVisible = (choices: OptionChoices): boolean => {
  const password = choices.get("auth-password");
  return password?.visible === true && password.value !== undefined && password.value !== "";
};

function openPlaces({ stdout, stderr }: OutputPlaces, dependencies: OptionDependencies): void {
  for (const path of new Set([stdout, stderr])) {
    if (path === "&STDOUT" || path === "&STDERR") continue;
    try {
      dependencies.create(path);
    } catch (error) {
      if (errorCode(error) === "") throw error;
      throw mistake(`Unable to open ${path} for writing`);
    }
  }
}

/** As --dump-mail shows it. */
const mailOf = ({ octets, fixup }: MessageData): Uint8Array => (fixup ? octets.subarray(0, -1) : octets);

/** The plan, with the files that it needs. */
async function planOf(
  known: DumpedOptions,
  data: MessageData,
  dependencies: OptionDependencies,
): Promise<ProbePlan> {
  const { answers, output, transport, protocol: choice, xclient, proxy, tls, auth } = known;
  const readText = (path: string): string => {
    try {
      return new TextDecoder().decode(dependencies.readFile(path));
    } catch (error) {
      const code = errorCode(error);
      if (code === "") throw error;
      throw mistake(`${path} could not be read (${reason(code)})`, statusOf("tls"));
    }
  };
  const protocol = await protocolOf(answers, choice);
  const arrival = await arrivalOf(answers, protocol, dependencies.environment);
  return {
    transport: routed(transport, choice.addresses),
    protocol,
    ...(xclient && { xclient }),
    ...(proxy && { proxy: proxyPlan(proxy) }),
    ...(tls && { tls: tlsPlan(tls, readText, dependencies) }),
    ...(auth && { auth }),
    data,
    ...(arrival && { arrival }),
    output,
  };
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
async function readGroups(
  answers: OptionAnswers<OptionName>,
  choices: OptionChoices,
  output: OutputPlan,
  dependencies: OptionDependencies,
  warn: (text: string) => void,
): Promise<{ readonly known: DumpedOptions; readonly data: MessageData; readonly shown: MessageData }> {
  for (const name of asked) await answers.text(name);
  const dialect = await dialectOf(answers);
  const beginning = beginningOf(answers, dialect.tls);
  const transport = await transportOf(answers, standardPort(dialect, beginning?.kind), dependencies.services);
  const stops = await stopsOf(answers);
  const mayLack = endsBeforeRecipients(stops) && hasTarget(transport);
  const addresses = await addressesOf(answers, dependencies.names, mayLack);
  const helo = (await answers.text("helo")) || dependencies.names.host;
  const protocol: ChosenProtocol = { dialect, addresses, stops, helo, timeout: await timeoutOf(answers) };
  const draft = await draftOf(answers, addresses);
  const tls = await tlsOf(answers, beginning, dependencies, warn);
  const xclient = await xclientOf(answers);
  const proxy = await proxyOf(answers);
  const target = memoized(() => serverOf(transport, addresses, dependencies));
  const auth = await authOf(answers, dialect.auth === true, {
    warn,
    ...variable(dependencies.environment[passwordVariable]),
    netrc: async (user) => {
      const netrc = dependencies.netrc();
      return netrc === undefined ? undefined : lookUp(netrc, await target(), user);
    },
  });
  const tellsItself = answers.has("dump-as-body") || answers.has("dump-as-body-shows-password");
  const server = answers.has("dump") || tellsItself ? await target() : "";
  const { programNames } = dependencies;
  const known: DumpedOptions = {
    answers,
    choices,
    programNames,
    output,
    transport,
    server,
    protocol,
    xclient,
    proxy,
    tls,
    auth,
  };
  const itself =
    tellsItself && draft.body === undefined
      ? await dumpBody(known, await answers.text("dump-as-body"))
      : undefined;
  const data = buildMessage(itself ? { ...draft, body: itself } : draft, dependencies.tokens);
  return { known, data, shown: itself ? withLines(data, itself) : data };
}

const variable = (password: string | undefined): { readonly password?: string } =>
  password === undefined || password === "" ? {} : { password };

/** The host that a run connects to first. */
async function serverOf(
  transport: TransportPlan,
  addresses: EnvelopeAddresses,
  dependencies: OptionDependencies,
): Promise<string> {
  const way = routed(transport, addresses);
  if (way.kind !== "inet") return "localhost";
  return way.server ?? dependencies.route(way.copyRouting ?? "");
}

function memoized<Value>(find: () => Promise<Value>): () => Promise<Value> {
  let found: Promise<Value> | undefined;
  return () => {
    found ??= find();
    return found;
  };
}
