/** `tpa-submit check`, run on a relay of the test, and what it found. */
import { join } from "node:path";
import { expect } from "vitest";
import { program, type Relay } from "../../../demo/relay.mjs";
import { run } from "../../tools/child.mjs";

export interface Found {
  readonly check: string;
  readonly state: string;
  readonly subject: string;
  readonly words: string;
  readonly advice?: string;
}

export interface Checked {
  readonly status: number | null;
  readonly findings: readonly Found[];
}

/** How to call the program; by default the one of the working copy. */
export interface Called {
  readonly node: string;
  readonly program: string;
}

const own: Called = { node: process.execPath, program };

/** Runs it with --json. */
export async function check(
  relay: Relay,
  words: readonly string[] = ["--offline"],
  called: Called = own,
): Promise<Checked> {
  const all = [called.program, "check", "--config", relay.config, "--json", ...words];
  const { status, stdout, stderr } = await run(called.node, all);
  expect(stderr).toBe("");
  return { status, findings: JSON.parse(stdout) as readonly Found[] };
}

/** That `checked` has such a finding; FOLDER in what it says stands for the relay's folder. What is wrong has advice. */
export function expectFinding(
  { findings }: Checked,
  [id, state, says]: readonly [string, string, RegExp],
  { folder }: Relay,
): void {
  const own = findings.filter(({ check: one }) => one === id);
  const lines = own.map((one) => `${one.state}: ${one.subject}: ${one.words}`.replaceAll(folder, "FOLDER"));
  const at = lines.findIndex((line) => line.startsWith(`${state}: `) && says.test(line));
  expect(at, `${String(says)} as ${state} in:\n${lines.join("\n")}`).toBeGreaterThanOrEqual(0);
  if (state === "failed" || state === "warning") expect(own[at]?.advice).toMatch(/\S/);
}

/** What is neither well nor known to be so here, as "check: words". */
export const complaints = ({ findings }: Checked): readonly string[] =>
  findings
    .filter(({ state }) => state !== "ok")
    .map(({ check: id, state, words }) => `${id}: ${state}: ${words}`);

export const inFolder = ({ folder }: Relay, name: string): string => join(folder, name);
