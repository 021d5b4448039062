/**
 * The spool as the relay uses it: opened, with what was in hand at an unclean end held, and with the frozen logins' messages
 * kept back.
 */
import { join } from "node:path";
import type { Config } from "../../config/settings.ts";
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";
import {
  type FreezeHold,
  type FrozenLogins,
  newFreezeHold,
  openFrozenLogins,
  spoolWithFreezes,
} from "../../server/control/frozen-logins.ts";
import { markWith } from "../../server/log/event-loop.ts";
import { log, logBug } from "../../server/log/log.ts";
import { readInThread } from "../../server/spool/bulk-read.ts";
import { type Disk, systemDisk } from "../../server/spool/disk.ts";
import { settleImports } from "../../server/spool/imports.ts";
import { type InHandFile, openInHand } from "../../server/spool/in-hand-file.ts";
import { claimFolder, claimSpool, type SpoolOwner } from "../../server/spool/owner.ts";
import { isDamaged, type JournalSettings, openSpool, type Spool } from "../../server/spool/spool.ts";
import { frozenFile } from "./places.ts";
import type { CommitWatch, SharedByRelay, StoreUse } from "./several-hosts.ts";
import type { SharedStore } from "./store.ts";

export interface RelaySpool {
  /** For new messages. */
  readonly spool: Spool;
  /** What it is in, where several hosts share it, and what else they know together. */
  readonly store: SharedStore | undefined;
  readonly shared: SharedByRelay | undefined;
  /** For the scheduler and the control API: messages of frozen logins are held, what was in hand is cleared. */
  readonly deliverable: Spool;
  readonly frozen: FrozenLogins;
  readonly freezeHold: FreezeHold;
  readonly owner: SpoolOwner;
  /** From now on {@link RelaySpool.close} is a clean end. */
  markStarted(): void;
  close(): Promise<void>;
}

const worker = new URL("../../server/spool/bulk-read-worker.js", import.meta.url);
const logTrouble = (error: unknown): void => logBug("reading the spool in a thread", error);

/** How new messages come into the spool; undefined where each is a file from the start. */
export function journalSettingsOf({ spool }: Pick<Config, "spool">): JournalSettings | undefined {
  return spool.journal ? { segment: spool["journal-segment"], largest: spool["journal-largest"] } : undefined;
}

/**
 * Opens the spool for who delivers from it, or changes what is delivered; `early` for who begins while its journal is still
 * being read. Throws a Failure where it cannot be opened, and where its messages are another host's.
 */
export async function openOwnSpool(
  config: Pick<Config, "spool" | "hostname">,
  disk: Disk,
  early = false,
  committed?: CommitWatch,
): Promise<OwnSpool> {
  const { directory, store } = config.spool;
  const journal = store === "" ? journalSettingsOf(config) : undefined;
  const local = await openSpool(
    directory,
    Date.now,
    disk,
    journal && { ...journal, early },
    config.spool["host-mark"],
  );
  let spool: Spool = local;
  try {
    const waiting = async () => (await local.ids()).length;
    const claim = store === "" ? claimSpool : claimFolder;
    const owner = await claim(disk, directory, config.hostname, waiting);
    const shared = store === "" ? undefined : await openStore(config, owner, local, committed);
    if (shared) spool = shared.spool;
    await settleImports(disk, directory, (id) => spool.has(id));
    return { spool, owner, store: shared };
  } catch (error) {
    await spool.close();
    throw error;
  }
}

/** A spool that is ours, be it files or this host's part of a database. */
export interface OwnSpool {
  readonly spool: Spool;
  readonly owner: SpoolOwner;
  readonly store: SharedStore | undefined;
}

/** Throws a Failure where the database cannot be used, or messages would be left behind in files. */
async function openStore(
  config: Pick<Config, "spool" | "hostname">,
  owner: SpoolOwner,
  local: Spool,
  committed: CommitWatch | undefined,
): Promise<SharedStore> {
  const { directory } = config.spool;
  const left = owner.taken === undefined ? (await local.ids()).length : 0;
  if (left > 0) {
    throw new Failure(
      exitStatus.config,
      `${directory}: messages wait here in files (${String(left)}), where [spool] names a database; ` +
        "tpa-submit spool copy files store takes them there",
    );
  }
  // Who has no such store loads nothing of it.
  const { openRelayStore } = await import("./store.ts");
  return openRelayStore(config, owner, local, committed);
}

/**
 * Opens the spool, and holds what was in hand at two unclean ends in a row. `cannotListen` is why nobody can
 * be listened to, if so: it is thrown where there is nothing to deliver either. `use` is for where several hosts share it. Throws a
 * Failure where the spool cannot be opened, or the frozen logins cannot be known.
 */
export async function openRelaySpool(
  config: Pick<Config, "spool" | "history" | "hostname">,
  cannotListen: Failure | undefined,
  use: StoreUse,
): Promise<RelaySpool> {
  const { directory } = config.spool;
  const disk = { ...systemDisk, readMany: readInThread(worker, logTrouble) };
  const { spool, owner, store } = await openOwnSpool(config, disk, true, use.committed);
  let isStarted = false;
  let inHand: InHandFile | undefined;
  let shared: SharedByRelay | undefined;
  const forgetting = forgetRegularly(spool, config.history.keep);
  const close = async (): Promise<void> => {
    await forgetting.close();
    markWith(() => undefined);
    inHand?.close(isStarted);
    await shared?.close();
    await spool.close();
  };
  try {
    if (cannotListen && (await spool.ids()).length === 0) throw cannotListen;
    inHand = openInHand(join(directory, "in-hand"));
    // Another host that took such a message would be the next to end.
    if (store && inHand.culprits.length > 0) await store.spool.claim(inHand.culprits);
    await holdSuspects(inHand, spool, Date.now);
    markWith(inHand.mark);
    shared = store && (await openSharedState(store, directory, use.limits));
    const clearing = clearingInHand(spool, inHand);
    const freezes = shared ? newFreezes(clearing, shared.frozen) : await openFreezes(clearing, directory);
    const markStarted = (): void => {
      isStarted = true;
    };
    const { frozen, freezeHold, spool: deliverable } = freezes;
    return { spool, store, shared, deliverable, frozen, freezeHold, owner, markStarted, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** From now on the limits are those of all hosts. */
async function openSharedState(
  { database, spool }: SharedStore,
  directory: string,
  limits: () => Config["limits"],
): Promise<SharedByRelay> {
  const { openShared, ownMessages } = await import("./several-hosts.ts");
  const shared = await openShared(database, directory, limits);
  spool.countWith(shared.usage.settle);
  return { ...shared, ownMessages: (logins) => ownMessages(database, spool.lease, logins) };
}

const hour = 3_600_000;

/** Lets no text of a message that is gone stay on the disk for longer than an hour, or than the history is kept. */
function forgetRegularly(spool: Pick<Spool, "forget">, keep: number): { close(): Promise<void> } {
  let running = Promise.resolve();
  const forget = async (): Promise<void> => {
    try {
      await spool.forget();
    } catch (error) {
      if (errorCode(error) === "") logBug("journal", error); // else a disk that is full or broken, which others tell of
    }
  };
  const timer = setInterval(
    () => {
      running = running.then(forget);
    },
    keep === 0 ? hour : Math.min(hour, Math.max(1_000, keep / 7)),
  ).unref();
  return {
    close() {
      clearInterval(timer);
      return running;
    },
  };
}

/** A spool with its frozen logins. */
export interface Freezes {
  readonly frozen: FrozenLogins;
  readonly freezeHold: FreezeHold;
  /** For the scheduler and the control API. */
  readonly spool: Spool;
}

/** Throws a Failure where the file of frozen logins cannot be understood. */
export async function openFreezes(spool: Spool, directory: string): Promise<Freezes> {
  return newFreezes(spool, await openFrozenLogins(frozenFile(directory)));
}

function newFreezes(spool: Spool, frozen: FrozenLogins): Freezes {
  const freezeHold = newFreezeHold(frozen);
  return { frozen, freezeHold, spool: spoolWithFreezes(spool, freezeHold) };
}

const heldBy = "tpa-submit";

/** Why such a message is held: `queue show` tells it. */
const heldBecause =
  "it was in hand at two unclean ends of the relay in a row; queue release tries it again, queue drop is rid of it";

/** Before anything is delivered. Never rejects: what cannot be held is tried again, which is no worse than before. */
async function holdSuspects(file: InHandFile, spool: Spool, now: () => number): Promise<void> {
  for (const id of file.suspects) log("suspected", { id });
  for (const id of file.culprits) {
    try {
      const envelope = (await spool.has(id)) ? await spool.read(id) : undefined;
      if (envelope && !isDamaged(envelope) && envelope.held === undefined) {
        const at = now();
        await spool.record({ ...envelope, held: { at, by: heldBy, reason: heldBecause } });
        await spool.note(id, [{ at, act: "hold", by: heldBy, reason: heldBecause }]);
        log("held", { id, reason: heldBecause });
      }
      file.clear(id);
    } catch (error) {
      if (errorCode(error) === "") throw error;
      log("spool-trouble", { id, reason: errorText(error) });
    }
  }
}

/** `spool`, whose messages come to a good end when what became of them is recorded, or when they are let go. */
function clearingInHand(spool: Spool, file: InHandFile): Spool {
  return {
    ...spool,
    async record(envelope) {
      const outcome = await spool.record(envelope);
      file.clear(envelope.id);
      return outcome;
    },
    async remove(id) {
      const outcome = await spool.remove(id);
      file.clear(id);
      return outcome;
    },
  };
}
