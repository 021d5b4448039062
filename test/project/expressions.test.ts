/**
 * Every regular expression of src/ is judged by recheck: what sees octets from outside takes time in proportion to
 * their number, and so does anything that is not named here with the reason why it may be slower.
 *
 * recheck takes a minute for all of them, and its verdict depends on nothing but the expression and recheck itself. So
 * linear-expressions.txt keeps the digests of those that it has proven; what is not in that file is judged here.
 * `npm run expressions` judges all of them, whatever the file says, and writes it anew.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { parseSync } from "rolldown/experimental";
import { expect, test, vi } from "vitest";

vi.stubEnv("RECHECK_BACKEND", "pure");
const { check } = await import("recheck");
const { version: recheckVersion } = JSON.parse(
  readFileSync(new URL("../../node_modules/recheck/package.json", import.meta.url), "utf8"),
) as { readonly version: string };

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

const provenFile = new URL("linear-expressions.txt", import.meta.url);
const all = process.env["TPA_SUBMIT_EXPRESSIONS"] === "all";
const proven = new Set(all ? [] : readFileSync(provenFile, "utf8").split("\n"));

/** Stands for the expression as this version of recheck judges it. */
function digest(written: string): string {
  return createHash("sha256").update(`recheck ${recheckVersion} ${written}`).digest("hex").slice(0, 32);
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
    return processorTime(source, flags, found.attack.string) < 500 ? "safe" : "vulnerable";
  }
  return status;
}

/** Milliseconds of this process alone. */
function processorTime(source: string, flags: string, text: string): number {
  const before = process.cpuUsage();
  new RegExp(source, flags).test(text);
  return process.cpuUsage(before).user / 1000;
}

/** Of these, those that are not linear; `onProven` gets the digest of each that is found to be. */
async function slowOf(expressions: Iterable<Found>, onProven: (digest: string) => void): Promise<string[]> {
  const slow: string[] = [];
  for (const { written, source, flags } of expressions) {
    const own = digest(written);
    if (known[written] !== undefined || proven.has(own)) continue;
    const status = await verdict(source, flags);
    if (status === "safe") onProven(own);
    else slow.push(`${written}: ${status}`);
  }
  return slow;
}

test("a slow expression is told from a busy machine", { timeout: 120_000 }, async () => {
  const slow = { written: "/\\s+$/", source: "\\s+$", flags: "" };
  expect(await slowOf([slow], () => undefined)).toEqual(["/\\s+$/: vulnerable"]);
});

test("finds the expressions of the house", () => {
  expect(literals.size).toBeGreaterThan(200);
});

test("no expression takes longer than in proportion to what it reads", { timeout: 600_000 }, async () => {
  const linear: string[] = [];
  expect(await slowOf(literals.values(), (own) => linear.push(own))).toEqual([]);
  if (all) writeFileSync(provenFile, `${linear.toSorted().join("\n")}\n`);
});

test("names no expression that is gone", () => {
  expect(Object.keys(known).filter((written) => !literals.has(written))).toEqual([]);
});

test("expressions made at run time stand where a person has looked at them", () => {
  expect([...made].sort()).toEqual(Object.keys(composed).sort());
});
