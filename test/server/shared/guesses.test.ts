/** Wrong passwords at one host count at the others. */
import { beforeEach, describe, expect, test } from "vitest";
import type { Database } from "../../../src/postgres/database.ts";
import { forgetGuesses, openSharedRateLimiter } from "../../../src/server/shared/guesses.ts";
import { newNetworkSeal } from "../../../src/server/shared/sealed-network.ts";
import { real } from "../../tools/real.ts";
import { eventually, sharedDatabases } from "./databases.ts";

const address = "192.0.2.1";
const anna = { login: "anna", address };

test("a network is sealed the same way each time, and opened with the same key alone", () => {
  const seal = newNetworkSeal(Buffer.alloc(32, 1));
  const sealed = seal.seal("2001:db8:1:2::/64");
  expect(sealed).toBe(seal.seal("2001:db8:1:2::/64"));
  expect(sealed).not.toBe(seal.seal("2001:db8:1:3::/64"));
  expect(Buffer.from(sealed, "base64url").toString("latin1")).not.toContain("2001");
  expect(seal.open(sealed)).toBe("2001:db8:1:2::/64");
  expect(newNetworkSeal(Buffer.alloc(32, 2)).open(sealed)).toBeUndefined();
  for (const broken of ["", "AAAA", sealed.slice(0, -2), `A${sealed.slice(1)}`])
    expect(seal.open(broken)).toBeUndefined();
});

describe.skipIf(!real("postgresql"))("wrong passwords at one host", () => {
  const databases = sharedDatabases();
  let url = "";
  beforeEach(async () => {
    url = await databases.make();
  });

  const open = async (database: Database) => databases.open(await openSharedRateLimiter(database, Date.now));
  const openOn = async () => open(await databases.connect(url));

  test("block the login from there at the others, which name the network, and so does a right one there unblock", async () => {
    const [one, other, third] = [await openOn(), await openOn(), await openOn()];
    for (let guess = 0; guess < 5; guess++) one.limiter.failed(anna, `one ${guess}`);
    for (let guess = 0; guess < 5; guess++) other.limiter.failed(anna, `other ${guess}`);
    expect(one.limiter.blockedUntil(anna)).toBeUndefined();
    await eventually(() =>
      [one, other, third].every(({ limiter }) => limiter.blockedUntil(anna) !== undefined),
    );
    expect(third.limiter.blocksOf("anna")).toEqual([
      { network: address, until: expect.any(Number), wrong: 10 },
    ]);
    expect(third.limiter.blockedUntil({ login: "anna", address: "198.51.100.7" })).toBeUndefined();
    expect(third.limiter.unblock({ login: "anna" })).toBe(1);
    await eventually(() => [one, other].every(({ limiter }) => limiter.blockedUntil(anna) === undefined));
  });

  test("are the same guess where the password is the same, and no guess any more where it turned out right", async () => {
    const [one, other] = [await openOn(), await openOn()];
    for (let time = 0; time < 12; time++) one.limiter.failed(anna, "the old one");
    await one.exchange();
    await other.exchange();
    expect(other.limiter.blockedUntil(anna)).toBeUndefined();
    for (let time = 0; time < 40; time++) other.limiter.failed(anna, "the old one");
    expect(other.limiter.blockedUntil(anna, "the old one")).toBeDefined(); // its budget for repeats is empty
    expect(other.limiter.blockedUntil(anna, "another")).toBeUndefined();
    for (let guess = 0; guess < 8; guess++) one.limiter.failed(anna, `${guess}`);
    one.limiter.succeeded(anna, "right");
    await one.exchange();
    await other.exchange();
    for (let guess = 0; guess < 9; guess++) other.limiter.failed(anna, `more ${guess}`);
    expect(other.limiter.blockedUntil(anna, "another")).toBeUndefined();
  });

  test("do not shut an owner out at a network from which they have authenticated at another host", async () => {
    const [one, other] = [await openOn(), await openOn()];
    one.limiter.succeeded(anna, "right");
    await one.exchange();
    await other.exchange();
    for (let guess = 0; guess < 60; guess++) other.limiter.failed({ login: `nobody${guess}`, address }, "x");
    expect(other.limiter.blockedUntil({ login: "bert", address })).toBeDefined();
    expect(other.limiter.blockedUntil(anna)).toBeUndefined();
  });

  test("are known after a restart of a host, with their age, and counted once", async () => {
    const database = await databases.connect(url);
    const first = await open(database);
    for (let guess = 0; guess < 10; guess++) first.limiter.failed(anna, `${guess}`);
    await first.exchange();
    await first.exchange();
    await first.close();
    const second = await openOn();
    const [block] = second.limiter.blocksOf("anna");
    expect(block?.wrong).toBe(10);
    await database.query(
      "UPDATE guesses SET at = at - interval '90 minutes', changed = pg_current_xact_id()",
    );
    await second.exchange();
    expect(second.limiter.blocksOf("anna")[0]?.wrong).toBe(10);
    const third = await openOn();
    expect(third.limiter.blockedUntil(anna)).toBeUndefined();
  });

  test("are in the database as digests: no login, no password, no address", async () => {
    const host = await openOn();
    host.limiter.failed(anna, "Tr0ub4dor&3");
    host.limiter.succeeded({ login: "bert", address: "2001:db8::7" }, "Correct Horse");
    host.limiter.unblock({ login: "carla" });
    host.limiter.unblock({ address: "192.0.2.99" });
    await host.exchange();
    const name = /\/(\w+)\?/.exec(url)?.[1] ?? "";
    const dump = await databases.cluster().sql("SELECT * FROM guesses", name);
    expect(dump.split("\n")).toHaveLength(4);
    expect(dump).not.toMatch(/anna|bert|carla|192\.0\.2|2001:db8|Tr0ub|Horse/);
  });

  test("are told when the database is back, as many as are worth it, and no login waits meanwhile", async () => {
    const [here, there] = [await openOn(), await openOn()];
    await databases.cluster().stop("immediate");
    try {
      for (let guess = 0; guess < 10; guess++) here.limiter.failed(anna, `${guess}`);
    } finally {
      await databases.cluster().start();
    }
    await eventually(() => there.limiter.blockedUntil(anna) !== undefined);
  });

  test("by the hundred thousand fill neither the table nor a host, nor hide an unblock", async () => {
    const database = await databases.connect(url);
    let isThere = false;
    const away: Database = { ...database, isThere: () => isThere };
    const here = await open(away);
    for (let guess = 0; guess < 100_000; guess++)
      here.limiter.failed(
        { login: `l${guess}`, address: `10.${guess >> 16}.${(guess >> 8) & 255}.${guess & 255}` },
        "x",
      );
    here.limiter.unblock({ login: "anna" });
    isThere = true;
    for (let round = 0; round < 20; round++) await here.exchange();
    const [rows] = await database.query<{ all: number; unblocked: number }>(
      "SELECT count(*) AS all, count(*) FILTER (WHERE kind = 'login-unblocked') AS unblocked FROM guesses",
    );
    expect(rows).toEqual({ all: 5_001, unblocked: 1 });
    await database.query("UPDATE guesses SET at = at - interval '2 days' WHERE number <= 1000");
    await Promise.all([
      forgetGuesses(database, 3_000),
      forgetGuesses(database, 3_000),
      forgetGuesses(database, 3_000),
    ]);
    await forgetGuesses(database, 3_000);
    const [left] = await database.query<{ all: number }>("SELECT count(*) AS all FROM guesses");
    expect(left?.all).toBeLessThanOrEqual(3_000);
    expect(left?.all).toBeGreaterThan(1_000);
  });
});
