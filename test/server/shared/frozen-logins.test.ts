/** A login that is frozen on one host is frozen on all. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Failure } from "../../../src/failure.ts";
import type { Database } from "../../../src/postgres/database.ts";
import type { FreezeFollower } from "../../../src/server/control/actions.ts";
import { openSharedFrozenLogins, type SharedFrozenLogins } from "../../../src/server/shared/frozen-logins.ts";
import { real } from "../../tools/real.ts";
import { eventually, sharedDatabases } from "./databases.ts";

const freeze = { login: "anna", at: 1_795_000_000_000, by: "root", reason: "sent spam" };

const noting = (
  changes: unknown[],
  settle: FreezeFollower["settle"] = async () => undefined,
): FreezeFollower => ({
  changed: (login, frozen) => void changes.push([login, frozen]),
  settle,
});

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "tpa-shared-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe.skipIf(!real("postgresql"))("a login that one host freezes", () => {
  const databases = sharedDatabases();

  const open = async (database: Database, name: string): Promise<SharedFrozenLogins> =>
    databases.open(await openSharedFrozenLogins(database, join(folder, name)));

  test("is frozen on the others by a NOTIFY, each of which hears of it once, and so it thaws", async () => {
    const url = await databases.make();
    const [one, other] = [
      await open(await databases.connect(url), "a"),
      await open(await databases.connect(url), "b"),
    ];
    const here: unknown[] = [];
    const there: unknown[] = [];
    one.follow(noting(here));
    other.follow(noting(there));
    const began = performance.now();
    await one.freeze(freeze);
    await eventually(() => other.of("anna") !== undefined);
    expect(performance.now() - began).toBeLessThan(5_000); // milliseconds, on a machine that does nothing else
    expect(other.of("anna")).toEqual(freeze);
    expect(await other.thaw("anna")).toBe(true);
    await eventually(() => one.of("anna") === undefined);
    await other.look();
    await one.look();
    expect(there).toEqual([["anna", freeze]]);
    expect(here).toEqual([["anna", undefined]]);
  });

  test("is frozen on the others without a NOTIFY, too", async () => {
    const url = await databases.make();
    const database = await databases.connect(url);
    const deaf = { ...database, listen: () => () => undefined };
    const [one, other] = [await open(await databases.connect(url), "a"), await open(deaf, "b")];
    const heard: unknown[] = [];
    other.follow(noting(heard));
    await one.freeze(freeze);
    await eventually(() => heard.length > 0);
    expect(heard).toEqual([["anna", freeze]]);
  });

  test("has its messages looked at again until that succeeds, and meanwhile its sessions have ended", async () => {
    const url = await databases.make();
    const [one, other] = [
      await open(await databases.connect(url), "a"),
      await open(await databases.connect(url), "b"),
    ];
    const changes: unknown[] = [];
    const settled: string[][] = [];
    other.follow(
      noting(changes, async (logins) => {
        settled.push([...logins]);
        if (settled.length === 1) throw Object.assign(new Error("away"), { code: "ESTOREAWAY" });
      }),
    );
    await one.freeze(freeze);
    await eventually(() => settled.length === 2);
    expect(settled).toEqual([["anna"], ["anna"]]);
    expect(changes).toEqual([["anna", freeze]]);
  });

  test("is frozen on this one at once where the database is away, over a restart, and on all when it is back", async () => {
    const url = await databases.make();
    const database = await databases.connect(url);
    const here = await open(database, "a");
    here.follow(noting([]));
    await databases.cluster().stop("immediate");
    try {
      await eventually(() => !database.isThere());
      const failure: unknown = await here.freeze(freeze).catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(Failure);
      expect(String(failure)).toMatch(
        /^Failure: anna is frozen on this host, on the others not yet: the database is away: .*; they are told when it is back$/,
      );
      expect(here.of("anna")).toEqual(freeze);
      expect(here.hereOnly()).toEqual([freeze]);
      expect(await readFile(join(folder, "a"), "utf8")).toBe(`${JSON.stringify(freeze)}\n`);
      await expect(here.thaw("anna")).rejects.toThrow(/^anna stays frozen: the database is away: /);
      expect(here.of("anna")).toEqual(freeze);
      await expect(here.thaw("bert")).rejects.toThrow(Failure);
    } finally {
      await databases.cluster().start();
    }
    const other = await open(await databases.connect(url), "b");
    await eventually(async () => {
      await other.look();
      return other.of("anna") !== undefined;
    });
    expect(other.all()).toEqual([freeze]);
    await eventually(async () => (await readFile(join(folder, "a"), "utf8")) === "");
    expect(here.hereOnly()).toEqual([]);
    expect(await here.thaw("anna")).toBe(true);
    expect(here.of("anna")).toBeUndefined();
  });

  test("is told to the others by the next start where this host ended before the database was back", async () => {
    const url = await databases.make();
    const database = await databases.connect(url);
    const away = {
      ...database,
      transaction: () =>
        Promise.reject(Object.assign(new Error("the database is away: test"), { code: "ESTOREAWAY" })),
    };
    const first = await open(away, "a");
    await expect(first.freeze(freeze)).rejects.toThrow(Failure);
    const second = await open(database, "a");
    expect(second.of("anna")).toEqual(freeze);
    second.follow(noting([]));
    const other = await open(await databases.connect(url), "b");
    await eventually(async () => {
      await other.look();
      return other.of("anna") !== undefined;
    });
    await eventually(async () => (await readFile(join(folder, "a"), "utf8")) === "");
  });

  test("does not thaw by a look that began before it was frozen", async () => {
    const url = await databases.make();
    const database = await databases.connect(url);
    let gate = Promise.resolve();
    const slow: Database = {
      ...database,
      async query<Row>(text: string, values?: readonly unknown[]) {
        const rows = await database.query<Row>(text, values);
        await gate;
        return rows;
      },
    };
    const here = await open(slow, "a");
    let release = (): void => undefined;
    gate = new Promise((resolve) => {
      release = resolve;
    });
    const looking = here.look();
    await here.freeze(freeze);
    release();
    await looking;
    expect(here.of("anna")).toEqual(freeze);
  });

  test("lets no relay start that cannot know who is frozen", async () => {
    const database = await databases.connect(await databases.make());
    await database.query("DROP TABLE frozen");
    await expect(open(database, "a")).rejects.toThrow(/^the frozen logins cannot be read: /);
  });
});
