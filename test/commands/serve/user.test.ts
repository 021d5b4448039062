/** A relay that root starts: it binds as root, and is another user before it opens anything or listens to anybody. */
import { chmod, chown, mkdir, readFile, rm, stat } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { prepareRelay, type Relay } from "../../../demo/relay.mjs";
import { asRoot } from "../../tools/as-root.ts";
import { run, runWell } from "../../tools/child.mjs";
import { copyElsewhere, type Elsewhere } from "../../tools/elsewhere.ts";
import { note, submitAlone } from "./conversation.ts";

const name = "nobody";

let relay: Relay;
let elsewhere: Elsewhere;
let uid: number;
let gid: number;

describe.skipIf(!asRoot("start a relay that becomes another user"))("a relay that root starts", () => {
  beforeAll(async () => {
    elsewhere = await copyElsewhere();
    uid = Number(await runWell("id", ["-u", name]));
    gid = Number(await runWell("id", ["-g", name]));
  });
  afterAll(() => elsewhere?.remove());
  beforeEach(async () => {
    relay = await prepareRelay(`user = "${name}"\n`);
    relay.program = elsewhere.program;
    await chmod(relay.folder, 0o755);
    await mkdir(inFolder("spool"), { mode: 0o700 });
    for (const file of ["spool", "key.pem", "mail-passwords", "delivered"]) await own(file);
  });
  afterEach(() => relay.stop());

  const inFolder = (file: string): string => join(relay.folder, file);
  const own = (file: string): Promise<void> => chown(inFolder(file), uid, gid);
  const serve = () => run(elsewhere.node, [elsewhere.program, "serve", "--config", relay.config]);

  /** Of the running relay: what /proc/PID/status says, each of the four that a process has. */
  const ids = async (key: "Uid" | "Gid" | "Groups"): Promise<readonly number[]> => {
    const text = await readFile(`/proc/${relay.pid}/status`, "utf8");
    const line = new RegExp(`^${key}:\\s*(.*)$`, "m").exec(text)?.[1] ?? "";
    return line.trim().split(/\s+/).filter(Boolean).map(Number);
  };

  /** A port for root alone that nothing has; several, as other tests may take one. */
  async function lowPort(): Promise<number> {
    for (let port = 1023; port > 512; port -= 1) {
      const server = createServer();
      const isFree = await new Promise<boolean>((resolve) => {
        server.once("error", () => resolve(false));
        server.listen(port, "127.0.0.1", () => resolve(true));
      });
      await new Promise((resolve) => (isFree ? server.close(resolve) : resolve(undefined)));
      if (isFree) return port;
    }
    throw new Error("no port below 1024 is free");
  }

  test("is that user in every thread, has its groups alone, and listens below 1024", async () => {
    const port = await lowPort();
    await relay.configure(
      `user = "${name}"\n[listen]\nsubmission = ["127.0.0.1:${port}"]\nsubmissions = ["127.0.0.1:0"]\nhttp = "127.0.0.1:0"`,
    );
    await relay.start();
    expect(relay.submission).toBe(port);
    expect(await ids("Uid")).toEqual([uid, uid, uid, uid]);
    expect(await ids("Gid")).toEqual([gid, gid, gid, gid]);
    expect(await ids("Groups")).toEqual([gid]);
    const threads = await runWell("grep", [
      "-h",
      "^Uid:",
      "-r",
      `/proc/${relay.pid}/task`,
      "--include=status",
    ]);
    expect(new Set(threads.trim().split("\n"))).toEqual(new Set([`Uid:\t${uid}\t${uid}\t${uid}\t${uid}`]));
    const id = await submitAlone(relay, note("through a port of root's"));
    await relay.logged(new RegExp(`${id}: removed`));
  });

  test("makes its files as that user, and reloads", async () => {
    await relay.start();
    for (const file of ["spool/control", "spool/lock", "spool/queue", "spool/format"]) {
      expect([file, (await stat(inFolder(file))).uid]).toEqual([file, uid]);
    }
    relay.signal("SIGHUP");
    await relay.logged(/configuration, certificate and passwords re-read/);
  });

  test("has the group that is named, and no other of its own in front of it", async () => {
    await relay.configure(`user = "${name}"\ngroup = "daemon"\n`);
    await relay.start();
    const daemon = Number((await runWell("getent", ["group", "daemon"])).split(":")[2]);
    expect(await ids("Gid")).toEqual([daemon, daemon, daemon, daemon]);
  });

  test("does not use what root could read and that user cannot", async () => {
    await chown(inFolder("key.pem"), 0, 0);
    const { status, stderr } = await serve();
    expect(stderr).toMatch(/key\.pem: cannot be read \(EACCES/);
    expect(status).toBe(78);
  });

  test("says which address it cannot have", async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => void taken.close());
    const address = taken.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    await relay.configure(
      `user = "${name}"\n[listen]\nsubmission = ["127.0.0.1:${port}"]\nsubmissions = []\nhttp = ""`,
    );
    const busy = await serve();
    expect(busy.stderr).toMatch(
      new RegExp(
        `^tpa-submit serve: cannot listen on 127\\.0\\.0\\.1:${port}: another program has this port; `,
      ),
    );
    expect(busy.status).toBe(69);
    await relay.configure(
      `user = "${name}"\n[listen]\nsubmission = ["192.0.2.99:587"]\nsubmissions = []\nhttp = ""`,
    );
    const foreign = await serve();
    expect(foreign.stderr).toBe(
      "tpa-submit serve: cannot listen on 192.0.2.99:587: EADDRNOTAVAIL; check listen.submission\n",
    );
    expect(foreign.status).toBe(69);
  });

  test("is refused where nobody is named whom it could become", async () => {
    await relay.configure('user = ""\n');
    const { status, stderr } = await serve();
    expect(stderr).toBe(
      'tpa-submit serve: the relay does not run as root: name a user for it to become, as in user = "tpa-submit"; user = "root" lets it stay\n',
    );
    expect(status).toBe(78);
  });

  test("is refused where there is no such user or group", async () => {
    await relay.configure('user = "no-such-user"\n');
    const user = await serve();
    expect(user.stderr).toMatch(/there is no user no-such-user \(user in the configuration\)/);
    expect(user.status).toBe(78);
    await relay.configure(`user = "${name}"\ngroup = "no-such-group"\n`);
    expect((await serve()).stderr).toMatch(/there is no group no-such-group/);
  });

  test("stays root where it is told so", async () => {
    await chown(inFolder("spool"), 0, 0);
    await relay.configure('user = "root"\n');
    await relay.start();
    expect(await ids("Uid")).toEqual([0, 0, 0, 0]);
  });

  test("cannot be anybody else where another user starts it", async () => {
    const started = await run("setpriv", [
      ...["--reuid", String(uid), "--regid", String(gid), "--clear-groups"],
      ...[elsewhere.node, elsewhere.program, "serve", "--config", relay.config],
      "--check",
    ]);
    expect(started.stderr).toBe("");
    await relay.configure('user = "daemon"\n');
    const { status, stderr } = await run("setpriv", [
      ...["--reuid", String(uid), "--regid", String(gid), "--clear-groups"],
      ...[elsewhere.node, elsewhere.program, "serve", "--config", relay.config],
    ]);
    expect(stderr).toBe(
      "tpa-submit serve: user names daemon, but the relay was started as nobody; start it as root or as daemon\n",
    );
    expect(status).toBe(77);
  });

  test("is looked at as that user by the check", async () => {
    await chown(inFolder("key.pem"), 0, 0);
    const words = [elsewhere.program, "check", "--offline", "--config", relay.config];
    const { stdout, status } = await run(elsewhere.node, words);
    expect(stdout).toMatch(/^ok {7}service {6}runs as nobody \(user in the configuration\)$/m);
    expect(stdout).toMatch(/^FAILED {3}files {8}\S+key\.pem: .*by the service's user nobody/m);
    expect(status).toBe(78);
    await relay.configure('user = ""\n');
    await rm(inFolder("spool"), { recursive: true });
    const root = await run(elsewhere.node, words);
    expect(root.stdout).toMatch(
      /^FAILED {3}service {6}user: names nobody, and the relay does not run as root$/m,
    );
  });
});
