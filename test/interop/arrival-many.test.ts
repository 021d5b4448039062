/** Fifty routes in one run, each with a mailbox of its own at a real Dovecot: no slower than the slowest, and small. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { program, type Relay, startRelay } from "../../demo/relay.mjs";
import { selfSigned } from "../tools/certificate.ts";
import { start } from "../tools/child.mjs";
import { type Dovecot, startDovecot } from "./dovecot.mjs";
import { realAsRoot } from "./root.ts";

const count = 50;
const names = Array.from({ length: count }, (_, number) => `box${number}`);

describe.skipIf(!realAsRoot("dovecot imap", "dovecot sieve"))("fifty routes", () => {
  let relay: Relay;
  let dovecot: Dovecot;

  beforeAll(async () => {
    const certificate = selfSigned(["localhost"]);
    dovecot = await startDovecot(
      Object.fromEntries(names.map((name) => [name, "{PLAIN}secret"])),
      certificate,
    );
    relay = await startRelay(
      `[delivery]\nrelay = "lmtp://127.0.0.1:${dovecot.lmtp}"\n[[route]]\nto = ["example.com"]\nrelay = "file:FOLDER/delivered"`,
    );
    const { folder } = relay;
    await writeFile(join(folder, "imap.pem"), certificate.cert);
    await writeFile(join(folder, "secret"), "secret\n");
    const routes = names.map((name, number) => {
      const to = number === 0 ? "never@example.com" : `${name}@example.net`;
      return `[[route]]
name = "${name}"
to = "${to}"
arrive = "imaps://${name}@localhost:${dovecot.imaps}"
arrive-password-file = "${folder}/secret"
arrive-ca = "${folder}/imap.pem"
`;
    });
    await writeFile(
      join(folder, "probes.toml"),
      `key = "${folder}/probe/key"
directory = "${folder}/probe"
[submission]
server = "smtp://localhost:${relay.submission}"
login = "user1"
password-file = "${folder}/password"
from = "user1@example.org"
ca = "${relay.certificate}"
${routes.join("")}`,
    );
  });
  afterAll(async () => {
    await relay?.stop();
    await dovecot?.stop();
  });

  test("take as long as the slowest, and less than 150 MB", { timeout: 60_000 }, async () => {
    const wait = 12;
    const begun = performance.now();
    const words = ["probe", "monitor", "--json", "--wait", `${wait}s`, join(relay.folder, "probes.toml")];
    const monitor = start(process.execPath, [program, ...words]);
    let megabytes = 0;
    for (;;) {
      const status = await readFile(`/proc/${monitor.pid}/status`, "utf8").catch(() => "");
      const peak = /^VmHWM:\s+(\d+) kB/m.exec(status)?.[1];
      if (peak === undefined) break; // it has ended
      megabytes = Math.max(megabytes, Number(peak) / 1024);
      await pause(50);
    }
    await monitor.stop(true);
    const took = (performance.now() - begun) / 1000;
    const results: readonly { readonly outcome: string; readonly after?: number }[] = JSON.parse(
      monitor.output(),
    );
    process.stderr.write(`fifty routes: ${took.toFixed(1)} s, ${megabytes.toFixed(0)} MB\n`);
    expect(results.map(({ outcome }) => outcome)).toEqual(["pending", ...names.slice(1).map(() => "inbox")]);
    expect(took).toBeGreaterThanOrEqual(wait);
    expect(took).toBeLessThan(wait + 12); // to start, log in, and send on a busy machine
    expect(megabytes).toBeLessThan(150);
  });
});
