/** The limits of each login, and SPOOL/usage, the file that keeps what counts for them over a restart. */
import { constants, fstatSync } from "node:fs";
import { type FileHandle, open, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Config } from "../../config/settings.ts";
import { replaceFile } from "../../durable.ts";
import { errorCode } from "../../failure.ts";
import { log } from "../../server/log/log.ts";
import type { SharedUsage } from "../../server/shared/usage.ts";
import type { KeptFile } from "../../server/spool/fsck.ts";
import type { SentEntry } from "../../server/spool/parcel.ts";
import {
  type Allowance,
  newQuota,
  type Quota,
  type QuotaDependencies,
} from "../../server/submission/limits/quota.ts";
import { day, hour, total } from "../../server/submission/limits/sliding-window.ts";
import { openUsage, parseUsage, type UsageStore } from "../../server/submission/limits/usage-file.ts";
import { usesKept } from "./passwords-used.ts";

/** The files as `queue verify` looks at them. What a crash cut short is no damage. */
export const keptFiles: readonly KeptFile[] = [
  {
    name: "usage",
    fault: (text) => (parseUsage(text) ? undefined : "none of this program's files"),
    repair: "set aside",
  },
  usesKept,
];

export interface OpenedQuota {
  readonly quota: Quota;
  /** What was accepted of `login`: messages within an hour, recipients within a day. */
  readonly sent: (login: string) => { readonly messages: number; readonly recipients: number };
  /** Counts what a login sent by way of another host. To whom is not known here. */
  readonly add: (entry: SentEntry) => void;
  /** Resolves when what counts is written down. */
  close(): Promise<void>;
}

/** `limits` is asked each time, so that a reload may change it; `directory` is a spool that is ours. */
export async function openQuota(directory: string, limits: () => Config["limits"]): Promise<OpenedQuota> {
  const file = fileOf(join(directory, "usage"));
  const keeper = await openUsage(file, Date.now);
  return {
    ...quotaOf(
      keeper.usage,
      (entry) => keeper.record(entry),
      () => allowanceOf(limits()),
    ),
    add(entry) {
      const counted = { ...entry, addresses: [] };
      keeper.usage.add(counted, Date.now());
      keeper.record(counted);
    },
    async close() {
      await keeper.close();
      await file.close();
    },
  };
}

/** The same where hosts share it: what an accepted message counts is written with its promise. */
export function sharedQuota(shared: SharedUsage, limits: () => Config["limits"]): OpenedQuota {
  return {
    ...quotaOf(
      shared.mirror,
      () => undefined,
      () => allowanceOf(limits()),
    ),
    add: (entry) => shared.add(entry),
    close: async () => undefined,
  };
}

export const allowanceOf = (limits: Config["limits"]): Allowance => ({
  messagesPerHour: limits["messages-per-hour"],
  recipientsPerDay: limits["recipients-per-day"],
  newRecipientsPerDay: limits["new-recipients-per-day"],
});

function quotaOf(
  usage: QuotaDependencies["usage"],
  record: QuotaDependencies["record"],
  allowance: () => Allowance,
): Pick<OpenedQuota, "quota" | "sent"> {
  const limitReached = (login: string, limit: string, until: number): void =>
    log("limit-reached", { login, limit, until: new Date(until).toISOString() });
  return {
    quota: newQuota({ usage, allowance, now: Date.now, record, limitReached }),
    sent(login) {
      const { messages, recipients } = usage.of(login);
      const now = Date.now();
      return { messages: total(messages, hour, now), recipients: total(recipients, day, now) };
    },
  };
}

/** The file, which stays open between two lines. */
function fileOf(path: string): UsageStore & { close(): Promise<void> } {
  let file: FileHandle | undefined;

  async function close(): Promise<void> {
    const last = file;
    file = undefined;
    await last?.close();
  }

  /** Not O_CREAT: who removed the file has removed its first line, too, and it is written anew. */
  async function opened(): Promise<FileHandle> {
    if (file !== undefined && fstatSync(file.fd).nlink === 0) await close();
    file ??= await open(path, constants.O_WRONLY | constants.O_APPEND);
    return file;
  }

  return {
    name: path,
    async load() {
      try {
        return await readFile(path, "utf8");
      } catch (error) {
        if (errorCode(error) === "ENOENT") return undefined;
        throw error;
      }
    },
    append: async (lines) => (await opened()).appendFile(lines),
    async replace(text) {
      await close();
      await replaceFile(path, text, { mode: 0o600 });
    },
    close,
  };
}
