/**
 * Runs our probe through swaks' own regression suite, and grades what comes out.
 *
 *     node test/tools/swaks-suite.mjs CHECKOUT [--control] [--root FOLDER] [--suite REGEX] [--only REGEX]
 *                                     [--jobs N] [--persistent] [--list LEVEL] [--diff ID] [--keep FOLDER]
 *
 * CHECKOUT is a clone of https://github.com/jetmore/swaks, which stays outside of this repository (GPL) and is not
 * changed: its folder "testing" is copied. Its own Perl runner does the work, a group of cases at a time; what it left
 * behind is compared with its references here. As root each group has a network, a host name and an /etc/hosts of its
 * own. docs/testing.md tells what it needs and what came out.
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, cp, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { grade, levels } from "./swaks-grade.mjs";

/** @typedef {import("./swaks-grade.mjs").Verdict} Verdict */

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    control: { type: "boolean", default: false },
    root: { type: "string", default: fileURLToPath(new URL("../..", import.meta.url)) },
    suite: { type: "string", default: "." },
    only: { type: "string", default: "." },
    persistent: { type: "boolean", default: false },
    jobs: { type: "string", default: String(availableParallelism()) },
    list: { type: "string" },
    diff: { type: "string" },
    keep: { type: "string" },
  },
});
const [checkout] = positionals;
if (checkout === undefined) throw new Error("name the folder of a checkout of swaks");

const folder = options.keep ?? (await mkdtemp(join(tmpdir(), "tpa-submit-swaks-")));

async function main() {
  await mkdir(folder, { recursive: true });
  const wanted = new RegExp(options.suite);
  await cp(join(resolve(checkout ?? ""), "testing"), join(folder, "testing"), {
    recursive: true,
    filter: (path) => {
      const suite = /\/regressions\/(_[^/]+)$/.exec(path)?.[1];
      return suite === undefined || wanted.test(suite);
    },
  });
  await cp(join(resolve(checkout ?? ""), "swaks"), join(folder, "swaks"));
  await cp(join(resolve(checkout ?? ""), "doc"), join(folder, "doc"), { recursive: true });
  const program = options.control ? join(folder, "swaks") : await copyOfOurs();
  const regressions = join(folder, "testing", "regressions");
  const suites = (await readdir(regressions)).filter((name) => name.startsWith("_")).sort();
  /** @type {Map<string, readonly string[]>} */
  const idsOf = new Map();
  for (const suite of suites) {
    const files = await readdir(join(regressions, suite));
    const ids = files.filter((name) => /^\d+\.test$/.test(name)).map((name) => name.slice(0, -5));
    await mkdir(join(regressions, suite, "out-dyn"));
    idsOf.set(suite, ids.filter((id) => new RegExp(options.only).test(id)).sort());
  }
  const tasks = [...idsOf].flatMap(([suite, ids]) =>
    groups(ids, 20).map(
      (group) => (/** @type {string} */ socket) => runGroup(regressions, suite, group, program, socket),
    ),
  );
  await inTurns(Number(options.jobs), tasks);
  /** @type {[string, Verdict[]][]} */
  const verdicts = [];
  for (const [suite, ids] of idsOf) {
    const graded = await Promise.all(ids.map((id) => grade(join(regressions, suite), id)));
    verdicts.push([suite, graded.filter((verdict) => verdict !== undefined)]);
  }
  print(verdicts);
  if (options.diff !== undefined)
    for (const [suite] of idsOf) showDifferences(join(regressions, suite), options.diff);
}

/** Hands the command line to probe-server.mjs. */
const client = `#!/usr/bin/perl
use Socket;
socket(S, PF_UNIX, SOCK_STREAM, 0) && connect(S, sockaddr_un($ENV{PROBE_SOCKET})) or die "no server: $!";
binmode $_ for *S, *STDIN, *STDOUT, *STDERR;
local $/;
my @fields = (readlink "/proc/self/cwd", scalar <STDIN>, scalar @ARGV, @ARGV, map { "$_=$ENV{$_}" } keys %ENV);
select((select(S), $| = 1)[0]);
print S map { pack "N/a*", $_ } @fields;
shutdown S, 1;
my ($status, $out, $err) = unpack "N/a* N/a* N/a*", <S>;
print STDOUT $out;
print STDERR $err;
exit $status;
`;

/** What was built last, put aside, so that a build in the meantime does no harm; called as a program of one word. */
async function copyOfOurs() {
  const ours = join(folder, "ours");
  for (const name of ["bin", "dist", "package.json"])
    await cp(join(resolve(options.root), name), join(ours, name), { recursive: true });
  await symlink(join(resolve(options.root), "node_modules"), join(ours, "node_modules"));
  const shim = join(folder, "probe");
  const program = join(ours, "bin", "tpa-submit");
  const direct = `#!/bin/sh\nexec ${process.execPath} ${program} probe "$@"\n`;
  await writeFile(shim, options.persistent ? client : direct);
  await chmod(shim, 0o755);
  return shim;
}

/** @type {(ids: readonly string[], size: number) => string[][]} */
function groups(ids, size) {
  return Array.from({ length: Math.ceil(ids.length / size) }, (_, at) =>
    ids.slice(size * at, size * at + size),
  );
}

/**
 * The suite's runner gives up at a case that leaves a file out: what comes behind it is run in another go.
 * @param {string} regressions
 * @param {string} suite
 * @param {readonly string[]} ids
 * @param {string} program
 * @param {string} socket of the server, if there is one
 */
async function runGroup(regressions, suite, ids, program, socket) {
  let left = ids;
  while (left.length > 0) {
    const done = await runSome(regressions, suite, left, program, socket);
    const next = left.filter((id) => !done.has(id)).slice(1);
    left = next;
  }
}

/** Unshared network, names and mounts, where that is allowed: loopback only, and ::1 is localhost. */
const isRoot = process.getuid?.() === 0;
const apart = `ip link set lo up; hostname client.example.org
printf '127.0.0.1 localhost\\n127.0.1.1 client.example.org\\n::1 localhost\\n' > "$HOSTS"; mount --bind "$HOSTS" /etc/hosts
printf 'nameserver 192.0.2.1\\noptions timeout:1 attempts:1\\n' > "$HOSTS.dns"; mount --bind "$HOSTS.dns" /etc/resolv.conf
exec "$@"`;

let started = 0;

/**
 * @param {readonly string[]} words
 * @param {string} cwd
 * @param {Readonly<Record<string, string>>} variables
 */
function startApart(words, cwd, variables) {
  started += 1;
  const env = {
    ...process.env,
    LANG: "C",
    LC_ALL: "C",
    HOSTS: join(folder, `hosts-${started}`),
    ...variables,
  };
  const [command = "", ...rest] = isRoot
    ? ["unshare", "-n", "-u", "-m", "sh", "-c", apart, "sh", ...words]
    : words;
  return spawn(command, rest, { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
}

/**
 * @param {string} regressions
 * @param {string} suite
 * @param {readonly string[]} ids
 * @param {string} program
 * @param {string} socket
 * @returns {Promise<ReadonlySet<string>>} the cases that the runner has judged
 */
async function runSome(regressions, suite, ids, program, socket) {
  const words = ["perl", "bin/run-tests.pl", "--headless", suite, `^(?:${ids.join("|")})$`];
  const child = startApart(words, regressions, {
    SWAKS_TEST_SWAKS: program,
    SWAKS_TEST_SERVER: join(folder, "testing", "server", "smtp-server.pl"),
    PROBE_SOCKET: socket,
  });
  let said = "";
  child.stdout.on("data", (octets) => {
    said += octets;
  });
  let complained = "";
  child.stderr.on("data", (octets) => {
    complained += octets;
  });
  await new Promise((end) => child.on("close", end));
  const done = new Set([...said.matchAll(/\/(\d+): (?:PASS|FAIL|SKIP)/g)].map(([, id = ""]) => id));
  if (done.size === 0 && ids.length > 1) process.stderr.write(`${suite} ${ids[0]}: ${complained}`);
  return done;
}

/**
 * @param {number} jobs each with a server of its own, where there are servers
 * @param {readonly ((socket: string) => Promise<void>)[]} tasks
 */
async function inTurns(jobs, tasks) {
  const left = [...tasks];
  await Promise.all(
    Array.from({ length: jobs }, async (_, job) => {
      const socket = join(folder, `server-${job}`);
      const words = [
        process.execPath,
        fileURLToPath(new URL("probe-server.mjs", import.meta.url)),
        socket,
        join(folder, "ours", "dist"),
      ];
      const server = options.persistent ? startApart(words, folder, {}) : undefined;
      server?.stderr.pipe(process.stderr);
      while (server !== undefined && !existsSync(socket)) await setTimeout(50);
      for (let task = left.shift(); task !== undefined; task = left.shift()) {
        await task(socket);
        if (process.stderr.isTTY) process.stderr.write(`\r${left.length} groups left  `);
      }
      server?.kill();
    }),
  );
  if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
}

/** @param {readonly [string, readonly Verdict[]][]} suites */
function print(suites) {
  const names = Object.keys(levels);
  /** @type {(what: string, numbers: readonly (string | number)[]) => void} */
  const row = (what, numbers) =>
    console.log(
      `| ${what.padEnd(22)} | ${numbers.map((number) => String(number).padStart(6)).join(" | ")} |`,
    );
  row("suite", ["cases", ...names]);
  row("---", ["---", ...names.map(() => "---")]);
  /** @type {(verdicts: readonly Verdict[]) => number[]} */
  const counts = (verdicts) => [
    verdicts.length,
    ...names.map((name) => verdicts.filter(({ agrees }) => agrees.has(name)).length),
  ];
  for (const [suite, verdicts] of suites) row(suite, counts(verdicts));
  row("all", counts(suites.flatMap(([, verdicts]) => verdicts)));
  const level = options.list;
  if (level === undefined) return;
  for (const [suite, verdicts] of suites) {
    const ids = verdicts.filter(({ agrees }) => !agrees.has(level)).map(({ id }) => id);
    if (ids.length > 0) console.log(`\n${suite}, not ${level}: ${ids.join(" ")}`);
  }
}

/**
 * @param {string} suite folder
 * @param {string} pattern of IDs
 */
function showDifferences(suite, pattern) {
  const { stdout } = spawnSync(
    "diff",
    ["-u", "-r", "-x", "*.diff*", "-x", ".gitignore", "out-ref", "out-dyn"],
    {
      cwd: suite,
      encoding: "latin1",
      maxBuffer: 1 << 28,
    },
  );
  for (const part of stdout.split(/^(?=diff |Only in )/m))
    if (new RegExp(`out-ref/(?:${pattern})\\.`).test(part.split("\n")[0] ?? "")) console.log(part);
}

try {
  await main();
} finally {
  if (options.keep === undefined) await rm(folder, { recursive: true });
}
