/** The monitor as a program, when its own host is in trouble: told to stop, a disk that is full, a key that is none. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { get } from "node:http";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { createSecureContext } from "node:tls";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { program } from "../../../demo/program.mjs";
import { selfSigned } from "../../tools/certificate.ts";
import { type Ended, run } from "../../tools/child.mjs";
import { type FakeServer, fakeServer } from "../../tools/fakeserver.ts";
import { until } from "../../tools/until.ts";

const certificate = selfSigned(["localhost"]);

let folder: string;
let server: FakeServer;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "monitor-"));
  await mkdir(join(folder, "mail/new"), { recursive: true });
  await mkdir(join(folder, "mail/cur"));
  await writeFile(join(folder, "ca.pem"), certificate.cert);
  server = await fakeServer({}, { tls: createSecureContext(certificate), implicit: true });
  await configure();
});
afterEach(async () => {
  await server.close();
  await rm(folder, { recursive: true, force: true });
});

const configure = (): Promise<void> =>
  writeFile(
    join(folder, "probes.toml"),
    `key = "${folder}/probe/key"
directory = "${folder}/probe"
http-names = ["mail.example.com"]
[submission]
server = "smtps://localhost:${server.port}"
from = "probe@example.org"
ca = "${folder}/ca.pem"
[[route]]
name = "net"
to = "x@example.net"
arrive = "maildir:${folder}/mail"
`,
  );

const words = (...more: readonly string[]): readonly string[] => [
  ...[program, "probe", "monitor", ...more, join(folder, "probes.toml")],
];
const monitor = (...more: readonly string[]): Promise<Ended> => run(process.execPath, words(...more));

describe("the monitor", () => {
  test("tells its metrics to none who calls this host by a name that is not its own", async () => {
    const child = spawn(process.execPath, words("--listen", "127.0.0.1:0"));
    let said = "";
    child.stderr.on("data", (chunk: Buffer) => {
      said += chunk.toString();
    });
    try {
      const port = await until("the listener", () => /metrics on http:\S+:(\d+)\//.exec(said)?.[1]);
      const asked = async (host: string): Promise<number | undefined> => {
        const question = get({ host: "127.0.0.1", port, path: "/metrics", headers: { host } });
        const [answer] = await once(question, "response");
        answer.resume();
        return answer.statusCode;
      };
      expect(await asked("attacker.example.net")).toBe(421);
      expect(await asked(`${hostname()}:${port}`)).toBe(200);
      expect(await asked("127.0.0.1")).toBe(200);
      expect(await asked("mail.example.com")).toBe(200); // http-names
    } finally {
      const ended = once(child, "close");
      child.kill("SIGTERM");
      await ended;
    }
  });

  test.each(["SIGTERM", "SIGINT"] as const)(
    "ends at once when %s comes, and the next run finds what it sent",
    async (signal) => {
      const child = spawn(process.execPath, words("--nagios", "--wait", "5m"));
      let said = "";
      child.stdout.on("data", (chunk: Buffer) => {
        said += chunk.toString();
      });
      await until("a message under way", async () =>
        (await readdir(join(folder, "probe/pending")).catch(() => [])).length > 0 ? true : undefined,
      );
      const begun = performance.now();
      child.kill(signal);
      const [status] = await once(child, "close");
      expect(performance.now() - begun).toBeLessThan(5000);
      expect([status, said.replace(/\d+\.\d+/g, "N")]).toEqual([
        0,
        "PROBE OK - on its way for N s | submission=Ns;;;0\n",
      ]);
      await writeFile(join(folder, "mail/new/1"), server.received[0]?.message ?? "");
      const next = await monitor("--nagios", "--wait", "1s");
      expect(next.stdout).toMatch(/^PROBE OK - .*in INBOX after|^PROBE OK - on its way/);
      expect(await readFile(join(folder, "probe/history"), "utf8")).toMatch(/"outcome":"inbox"/);
    },
  );

  test("tells the results although the history cannot be written, and that it could not", async () => {
    await mkdir(join(folder, "probe"));
    await symlink("/dev/full", join(folder, "probe/history"));
    await server.close();
    const { status, stdout } = await monitor("--nagios", "--wait", "1s");
    expect(status).toBe(2);
    expect(stdout).toMatch(/^PROBE CRITICAL - not to be submitted: .*; .*the history cannot be used: ENOSPC/);
  });

  test("tells one route of a folder that cannot be used, and ends with 3", async () => {
    await mkdir(join(folder, "probe"));
    await symlink("/dev/full", join(folder, "probe/pending"));
    const { status, stdout } = await monitor("--nagios", "--wait", "1s");
    expect(status).toBe(3);
    expect(stdout).toMatch(/^PROBE UNKNOWN - .*probe\/pending: probes under way cannot be noted: E\w+/);
  });

  test("refuses a key that is too short, and says what to do", async () => {
    await mkdir(join(folder, "probe"));
    await writeFile(join(folder, "probe/key"), "short");
    const { status, stdout, stderr } = await monitor("--nagios");
    expect([status, stderr]).toEqual([3, ""]);
    expect(stdout).toBe(
      `PROBE UNKNOWN - ${folder}/probe/key: expected 32 octets or more, found 5; remove it, and it is made anew\n`,
    );
    expect(server.received).toEqual([]);
  });

  test("with another key does not know the messages of before", async () => {
    await monitor("--wait", "1s");
    await writeFile(join(folder, "mail/new/1"), server.received[0]?.message ?? "");
    await writeFile(join(folder, "probe/key"), "k".repeat(40));
    const { stdout } = await monitor("--nagios", "--wait", "1s");
    expect(stdout).toMatch(/^PROBE OK - on its way/);
    expect(existsSync(join(folder, "probe/history"))).toBe(false);
    expect(await readdir(join(folder, "probe/pending"))).toHaveLength(2);
  });
});
