/** `tpa-submit spool downgrade`: the real program on the real disk. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { prepareRelay, program, type Relay } from "../../../demo/relay.mjs";
import { openSpool, viewSpool } from "../../../src/server/spool/spool.ts";
import { put } from "../../server/queue/test-scheduler.ts";
import { run } from "../../tools/child.mjs";

// Each of the calls starts the program anew, and a busy machine takes its time for that.
vi.setConfig({ testTimeout: 120_000 });

let relay: Relay;
let spool: string;
beforeEach(async () => {
  relay = await prepareRelay();
  spool = join(relay.folder, "spool");
});
afterEach(() => relay.stop());

const downgrade = (...words: readonly string[]) =>
  run(process.execPath, [program, "spool", "downgrade", "--config", relay.config, ...words]);

const formatNow = (): Promise<string> => readFile(join(spool, "format"), "utf8");

/** So many messages in the journal. */
async function filled(count: number): Promise<readonly string[]> {
  const opened = await openSpool(spool, Date.now, undefined, { segment: 2 ** 20, largest: 2 ** 16 });
  const ids = [];
  for (let at = 0; at < count; at += 1)
    ids.push((await put(opened, { accepted: Date.now(), due: Date.now() })).id);
  await opened.close();
  return ids;
}

test("makes files of what the journal has, once", async () => {
  const ids = await filled(3);
  expect(await formatNow()).toBe("tpa-submit spool 3\n");
  const said = await downgrade();
  expect(said).toMatchObject({
    status: 0,
    stdout: "3 messages moved out of the journal; the spool has format 2\n",
    stderr: expect.stringContaining('unless the configuration has "journal = false"'),
  });
  expect(await formatNow()).toBe("tpa-submit spool 2\n");
  expect(await readdir(spool)).not.toContain("journal");
  expect((await readdir(join(spool, "queue"))).sort()).toEqual(ids);
  expect(await downgrade("--json")).toMatchObject({ status: 0, stdout: '{"moved":0,"format":2}\n' });
});

test("keeps format 2 with a relay whose journal is off", async () => {
  const ids = await filled(1);
  await relay.configure('[spool]\ndirectory = "FOLDER/spool"\njournal = false');
  expect((await downgrade()).stderr).toBe("");
  await relay.start();
  await relay.logged(/: removed/);
  expect(await formatNow()).toBe("tpa-submit spool 2\n");
  expect(ids).toHaveLength(1);
});

test("refuses while a relay has the spool, and where there is none", async () => {
  expect(await downgrade()).toMatchObject({
    status: 66,
    stderr: expect.stringContaining("no spool is there"),
  });
  await relay.start();
  expect(await downgrade()).toMatchObject({
    status: 75,
    stderr: expect.stringMatching(/this spool is in use by process \d+/),
  });
  expect(await formatNow()).toBe("tpa-submit spool 3\n");
});

test("moves nothing where something cannot be read, until that is set aside", async () => {
  const [first = "", second = ""] = await filled(2);
  const folder = join(spool, "journal");
  const segment = (await readdir(folder)).find((name) => /-[0-9A-F]{16}$/.test(name)) ?? "";
  const octets = await readFile(join(folder, segment));
  octets[octets.indexOf("\r\n", octets.indexOf(first))] = 0x00; // in the message
  await writeFile(join(folder, segment), octets);
  const refused = await downgrade();
  expect(refused.status).toBe(65);
  expect(refused.stderr).toMatch(/is not as it was written; queue verify tells all of it/);
  expect(await formatNow()).toBe("tpa-submit spool 3\n");
  const verify = await run(process.execPath, [
    ...[program, "queue", "verify", "--config", relay.config, "--repair", "--yes"],
  ]);
  expect(verify).toMatchObject({
    status: 0,
    stdout: expect.stringContaining("repaired: set these octets aside"),
  });
  expect(await downgrade()).toMatchObject({ status: 0 });
  expect(await readdir(join(spool, "queue"))).toEqual([second]);
  const [aside = ""] = await readdir(join(spool, "damaged"));
  expect(await readFile(join(spool, "damaged", aside), "latin1")).toContain(first);
});

test("killed at any moment, and done again, it loses nothing", async () => {
  const ids = await filled(150);
  let kills = 0;
  for (let pause = 0; kills < 40; pause += 40) {
    const child = spawn(process.execPath, [program, "spool", "downgrade", "--config", relay.config], {
      stdio: "ignore",
    });
    const over = once(child, "exit");
    await Promise.race([setTimeout(pause), over]);
    child.kill("SIGKILL");
    const [status] = await over;
    expect(await (await viewSpool(spool)).ids()).toEqual(ids);
    if (status === 0) break;
    kills += 1;
  }
  expect(kills).toBeGreaterThan(0);
  expect(await downgrade()).toMatchObject({ status: 0 });
  expect(await formatNow()).toBe("tpa-submit spool 2\n");
  expect((await readdir(join(spool, "queue"))).sort()).toEqual(ids);
});
