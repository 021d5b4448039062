/** One round of all routes, side by side within limits, and what is kept of it. */
import { randomBytes } from "node:crypto";
import { performance } from "node:perf_hooks";
import type { Probes } from "../../../config/probes.ts";
import { replaceFile } from "../../../durable.ts";
import { errorCode, errorText, exitStatus, Failure } from "../../../failure.ts";
import { append, read, trim } from "../../../probe/history/record.ts";
import { type Route, runRound } from "../../../probe/monitor/round.ts";
import type { Result } from "../../../probe/result.ts";
import type { World } from "../../../probe/session.ts";
import { inLanes } from "../../../server/delivery/schedule/lanes.ts";
import { systemCa } from "../system-ca.ts";
import type { Figures } from "./metrics.ts";
import { routesOf, stationOf } from "./routes.ts";

export interface Wishes {
  readonly route: readonly string[];
  /** Milliseconds; undefined for each route's own. */
  readonly wait: number | undefined;
  /** File for metrics. */
  readonly prometheus: string | undefined;
  readonly figures: Figures;
}

export interface Monitor {
  readonly routes: readonly Route[];
  /** How each route stands, in the order of the file; `told` hears of each as soon as it is known. */
  round(signal: AbortSignal, told: (result: Result) => void): Promise<readonly Result[]>;
}

const day = 86_400_000;

/** Everything read and ready. Throws a Failure where a file, a folder or a name is wrong. */
export async function openMonitor(
  probes: Probes,
  { route, wait, prometheus, figures }: Wishes,
): Promise<Monitor> {
  const routes = await routesOf(probes, route, world());
  const station = await stationOf(probes);
  const history = `${probes.directory}/history`;
  figures.remember(await read(history, Date.now() - 30 * day));
  let trimmed = 0;

  return {
    routes,
    async round(signal, told) {
      const standings = new Map<string, Result>();
      const ended: Result[] = [];
      await inLanes(routes, probes.concurrency, async (one) => {
        const round = await runRound(one, station, wait ?? one.warn, signal);
        standings.set(one.route, round.standing);
        ended.push(...round.ended);
        figures.note(round.standing, round.ended, Date.now());
        told(round.standing);
      });
      await append(history, ended);
      if (Date.now() - trimmed > day) {
        await trim(history, Date.now() - probes.remember);
        trimmed = Date.now();
      }
      if (prometheus !== undefined) await writeFigures(prometheus, figures);
      return routes.flatMap(({ route: name }) => standings.get(name) ?? []);
    },
  };
}

async function writeFigures(file: string, figures: Figures): Promise<void> {
  try {
    await replaceFile(file, figures.file(), { mode: 0o644 });
  } catch (error) {
    if (errorCode(error) === "") throw error;
    throw new Failure(exitStatus.cannotCreate, `--prometheus: cannot write ${file}: ${errorText(error)}`);
  }
}

/** What a conversation takes from this host. Servers of routes are named, so nothing is looked up for them. */
const world = (): World => ({
  clock: () => performance.now(),
  now: Date.now,
  random: randomBytes,
  systemCa,
  route: async (domain) => [domain],
  save: () => undefined,
});
