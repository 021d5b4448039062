/** Whether a message sent now would be taken and delivered: what /healthz says. */
import { setTimeout as pause } from "node:timers/promises";
import { errorCode, errorText } from "../../failure.ts";
import type { Health } from "../../server/log/http.ts";
import { cachedBriefly } from "../../server/spool/cached.ts";
import type { FreeSpace, Spool } from "../../server/spool/spool.ts";
import type { State } from "./figures.ts";

export interface Checkup {
  readonly health: Health;
  /** What the disk has left; undefined where it does not say. */
  readonly free: FreeSpace | undefined;
}

/** Milliseconds that the spool has for its trial. Our choice: monitoring asks in a few seconds or not at all. */
const patience = 3_000;

/** What to keep free, as receive.ts does: a body and an envelope above the reserve. */
const files = 2;

/** A checkup of the relay whose parts note themselves in `state`; it is at most a second old. */
export function newCheckup(
  state: State,
  spool: Pick<Spool, "free" | "trial">,
  reserve: FreeSpace,
  now: () => number,
): () => Promise<Checkup> {
  return cachedBriefly(async () => {
    const free = await orReason(spool.free());
    const known = typeof free === "string" ? undefined : free;
    const reason = own(state, now()) ?? inSpool(free, reserve) ?? (await trialOf(spool));
    return { health: reason === undefined ? { ok: true } : { ok: false, reason }, free: known };
  }, now);
}

/** What is known without a look at the disk. */
function own(state: State, now: number): string | undefined {
  if (state.stopping) return "the relay is stopping";
  if (state.broken !== undefined) return `the spool can promise nothing more: ${state.broken}`;
  if (state.waiting === undefined) return "the relay is starting";
  if (state.certificateUntil === 0) return "no certificate can be used, so nobody is listened to";
  if (state.certificateUntil <= now) return "the certificate has expired";
  if (state.logins === 0) return "no password file could be read yet, so nobody can log in";
  return undefined;
}

function inSpool(free: FreeSpace | string, reserve: FreeSpace): string | undefined {
  if (typeof free === "string") return `the spool cannot be looked at: ${free}`;
  if (free.octets < reserve.octets) {
    return `the spool has ${free.octets} octets left, less than spool.reserve: messages are refused`;
  }
  if (free.inodes < reserve.inodes + files) {
    return `the spool has ${free.inodes} inodes left, spool.reserve-inodes are kept: messages are refused`;
  }
  return undefined;
}

async function trialOf(spool: Pick<Spool, "trial">): Promise<string | undefined> {
  const late = new AbortController();
  const outcome = await Promise.race([
    orReason(spool.trial()),
    pause(patience, `no answer within ${patience / 1000} seconds`, { signal: late.signal }).catch(
      () => undefined,
    ),
  ]);
  late.abort();
  return outcome === undefined ? undefined : `the spool cannot be written: ${outcome}`;
}

/** The system's words where `work` fails by them. */
async function orReason<Value>(work: Promise<Value>): Promise<Value | string> {
  try {
    return await work;
  } catch (error) {
    if (errorCode(error) === "") throw error;
    return errorText(error);
  }
}
