/** Shows the status once or again and again, for people, as JSON or for Nagios. */
import { setTimeout as pause } from "node:timers/promises";
import { print } from "../../cli/output.ts";
import { widthOf } from "../../cli/table.ts";
import { colourFor } from "../../cli/terminal.ts";
import { readConfig } from "../../config/config-file.ts";
import type { Config } from "../../config/settings.ts";
import { exitStatus } from "../../failure.ts";
import { cachedBriefly } from "../../server/spool/cached.ts";
import { lookForStatus, type StatusChecks } from "./checks.ts";
import { gatherStatus, type StatusFacts } from "./facts.ts";
import { findings, type StatusFinding } from "./judge.ts";
import { nagiosStatus, screen } from "./text.ts";

/** Milliseconds between two screens. Our choice. */
const refreshEvery = 5_000;

/** Milliseconds between two looks at what `check` looks at, which takes a process or two. Our choice. */
const lookEvery = 60_000;

/** What was asked for; at most one of the last three. */
interface StatusOptions {
  readonly config: string;
  readonly watch: boolean;
  readonly json: boolean;
  readonly nagios: boolean;
}

/** Returns the exit status. */
export async function showStatus(options: StatusOptions): Promise<number> {
  const { watch, json, nagios } = options;
  const configuration = await readConfig(options.config);
  const look = () => lookForStatus(options.config);
  if (watch) return showForever(configuration, look);
  const facts = await gatherStatus(configuration, Date.now(), look);
  const found = findings(facts);
  if (nagios) {
    const { text, status } = nagiosStatus(facts, found);
    print(text);
    return status;
  }
  if (json) print(`${JSON.stringify({ ...facts, findings: found })}\n`);
  else print(`${(await linesOf(facts, found)).join("\n")}\n`);
  return found.some(({ grade }) => grade === "critical") ? exitStatus.unavailable : exitStatus.ok;
}

/** Characters of a line that goes nowhere with a width. */
const widest = 120;

async function linesOf(facts: StatusFacts, found: readonly StatusFinding[]): Promise<readonly string[]> {
  const paint = await colourFor(process.stdout);
  return [...screen(facts, found, paint, widthOf(process.stdout) ?? widest)];
}

// ECMA-48: cursor to the top, erase to the end of the line or of the screen; the alternate screen is xterm's.
const home = "\u001b[H";
const restOfLine = "\u001b[K";
const restOfScreen = "\u001b[J";
const alternate = { on: "\u001b[?1049h", off: "\u001b[?1049l" } as const;

/** Each screen is written over the one before, in one write: nothing flickers. */
async function showForever(configuration: Config, look: () => Promise<StatusChecks>): Promise<number> {
  const lookNowAndThen = cachedBriefly(look, Date.now, lookEvery);
  const isTerminal = process.stdout.isTTY === true;
  const ended = new AbortController();
  process.once("SIGINT", () => ended.abort());
  process.once("SIGTERM", () => ended.abort());
  if (isTerminal) process.stdout.write(alternate.on);
  try {
    while (!ended.signal.aborted) {
      const facts = await gatherStatus(configuration, Date.now(), lookNowAndThen);
      const all = await linesOf(facts, findings(facts));
      const lines = all.slice(0, isTerminal ? process.stdout.rows - 1 : undefined);
      const text = lines.map((line) => `${line}${isTerminal ? restOfLine : ""}\n`).join("");
      print(isTerminal ? `${home}${text}${restOfScreen}` : `${text}\n`);
      await pause(refreshEvery, undefined, { signal: ended.signal }).catch(() => undefined);
    }
  } finally {
    if (isTerminal) process.stdout.write(alternate.off);
  }
  return exitStatus.ok;
}
