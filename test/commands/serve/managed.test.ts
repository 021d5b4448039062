/** The relay under a service manager: sockets that it hands over, and what it is told. And the units for systemd. */
import { copyFile, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { prepareRelay, program, type Relay } from "../../../demo/relay.mjs";
import { listenAddresses } from "../../../src/commands/serve/systemd.ts";
import { run, start } from "../../tools/child.mjs";
import { real } from "../../tools/real.ts";
import { until } from "../../tools/until.ts";
import { knock, note, submitAlone } from "./conversation.ts";

const listening = {
  submission: [{ host: "0.0.0.0", port: 587 }],
  submissions: [{ host: "0.0.0.0", port: 465 }],
  http: null,
  "http-names": [],
  "http-personal": false,
  proxies: [],
  local: "",
  "local-mode": 0o660,
  "local-group": "",
  onion: "",
  "onion-group": "",
  "onion-name": null,
  "onion-circuits": false,
};

describe("placesFor()", () => {
  test("takes each socket by its name, the addresses where there is none, and the variables away", () => {
    const environment = {
      LISTEN_PID: "7",
      LISTEN_FDS: "3",
      LISTEN_FDNAMES: "http:submission:submission",
      PATH: "/bin",
    };
    expect(listenAddresses(listening, environment, 7)).toMatchObject({
      submission: [{ fd: 4 }, { fd: 5 }],
      submissions: [{ host: "0.0.0.0", port: 465 }],
      http: { fd: 3 },
    });
    expect(environment).toEqual({ PATH: "/bin" });
  });

  test.each([
    ["no sockets", {}],
    ["sockets for another process", { LISTEN_PID: "8", LISTEN_FDS: "1", LISTEN_FDNAMES: "submission" }],
    ["a number that is none", { LISTEN_PID: "7", LISTEN_FDS: "many", LISTEN_FDNAMES: "submission" }],
  ])("keeps to the configuration with %s", (_, environment) => {
    const { submission, submissions, http } = listening;
    expect(listenAddresses(listening, environment, 7)).toEqual({ submission, submissions, http });
  });

  test.each(["tpa-submit.socket", "submission:", "http:http"])(
    "refuses sockets with the names %s",
    (names) => {
      const environment = {
        LISTEN_PID: "7",
        LISTEN_FDS: String(names.split(":").length),
        LISTEN_FDNAMES: names,
      };
      expect(() => listenAddresses(listening, environment, 7)).toThrow(/FileDescriptorName=/);
    },
  );
});

describe.skipIf(!real("python3", "systemd-notify"))("under a manager, the relay", () => {
  let relay: Relay | undefined;
  let managed: ReturnType<typeof start> | undefined;
  afterEach(async () => {
    await managed?.stop();
    await relay?.stop();
    relay = undefined;
    managed = undefined;
  });

  async function startManaged(names: string): Promise<{ said: () => string; ports: readonly number[] }> {
    relay = await prepareRelay('[listen]\nsubmission = ["127.0.0.1:1"]\nsubmissions = []\nhttp = ""');
    const manager = join(import.meta.dirname, "..", "..", "tools", "manager.py");
    const words = [
      manager,
      relay.folder,
      names,
      process.execPath,
      program,
      "serve",
      "--config",
      relay.config,
    ];
    const child = start("python3", words);
    managed = child;
    const ports = await until("the ports", () => /^ports (.*)$/m.exec(child.output())?.[1]);
    return { said: child.output, ports: ports.split(" ").map(Number) };
  }

  test("takes mail on its sockets, and says when it is ready, alive, reloading and stopping", async () => {
    const { said, ports } = await startManaged("submission:submissions:http");
    const heard = (line: string, from = 0): Promise<true> =>
      until(line, () => said().slice(from).includes(`told ${line}\n`) || undefined);
    await heard("READY=1");
    await heard("WATCHDOG=1");
    if (!relay || !managed) throw new Error("nothing was started");
    [relay.submission = 0, relay.submissions = 0] = ports;
    await submitAlone(relay, note("by a socket of the manager's"));
    expect((await knock(relay.submission, false)).greeting).toMatch(/^220 /);
    expect((await fetch(`http://127.0.0.1:${ports[2]}/healthz`)).status).toBe(200);

    const before = said().length;
    process.kill(managed.pid, "SIGHUP");
    await heard("RELOADING=1", before);
    await heard("READY=1", before);
    expect(said().slice(before)).toMatch(/^told MONOTONIC_USEC=\d+$/m);

    process.kill(managed.pid, "SIGTERM");
    await heard("STOPPING=1", before);
    await until("the end", () => /^ended 0$/m.exec(said()) ?? undefined);
  });

  test("does not start with a socket whose name it does not know, and says what to do", async () => {
    const { said } = await startManaged("submission:tpa-submit.socket");
    await until("the end", () => /^ended 78$/m.exec(said()) ?? undefined);
    expect(said()).toMatch(/found "submission", "tpa-submit\.socket"; set FileDescriptorName=/);
    expect(said()).not.toContain("told READY=1");
  });
});

describe.skipIf(!real("systemd-analyze"))("the units of etc/systemd", () => {
  test("are understood by systemd, and let the programs do little", async () => {
    const units = join(import.meta.dirname, "..", "..", "..", "etc", "systemd");
    const folder = await mkdtemp(join(tmpdir(), "tpa-submit-units-"));
    try {
      const names = (await readdir(units)).filter((name) => /\.(?:service|socket|timer)$/.test(name));
      for (const name of names) await copyFile(join(units, name), join(folder, name));
      const services = names.filter((name) => name.endsWith(".service")).map((name) => join(folder, name));
      for (const service of services) {
        // Neither the program nor its manual is installed here.
        const text = await readFile(service, "utf8");
        await writeFile(service, text.replace("/usr/bin/tpa-submit", "/bin/true"));
      }
      const paths = names.map((name) => join(folder, name));
      const { status, stderr } = await run("systemd-analyze", ["verify", "--man=no", ...paths]);
      expect(stderr).toBe("");
      expect(status).toBe(0);
      for (const service of services) {
        const security = await run("systemd-analyze", [
          "security",
          "--offline=true",
          "--threshold=20",
          service,
        ]);
        expect(security.stdout + security.stderr).toMatch(/Overall exposure level .*OK/);
        expect(security.status).toBe(0);
      }
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
