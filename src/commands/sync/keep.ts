/** `--watch`: the loop of src/ldap/watch.ts with a clock, signals, metrics and a directory. */
import { setTimeout as pauseFor } from "node:timers/promises";
import type { Config } from "../../config/settings.ts";
import { errorText, exitStatus, Failure } from "../../failure.ts";
import { withDirectory } from "../../ldap/connection.ts";
import type { Directory } from "../../ldap/directory.ts";
import { isStill, stateOf, topOf } from "../../ldap/search.ts";
import { type Report, synchronise } from "../../ldap/sync.ts";
import { watch } from "../../ldap/watch.ts";
import { type HttpListener, startHttp } from "../../server/log/http.ts";
import { type Keeper, openFigures } from "./metrics.ts";
import type { Options } from "./options.ts";
import { exclusionsText, summary } from "./output.ts";
import { filesOf, readTask, refuseAlarms } from "./task.ts";

/** Goes on until SIGTERM or SIGINT; SIGHUP asks for a whole search now. Returns 0. */
export async function keepWatching(config: Config, options: Options): Promise<number> {
  await readTask(config, options); // what is wrong with the settings shall be told at once, and end it
  const stop = new AbortController();
  const end = (): void => stop.abort(new Failure(exitStatus.ok, "told to stop"));
  const bell = hangBell(stop.signal);
  process.on("SIGTERM", end).on("SIGINT", end).on("SIGHUP", bell.ring);
  const figures = await openFigures(config.sync["metrics-file"]);
  const http = await openPages(config, figures);
  try {
    const look = lookWith(config, options, figures, stop.signal);
    const pace = {
      interval: config.sync.interval,
      fullInterval: config.sync["full-interval"],
      retryLongest: config.sync["retry-longest"],
      now: Date.now,
      random: Math.random,
      pause: (milliseconds: number) => bell.wait(milliseconds),
    };
    await watch(look, pace, (error) => complain(error, figures), stop.signal);
  } finally {
    await http?.close();
    process.off("SIGTERM", end).off("SIGINT", end).off("SIGHUP", bell.ring);
  }
  return exitStatus.ok;
}

async function openPages({ sync: { http } }: Config, figures: Keeper): Promise<HttpListener | undefined> {
  if (http === null) return undefined;
  const trouble = { ok: false, reason: "the directory could not be asked, or was not believed" } as const;
  const pages = {
    metrics: () => figures.text(),
    health: () => (figures.well() ? ({ ok: true } as const) : trouble),
  };
  const opened = await startHttp(http, pages, "sync.http");
  say(`metrics on http://${http.host}:${opened.address.port}/metrics`);
  return opened;
}

/** One look: a base search, and everything else where that says so. */
function lookWith(config: Config, options: Options, figures: Keeper, signal: AbortSignal) {
  let top: string | undefined;
  let first = true;
  let warned = false;
  return async (known: string | undefined): Promise<string> => {
    const began = Date.now();
    const { access, task } = await readTask(config, options);
    return withDirectory(access, signal, async (directory) => {
      top ??= await topOf(directory, config.ldap.base);
      const state = top === undefined ? "" : await stateOf(directory, top);
      if (state !== "" && state === known) {
        await figures.still(Date.now());
        return state;
      }
      const { latest } = await bring(directory);
      const still =
        top !== undefined && isStill(state, latest) && isStill(await stateOf(directory, top), latest);
      if (still && !warned)
        say(`${directory.url}: contextCSN stands still (syncprov?): asking in full every minute`);
      warned ||= still;
      return still ? "" : state;
    });

    async function bring(directory: Directory): Promise<Report> {
      const report = await synchronise(directory, task, began);
      refuseAlarms(report);
      const news = first || filesOf(report).some(({ result }) => result !== "unchanged");
      if (news && options.verbose) process.stderr.write(exclusionsText(report));
      if (news && !options.quiet) process.stderr.write(summary(report));
      first = false;
      await figures.succeeded(report, began, Date.now());
      return report;
    }
  };
}

/** A failed run is told and never fatal; a bug is told with its stack. */
async function complain(error: unknown, figures: Keeper): Promise<void> {
  say(
    error instanceof Failure || !(error instanceof Error) ? errorText(error) : (error.stack ?? error.message),
  );
  try {
    await figures.failed(Date.now());
  } catch (second) {
    say(errorText(second));
  }
}

function say(text: string): void {
  for (const line of text.split("\n")) process.stderr.write(`tpa-submit sync: ${line}\n`);
}

/** A pause that SIGHUP cuts short, also when it came while nobody was waiting, and so does the end. */
function hangBell(stopped: AbortSignal) {
  let rung = false;
  let waiting = new AbortController();
  stopped.addEventListener("abort", () => waiting.abort());
  return {
    ring: (): void => {
      rung = true;
      waiting.abort();
    },
    async wait(milliseconds: number): Promise<boolean> {
      waiting = new AbortController();
      if (rung || stopped.aborted) waiting.abort();
      await pauseFor(milliseconds, undefined, waiting).catch((error: unknown) => {
        if (!waiting.signal.aborted) throw error;
      });
      const was = rung;
      rung = false;
      return was;
    },
  };
}
