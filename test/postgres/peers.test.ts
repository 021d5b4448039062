/** Requests of one host's operators to another host, through a real database. */
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Failure } from "../../src/failure.ts";
import { type Database, openDatabase } from "../../src/postgres/database.ts";
import { answerPeers, askPeer, SilentPeer, withPeers } from "../../src/server/control/peers.ts";
import type { ActionRequest, ActionResult, ControlApi } from "../../src/server/control/protocol.ts";
import { real } from "../tools/real.ts";
import { accessOf, type Cluster, startCluster } from "./cluster.ts";

vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 });

const [first, second, third] = ["65D3997B8000", "65D3997B8001", "65D3997B8002"] as const;
const by = { name: "root", uid: 0 };
const order = (...ids: readonly string[]): ActionRequest => ({
  verb: "act",
  action: "hold",
  ids,
  reason: "",
  relay: "",
  by,
});
const quick = { takenWithin: 300, answeredWithin: 600 };

describe.skipIf(!real("postgresql"))("with PostgreSQL", () => {
  let started: Promise<Cluster> | undefined;
  const cluster = (): Promise<Cluster> => (started ??= startCluster());
  afterAll(async () => (await started)?.close());

  let database: Database;
  let services: { close(): Promise<void> }[] = [];
  beforeEach(async () => {
    database = await openDatabase(await accessOf(await (await cluster()).database()), "tests");
    services = [];
  });
  afterEach(async () => {
    await Promise.all(services.map((service) => service.close()));
    await database.close();
  });

  async function lease(host: string, seconds = 60): Promise<number> {
    const [row] = await database.query<{ number: number }>(
      `INSERT INTO leases (host, owner, until, seen, version)
       VALUES ($1, $1, now() + $2 * interval '1 s', now(), '1') RETURNING number`,
      [host, seconds],
    );
    return row?.number ?? 0;
  }

  const give = (id: string, to: number | null): Promise<unknown> =>
    database.query(
      "INSERT INTO messages (id, lease, due, envelope, size) VALUES ($1, $2, 0, '', 0) ON CONFLICT (id) DO UPDATE SET lease = $2",
      [id, to],
    );

  /** A relay that says "done" of everything, in the name of `host`; `asked` is told of each request. */
  function api(host: string, asked: (request: unknown) => void = () => undefined): ControlApi {
    return async function* (request: { readonly verb: string; readonly ids?: readonly string[] }) {
      asked(request);
      if (request.verb === "active") yield { id: host === "mail1" ? first : second };
      if (request.verb === "login")
        yield { login: "user1", unheardOf: "", sessions: 2, limits: [], blocks: [] };
      if (request.verb === "freeze") yield { login: "user1", sessions: 2, active: 1, held: 3 };
      for (const id of request.ids ?? []) yield { id, outcome: "done", says: host };
    } as unknown as ControlApi;
  }

  function serve(host: string, number: number, asked?: (request: unknown) => void): void {
    services.push(answerPeers({ database, lease: () => number, api: api(host, asked) }));
  }

  const open = async () =>
    (await database.query<{ count: number }>("SELECT count(*) FROM requests"))[0]?.count;

  async function all<Item>(items: AsyncIterable<Item>): Promise<readonly Item[]> {
    const found: Item[] = [];
    for await (const one of items) found.push(one);
    return found;
  }

  const sorted = (results: readonly ActionResult[]): readonly ActionResult[] =>
    [...results].sort((one, other) => (one.id < other.id ? -1 : 1));

  test("each message is changed by the host that has it, and the answers are one", async () => {
    const [one, two] = [await lease("mail1"), await lease("mail2")];
    await give(first, one);
    await give(second, two);
    const asked: unknown[] = [];
    serve("mail2", two, (request) => asked.push(request));
    const here = withPeers(api("mail1"), { database, lease: () => one, host: "mail1" });
    expect(sorted(await all(here(order(first, second, third))))).toEqual([
      { id: first, outcome: "done", says: "mail1" },
      { id: second, outcome: "done", says: "mail2" },
      { id: third, outcome: "done", says: "mail1" }, // in no queue, which the own relay tells
    ]);
    expect(asked).toEqual([{ ...order(second), by: { ...by, host: "mail1" } }]);
    expect(await open()).toBe(0);
  });

  test("a host that does not answer is named, and its request is withdrawn before that is told", async () => {
    const [one, two] = [await lease("mail1"), await lease("mail2")];
    await give(first, one);
    await give(second, two);
    const here = withPeers(api("mail1"), { database, lease: () => one, host: "mail1", patience: quick });
    expect(sorted(await all(here(order(first, second))))).toEqual([
      { id: first, outcome: "done", says: "mail1" },
      {
        id: second,
        outcome: "failed",
        says: "mail2: it did not answer within 0.3 seconds; nothing was changed",
      },
    ]);
    const asked: unknown[] = [];
    serve("mail2", two, (request) => asked.push(request));
    expect(await open()).toBe(0);
    await all(here(order(second))); // it has looked by then
    expect(asked).toHaveLength(1);
  });

  test("a host that took the request and went away is not said to have changed nothing", async () => {
    const two = await lease("mail2");
    const asking = all(askPeer(database, two, order(second), quick));
    const failed = asking.catch((error: unknown) => error);
    for (let taken = 0; taken === 0; )
      taken = (await database.query("UPDATE requests SET taken = now() RETURNING number")).length;
    expect(await failed).toMatchObject({ begun: true });
    expect(await failed).toBeInstanceOf(SilentPeer);
    expect(await open()).toBe(0);
  });

  test("messages of a host that is gone are waited for, until another has them", async () => {
    const [one, two] = [await lease("mail1"), await lease("mail2", -1)];
    await give(first, two);
    const here = withPeers(api("mail1"), { database, lease: () => one, host: "mail1" });
    const answer = all(here(order(first)));
    setTimeout(() => void give(first, one), 700);
    expect(await answer).toEqual([{ id: first, outcome: "done", says: "mail1" }]);
    await give(second, two);
    await give(third, null);
    expect(sorted(await all(here(order(second, third))))).toEqual([
      {
        id: second,
        outcome: "busy",
        says: "it was mail2's, which is gone; nothing was changed, try again when another has taken it",
      },
      {
        id: third,
        outcome: "busy",
        says: "no host has it at the moment; nothing was changed, try again when another has taken it",
      },
    ]);
  });

  test("what a host refuses is told as its own words", async () => {
    const two = await lease("mail2");
    const refusing = async function* () {
      yield* [];
      throw new Failure(75, "not now");
    } as unknown as ControlApi;
    services.push(answerPeers({ database, lease: () => two, api: refusing }));
    await expect(all(askPeer(database, two, order(second)))).rejects.toThrow(new Failure(75, "not now"));
    await expect(all(askPeer(database, two, { verb: "verify", repair: true, by }))).rejects.toThrow(
      "verify is not answered to other hosts",
    );
  });

  test("answers of any number come whole and in order", async () => {
    const two = await lease("mail2");
    const ids = Array.from({ length: 5_000 }, (_, at) => (0x65d3997b8000 + at).toString(16).toUpperCase());
    serve("mail2", two);
    const results = await all(askPeer(database, two, order(...ids)));
    expect(results.map(({ id }) => id)).toEqual(ids);
  });

  test("the sessions of a login are told host by host, and which host is silent, where that is asked for", async () => {
    const [one, two] = [await lease("mail1"), await lease("mail2")];
    const here = withPeers(api("mail1"), { database, lease: () => one, host: "mail1", patience: quick });
    const asked = { verb: "login", login: "user1", everywhere: true } as const;
    const requests: unknown[] = [];
    serve("mail2", two, (request) => requests.push(request));
    const state = { login: "user1", unheardOf: "", limits: [], blocks: [] };
    const both = [
      { host: "mail1", sessions: 2 },
      { host: "mail2", sessions: 2 },
    ];
    expect(await all(here(asked))).toEqual([{ ...state, sessions: 4, hosts: both }]);
    expect(requests).toEqual([{ verb: "login", login: "user1" }]);
    await lease("mail3");
    expect(await all(here(asked))).toEqual([
      { ...state, sessions: 4, hosts: [...both, { host: "mail3", sessions: null }] },
    ]);
    expect(await all(here({ verb: "login", login: "user1" }))).toEqual([{ ...state, sessions: 2 }]);
    await database.query("UPDATE leases SET ended = true WHERE number <> $1", [one]);
    expect(await all(here(asked))).toEqual([{ ...state, sessions: 2 }]);
    expect(await open()).toBe(0);
  });

  test("what is active, and whose sessions end, is asked of all", async () => {
    const [one, two, silent] = [await lease("mail1"), await lease("mail2"), await lease("mail3")];
    serve("mail2", two);
    const here = withPeers(api("mail1"), { database, lease: () => one, host: "mail1", patience: quick });
    expect((await all(here({ verb: "active" }))).map(({ id }) => id).sort()).toEqual([first, second]);
    expect(await all(here({ verb: "freeze", login: "user1", reason: "", by }))).toMatchObject([
      { sessions: 4, active: 2, held: 3, silent: ["mail3"] },
    ]);
    expect(silent).toBeGreaterThan(two);
  });
});
