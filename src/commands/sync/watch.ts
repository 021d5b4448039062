/**
 * `--watch`: asks every few seconds whether the directory changed, searches when it did, and waits longer while it does
 * not answer. The loop is pure but for the functions it is given; the rest hands it a clock, signals, metrics and a
 * directory.
 */
import { hostname as systemName } from "node:os";
import { setTimeout as pauseFor } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { readConfig } from "../../config/config-file.ts";
import type { Config } from "../../config/settings.ts";
import { errorText, exitStatus, Failure } from "../../failure.ts";
import { withDirectory } from "../../ldap/connection.ts";
import type { LdapDirectory } from "../../ldap/directory.ts";
import { contextCsnOf, isOutdated, namingContextOf } from "../../ldap/search.ts";
import { filesOf, type SyncReport, synchronise } from "../../ldap/sync.ts";
import { type HttpListener, startHttp } from "../../server/log/http.ts";
import { namesOfHost } from "../../server/log/http-host.ts";
import { openMetrics, type RunMetrics, type SyncMetrics } from "./metrics.ts";
import type { SyncOptions } from "./options.ts";
import { exclusionsText, readTask, refuseAlarms, summary } from "./run.ts";
import { syncedSites } from "./sites.ts";

/** Goes on until SIGTERM or SIGINT; SIGHUP reads the configuration anew and asks for a whole search now. Returns 0. */
export async function watchDirectory(config: Config, options: SyncOptions): Promise<number> {
  const sites = syncedSites(config);
  for (const site of sites) await readTask(site, options); // a mistake in the settings ends it at once
  const stop = new AbortController();
  const end = (): void => stop.abort(new Failure(exitStatus.ok, "told to stop"));
  const hangUp = newWaker(stop.signal);
  process.on("SIGTERM", end).on("SIGINT", end).on("SIGHUP", hangUp.wake);
  const metrics = await openMetrics(config.sync["metrics-file"], sites.map(nameOf));
  const http = await openMetricsPages(config, metrics);
  const watched = new Map<string, WatchedSite>();
  try {
    for (const site of sites) watched.set(site.domain, watchSite(site, options, metrics));
    while (!stop.signal.aborted) {
      const all = Promise.race([...watched.values()].map(({ ended }) => ended)); // a bug in one ends it
      if (await Promise.race([hangUp.wait(day), all.then(() => false)])) await readAnew();
    }
  } finally {
    end();
    await Promise.all([...watched.values()].map((one) => one.stop()));
    await http?.close();
    process.off("SIGTERM", end).off("SIGINT", end).off("SIGHUP", hangUp.wake);
  }
  return exitStatus.ok;

  /** Domains come and go, and are asked as their settings now say. Of a configuration with a mistake nothing is taken over. */
  async function readAnew(): Promise<void> {
    let next: readonly Config[];
    try {
      next = syncedSites(await readConfig(options.config));
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      say(`${error.message}; the settings of before stay in use`);
      next = [...watched.values()].map(({ site }) => site);
    }
    metrics.setDomains(next.map(nameOf));
    for (const [name, one] of watched) {
      if (next.some(({ domain }) => domain === name)) continue;
      await one.stop();
      watched.delete(name);
      say(`${name}: its accounts come from the directory no more`);
    }
    for (const site of next) {
      const known = watched.get(site.domain);
      if (known !== undefined && isDeepStrictEqual(known.site, site)) known.wake();
      else {
        await known?.stop(); // two must not write one file
        watched.set(site.domain, watchSite(site, options, metrics));
        if (known === undefined) say(`${site.domain}: its accounts come from the directory from now on`);
      }
    }
  }
}

const nameOf = ({ domain }: Config): string => domain;

const day = 86_400_000;

/** A domain that is asked for by itself: where one fails, it is asked less often, and the others as ever. */
interface WatchedSite {
  readonly site: Config;
  readonly wake: () => void;
  /** Resolves when nothing of it is under way any more. */
  readonly stop: () => Promise<void>;
  readonly ended: Promise<void>;
}

function watchSite(site: Config, options: SyncOptions, metrics: SyncMetrics): WatchedSite {
  const own = metrics.of(site.domain);
  const stop = new AbortController();
  const waker = newWaker(stop.signal);
  const timing = {
    interval: site.sync.interval,
    fullInterval: site.sync["full-interval"],
    retryLongest: site.sync["retry-longest"],
    now: Date.now,
    random: Math.random,
    pause: (milliseconds: number) => waker.wait(milliseconds),
  };
  const poll = pollWith(site, options, own, stop.signal);
  const ended = watch(poll, timing, (error) => reportFailure(error, own), stop.signal);
  return {
    site,
    wake: waker.wake,
    async stop() {
      stop.abort(new Failure(exitStatus.ok, "told to stop"));
      await ended;
    },
    ended,
  };
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
function pollWith(config: Config, options: SyncOptions, metrics: RunMetrics, signal: AbortSignal) {
  let top: string | undefined;
  let first = true;
  let warned = false;
  /** The newest entryCSN of the last search, where contextCSN did not know of it yet; "" where it did. */
  let ahead = "";
  return async (known: string | undefined): Promise<string> => {
    const began = Date.now();
    const { access, task } = await readTask(config, options);
    return withDirectory(access, signal, async (directory) => {
      top ??= await namingContextOf(directory, config.ldap.base);
      const state = top === undefined ? "" : await contextCsnOf(directory, top);
      const wasAhead = isOutdated(state, ahead);
      if (state !== "" && state === known && !wasAhead) {
        await metrics.unchanged(Date.now());
        return state;
      }
      const { latest } = await bring(directory);
      const isAhead =
        top !== undefined &&
        isOutdated(state, latest) &&
        isOutdated(await contextCsnOf(directory, top), latest);
      ahead = isAhead ? latest : "";
      // OpenLDAP shows an entry a moment before contextCSN has moved: only what a whole pause did not mend stands still.
      const still = wasAhead && isAhead;
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
async function reportFailure(error: unknown, metrics: RunMetrics): Promise<void> {
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
