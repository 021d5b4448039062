/** `tpa-submit spool migrate` and what `check` says of a database: the real program and Debian's PostgreSQL. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { prepareRelay, program, type Relay } from "../../demo/relay.mjs";
import { format, migrations } from "../../src/postgres/migrations.ts";
import { check, expectFinding } from "../commands/check/checked.ts";
import { run } from "../tools/child.mjs";
import { real } from "../tools/real.ts";
import { type Cluster, startCluster } from "./cluster.ts";

// Each of the calls starts the program anew, and a busy machine takes its time for that.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

describe.skipIf(!real("postgresql"))("with PostgreSQL", () => {
  let started: Promise<Cluster> | undefined;
  const cluster = (): Promise<Cluster> => (started ??= startCluster());
  afterAll(async () => (await started)?.close());

  let relay: Relay;
  beforeEach(async () => {
    relay = await prepareRelay();
  });
  afterEach(() => relay.stop());

  const useStore = (url: string, more = ""): Promise<void> =>
    relay.configure(`[spool]\ndirectory = "FOLDER/spool"\nstore = "${url}"\n${more}`);

  const migrate = (...words: readonly string[]) =>
    run(process.execPath, [program, "spool", "migrate", "--config", relay.config, ...words]);

  const databaseIn = (url: string): string => /\/(\w+)\?/.exec(url)?.[1] ?? "";

  test("makes the tables step by step, says which, and has nothing to do then", async () => {
    const url = await (await cluster()).database("empty");
    await useStore(url);
    const steps = migrations.map(({ number, name }) => `  ${number} ${name}\n`).join("");
    expect(await migrate("--check")).toEqual({
      status: 75,
      stdout: `${url}: has no tables of tpa-submit, and needs\n${steps}tpa-submit spool migrate makes them\n`,
      stderr: "",
    });
    expect(await migrate()).toEqual({
      status: 0,
      stdout: `${url}: has no tables of tpa-submit\n${steps}${url}: has format ${format} now\n`,
      stderr: "",
    });
    expect(await migrate("--check")).toMatchObject({
      status: 0,
      stdout: `${url}: has format ${format}, nothing to do\n`,
    });
    expect(JSON.parse((await migrate("--json")).stdout)).toEqual({
      database: url,
      before: format,
      now: format,
      steps: [],
    });
  });

  test("is done once by two at the same time", async () => {
    const server = await cluster();
    const url = await server.database("empty");
    await useStore(url);
    const both = await Promise.all([migrate("--json"), migrate("--json")]);
    expect(both.map(({ status }) => status)).toEqual([0, 0]);
    const steps = both.flatMap(({ stdout }) => (JSON.parse(stdout) as { steps: string[] }).steps);
    expect(steps.sort()).toEqual(migrations.map(({ name }) => name).sort());
    expect(await server.sql("SELECT version FROM tpa_format", databaseIn(url))).toBe(String(format));
  });

  test("leaves a later database alone, and so does serve", async () => {
    const server = await cluster();
    const url = await server.database();
    await useStore(url);
    await server.sql(`UPDATE tpa_format SET version = ${format + 1}`, databaseIn(url));
    const refusal = `the database has format ${format + 1}, this program works with ${format}; `;
    expect(await migrate()).toMatchObject({
      status: 78,
      stdout: "",
      stderr: expect.stringContaining(refusal),
    });
    const serve = await run(process.execPath, [program, "serve", "--config", relay.config]);
    expect(serve).toMatchObject({ status: 78, stderr: expect.stringContaining(refusal) });
    expectFinding(
      await check(relay, []),
      ["store", "failed", new RegExp(refusal.split(";")[0] ?? "")],
      relay,
    );
  });

  test("names the database that is not there, without a word of a password", async () => {
    await useStore(
      "postgresql://tpa@127.0.0.1:9/tpa?sslmode=disable",
      'store-password-file = "FOLDER/secret"',
    );
    await writeFile(join(relay.folder, "secret"), "not-for-logs\n");
    const said = await migrate();
    expect(said).toMatchObject({ status: 75, stdout: "" });
    expect(said.stderr).toMatch(/^tpa-submit spool: the database is away: 127\.0\.0\.1:9: .*\n$/);
    expect(said.stderr).not.toContain("not-for-logs");
  });

  test("is offered by init, which makes nothing without a yes, and leaves a later database alone", async () => {
    const server = await cluster();
    const url = await server.database("empty");
    await useStore(url);
    const init = (...words: readonly string[]) =>
      run(process.execPath, [
        program,
        "init",
        "--config",
        relay.config,
        "--user",
        "root",
        "--offline",
        ...words,
      ]);
    const steps = migrations.map(({ number, name }) => `  ${number} ${name}\n`).join("");
    await mkdir(join(relay.folder, "spool"), { mode: 0o700 }); // so that there is nothing else to do
    const unasked = await init();
    expect(unasked.stdout).toContain(`${url}: has no tables of tpa-submit, and needs\n${steps}`);
    expect(unasked.stdout).toContain(
      "The tables of the database are not made: there is no terminal to ask on",
    );
    expect(await server.sql("SELECT to_regclass('tpa_format')", databaseIn(url))).toBe("");
    expect((await init("--yes")).stdout).toContain(`${steps}${url}: has format ${format} now\n`);
    expect(await server.sql("SELECT version FROM tpa_format", databaseIn(url))).toBe(String(format));
    expect((await init("--yes")).stdout).not.toContain("tables of tpa-submit");
    await server.sql(`UPDATE tpa_format SET version = ${format + 1}`, databaseIn(url));
    expect((await init("--yes")).stdout).toContain(
      `The tables of the database are not made: the database has format ${format + 1}, this program works with ${format}; `,
    );
  });

  test("wants a database in the configuration", async () => {
    expect(await migrate()).toMatchObject({
      status: 78,
      stderr: expect.stringContaining("store of [spool] names no database"),
    });
  });

  test("check tells what a database lacks, and how safe a promise in it is", async () => {
    const server = await cluster();
    await useStore(await server.database("empty"));
    expectFinding(await check(relay, []), ["store", "failed", /has no tables of this program/], relay);
    const url = await server.database();
    await useStore(url);
    const found = await check(relay, []);
    expectFinding(found, ["store", "ok", /answers: PostgreSQL \d+/], relay);
    expectFinding(found, ["store", "ok", /its tables have format \d+, and can be used/], relay);
    expectFinding(found, ["store", "failed", /fsync is off: a power cut loses messages/], relay);
    expectFinding(found, ["store", "ok", /its clock and this host's agree/], relay);
    expectFinding(found, ["store", "ok", /gets a mark for its queue IDs at its first start/], relay);
    await server.sql("REVOKE INSERT ON messages FROM tpa", databaseIn(url));
    expectFinding(await check(relay, []), ["store", "failed", /no right to read and change messages/], relay);
    await server.sql("INSERT INTO hosts VALUES ('other.example.org', 'A')", databaseIn(url));
    await useStore(url, 'host-mark = "A"');
    expectFinding(
      await check(relay, []),
      ["store", "failed", /host-mark A is that of other\.example\.org/],
      relay,
    );
  });
});
