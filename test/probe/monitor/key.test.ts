/** The key that signs probes: made once, however many begin at the same moment. */
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openRoundDependencies } from "../../../src/commands/probe/monitor/routes.ts";
import { type Probes, parseProbes } from "../../../src/config/probes-file.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "probe-key-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

function probes(): Probes {
  const source = `directory = "${folder}"\nkey = "${folder}/keys/key"\n[submission]\nserver = "smtp://127.0.0.1:1"\nfrom = "a@example.org"\n[[route]]\nname = "x"\nto = "b@example.net"\narrive = "maildir:/nowhere"\n`;
  const reading = parseProbes(source, "probes.toml");
  if ("mistakes" in reading) throw new Error(reading.mistakes.join("\n"));
  return reading.config;
}

test("ten that begin together have one key, which nobody else may read", async () => {
  const stations = await Promise.all(Array.from({ length: 10 }, () => openRoundDependencies(probes())));
  const keys = new Set(stations.map(({ key }) => Buffer.from(key).toString()));
  expect(keys.size).toBe(1);
  expect(await readdir(join(folder, "keys"))).toEqual(["key"]);
  expect((await stat(join(folder, "keys", "key"))).mode & 0o777).toBe(0o600);
  expect([...keys]).toEqual([await readFile(join(folder, "keys", "key"), "utf8")]);
});

test("one that is too short is told, and not replaced", async () => {
  await openRoundDependencies(probes());
  await writeFile(join(folder, "keys", "key"), "short");
  await expect(openRoundDependencies(probes())).rejects.toThrow(
    /keys\/key: expected 32 octets or more, found 5; remove it/,
  );
});
