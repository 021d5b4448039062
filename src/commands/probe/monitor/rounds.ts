/**
 * Rounds of all routes: one round, side by side within limits; what is kept of it; and one after the other for
 * --listen.
 */

import { hostname } from "node:os";
import { setTimeout as wait } from "node:timers/promises";
import type { Probes } from "../../../config/probes-file.ts";
import { type HostAndPort, writeAddress } from "../../../config/setting-types.ts";
import { exitStatus, Failure } from "../../../failure.ts";
import { append, eachSince, trim } from "../../../probe/history/file.ts";
import { type MonitoredRoute, type RoundResult, runRound } from "../../../probe/monitor/round.ts";
import { type ProbeResult, resultOf } from "../../../probe/result.ts";
import { startHttp } from "../../../server/log/http.ts";
import { namesOfHost } from "../../../server/log/http-host.ts";
import { probeDependencies, publish } from "../host.ts";
import { fullName, readIfThere } from "../option-host.ts";
import type { MonitorMetrics } from "./metrics.ts";
import { openRoundDependencies, routesOf } from "./routes.ts";

export interface MonitorOptions {
  readonly route: readonly string[];
  /** Milliseconds; undefined for each route's own. */
  readonly wait: number | undefined;
  /** File for metrics. */
  readonly prometheus: string | undefined;
  /** Absent where no metrics are wanted. */
  readonly figures: MonitorMetrics | undefined;
}

export interface MonitorReport {
  /** Each route's state, in the order of the file, without those that a signal kept from being probed. */
  readonly results: readonly ProbeResult[];
  /** What this host could not do, such as writing a file. */
  readonly trouble?: string;
}

export interface Monitor {
  readonly routes: readonly MonitoredRoute[];
  /** Probes all routes at the same time; `progress` is called with each as soon as its state is known. */
  round(signal: AbortSignal, progress: (result: ProbeResult) => void): Promise<MonitorReport>;
}

const day = 86_400_000;

/** Reads everything, ready for a round. Throws a Failure where a file, a folder or a name is wrong. */
export async function openMonitor(
  probes: Probes,
  { route, wait, prometheus, figures }: MonitorOptions,
): Promise<Monitor> {
  const routes = await routesOf(probes, route, probeDependencies);
  const dependencies = await openRoundDependencies(probes);
  const history = `${probes.directory}/history`;
  if (figures) await eachSince(history, Date.now() - 30 * day, figures.remember);
  let trimmed = 0;

  /** A file that cannot be used stops one route only. */
  async function roundOf(one: MonitoredRoute, signal: AbortSignal): Promise<RoundResult> {
    try {
      return await runRound(one, dependencies, wait ?? one.warn, signal);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      return { ended: [], state: resultOf(one, { kind: "unseen", reason: error.message }, Date.now()) };
    }
  }

  async function keep(ended: readonly ProbeResult[]): Promise<void> {
    await append(history, ended);
    if (Date.now() - trimmed <= day) return;
    await trim(history, Date.now() - probes.remember);
    trimmed = Date.now();
  }

  return {
    routes,
    async round(signal, progress) {
      const standings = new Map<string, ProbeResult>();
      const ended: ProbeResult[] = [];
      await Promise.all(
        routes.map(async (one) => {
          const round = await roundOf(one, signal);
          standings.set(one.route, round.state);
          ended.push(...round.ended);
          figures?.note(round.state, round.ended, Date.now());
          progress(round.state);
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

/** `--listen`: probes every interval and offers metrics. Returns 0 after `signal`, when the current round is over. */
export async function keepProbing(
  monitor: Monitor,
  { interval, "http-names": further }: Probes,
  { address, figures }: { readonly address: HostAndPort; readonly figures: MonitorMetrics },
  signal: AbortSignal,
): Promise<number> {
  let trouble: string | undefined;
  const pages = {
    metrics: () => figures.page(),
    health: () =>
      trouble === undefined ? ({ ok: true } as const) : ({ ok: false, reason: trouble } as const),
  };
  const http = await startHttp(address, pages, {
    setting: "--listen",
    names: [...namesOfHost(fullName(hostname(), readIfThere("/etc/hosts") ?? ""), hostname()), ...further],
    namesSetting: "http-names of the file of probes",
  });
  say(`metrics on http://${writeAddress({ ...address, port: http.address.port })}/metrics`);
  try {
    while (!signal.aborted) {
      const next = Date.now() + interval;
      const report = await monitor.round(signal, ({ route, outcome, words, grade }) => {
        if (grade !== 0) say(`${route}: ${outcome}: ${words}`);
      });
      trouble = report.trouble; // a full disk may pass; /health tells it meanwhile
      if (trouble !== undefined) say(trouble);
      await wait(Math.max(0, next - Date.now()), undefined, { signal }).catch(() => undefined); // told to stop
    }
  } finally {
    await http.close();
  }
  return exitStatus.ok;
}

const say = (text: string): void => void process.stderr.write(`tpa-submit probe monitor: ${text}\n`);
