/**
 * The child that writes to the journal and to /dev/log, against the sandbox of the unit that systemd would put it in: what
 * it asks of the kernel is all allowed there. That it works in a real one is shown on a booted host (test/packaging).
 */
import { spawnSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { perl, toDatagrams } from "../../../src/server/log/datagrams.ts";
import type { LogLine } from "../../../src/server/log/format.ts";
import { start } from "../../tools/child.mjs";
import { real } from "../../tools/real.ts";
import { until } from "../../tools/until.ts";

const unit = join(import.meta.dirname, "../../../etc/systemd/tpa-submit.service");

/** All system calls of a set, those of the sets in it among them. */
function callsOf(set: string): readonly string[] {
  const { stdout } = spawnSync("systemd-analyze", ["syscall-filter", set], { encoding: "utf8" });
  return stdout
    .split("\n")
    .map((line) => line.trim())
    .filter((word) => /^@?[a-z0-9_-]+$/.test(word) && word !== set)
    .flatMap((word) => (word.startsWith("@") ? callsOf(word) : [word]));
}

/** What the lines of `SystemCallFilter` leave, by systemd.exec(5): the first one allows, those with "~" take away. */
function allowedBy(text: string): ReadonlySet<string> {
  const allowed = new Set<string>();
  for (const [, taken, words = ""] of text.matchAll(/^SystemCallFilter=(~?)(.*)$/gm)) {
    const calls = words.split(" ").flatMap((word) => (word.startsWith("@") ? callsOf(word) : [word]));
    for (const call of calls) {
      if (taken === "~") allowed.delete(call);
      else allowed.add(call);
    }
  }
  return allowed;
}

/** Reads datagrams at a path, and says each. */
const reader = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print("ready", flush=True)
while True: print(s.recv(65536).decode(), flush=True)
`;

const line: LogLine = {
  level: "info",
  at: 0,
  tag: "postfix/smtp",
  text: "a line",
  whole: "",
  messages: [],
};

test.skipIf(!real("strace", "perl", "systemd-analyze", "python3"))(
  "asks nothing of the kernel that the unit forbids",
  async () => {
    const text = await readFile(unit, "utf8");
    const allowed = allowedBy(text);
    expect(allowed.size).toBeGreaterThan(200);
    expect(allowed.has("mount")).toBe(false);

    const folder = await mkdtemp(join(tmpdir(), "tpa-submit-sandbox-"));
    const socket = join(folder, "socket");
    const journal = start("python3", ["-c", reader, socket]);
    try {
      await until("the reader", () => (journal.output().includes("ready\n") ? true : undefined));
      const traced = join(folder, "perl");
      const trace = join(folder, "trace");
      await writeFile(traced, `#!/bin/sh\nexec /usr/bin/strace -f -qq -o "${trace}" ${perl} "$@"\n`, {
        mode: 0o755,
      });
      const log = toDatagrams(
        traced,
        socket,
        ({ text: words }) => words,
        () => performance.now(),
      );
      await log.write([line, { ...line, text: "another line" }]);
      await log.close();
      expect(journal.output()).toBe("ready\na line\nanother line\n");

      const seen = await readFile(trace, "utf8");
      const calls = new Set(
        [...seen.matchAll(/^\d+ +(?:<\.\.\. )?(\w+)[ (]/gm)].map(([, name = ""]) => name),
      );
      expect([...calls]).toEqual(expect.arrayContaining(["execve", "socket", "sendto"]));
      expect([...calls].filter((call) => !allowed.has(call))).toEqual([]);
      const families = /^RestrictAddressFamilies=(.*)$/m.exec(text)?.[1]?.split(" ") ?? [];
      const opened = [...seen.matchAll(/\bsocket\((\w+),/g)].map(([, family = ""]) => family);
      expect(opened).toContain("AF_UNIX");
      expect(opened.filter((family) => !families.includes(family))).toEqual([]);
    } finally {
      await journal.stop();
      await rm(folder, { recursive: true });
    }
  },
);
