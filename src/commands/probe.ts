/** `tpa-submit probe`: talks to a mail server as swaks does, and shows more. man/tpa-submit-probe.1 */
import { randomBytes, type X509Certificate } from "node:crypto";
import { getServers } from "node:dns";
import { resolveMx } from "node:dns/promises";
import { writeFileSync } from "node:fs";
import type { Subcommand } from "../cli/subcommands.ts";
import { errorCode } from "../failure.ts";
import { hasArrival, probeArrival } from "../probe/arrive.ts";
import { statusOf } from "../probe/exit-status.ts";
import { mailHosts } from "../probe/mail-hosts.ts";
import { reason } from "../probe/options/mistake.ts";
import { type ParsedCommandLine, parseProbe } from "../probe/options/parse.ts";
import type { ProbePlan } from "../probe/plan.ts";
import { type OutputStreams, probe } from "../probe/probe.ts";
import type { ProbeDependencies } from "../probe/transaction/session.ts";
import type { DaneResult } from "../probe/transcript/journal.ts";
import { nameServer } from "../server/delivery/dns/query.ts";
import { validatingResolver } from "../server/delivery/dns/resolver.ts";
import { matchesTlsa } from "../server/delivery/tls/dane.ts";
import { systemCa } from "./probe/host.ts";
import { withArrivalWatch } from "./probe/mailboxes.ts";
import { optionDependencies } from "./probe/option-host.ts";
import { openOutput } from "./probe/output.ts";

/** Subcommands, each with options, a manual and exit statuses of its own. */
export const subcommands: Readonly<Record<string, Subcommand>> = {
  monitor: {
    summary: "Send a message by each route of a file, and tell whether and when it arrives.",
    load: () => import("./probe/monitor.ts"),
  },
  checkup: {
    summary: "Look at a submission service from outside, and say what is not well.",
    load: () => import("./probe/checkup.ts"),
  },
  propagation: {
    summary: "Change a test account's password in the directory, and time how long it takes to work.",
    load: () => import("./probe/propagation.ts"),
  },
  report: {
    summary: "Tell what the history of the monitor says, also as a page.",
    load: () => import("./probe/report.ts"),
  },
};

/** Runs the command; the exit statuses are swaks' (src/probe/exit-status.ts). */
export async function run(argv: readonly string[]): Promise<number> {
  const [first = "", ...rest] = argv;
  const word = Object.hasOwn(subcommands, first) ? subcommands[first] : undefined;
  if (word) return (await word.load()).run(rest);
  const outcome = await parseProbe(
    optionDependencies(argv, async (domain) => (await route(domain))[0] ?? domain),
  );
  const output = openOutput(outcome.places);
  for (const warning of outcome.warnings) output.stderr.write(Buffer.from(`${warning}\n`));
  const status = await obey(
    outcome,
    output,
    argv.some((word) => /^--?nagios$/.test(word)),
  );
  const trouble = await output.trouble();
  if (trouble !== undefined) process.stderr.write(`${trouble}\n`);
  const ended = status === 0 && trouble !== undefined ? statusOf("options") : status;
  // A DNS query that is still open would keep the process alive.
  if (ended === statusOf("connect")) process.exit(ended);
  return ended;
}

/** Runs, prints or fails, as the command line asks. Returns the exit status. */
async function obey(outcome: ParsedCommandLine, output: OutputStreams, isPlugin: boolean): Promise<number> {
  switch (outcome.kind) {
    case "print":
      output.stdout.write(outcome.octets);
      return 0;
    case "mistake":
      if (isPlugin) {
        // A monitoring system reads a plugin's standard output, whatever went wrong.
        output.stdout.write(Buffer.from(`PROBE UNKNOWN - ${plainLine(outcome.text)}\n`));
        return 3;
      }
      if (outcome.text !== "") output.stderr.write(Buffer.from(`${outcome.text}\n`));
      return outcome.status;
    default:
      hurryResolver(outcome.plan.protocol.timeout);
      return speak(outcome.plan, output, {
        clock: () => performance.now(),
        now: () => Date.now(),
        random: (count) => randomBytes(count),
        systemCa,
        route,
        dane,
        save,
      });
  }
}

function speak(plan: ProbePlan, output: OutputStreams, dependencies: ProbeDependencies): Promise<number> {
  if (!hasArrival(plan)) return probe(plan, output, dependencies);
  return withArrivalWatch(plan.arrival, (watch) => probeArrival(plan, output, dependencies, watch));
}

/**
 * resolv.conf(5): seconds for a query, and how often it is sent. The system's resolver cannot be interrupted, so its
 * limits are set beforehand where the run has less than the usual ten seconds.
 */
function hurryResolver(timeout: number): void {
  if (timeout === 0 || timeout >= 10_000) return;
  process.env["RES_OPTIONS"] ??= `timeout:${Math.max(1, Math.floor(timeout / 2000))} attempts:2`;
}

const plainLine = (text: string): string => text.replace(/^\*\*\* /, "").replace(/[\n|]/g, "/");

const route = (domain: string): Promise<readonly string[]> => mailHosts(domain, exchangersOf);

/** None where the DNS does not answer: then a domain is its own exchanger (mail-hosts.ts). */
async function exchangersOf(domain: string): Promise<Awaited<ReturnType<typeof resolveMx>>> {
  try {
    return await resolveMx(domain);
  } catch (error) {
    if (errorCode(error) === "") throw error;
    return [];
  }
}

function save(path: string, text: string): string | undefined {
  try {
    writeFileSync(path, text);
    return undefined;
  } catch (error) {
    if (errorCode(error) === "") throw error;
    return reason(errorCode(error));
  }
}

/** The longest wait for an explanation: our choice. */
const patience = { timeout: 2000, tries: 1 };

/**
 * What TLSA records say about a server, by the relay's own resolver and rules. The system's first name server is asked;
 * its word on signatures counts only where it runs on this host.
 */
async function dane(
  host: string,
  port: number,
  chain: readonly X509Certificate[],
): Promise<DaneResult | undefined> {
  const [server] = getServers();
  const [, address = "", at] = /^\[?([^\]]*?)\]?(?::(\d+))?$/.exec(server ?? "") ?? [];
  if (address === "") return undefined;
  const resolver = validatingResolver(nameServer({ host: address, port: Number(at ?? 53) }, patience));
  const answer = await resolver.signed?.tlsa(`_${port}._tcp.${host}`);
  if (answer?.kind !== "found") return undefined;
  return {
    records: answer.values.length,
    authentic: answer.authentic === true && /^(?:127\.|::1$)/.test(address),
    matches: matchesTlsa(chain, answer.values, [host], Date.now()),
  };
}
