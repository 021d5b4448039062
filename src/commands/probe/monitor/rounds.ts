/** One round of all routes, side by side within limits, and what is kept of it. */

import { setTimeout as wait } from "node:timers/promises";
import { type Address, writeAddress } from "../../../config/kinds.ts";
import type { Probes } from "../../../config/probes.ts";
import { exitStatus, Failure } from "../../../failure.ts";
import { append, eachSince, trim } from "../../../probe/history/file.ts";
import { type Round, type Route, runRound } from "../../../probe/monitor/round.ts";
import { judge, type Result } from "../../../probe/result.ts";
import { startHttp } from "../../../server/log/http.ts";
import { publish, surroundings } from "../host.ts";
import type { Figures } from "./metrics.ts";
import { routesOf, stationOf } from "./routes.ts";

export interface Wishes {
  readonly route: readonly string[];
  /** Milliseconds; undefined for each route's own. */
  readonly wait: number | undefined;
  /** File for metrics. */
  readonly prometheus: string | undefined;
  /** Absent where nobody looks at them. */
  readonly figures: Figures | undefined;
}

export interface Told {
  /** How each route stands, in the order of the file; those that a signal kept from being probed are not there. */
  readonly results: readonly Result[];
  /** What this host could not do, such as writing a file. */
  readonly trouble?: string;
}

export interface Monitor {
  readonly routes: readonly Route[];
  /** Probes all routes at the same time; `told` hears of each as soon as it is known. */
  round(signal: AbortSignal, told: (result: Result) => void): Promise<Told>;
}

const day = 86_400_000;

/** Everything read and ready. Throws a Failure where a file, a folder or a name is wrong. */
export async function openMonitor(
  probes: Probes,
  { route, wait, prometheus, figures }: Wishes,
): Promise<Monitor> {
  const routes = await routesOf(probes, route, surroundings);
  const station = await stationOf(probes);
  const history = `${probes.directory}/history`;
  if (figures) await eachSince(history, Date.now() - 30 * day, figures.remember);
  let trimmed = 0;

  /** What goes wrong with a file is one route's trouble, and no other's. */
  async function roundOf(one: Route, signal: AbortSignal): Promise<Round> {
    try {
      return await runRound(one, station, wait ?? one.warn, signal);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      return { ended: [], standing: judge(one, { kind: "unseen", reason: error.message }, Date.now()) };
    }
  }

  async function keep(ended: readonly Result[]): Promise<void> {
    await append(history, ended);
    if (Date.now() - trimmed <= day) return;
    await trim(history, Date.now() - probes.remember);
    trimmed = Date.now();
  }

  return {
    routes,
    async round(signal, told) {
      const standings = new Map<string, Result>();
      const ended: Result[] = [];
      await Promise.all(
        routes.map(async (one) => {
          const round = await roundOf(one, signal);
          standings.set(one.route, round.standing);
          ended.push(...round.ended);
          figures?.note(round.standing, round.ended, Date.now());
          told(round.standing);
        }),
      );
      const results = routes.flatMap(({ route: name }) => standings.get(name) ?? []);
      try {
        await keep(ended);
        if (prometheus !== undefined && figures) await publish(prometheus, figures.file(), "--prometheus");
        return { results };
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        return { results, trouble: error.message };
      }
    },
  };
}

// `--listen`: probes every interval until it is told to stop, and offers its figures.

/** Returns 0 when `signal` has come and the round under way is over. */
export async function keepProbing(
  monitor: Monitor,
  { interval }: Probes,
  { address, figures }: { readonly address: Address; readonly figures: Figures },
  signal: AbortSignal,
): Promise<number> {
  let trouble: string | undefined;
  const pages = {
    metrics: () => figures.page(),
    health: () =>
      trouble === undefined ? ({ ok: true } as const) : ({ ok: false, reason: trouble } as const),
  };
  const http = await startHttp(address, pages, "--listen");
  say(`metrics on http://${writeAddress({ ...address, port: http.address.port })}/metrics`);
  try {
    while (!signal.aborted) {
      const next = Date.now() + interval;
      const told = await monitor.round(signal, ({ route, outcome, words, grade }) => {
        if (grade !== 0) say(`${route}: ${outcome}: ${words}`);
      });
      trouble = told.trouble; // a full disk passes, and monitoring hears of it
      if (trouble !== undefined) say(trouble);
      await wait(Math.max(0, next - Date.now()), undefined, { signal }).catch(() => undefined); // told to stop
    }
  } finally {
    await http.close();
  }
  return exitStatus.ok;
}

const say = (text: string): void => void process.stderr.write(`tpa-submit probe monitor: ${text}\n`);
