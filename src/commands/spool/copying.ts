/**
 * How `tpa-submit spool copy` works: as a taking over, but that the source keeps what it has, and that each message is read
 * again from where it is now. Neither side is delivered from meanwhile.
 */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { usageMistake } from "../../cli/options.ts";
import { visible } from "../../cli/output.ts";
import { startSpinner } from "../../cli/terminal.ts";
import type { Config } from "../../config/settings.ts";
import { replaceFile } from "../../durable.ts";
import { errorText, exitStatus, Failure } from "../../failure.ts";
import { systemDisk } from "../../server/spool/disk.ts";
import type { Envelope } from "../../server/spool/envelope.ts";
import { formatEnvelopeLine } from "../../server/spool/envelope-file.ts";
import type { SpoolLock } from "../../server/spool/lock.ts";
import { newMark, readOwner, writeOwner } from "../../server/spool/owner.ts";
import { isDamaged, type Spool, viewSpool } from "../../server/spool/spool.ts";
import {
  becomeOwnerIfThere,
  currentOperator,
  openStoppedSpool,
  type StoppedSpool,
} from "../queue/connection.ts";
import { plural, printAll, say } from "../queue/output.ts";
import { openSource, type ParcelSource } from "../queue/source.ts";
import { outcomeJson, outcomesOf, type TakingOutcome, tellSource } from "../queue/taking.ts";
import { storeFailure } from "./database.ts";

export interface CopyOrder {
  readonly from: string;
  readonly to: string;
  readonly dryRun: boolean;
  readonly json: boolean;
}

/** A spool by its folder; undefined is the database. */
interface CopyPlace {
  readonly folder: string | undefined;
  /** For people. */
  readonly name: string;
}

export async function copySpool(configuration: Config, order: CopyOrder): Promise<number> {
  const from = placeOf(order.from, configuration);
  const to = placeOf(order.to, configuration);
  if (from.folder === to.folder)
    throw usageMistake("spool copy", `${from.name} is where the messages are already`);
  const by = currentOperator();
  await becomeOwnerIfThere(from.folder ?? to.folder ?? configuration.spool.directory);
  const host = await lockHost(configuration, [from.folder, to.folder]);
  try {
    if (!order.dryRun) await markHost(configuration);
    const source = await sourceAt(from, configuration, order.dryRun);
    try {
      if (order.dryRun) return await tellSource(source, order.json);
      const target = await targetAt(to, configuration, source);
      try {
        const outcomes = outcomesOf({ ...source, sent: [], forget: keep }, target.take, by);
        const verified = verifying(outcomes, source, target.spool);
        return await tellCopy(verified, source, to, order.json);
      } finally {
        await target.close();
      }
    } finally {
      await source.close();
    }
  } catch (error) {
    throw storeFailure(error);
  } finally {
    await host.release();
  }
}

/** No relay starts here meanwhile. The folders of `others` have locks of their own. */
async function lockHost(
  { spool: { directory } }: Config,
  others: readonly (string | undefined)[],
): Promise<Pick<SpoolLock, "release">> {
  if (others.includes(resolve(directory)) || !existsSync(join(directory, "lock"))) return { release: keep };
  return systemDisk.lock(join(directory, "lock"), `process ${String(process.pid)}, which copies a spool`);
}

/** The leases of this host are known by the mark of its folder: those of a run that was killed are over then. */
async function markHost({ hostname, spool: { directory } }: Config): Promise<void> {
  if (!existsSync(join(directory, "format"))) return;
  if ((await readOwner(systemDisk, directory)) !== undefined) return;
  await writeOwner(systemDisk, directory, { id: newMark(), host: hostname });
}

const keep = async (): Promise<void> => undefined;

function placeOf(word: string, { spool }: Config): CopyPlace {
  if (word === "files") return { folder: resolve(spool.directory), name: spool.directory };
  if (word !== "store") return { folder: resolve(word), name: resolve(word) };
  if (spool.store !== "") return { folder: undefined, name: spool.store };
  throw new Failure(exitStatus.config, "store of [spool] names no database");
}

async function targetAt(
  { folder }: CopyPlace,
  config: Config,
  { sender, usage }: ParcelSource,
): Promise<Pick<StoppedSpool, "spool" | "take" | "close">> {
  if (folder === undefined) {
    const { openStoreTarget } = await import("../queue/store-target.ts");
    return openStoreTarget(config, await textOf(usage));
  }
  await takeBack(folder, sender);
  const own = { ...config, spool: { ...config.spool, directory: folder, store: "" } };
  return openStoppedSpool(own, async () => {
    const path = join(folder, "usage");
    if (usage === undefined || existsSync(path)) return; // then it came before, or is that of another time
    await replaceFile(path, await textOf(usage), { mode: 0o600 });
  });
}

async function textOf(usage: ParcelSource["usage"]): Promise<string> {
  const parts: string[] = [];
  for await (const part of usage?.() ?? []) parts.push(part);
  return parts.join("");
}

/** A folder from which everything went to that database, and that was emptied, may have it back. */
async function takeBack(folder: string, { spool: from }: ParcelSource["sender"]): Promise<void> {
  const owner = await readOwner(systemDisk, folder);
  if (owner?.taken?.spool !== from) return;
  const left = (await (await viewSpool(folder)).ids()).length;
  if (left > 0) {
    throw new Failure(
      exitStatus.data,
      `${folder}: the messages that went to the database are still in it (${String(left)}), and would be delivered twice; ` +
        "name an empty folder, or remove its folders queue, messages, history and journal",
    );
  }
  const { taken: _, ...free } = owner;
  await writeOwner(systemDisk, folder, free);
}

async function sourceAt(
  { folder }: CopyPlace,
  configuration: Config,
  isDryRun: boolean,
): Promise<ParcelSource> {
  if (folder !== undefined) return openSource(folder, "", isDryRun);
  const { openStoreSource } = await import("../queue/store-source.ts");
  return openStoreSource(configuration);
}

/** Each outcome, with what is wrong with the message that was written. */
async function* verifying(
  outcomes: AsyncIterable<TakingOutcome>,
  source: ParcelSource,
  target: Spool,
): AsyncGenerator<TakingOutcome> {
  for await (const one of outcomes) {
    const fault =
      one.outcome === "done" || one.outcome === "already" ? await faultOf(one, source, target) : undefined;
    yield fault === undefined ? one : { ...one, outcome: "failed", says: fault };
  }
}

/** Why the message is not in `target` what it is in `source`; undefined where it is, or where it has left `target` since an earlier run. */
async function faultOf(
  { id, as, outcome }: TakingOutcome,
  source: ParcelSource,
  target: Spool,
): Promise<string | undefined> {
  const [there, here] = await Promise.all([source.read(id), target.read(as)]);
  if (isDamaged(there)) return `cannot be read again there: ${there.damaged}`;
  if (isDamaged(here)) {
    if (outcome === "already" && !(await target.has(as))) return undefined;
    return `is written, and cannot be read: ${here.damaged}`;
  }
  if (lineOf(here, as) !== lineOf(there.envelope, as)) return "is written with another envelope";
  const digests = await Promise.all([digestOf(there.octets()), digestOf(target.body(as))]);
  return digests[0] === digests[1] ? undefined : "is written with other octets";
}

/** A maildrop stays behind, and so does the ID where it was taken. */
function lineOf(envelope: Envelope, id: string): string {
  const { drop: _, ...known } = envelope;
  return formatEnvelopeLine({ ...known, id });
}

async function digestOf(octets: AsyncIterable<unknown>): Promise<string> {
  const hash = createHash("sha256");
  try {
    for await (const piece of octets) hash.update(piece as Uint8Array);
  } catch (error) {
    return `unreadable: ${errorText(error)}`;
  }
  return hash.digest("hex");
}

async function tellCopy(
  outcomes: AsyncIterable<TakingOutcome>,
  source: ParcelSource,
  to: CopyPlace,
  asJson: boolean,
): Promise<number> {
  const counts = { done: 0, already: 0, failed: 0, damaged: 0 };
  const spinner = startSpinner("reading");
  async function* told(): AsyncGenerator<string> {
    for await (const one of outcomes) {
      counts[one.outcome] += 1;
      spinner.say(`${counts.done + counts.already} of ${source.ids.length} messages`);
      if (asJson) yield outcomeJson(one);
      else if (one.says !== "") say(visible(`${one.id}: ${one.says}`));
      else if (one.as !== one.id) say(`${one.id}: is ${one.as} there`);
    }
  }
  try {
    await printAll(told());
  } finally {
    spinner.stop();
  }
  const { done, already, failed, damaged } = counts;
  const before = already === 0 ? "" : `, ${already} had been before`;
  const left = failed + damaged === 0 ? "" : `; not copied: ${failed + damaged}`;
  say(`${plural(done, "message")} copied to ${to.name} and verified${before}${left}`);
  if (failed > 0) return exitStatus.ioError;
  if (damaged > 0) return exitStatus.data;
  say(nextText(to));
  return exitStatus.ok;
}

const nextText = ({ folder, name }: CopyPlace): string =>
  folder === undefined
    ? "the source has what it had; start the relays with spool.store, and remove its folders queue, messages, history and journal when all is well"
    : `the source has what it had, and no relay starts on it; start one relay with spool.directory = "${name}" and no spool.store`;
