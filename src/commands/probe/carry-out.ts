/** A plan of the probe, carried out from this host. */
import { randomBytes } from "node:crypto";
import type { MxRecord } from "node:dns";
import { writeFileSync } from "node:fs";
import { errorCode } from "../../failure.ts";
import { mailHosts } from "../../probe/mail-hosts.ts";
import { reason } from "../../probe/options/mistake.ts";
import type { ProbePlan } from "../../probe/plan.ts";
import { type OutputStreams, probe } from "../../probe/probe.ts";
import type { ProbeDependencies } from "../../probe/transaction/session.ts";
import { daneBy, systemCa } from "./host.ts";

/** Returns the exit status. */
export function carryOut(plan: ProbePlan, output: OutputStreams): Promise<number> {
  hurryResolver(plan.protocol.timeout);
  return speak(plan, output, {
    clock: () => performance.now(),
    now: () => Date.now(),
    random: (count) => randomBytes(count),
    systemCa,
    route,
    dane: daneBy(),
    save,
  });
}

async function speak(
  plan: ProbePlan,
  output: OutputStreams,
  dependencies: ProbeDependencies,
): Promise<number> {
  if (plan.arrival === undefined) return probe(plan, output, dependencies);
  const { hasArrival, probeArrival } = await import("../../probe/arrive.ts");
  const { withArrivalWatch } = await import("./mailboxes.ts");
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

/** The host that takes mail for `domain`. */
export const hostFor = async (domain: string): Promise<string> => (await route(domain))[0] ?? domain;

const route = (domain: string): Promise<readonly string[]> => mailHosts(domain, exchangersOf);

/** None where the DNS does not answer: then a domain is its own exchanger (mail-hosts.ts). */
async function exchangersOf(domain: string): Promise<readonly MxRecord[]> {
  try {
    const { resolveMx } = await import("node:dns/promises");
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
