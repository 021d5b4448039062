/**
 * `log.privacy`, and SPOOL/privacy-key, the key of the day for the digests of recipients. It is on disk so that a restart
 * goes on with it, and so that `trace` finds today's recipients; it is replaced when the day (UTC) is over.
 */
import { randomBytes } from "node:crypto";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Config } from "../../config/settings.ts";
import { removeDrafts, replaceFile } from "../../durable.ts";
import { errorCode, errorText } from "../../failure.ts";
import { log, shortenBy } from "../../server/log/log.ts";
import { hashRecipient, newShortener } from "../../server/log/privacy.ts";

interface DayKey {
  readonly day: string;
  readonly key: Buffer;
}

const keyFile = (directory: string): string => join(directory, "privacy-key");
const dayOf = (now: number): string => new Date(now).toISOString().slice(0, 10);
const newKey = (now: number): DayKey => ({ day: dayOf(now), key: randomBytes(32) });

/** How often to look whether the day is over, where nothing is logged. Our choice. */
const lookEvery = 600_000;

/** Shortens what is logged from now on, where `config` says so. The spool is ours. */
export async function openPrivacy({
  log: { privacy },
  spool: { directory },
}: Config): Promise<{ close(): Promise<void> }> {
  const path = keyFile(directory);
  await removeDrafts(path);
  if (privacy === "full") {
    await rm(path, { force: true });
    return { close: () => Promise.resolve() };
  }
  let last: Promise<void> = Promise.resolve();
  const save = ({ day, key }: DayKey): void => {
    last = last
      .then(() => replaceFile(path, `${day} ${key.toString("hex")}\n`, { mode: 0o600 }))
      .catch((error: unknown) => log("privacy-key-unsaved", { file: path, reason: errorText(error) }));
  };
  let current = await readKey(directory);
  const keyNow = (): Buffer => {
    const now = Date.now();
    if (current?.day !== dayOf(now)) {
      current = newKey(now);
      save(current);
    }
    return current.key;
  };
  keyNow();
  shortenBy(newShortener(keyNow));
  const timer = setInterval(keyNow, lookEvery).unref();
  return {
    async close() {
      clearInterval(timer);
      await last;
    },
  };
}

/** For a command that logs without a relay: by the key of today, or one that nobody keeps. */
export async function shortenForCommand({ log: { privacy }, spool: { directory } }: Config): Promise<void> {
  if (privacy === "full") return;
  const kept = await readKey(directory);
  const now = Date.now();
  const { key } = kept?.day === dayOf(now) ? kept : newKey(now);
  shortenBy(newShortener(() => key));
}

/** What a recipient is called in today's log and history, if it is shortened there. */
export async function nameToday(
  { spool: { directory } }: Pick<Config, "spool">,
  address: string,
): Promise<string | undefined> {
  const kept = await readKey(directory);
  return kept?.day === dayOf(Date.now()) ? hashRecipient(address, kept.key) : undefined;
}

/** Undefined where there is none, or none that may be read: then what it would find is not found. */
async function readKey(directory: string): Promise<DayKey | undefined> {
  try {
    const text = await readFile(keyFile(directory), "latin1");
    const [, day, key] = /^(\d{4}-\d\d-\d\d) ([0-9a-f]{64})\n$/.exec(text) ?? [];
    return day === undefined || key === undefined ? undefined : { day, key: Buffer.from(key, "hex") };
  } catch (error) {
    if (errorCode(error) === "") throw error;
    return undefined;
  }
}
