/** Root makes the keys, and the service's user can read them. */
import { rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { prepareRelay, program } from "../../../demo/relay.mjs";
import { asRoot } from "../../tools/as-root.ts";
import { run, runWell } from "../../tools/child.mjs";

test.skipIf(!asRoot("dkim new as root"))(
  "the keys are root's and open to the service's group alone",
  async () => {
    const relay = await prepareRelay('user = "nobody"\n[dkim]\nfolder = "FOLDER/keys"');
    onTestFinished(() => relay.stop());
    const group = Number((await runWell("id", ["-g", "nobody"])).trim());
    const ended = await run("sh", [
      "-c",
      `umask 077; exec "$0" "$1" dkim new example.net --config "$2"`,
      process.execPath,
      program,
      relay.config,
    ]);
    expect([ended.status, ended.stderr]).toEqual([0, ""]);
    const folders = ["keys", "keys/example.net"];
    const files = [...ended.stdout.matchAll(/^made (.*)$/gm)].map(([, path = ""]) => path);
    expect(files).toHaveLength(2);
    for (const path of folders.map((name) => join(relay.folder, name))) {
      const { mode, uid, gid } = await stat(path);
      expect([mode & 0o777, uid, gid]).toEqual([0o750, 0, group]);
    }
    for (const path of files) {
      const { mode, uid, gid } = await stat(path);
      expect([mode & 0o777, uid, gid]).toEqual([0o640, 0, group]);
    }
  },
);

test("a folder that cannot be written is told of in one line", async () => {
  const relay = await prepareRelay('[dkim]\nfolder = "/proc/keys"');
  onTestFinished(() => relay.stop());
  const ended = await run(process.execPath, [program, "dkim", "new", "--config", relay.config]);
  expect([ended.status, ended.stdout]).toEqual([73, ""]);
  expect(ended.stderr).toMatch(/^tpa-submit dkim: \/proc\/keys: [^\n]*; nothing more was changed\n$/);
});

test("a run that was killed between the two keys is completed by the next", async () => {
  const relay = await prepareRelay('[dkim]\nfolder = "FOLDER/keys"');
  onTestFinished(() => relay.stop());
  const make = () => run(process.execPath, [program, "dkim", "new", "--config", relay.config]);
  const made = ({ stdout }: { readonly stdout: string }): readonly string[] =>
    [...stdout.matchAll(/^made (.*)$/gm)].map(([, path = ""]) => path);
  const [rsa = "", ed25519 = ""] = made(await make());
  await rm(ed25519);
  const again = made(await make());
  expect(again).toEqual([expect.stringMatching(/-ed25519\.ed25519\.pem\.new$/)]);
  expect((await stat(rsa)).size).toBeGreaterThan(1_000);
  expect((await make()).status).toBe(73);
});
