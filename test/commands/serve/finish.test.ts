/** Nothing comes between the next hop's 250 and the line that says so, as the kernel sees it: a kill there delivers nothing twice. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { startRelay } from "../../../demo/relay.mjs";
import { fakeServer } from "../../tools/fakeserver.ts";
import { pathOf, real } from "../../tools/real.ts";
import { until } from "../../tools/until.ts";
import { note, submitAlone } from "./conversation.ts";

describe.skipIf(!real("strace"))("a next hop that takes the message", () => {
  test("ends it in the turn in which its reply is read", { timeout: 60_000 }, async ({ skip }) => {
    const hop = await fakeServer({ message: "250 2.0.0 taken as 4711" });
    const relay = await startRelay(`[delivery]\nrelay = "smtp://127.0.0.1:${hop.port}"`);
    try {
      const calls = join(relay.folder, "calls");
      // Of the main thread alone, which reads sockets and waits for them.
      const words = ["-s", "200", "-o", calls, "-e", "trace=read,write,pwrite64,epoll_wait,epoll_pwait"];
      const strace = spawn(pathOf("strace") ?? "strace", [...words, "-p", String(relay.pid)], {
        stdio: ["ignore", "ignore", "pipe"],
      });
      const [said] = (await once(strace.stderr, "data")) as [Buffer];
      if (!said.includes("attached")) {
        if (process.env["TPA_SUBMIT_INTEROP"] === "required") throw new Error(said.toString());
        process.stderr.write(`\n*** SKIPPED, strace may not look: ${said.toString().trim()} ***\n`);
        return skip();
      }
      const id = await submitAlone(relay, note("to be ended"));
      await until("its end", () => relay.log().includes(`${id}: removed`) || undefined);
      strace.kill("SIGTERM");
      await once(strace, "close");
      const lines = (await readFile(calls, "latin1")).split("\n");
      const read = lines.findIndex((line) => line.startsWith("read(") && line.includes("250 2.0.0 taken"));
      const done = lines.findIndex((line) => line.startsWith("pwrite64(") && line.includes(`done ${id} `));
      expect(read).toBeGreaterThan(-1);
      expect(done).toBeGreaterThan(read);
      const between = lines.slice(read + 1, done);
      expect(between.filter((line) => !/^read\(.*EAGAIN/.test(line))).toEqual([]);
    } finally {
      await relay.stop();
      await hop.close();
    }
  });
});
