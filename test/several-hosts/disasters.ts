/** What happens to hosts and to their database: each is written down with its beginning and its end. */
import { setTimeout as pause } from "node:timers/promises";
import type { Chance } from "../torture/chance.ts";
import type { Disaster, Happened } from "./ledger.ts";
import { endWell, type Host, type Site, startAtLast } from "./site.ts";

/** What may happen to a host. */
export const fates = ["killed", "cut off", "stopped by SIGSTOP", "ended", "drained"] as const;

export interface Diary {
  readonly happened: Happened[];
  readonly now: () => number;
  /** Resolves when a message has been promised after this moment: by the host at that address, or by any for "". */
  readonly back: (address: string) => Promise<void>;
  /** What went wrong with a disaster itself: a line each. */
  readonly wrong: string[];
}

/** Does it to `host`, and resolves when that is at work again, after `rest` milliseconds. */
export async function suffer(
  host: Host,
  kind: (typeof fates)[number],
  { diary, chance, rest }: { readonly diary: Diary; readonly chance: Chance; readonly rest: number },
): Promise<void> {
  const begin = (): ((over: number) => void) => written(diary, kind, host.address);
  switch (kind) {
    case "killed": {
      const over = begin();
      host.signal("SIGKILL");
      await host.ended();
      await pause(rest);
      await startAtLast(host);
      over(diary.now());
      return;
    }
    case "cut off": {
      const over = begin();
      await host.place.cut(chance.one(["silent", "link"]));
      await pause(rest);
      await host.place.mend();
      await diary.back(host.address);
      over(diary.now());
      return;
    }
    case "stopped by SIGSTOP": {
      const over = begin();
      host.signal("SIGSTOP");
      await pause(rest);
      host.signal("SIGCONT");
      await diary.back(host.address);
      over(diary.now());
      return;
    }
    case "ended": {
      const over = begin();
      const status = await endWell(host);
      if (status !== 0)
        diary.wrong.push(`${host.name} ended with status ${String(status)} when it was told to`);
      await pause(rest);
      await startAtLast(host);
      over(diary.now());
      return;
    }
    case "drained": {
      const over = begin();
      await host.run("queue", "drain", "--yes");
      await pause(rest);
      await endWell(host);
      await startAtLast(host);
      over(diary.now());
    }
  }
}

/** Kills the database and promotes its standby. False where there is none left. */
export async function failOver(site: Site, diary: Diary): Promise<boolean> {
  const over = written(diary, "failover", "");
  const done = await site.failover();
  if (done) await diary.back("");
  over(diary.now());
  return done;
}

/** Writes down that it begins now; gives what writes down its end. */
function written({ happened, now }: Diary, kind: Disaster, host: string): (over: number) => void {
  const place = happened.push({ kind, host, at: now() }) - 1;
  return (over) => {
    const begun = happened[place];
    if (begun !== undefined) happened[place] = { ...begun, over };
  };
}
