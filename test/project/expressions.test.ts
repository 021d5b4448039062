/**
 * Every regular expression of src/ is judged by recheck: what sees octets from outside takes time in proportion to
 * their number, and so does anything that is not named here with the reason why it may be slower.
 */
import { readdirSync, readFileSync } from "node:fs";
import { parseSync } from "rolldown/experimental";
import { expect, test, vi } from "vitest";

vi.stubEnv("RECHECK_BACKEND", "pure");
const { check } = await import("recheck");

/** Not linear, or not to be judged; and why nobody outside can make it slow. */
const known: Readonly<Record<string, string>> = {
  "/\\n\\(Did you mean (one of )?([^?]*)\\?\\)$/": "commander's own text about the operator's command line",
  "/\\s*\\n\\s*/g": "commander's own text about the operator's command line",
  '/([\\w-]+)\\s*=\\s*(?:"((?:[^"\\\\]|\\\\.)*)"|([^\\s",]+))/g':
    "a challenge of at most 2048 octets (RFC 2831)",
  "/\\/\\/.*@/": "an address on the operator's command line",
  "/\\n+$/": "the operator's own message, in the probe",
  "/\\s*,\\s*/": "a list on the operator's command line",
  "/^macdef[^\\n]*\\n(?:[^\\n]+\\n)*/gm": "the operator's own .netrc",
  '/(?:[^",]|"(?:[^"\\\\]|\\\\.)*"|")+/g': "a list on the operator's command line",
  "/^Content-Type:\\s*message\\/(?:global-)?delivery-status\\b/im":
    "too long for recheck; starts at a name only, and what it repeats stands between two such names once",
  "/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g":
    "the operator's own certificates; too long for recheck, and [^-]* ends where the next try could begin",
};

/** Made of parts at run time: the test looks at how many there are in a file, a person at what they do. */
const composed: Readonly<Record<string, string>> = {
  "ldap/account.ts": "a look ahead bounds it to 254 characters",
  "passwd/crypt.ts": "a hash of the operator's; anchored, no two repetitions meet",
  "smtp/address.ts": "a local part of at most 64 octets",
  "probe/arrival/trace.ts": "a name, blanks, at most 255 characters",
  "probe/message.ts": "names between marks, in the operator's own message",
  "server/log/log.ts": "one character",
  "smtp/mime-parts.ts": "what it repeats ends where the next try could begin",
  "server/submission/proxy-protocol.ts": "a header of at most 107 octets",
  "server/submission/auth/scram.ts": "anchored, and a comma ends each part",
};

interface Found {
  /** As it stands in the source: `/a+/g`. */
  readonly written: string;
  readonly source: string;
  readonly flags: string;
}

const literals = new Map<string, Found>();
const made = new Set<string>();

function collect(node: unknown, path: string): void {
  if (Array.isArray(node)) for (const one of node) collect(one, path);
  if (node === null || typeof node !== "object" || Array.isArray(node)) return;
  const { type, regex, callee } = node as {
    type?: unknown;
    regex?: { pattern: string; flags: string };
    callee?: { name?: unknown };
  };
  if (type === "Literal" && regex) {
    const written = `/${regex.pattern}/${regex.flags}`;
    literals.set(written, { written, source: regex.pattern, flags: regex.flags });
  }
  if ((type === "NewExpression" || type === "CallExpression") && callee?.name === "RegExp") made.add(path);
  for (const value of Object.values(node)) collect(value, path);
}

const root = new URL("../../src/", import.meta.url);
for (const path of readdirSync(root, { recursive: true, encoding: "utf8" }).sort()) {
  if (!path.endsWith(".ts")) continue;
  const { program } = parseSync(path, readFileSync(new URL(path, root), "utf8"), { lang: "ts" });
  collect(program, path);
}

/**
 * What recheck cannot prove it tries out against the clock, so on a busy machine one look may go wrong. What it holds to
 * be slow has to cost this process what it should: recheck makes its attacks so long that they take seconds.
 */
async function verdict(source: string, flags: string): Promise<string> {
  let status = "";
  for (let look = 0; look < 3 && status !== "safe"; look++) {
    const found = await check(source, flags, { timeout: 30_000 });
    status = found.status;
    if (found.status !== "vulnerable" || found.complexity.type === "exponential") continue;
    if (processorTime(source, flags, found.attack.string) < 500) return "safe";
  }
  return status;
}

/** Milliseconds of this process alone. */
function processorTime(source: string, flags: string, text: string): number {
  const before = process.cpuUsage();
  new RegExp(source, flags).test(text);
  return process.cpuUsage(before).user / 1000;
}

test("a slow expression is told from a busy machine", { timeout: 120_000 }, async () => {
  expect(await verdict("\\s+$", "")).toBe("vulnerable");
});

test("finds the expressions of the house", () => {
  expect(literals.size).toBeGreaterThan(200);
});

test("no expression takes longer than in proportion to what it reads", { timeout: 600_000 }, async () => {
  const slow: string[] = [];
  for (const { written, source, flags } of literals.values()) {
    if (known[written] !== undefined) continue;
    const status = await verdict(source, flags);
    if (status !== "safe") slow.push(`${written}: ${status}`);
  }
  expect(slow).toEqual([]);
});

test("names no expression that is gone", () => {
  expect(Object.keys(known).filter((written) => !literals.has(written))).toEqual([]);
});

test("expressions made at run time stand where a person has looked at them", () => {
  expect([...made].sort()).toEqual(Object.keys(composed).sort());
});
