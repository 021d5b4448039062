/** Where a relay under torture keeps its mail, what can be done to that place, and what is in it. */
import { setTimeout as pause } from "node:timers/promises";
import { fsckBeside } from "../../src/server/spool/fsck.ts";
import { viewSpool } from "../../src/server/spool/spool.ts";
import { type Cluster, startCluster } from "../postgres/cluster.ts";
import { real } from "../tools/real.ts";
import type { Chance } from "./chance.ts";
import { prepareDisk } from "./disk.ts";
import type { Outage } from "./story.ts";

export interface TortureStore {
  /** Lines of [spool]. */
  readonly settings: string;
  /** What it says where a relay that is started is not let in, for a moment. */
  readonly refusals: RegExp;
  /** Times in which nothing could be recorded, of which the log need not tell by message. */
  readonly outages: readonly Outage[];
  /** Makes it refuse the process `pid` in one of its ways, and names it. */
  refuse(chance: Chance, pid: number): Promise<string>;
  /** Milliseconds after which that is to end, at most. */
  readonly patience: number;
  /** Ends it. */
  heal(): Promise<void>;
  /** Queue IDs. */
  queued(): Promise<readonly string[]>;
  /** A line for each fault in it, once nothing happens any more. */
  damage(): Promise<readonly string[]>;
  remove(): Promise<void>;
}

/** The stores by their names, each where it can be had. */
export const stores: Readonly<Record<string, (now: () => number) => Promise<TortureStore>>> = {
  files: inFiles,
  ...(real("postgresql") && { PostgreSQL: inPostgres }),
};

const strace = real("strace");

async function inFiles(now: () => number): Promise<TortureStore> {
  const disk = await prepareDisk(strace);
  const { spool } = disk;
  const outages: Outage[] = [];
  let slowSince: number | undefined;
  return {
    settings: `directory = "${spool}"`,
    refusals: /is in use by|E(?:IO|ROFS|NOSPC|ACCES|XDEV)/,
    outages,
    async refuse(chance, pid) {
      try {
        const way = await disk.refuse(chance, pid);
        if (way.endsWith(" slow")) slowSince = now(); // records wait for each other's syncs
        return way;
      } catch (error) {
        // A process that dies meanwhile cannot be refused anything by strace.
        if (!/strace .*(?:No such process|Operation not permitted)/s.test(String(error))) throw error;
        return "strace came too late, or may not";
      }
    },
    patience: 1_800,
    async heal() {
      await disk.heal();
      if (slowSince !== undefined) outages.push({ from: slowSince, to: now() });
      slowSince = undefined;
    },
    queued: async () => (await viewSpool(spool)).ids(),
    async damage() {
      const faults: string[] = [];
      for await (const { fault } of (await fsckBeside(spool)).damage([])) faults.push(fault);
      return faults.filter((fault) => !/^(?:usage|passwords-used): /.test(fault));
    },
    remove: () => disk.remove(),
  };
}

/** What must never be, when nothing is being received: a line for each. */
const faults = `SELECT 'message ' || id || ' has not its ' || size || ' octets' FROM messages m
  WHERE size <> (SELECT coalesce(sum(length(octets)), 0) FROM bodies b WHERE b.id = m.id)
  UNION ALL SELECT DISTINCT 'body ' || id || ' of no message' FROM bodies b
  WHERE NOT EXISTS (SELECT FROM messages m WHERE m.id = b.id) AND NOT EXISTS (SELECT FROM drafts d WHERE d.id = b.id)
  UNION ALL SELECT DISTINCT 'history ' || id || ' of no message' FROM history h
  WHERE NOT EXISTS (SELECT FROM messages m WHERE m.id = h.id)`;

/** How its server comes to its end. What the machine has written survives each of them. */
const ends = ["fast", "immediate", "kill"] as const;

/** Crashes; the relay's own folder has a disk on which nothing happens. */
async function inPostgres(now: () => number): Promise<TortureStore> {
  const cluster: Cluster = await startCluster();
  const url = await cluster.database();
  const name = /\/(\w+)\?/.exec(url)?.[1];
  const outages: Outage[] = [];
  /** Its end and its start, one after the other. */
  let last: Promise<unknown> = Promise.resolve();
  let downSince: number | undefined;

  function inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const mine = last.then(work);
    last = mine.catch(() => undefined); // the caller gets the error
    return mine;
  }

  const heal = (): Promise<void> =>
    inTurn(async () => {
      if (downSince === undefined) return;
      await cluster.start();
      outages.push({ from: downSince, to: now() });
      downSince = undefined;
    });

  /** What its administrator says; while it is away he waits. */
  async function sql(text: string): Promise<readonly string[]> {
    for (;;) {
      await last;
      if (downSince === undefined) {
        try {
          const lines = await cluster.sql(text, name);
          return lines.split("\n").filter((line) => line !== "");
        } catch (error) {
          if (!/connection|is (?:starting up|shutting down)/.test(String(error))) throw error;
        }
      }
      await pause(50);
    }
  }

  return {
    settings: `directory = "FOLDER/spool"\nstore = "${url}"`,
    refusals: /is in use by|the database is away|is starting up|is shutting down|another relay is at work as/,
    outages,
    refuse: (chance) =>
      inTurn(async () => {
        if (downSince !== undefined) return "nothing";
        const how = chance.one([...ends]);
        downSince = now();
        await cluster.stop(how);
        return `ends (${how})`;
      }),
    patience: 600, // its start takes its time, too
    heal,
    queued: () => sql("SELECT id FROM messages ORDER BY id"),
    damage: () => sql(faults),
    remove: () => cluster.close(),
  };
}
