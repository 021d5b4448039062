/** What `tpa-submit queue import` takes messages from: the spool of a dead host, or the folder that `queue export` wrote. */
import { createReadStream } from "node:fs";
import { readdir, readFile, realpath } from "node:fs/promises";
import { join } from "node:path";
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";
import { type Draining, readDrain, withoutDrainHold } from "../../server/control/draining.ts";
import { openFrozenLogins } from "../../server/control/frozen-logins.ts";
import type { HeirSpool } from "../../server/control/protocol.ts";
import { type Disk, systemDisk } from "../../server/spool/disk.ts";
import type { Envelope } from "../../server/spool/envelope.ts";
import { parseEnvelope } from "../../server/spool/envelope-file.ts";
import { type History, parseHistory } from "../../server/spool/history.ts";
import { newMark, readOwner, type SpoolOwner, takenFailure, writeOwner } from "../../server/spool/owner.ts";
import type { FrozenEntry, ParcelSender, SentEntry } from "../../server/spool/parcel.ts";
import { isQueueId } from "../../server/spool/queue-id.ts";
import { type Damaged, openSpool, type SpoolReader, viewSpool } from "../../server/spool/spool.ts";
import { parseUsage } from "../../server/submission/limits/usage-file.ts";
import { frozenFile } from "../serve/places.ts";

/** A message, and how to read it. */
export interface Handed {
  readonly envelope: Envelope;
  readonly history: History;
  readonly octets: () => AsyncIterable<Uint8Array>;
}

export interface ParcelSource {
  readonly sender: ParcelSender;
  readonly ids: readonly string[];
  readonly frozen: readonly FrozenEntry[];
  readonly sent: readonly SentEntry[];
  /** What the file `usage` of a spool would say, with the addresses that `sent` leaves out; undefined where that is not known. */
  readonly usage: (() => AsyncIterable<string>) | undefined;
  read(id: string): Promise<Handed | Damaged>;
  /** From here on its messages belong to `heir`, and nobody starts it. Durable when it resolves. */
  give(heir: HeirSpool): Promise<void>;
  /** The heir has these. Durable when it resolves. */
  forget(ids: readonly string[]): Promise<void>;
  close(): Promise<void>;
}

/** Throws a Failure where the folder is neither, is in use, or was taken over by somebody else. `heir` has the spool `own`. */
export async function openSource(folder: string, own: string, dry: boolean): Promise<ParcelSource> {
  try {
    const names = await readdir(folder);
    if ((await realpath(folder)) === (await realpath(own).catch(() => own)))
      throw new Failure(exitStatus.usage, `${folder}: this is the spool of this relay itself`);
    if (names.includes("format")) return await openDeadSpool(folder, names, dry);
    if (names.some((name) => isExported(name))) return await openExport(folder, names);
    throw new Failure(
      exitStatus.noInput,
      `${folder}: neither a spool, which has a file "format", nor what queue export writes: ID.json and ID.eml`,
    );
  } catch (error) {
    if (error instanceof Failure || !/^E[A-Z]+$/.test(errorCode(error))) throw error;
    const denied = ["EACCES", "EPERM"].includes(errorCode(error));
    const hint =
      errorCode(error) === "EROFS"
        ? "; that its messages are taken must be written there: make a copy that can be written"
        : denied
          ? "; run the command as root while the relay runs, or give the folder to the relay's user"
          : "";
    const status = denied ? exitStatus.noPermission : exitStatus.noInput;
    throw new Failure(status, `${folder}: cannot be taken over: ${errorText(error)}${hint}`);
  }
}

/** Root may work on anybody's spool: the owner that the dead host had may be nobody's number here. */
function rescueDisk(): Disk {
  const own = process.geteuid?.();
  if (own !== 0) return systemDisk;
  return { ...systemDisk, look: async (path) => ({ ...(await systemDisk.look(path)), uid: own }) };
}

async function openDeadSpool(folder: string, names: readonly string[], dry: boolean): Promise<ParcelSource> {
  const disk = rescueDisk();
  if (dry) await mustBeFree(disk, folder, names);
  const spool = dry ? undefined : await openSpool(folder, Date.now, disk);
  try {
    const reader: SpoolReader = spool ?? (await viewSpool(folder, disk));
    const owner = await readOwner(disk, folder);
    const draining = await readDrain(disk, folder);
    const sender = senderOf(owner, draining);
    return {
      sender,
      ids: await reader.ids(),
      frozen: (await openFrozenLogins(frozenFile(folder))).all(),
      sent: names.includes("usage") ? stillCounting(await readFile(join(folder, "usage"), "utf8")) : [],
      usage: names.includes("usage") ? () => readingOf(join(folder, "usage")) : undefined,
      async read(id) {
        const envelope = await reader.read(id);
        if ("damaged" in envelope) return envelope;
        const history = await reader.history(id).catch(() => []); // no promise depends on it
        return { envelope: withoutDrainHold(envelope), history, octets: () => reader.body(id) };
      },
      async give(heir) {
        if (draining !== undefined && !heir.known && owner?.taken === undefined)
          throw drainedFailure(folder, draining);
        await give(disk, folder, owner, { ...heir, sender });
      },
      async forget(ids) {
        await Promise.all(ids.map(async (id) => spool?.remove(id)));
      },
      close: async () => spool?.close(),
    };
  } catch (error) {
    await spool?.close();
    throw error;
  }
}

async function* readingOf(file: string): AsyncGenerator<string> {
  yield await readFile(file, "utf8");
}

/** Changes nothing but the note in the lock. */
async function mustBeFree(disk: Disk, folder: string, names: readonly string[]): Promise<void> {
  if (!names.includes("lock")) return;
  const lock = await disk.lock(join(folder, "lock"), `process ${String(process.pid)}, which looks at it`);
  await lock.release();
}

/** What went to the other host may still be here. */
function drainedFailure(folder: string, { to }: Draining): Failure {
  return new Failure(
    exitStatus.data,
    `${folder}: a drain of it to ${to} had begun: take it over on that host, which knows what it has; ` +
      `if that host has nothing of it, remove ${join(folder, "drain")}`,
  );
}

/** The mark of what began before, or a new one. */
function senderOf(owner: SpoolOwner | undefined, draining?: Draining): ParcelSender {
  return {
    kind: "take",
    handover: owner?.taken?.handover ?? draining?.handover ?? newMark(),
    spool: owner?.id ?? newMark(),
    host: owner?.host ?? "unknown",
  };
}

async function give(
  disk: Disk,
  folder: string,
  before: SpoolOwner | undefined,
  heir: { readonly spool: string; readonly host: string; readonly sender: ParcelSender },
): Promise<void> {
  const taken = before?.taken;
  if (taken?.spool === heir.spool) return;
  if (taken !== undefined) throw takenFailure(folder, taken);
  const { spool: id, host, handover } = heir.sender;
  await writeOwner(disk, folder, {
    id,
    host,
    taken: { handover, spool: heir.spool, host: heir.host, at: Date.now() },
  });
}

const oneDay = 86_400_000;

/** Of the last day, without the addresses: their digests mean nothing under another key. */
export function stillCounting(usage: string): readonly SentEntry[] {
  const since = Date.now() - oneDay;
  return (parseUsage(usage)?.entries ?? [])
    .filter(
      ({ at, messages, recipients, newRecipients }) =>
        at >= since && messages + recipients + newRecipients > 0,
    )
    .map(({ login, at, messages, recipients, newRecipients }) => ({
      login,
      at,
      messages,
      recipients,
      newRecipients,
    }));
}

// What queue export wrote.

const isExported = (name: string): boolean =>
  name.endsWith(".json") && isQueueId(name.slice(0, -".json".length));

async function openExport(folder: string, names: readonly string[]): Promise<ParcelSource> {
  const disk = systemDisk;
  const owner = await readOwner(disk, folder);
  const sender = senderOf(owner);
  return {
    sender,
    ids: names
      .filter(isExported)
      .map((name) => name.slice(0, -".json".length))
      .sort(),
    frozen: [],
    sent: [],
    usage: undefined,
    async read(id) {
      const file = join(folder, `${id}.json`);
      const body = join(folder, `${id}.eml`);
      try {
        const found = readExported(await readFile(file, "utf8"), id, file);
        if ("damaged" in found) return found;
        const size = await disk.size(body);
        if (size !== found.envelope.size)
          return {
            damaged: `${body}: expected ${String(found.envelope.size)} octets, found ${String(size)}`,
          };
        return { ...found, octets: () => createReadStream(body) };
      } catch (error) {
        if (errorCode(error) === "") throw error;
        return { damaged: errorText(error) };
      }
    },
    give: (heir) => give(disk, folder, owner, { ...heir, sender }),
    forget: async () => undefined, // the heir's notes tell what it has
    close: async () => undefined,
  };
}

/** The times of an exported envelope are numbers. */
export function readExported(json: string, id: string, file: string): Omit<Handed, "octets"> | Damaged {
  let found: unknown;
  try {
    found = JSON.parse(json);
  } catch {
    return { damaged: `${file}: expected JSON` };
  }
  const { envelope: exported, history } = (found ?? {}) as Readonly<Record<string, unknown>>;
  if (typeof exported !== "object" || exported === null) return { damaged: `${file}: it has no envelope` };
  const text = JSON.stringify({ version: 2, ...exported }, (key, value: unknown) =>
    ["accepted", "due", "at"].includes(key) && typeof value === "number" && Math.abs(value) <= 8.64e15
      ? new Date(value).toISOString()
      : value,
  );
  const envelope = parseEnvelope(text, id, file);
  if ("damaged" in envelope) return envelope;
  const noted = Array.isArray(history) ? history.map((one) => JSON.stringify(one)).join("\n") : "";
  return { envelope, history: parseHistory(noted) };
}
