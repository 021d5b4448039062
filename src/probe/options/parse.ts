/** From a command line to a plan, or to a text to print, or to what is wrong: the door of this folder. */
import { errorCode, Failure } from "../../failure.ts";
import type { Data, Output, Plan } from "../plan.ts";
import { statusOf } from "../transaction/exit.ts";
import { answersOf } from "./answers.ts";
import { arrivalOf } from "./arrival.ts";
import type { Choices } from "./choices.ts";
import { completionFor } from "./completion.ts";
import { dumpText, type Known, support } from "./dump.ts";
import { readGroups } from "./groups.ts";
import { helpText } from "./help.ts";
import { mistake, reason } from "./mistake.ts";
import { outputOf } from "./output.ts";
import { protocolOf } from "./protocol.ts";
import { proxyPlan } from "./proxy.ts";
import { gather } from "./sources.ts";
import { tlsPlan } from "./tls.ts";
import { routed } from "./transport.ts";
import type { World } from "./world.ts";

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
    const { known, data, shown } = await readGroups(answers, output, world, warn);
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

/** As --dump-mail shows it. */
const mailOf = ({ octets, fixup }: Data): Uint8Array => (fixup ? octets.subarray(0, -1) : octets);

/** What is to be done, with the files read that it needs. */
async function planOf(known: Known, data: Data, world: World): Promise<Plan> {
  const { answers, output, transport, said, xclient, proxy, tls, auth } = known;
  const readText = (path: string): string => {
    try {
      return new TextDecoder().decode(world.readFile(path));
    } catch (error) {
      const code = errorCode(error);
      if (code === "") throw error;
      throw mistake(`${path} could not be read (${reason(code)})`, statusOf("tls"));
    }
  };
  const protocol = await protocolOf(answers, said);
  const arrival = await arrivalOf(answers, protocol, world.environment);
  return {
    transport: routed(transport, said.addresses),
    protocol,
    ...(xclient && { xclient }),
    ...(proxy && { proxy: proxyPlan(proxy) }),
    ...(tls && { tls: tlsPlan(tls, readText, world) }),
    ...(auth && { auth }),
    data,
    ...(arrival && { arrival }),
    output,
  };
}
