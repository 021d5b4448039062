/**
 * `--watch`: asks every few seconds whether the directory changed, searches when it did, and waits longer while it does
 * not answer. The loop is pure but for the functions it is given; the rest hands it a clock, signals, metrics and a
 * directory.
 */
import { hostname as systemName } from "node:os";
import { setTimeout as pauseFor } from "node:timers/promises";
import type { Config } from "../../config/settings.ts";
import { errorText, exitStatus, Failure } from "../../failure.ts";
import { withDirectory } from "../../ldap/connection.ts";
import type { LdapDirectory } from "../../ldap/directory.ts";
import { contextCsnOf, isOutdated, namingContextOf } from "../../ldap/search.ts";
import { filesOf, type SyncReport, synchronise } from "../../ldap/sync.ts";
import { type HttpListener, startHttp } from "../../server/log/http.ts";
import { namesOfHost } from "../../server/log/http-host.ts";
import { openMetrics, type SyncMetrics } from "./metrics.ts";
import type { SyncOptions } from "./options.ts";
import { exclusionsText, readTask, refuseAlarms, summary } from "./run.ts";
import { sharedMetrics, syncedSites } from "./sites.ts";

/** Goes on until SIGTERM or SIGINT; SIGHUP asks for a whole search now. Returns 0. */
export async function watchDirectory(config: Config, options: SyncOptions): Promise<number> {
  const sites = syncedSites(config);
  for (const site of sites) await readTask(site, options); // a mistake in the settings ends it at once
  const stop = new AbortController();
  const end = (): void => stop.abort(new Failure(exitStatus.ok, "told to stop"));
  const wakers = sites.map(() => newWaker(stop.signal));
  const wake = (): void => {
    for (const waker of wakers) waker.wake();
  };
  process.on("SIGTERM", end).on("SIGINT", end).on("SIGHUP", wake);
  const metrics = await openMetrics(config.sync["metrics-file"]);
  const http = await openMetricsPages(config, metrics);
  try {
    const timing = {
      interval: config.sync.interval,
      fullInterval: config.sync["full-interval"],
      retryLongest: config.sync["retry-longest"],
      now: Date.now,
      random: Math.random,
    };
    const shared = sharedMetrics(metrics, sites.length);
    // Each domain by itself: one that fails is asked less often, and the others as ever.
    await Promise.all(
      sites.map((site, index) => {
        const [own, waker] = [shared[index] ?? metrics, wakers[index]];
        const pause = async (milliseconds: number) => (await waker?.wait(milliseconds)) ?? false;
        const poll = pollWith(site, options, own, stop.signal);
        return watch(poll, { ...timing, pause }, (error) => reportFailure(error, own), stop.signal);
      }),
    );
  } finally {
    await http?.close();
    process.off("SIGTERM", end).off("SIGINT", end).off("SIGHUP", wake);
  }
  return exitStatus.ok;
}

async function openMetricsPages(
  { hostname, listen, sync: { http } }: Config,
  metrics: SyncMetrics,
): Promise<HttpListener | undefined> {
  if (http === null) return undefined;
  const unhealthy = { ok: false, reason: "the directory could not be asked, or was not believed" } as const;
  const pages = {
    metrics: () => metrics.text(),
    health: () => (metrics.healthy() ? ({ ok: true } as const) : unhealthy),
  };
  const names = [...namesOfHost(hostname, systemName()), ...listen["http-names"]];
  const opened = await startHttp(http, pages, { setting: "sync.http", names });
  say(`metrics on http://${http.host}:${opened.address.port}/metrics`);
  return opened;
}

/** One poll: a base search for the state, and a whole search where it changed. */
function pollWith(
  config: Config,
  options: SyncOptions,
  metrics: Pick<SyncMetrics, "succeeded" | "unchanged">,
  signal: AbortSignal,
) {
  let top: string | undefined;
  let first = true;
  let warned = false;
  return async (known: string | undefined): Promise<string> => {
    const began = Date.now();
    const { access, task } = await readTask(config, options);
    return withDirectory(access, signal, async (directory) => {
      top ??= await namingContextOf(directory, config.ldap.base);
      const state = top === undefined ? "" : await contextCsnOf(directory, top);
      if (state !== "" && state === known) {
        await metrics.unchanged(Date.now());
        return state;
      }
      const { latest } = await bring(directory);
      const still =
        top !== undefined &&
        isOutdated(state, latest) &&
        isOutdated(await contextCsnOf(directory, top), latest);
      if (still && !warned)
        say(`${directory.url}: contextCSN stands still (syncprov?): asking in full every minute`);
      warned ||= still;
      return still ? "" : state;
    });

    async function bring(directory: LdapDirectory): Promise<SyncReport> {
      const report = await synchronise(directory, task, began);
      refuseAlarms(report);
      const news = first || filesOf(report).some(({ result }) => result !== "unchanged");
      if (news && options.verbose) process.stderr.write(exclusionsText(report));
      if (news && !options.quiet) process.stderr.write(summary(report));
      first = false;
      await metrics.succeeded(report, began, Date.now());
      return report;
    }
  };
}

/** Prints a failed run, which is never fatal; a bug with its stack. */
async function reportFailure(error: unknown, metrics: Pick<SyncMetrics, "failed">): Promise<void> {
  say(
    error instanceof Failure || !(error instanceof Error) ? errorText(error) : (error.stack ?? error.message),
  );
  try {
    await metrics.failed(Date.now());
  } catch (second) {
    say(errorText(second));
  }
}

function say(text: string): void {
  for (const line of text.split("\n")) process.stderr.write(`tpa-submit sync: ${line}\n`);
}

/** A pause that SIGHUP and the end cut short, also a SIGHUP that came before it. */
function newWaker(stopped: AbortSignal) {
  let woken = false;
  let waiting = new AbortController();
  stopped.addEventListener("abort", () => waiting.abort());
  return {
    wake: (): void => {
      woken = true;
      waiting.abort();
    },
    async wait(milliseconds: number): Promise<boolean> {
      waiting = new AbortController();
      if (woken || stopped.aborted) waiting.abort();
      await pauseFor(milliseconds, undefined, waiting).catch((error: unknown) => {
        if (!waiting.signal.aborted) throw error;
      });
      const was = woken;
      woken = false;
      return was;
    },
  };
}

/** Milliseconds; `random` gives numbers from 0 to 1. */
export interface WatchTiming {
  readonly interval: number;
  readonly fullInterval: number;
  readonly retryLongest: number;
  readonly now: () => number;
  readonly random: () => number;
  /** Resolves when so much time has passed; true when it was cut short because a whole search is wanted now. */
  readonly pause: (milliseconds: number) => Promise<boolean>;
}

/**
 * One poll of the directory. `known` is the state it was in at the last search that counted, or undefined where a
 * whole search is due whatever the state. Gives the state before the search, "" where the directory has none.
 */
export type Poll = (known: string | undefined) => Promise<string>;

/** Without a state each poll is a whole search, so polls are rarer. Our choice. */
const blindInterval = 60_000;

/**
 * Polls until `signal` aborts. The error of a poll goes to `failed`, and the next poll comes later: after twice the
 * pause each time, up to `retryLongest`, with jitter.
 */
export async function watch(
  poll: Poll,
  timing: WatchTiming,
  failed: (error: unknown) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  let state = "";
  let searched = Number.NEGATIVE_INFINITY;
  let failures = 0;
  let asked = true;
  while (!signal.aborted) {
    try {
      const due = asked || state === "" || timing.now() - searched >= timing.fullInterval;
      const began = timing.now();
      const next = await poll(due ? undefined : state);
      if (due || next !== state) searched = began;
      state = next;
      failures = 0;
    } catch (error) {
      if (signal.aborted) return;
      failures += 1;
      state = "";
      await failed(error);
    }
    asked = await timing.pause(delayAfter(failures, state, timing));
  }
}

/** Milliseconds to wait after so many failures in a row. */
export function delayAfter(
  failures: number,
  state: string,
  timing: Omit<WatchTiming, "pause" | "now">,
): number {
  const { interval, fullInterval, retryLongest, random } = timing;
  if (failures > 0) {
    const longest = Math.min(retryLongest, interval * 2 ** Math.min(failures, 20));
    return longest * (0.5 + random() / 2);
  }
  return state === "" ? Math.min(fullInterval, Math.max(interval, blindInterval)) : interval;
}
