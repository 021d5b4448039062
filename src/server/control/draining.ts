/**
 * SPOOL/drain: that this relay hands its queue over to another host. It is there from before the first message leaves until
 * after the last one has: a drain that was broken off goes on under the same mark, so that the other host knows what it has.
 */
import { join } from "node:path";
import { errorCode, exitStatus, Failure } from "../../failure.ts";
import { syncOnce, unlinkIfThere, writeDraft } from "../spool/commit.ts";
import type { Disk } from "../spool/disk.ts";
import type { Envelope } from "../spool/envelope.ts";
import { mark, newMark, type SpoolOwner } from "../spool/owner.ts";
import { is, type JsonField, Mismatch, record } from "../spool/strict-json.ts";
import type { DrainRequest, DrainState } from "./protocol.ts";

export interface Draining {
  readonly handover: string;
  /** Where to, as the operator said it. */
  readonly to: string;
}

const text: JsonField<string> = is("a text", (found) => typeof found === "string");
const field = record<Draining>({ handover: mark, to: text });

const pathIn = (directory: string): string => join(directory, "drain");

/** What a drain works on. `shut` takes no new mail from its call on, and resolves when the last session has ended. */
export interface DrainedSpool {
  readonly disk: Disk;
  readonly directory: string;
  readonly owner: SpoolOwner;
  readonly shut: (to: string) => Promise<void>;
}

/** Begins and ends the drain of a spool. */
export function newDrainer({
  disk,
  directory,
  owner,
  shut,
}: DrainedSpool): (request: DrainRequest) => AsyncIterable<DrainState> {
  return async function* ({ step, to, listening }) {
    if (step === "end") return endDrain(disk, directory);
    const { handover } = await beginDrain(disk, directory, to);
    if (!listening) await shut(to);
    yield { handover, spool: owner.id, host: owner.host };
  };
}

/** Whether a drain has begun and not ended. */
export async function isDraining(disk: Disk, directory: string): Promise<boolean> {
  return (await disk.list(directory)).includes("drain");
}

/** Why a message is held while a drain hands it over. */
export const drainHold = "queue drain hands it to another host";

/** What the other host gets: such a hold is not handed over. */
export function withoutDrainHold(envelope: Envelope): Envelope {
  const { held, ...free } = envelope;
  return held?.reason === drainHold ? free : envelope;
}

/** Begins, or goes on with what began before. Durable when it resolves. Throws a Failure where it went to somebody else. */
export async function beginDrain(disk: Disk, directory: string, to: string): Promise<Draining> {
  const path = pathIn(directory);
  const found = await readDrain(disk, directory);
  if (found !== undefined && found.to !== to) {
    throw new Failure(
      exitStatus.temporary,
      `a drain to ${found.to} has begun and not ended: end that first, or, if that host has nothing of it, remove ${path}`,
    );
  }
  if (found !== undefined) return found;
  const begun = { handover: newMark(), to };
  const draft = join(directory, ".drain.new");
  await writeDraft(disk, draft, `${JSON.stringify(field.write(begun, ""))}\n`);
  await disk.rename(draft, path);
  await syncOnce(disk, directory);
  return begun;
}

/** Nothing of it is here any more. Durable when it resolves. */
export async function endDrain(disk: Disk, directory: string): Promise<void> {
  await unlinkIfThere(disk, pathIn(directory));
  await syncOnce(disk, directory);
}

/** The drain that has begun and not ended. Throws a Failure where that cannot be told. */
export async function readDrain(disk: Disk, directory: string): Promise<Draining | undefined> {
  const path = pathIn(directory);
  try {
    return field.read(JSON.parse(await disk.readText(path)), "");
  } catch (error) {
    if (errorCode(error) === "ENOENT") return undefined;
    if (!(error instanceof Mismatch) && !(error instanceof SyntaxError)) throw error;
    throw new Failure(exitStatus.data, `${path}: cannot be understood; remove it if no drain has begun`);
  }
}
