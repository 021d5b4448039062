/**
 * Requests of operators that go to other hosts, through the database that all of them share: a row for each, and rows with
 * the answers. Only the host that has a message changes it, between two attempts. docs/several-hosts.md tells it to operators.
 */
import { errorText, exitStatus, Failure } from "../../failure.ts";
import type { Database } from "../../postgres/database.ts";
import { log, logBug } from "../log/log.ts";
import { hostStates } from "../spool/postgres/hosts.ts";
import { failedRequest } from "./failed-request.ts";
import {
  type ActionRequest,
  type ActionResult,
  type AnswerTo,
  type ControlApi,
  type ControlRequest,
  type HostSessions,
  type LoginState,
  parseRequest,
} from "./protocol.ts";
import type { SharedQueue } from "./query.ts";

/** Milliseconds in which a relay takes a request that it was told of. Our choice: it polls each second as well. */
const takenWithin = 5_000;

/** And between two of its answers: an action waits 20 seconds for an attempt that is under way. */
const answeredWithin = 30_000;

/** Between two looks where no notification comes. */
const lookEvery = 500;

/** Characters of answers that go in one row. */
const collected = 32_768;

const requestsChannel = "tpa_requests";
const answersChannel = "tpa_answers";

/** A host that did not do what it was asked. */
export class SilentPeer extends Error {
  /** Whether it may have done some of it. */
  readonly begun: boolean;

  /** `within` milliseconds it should have answered. */
  constructor(begun: boolean, within: number) {
    super(
      begun
        ? "it took the request and did not answer; whether anything was changed is not known"
        : `it did not answer within ${within / 1000} seconds; nothing was changed`,
    );
    this.begun = begun;
  }
}

/** What an open request has come to. */
interface RequestRow {
  readonly taken: boolean;
}

interface StoredAnswer {
  readonly number: number;
  readonly lines: string;
  readonly last: boolean;
}

/** Times of a host that may be silent, in milliseconds: for tests. */
export interface PeerPatience {
  readonly takenWithin: number;
  readonly answeredWithin: number;
}

const standardPatience: PeerPatience = { takenWithin, answeredWithin };

/**
 * The answers of the relay that has the lease `lease`. Throws {@link SilentPeer} where it does not answer in time, and its
 * Failure where it refuses. A request that nobody took is withdrawn before that is told.
 */
export async function* askPeer<Given extends ControlRequest>(
  database: Database,
  lease: number,
  order: Given,
  patience: PeerPatience = standardPatience,
): AsyncGenerator<AnswerTo<Given>> {
  const bell = newBell();
  let number = 0;
  const stopListening = database.listen(answersChannel, (payload) => {
    if (payload === "" || payload === String(number)) bell.ring();
  });
  try {
    const [made] = await database.query<{ readonly number: number }>(
      "INSERT INTO requests (lease, request) VALUES ($1, $2) RETURNING number",
      [lease, JSON.stringify(order)],
    );
    number = made?.number ?? 0;
    await database.query("SELECT pg_notify($1, $2)", [requestsChannel, String(lease)]);
    let until = performance.now() + patience.takenWithin;
    let after = 0;
    let taken = false;
    for (;;) {
      const rows = await database.query<StoredAnswer>(
        "SELECT number, lines, last FROM answers WHERE request = $1 AND number > $2 ORDER BY number",
        [number, after],
      );
      for (const row of rows) {
        after = row.number;
        yield* answersIn<AnswerTo<Given>>(row.lines);
        if (row.last) return;
      }
      const wasTaken: boolean = taken;
      taken ||= rows.length > 0 || (await isTaken(database, number));
      if (rows.length > 0 || taken !== wasTaken) until = performance.now() + patience.answeredWithin;
      const left = until - performance.now();
      if (left > 0) {
        await bell.rung(Math.min(left, lookEvery));
        continue;
      }
      if (taken) throw new SilentPeer(true, patience.answeredWithin);
      const withdrawn = await database.query(
        "DELETE FROM requests WHERE number = $1 AND taken IS NULL RETURNING number",
        [number],
      );
      if (withdrawn.length > 0) throw new SilentPeer(false, patience.takenWithin);
      taken = true; // in this moment
      until = performance.now() + patience.answeredWithin;
    }
  } finally {
    stopListening();
    // A request that was taken is done with whether or not anybody hears of it.
    await database.query("DELETE FROM requests WHERE number = $1", [number]).catch(() => undefined);
  }
}

async function isTaken(database: Database, number: number): Promise<boolean> {
  const [row] = await database.query<RequestRow>(
    "SELECT taken IS NOT NULL AS taken FROM requests WHERE number = $1",
    [number],
  );
  return row?.taken ?? true; // swept: it was taken long ago
}

/** Throws the Failure that is among them. */
function* answersIn<Answer>(lines: string): Generator<Answer> {
  for (const line of lines.split("\n")) {
    if (line === "") continue;
    const answer = JSON.parse(line) as Answer | { readonly failure: { status: number; message: string } };
    if (typeof answer === "object" && answer !== null && "failure" in answer)
      throw new Failure(answer.failure.status, answer.failure.message);
    yield answer as Answer;
  }
}

/** Something to wait for that may ring before anybody waits. */
function newBell() {
  let isRung = false;
  let wake = (): void => undefined;
  return {
    ring(): void {
      isRung = true;
      wake();
    },
    /** Resolves when it rings, or after so many milliseconds. */
    rung: (milliseconds: number): Promise<void> =>
      new Promise((resolve) => {
        const timer = setTimeout(done, milliseconds);
        function done(): void {
          clearTimeout(timer);
          isRung = false;
          resolve();
        }
        wake = done;
        if (isRung) done();
      }),
  };
}

/** What a relay needs to answer the others. */
export interface PeerService {
  readonly database: Database;
  /** The lease that it has now. */
  readonly lease: () => number;
  /** Its own API, which asks nobody else. */
  readonly api: ControlApi;
}

/** What another host may ask for; the rest is asked where it is. */
const answered: readonly ControlRequest["verb"][] = ["act", "active", "freeze", "login"];

/** Requests that nobody asks about any more are removed after so long. */
const sweptAfter = "1 hour";

/** Answers what other hosts ask of this one, until it is closed. */
export function answerPeers(service: PeerService): { close(): Promise<void> } {
  const { database } = service;
  const bell = newBell();
  let isOpen = true;
  const running = new Set<Promise<void>>();
  const stopListening = database.listen(requestsChannel, (payload) => {
    if (payload === "" || payload === String(service.lease())) bell.ring();
  });
  const looking = (async () => {
    for (let looks = 0; isOpen; looks += 1) {
      try {
        if (looks % 3_600 === 0)
          await database.query(`DELETE FROM requests WHERE at < now() - interval '${sweptAfter}'`);
        for (const { number, request } of await take(database, service.lease())) {
          const work = answerOne(service, number, request).finally(() => running.delete(work));
          running.add(work);
        }
      } catch (error) {
        if (!isAway(error)) logBug("requests of other hosts", error);
      }
      if (isOpen) await bell.rung(1_000);
    }
  })();
  return {
    async close() {
      isOpen = false;
      stopListening();
      bell.ring();
      await looking;
      await Promise.all(running);
    },
  };
}

/** The database is away, or says no: others tell of it. */
const isAway = (error: unknown): boolean =>
  error instanceof Failure || (typeof error === "object" && error !== null && "code" in error);

/** Takes what was asked of this lease: from here on it is done, heard or not. */
const take = (database: Database, lease: number) =>
  database.query<{ readonly number: number; readonly request: string }>(
    "UPDATE requests SET taken = now() WHERE lease = $1 AND taken IS NULL RETURNING number, request",
    [lease],
  );

/** Never rejects. */
async function answerOne({ database, api }: PeerService, number: number, request: string): Promise<void> {
  let lines = "";
  const send = async (last: boolean): Promise<void> => {
    const sent = lines;
    lines = "";
    await database.query(
      "WITH sent AS (INSERT INTO answers (request, lines, last) SELECT number, $2, $3 FROM requests WHERE number = $1) " +
        "SELECT pg_notify($4, $5)",
      [number, sent, last, answersChannel, String(number)],
    );
  };
  try {
    try {
      const asked = parseRequest(request);
      if ("wrong" in asked) throw new Failure(exitStatus.usage, `not a request: ${asked.wrong}`);
      if (!answered.includes(asked.verb))
        throw new Failure(exitStatus.usage, `${asked.verb} is not answered to other hosts`);
      for await (const one of api(asked)) {
        lines += `${JSON.stringify(one)}\n`;
        if (lines.length >= collected) await send(false);
      }
    } catch (error) {
      const failure = failedRequest(error, "a request of another host");
      lines += `${JSON.stringify({ failure })}\n`;
    }
    await send(true);
  } catch (error) {
    // Whoever asked is told that there was no answer. What was done is in this host's log.
    if (isAway(error)) log("spool-trouble", { id: "", reason: errorText(error) });
    else logBug("answers to another host", error);
  }
}

/** A relay that lives, as others see it. */
export interface LivingPeer {
  readonly lease: number;
  readonly host: string;
}

/** Who has a message. */
interface MessageOwner {
  readonly id: string;
  readonly lease: number | null;
  readonly host: string | null;
  readonly living: boolean;
}

/** The host whose operators ask. */
export interface PeersView {
  readonly database: Database;
  /** The lease of this process; undefined where it has none. */
  readonly lease: () => number | undefined;
  /** The name of this host. */
  readonly host: string;
  /** Takes over those of these that nobody has, where no other host lives that would. */
  readonly claim?: (ids: readonly string[]) => Promise<void>;
  readonly patience?: PeerPatience;
}

export const livingPeers = (database: Database): Promise<readonly LivingPeer[]> =>
  database.query<LivingPeer>(
    "SELECT number AS lease, host FROM leases WHERE NOT ended AND until > now() ORDER BY host",
  );

/** Milliseconds in which a dead host's messages are another's. Our choice: who asks waits no longer. */
const claimedWithin = 5_000;

/**
 * `own`, but what is asked about messages of other hosts goes to them, and what all of them know is merged. A host that does not answer
 * in time is named, and its messages are said to be unchanged.
 */
export function withPeers(own: ControlApi, view: PeersView): ControlApi {
  const everywhere = (order: ControlRequest): AsyncIterable<unknown> => {
    switch (order.verb) {
      case "act":
        return actOnAll(order, own, view);
      case "active":
        return activeOnAll(own, view);
      case "freeze":
        return freezeOnAll(order, own, view);
      case "login":
        return order.everywhere === true ? loginOnAll(order.login, own, view) : own(order);
      default:
        return own(order);
    }
  };
  return everywhere as ControlApi;
}

async function* actOnAll(
  order: ActionRequest,
  own: ControlApi,
  view: PeersView,
): AsyncGenerator<ActionResult> {
  const { groups, orphans } = await settledOwners([...new Set(order.ids)], view);
  const parts = groups.map(({ lease, host, ids }) =>
    lease === undefined || lease === view.lease()
      ? own({ ...order, ids })
      : actOnPeer({ ...order, ids, by: { host: view.host, ...order.by } }, lease, host, view),
  );
  yield* merged(parts);
  for (const { id, host } of orphans) {
    const whose = host === null ? "no host has it at the moment" : `it was ${host}'s, which is gone`;
    yield { id, outcome: "busy", says: `${whose}; nothing was changed, try again when another has taken it` };
  }
}

async function* actOnPeer(
  order: ActionRequest,
  lease: number,
  host: string,
  { database, patience }: PeersView,
): AsyncGenerator<ActionResult> {
  const left = new Set(order.ids);
  try {
    for await (const one of askPeer(database, lease, order, patience)) {
      left.delete(one.id);
      yield one;
    }
  } catch (error) {
    if (!(error instanceof SilentPeer) && !(error instanceof Failure)) throw error;
    const says = `${host}: ${errorText(error)}`;
    for (const id of left) yield { id, outcome: "failed", says };
  }
}

interface OwnerGroup {
  /** Undefined: in no queue, which the own API tells. */
  readonly lease: number | undefined;
  readonly host: string;
  readonly ids: string[];
}

/** Who has each of `ids`. Those that nobody living has are waited for, for as long as others take them over. */
async function settledOwners(
  ids: readonly string[],
  view: PeersView,
): Promise<{ readonly groups: readonly OwnerGroup[]; readonly orphans: readonly MessageOwner[] }> {
  const until = performance.now() + claimedWithin;
  for (;;) {
    const owners = await ownersOf(view.database, ids);
    const orphans = owners.filter(({ living }) => !living);
    if (orphans.length > 0 && performance.now() < until) {
      const isAlone = view.claim !== undefined && (await othersOf(view)).length === 0;
      if (isAlone) await view.claim(orphans.map(({ id }) => id));
      await newBell().rung(isAlone ? 1 : lookEvery);
      continue;
    }
    const groups = new Map<number | undefined, OwnerGroup>();
    const known = new Map(owners.map((owner) => [owner.id, owner]));
    for (const id of ids) {
      const owner = known.get(id);
      if (owner !== undefined && !owner.living) continue;
      const lease = owner?.lease ?? undefined;
      const group = groups.get(lease) ?? { lease, host: owner?.host ?? view.host, ids: [] };
      groups.set(lease, group);
      group.ids.push(id);
    }
    return { groups: [...groups.values()], orphans };
  }
}

const ownersOf = (database: Database, ids: readonly string[]): Promise<readonly MessageOwner[]> =>
  database.query<MessageOwner>(
    "SELECT m.id, m.lease, l.host, coalesce(NOT l.ended AND l.until > now(), false) AS living " +
      "FROM messages m LEFT JOIN leases l ON l.number = m.lease WHERE m.id = ANY($1)",
    [ids],
  );

/** The queue of all hosts, for whoever shows it on the host `own`. */
export const sharedQueue = (database: Database, own: string): SharedQueue => ({
  hosts: () => hostStates(database.query, own),
  async hostsOf(ids) {
    const rows = await database.query<{ readonly id: string; readonly host: string }>(
      "SELECT m.id, l.host FROM messages m JOIN leases l ON l.number = m.lease " +
        "WHERE m.id = ANY($1) AND NOT l.ended AND l.until > now()",
      [ids],
    );
    return new Map(rows.map(({ id, host }) => [id, host]));
  },
});

/** The messages for which some host has an attempt under way. */
export async function activeEverywhere(database: Database): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  const parts = (await livingPeers(database)).map(({ lease }) =>
    orNothing(askPeer(database, lease, { verb: "active" }, activePatience)),
  );
  for await (const { id } of merged(parts)) found.add(id);
  return found;
}

/** The other living hosts. */
async function othersOf({ database, lease }: PeersView): Promise<readonly LivingPeer[]> {
  return (await livingPeers(database)).filter((peer) => peer.lease !== lease());
}

async function* activeOnAll(own: ControlApi, view: PeersView): AsyncGenerator<{ readonly id: string }> {
  const parts = (await othersOf(view)).map(({ lease }) =>
    orNothing(askPeer(view.database, lease, { verb: "active" }, activePatience)),
  );
  yield* merged([own({ verb: "active" }), ...parts]);
}

/** Whoever lists the queue waits for it: then messages of that host count as not active. Our choice. */
const activePatience: PeerPatience = { takenWithin: 1_500, answeredWithin: 1_500 };

async function* orNothing<Item>(items: AsyncIterable<Item>): AsyncGenerator<Item> {
  try {
    yield* items;
  } catch (error) {
    if (!(error instanceof SilentPeer) && !(error instanceof Failure)) throw error;
  }
}

/** Here first: from then on the login is shut out on all hosts, as soon as each of them hears of it. */
async function* freezeOnAll(
  order: Extract<ControlRequest, { verb: "freeze" }>,
  own: ControlApi,
  view: PeersView,
): AsyncGenerator<AnswerTo<Extract<ControlRequest, { verb: "freeze" }>>> {
  const told = { ...order, by: { host: view.host, ...order.by } };
  for await (const result of own(order)) {
    let { sessions, active } = result;
    const silent: string[] = [];
    const others = await othersOf(view); // not before: a database that is away keeps nobody from freezing here
    await Promise.all(
      others.map(async ({ lease, host }) => {
        try {
          for await (const theirs of askPeer(view.database, lease, told, view.patience)) {
            sessions += theirs.sessions;
            active += theirs.active;
          }
        } catch (error) {
          if (!(error instanceof SilentPeer) && !(error instanceof Failure)) throw error;
          silent.push(host);
        }
      }),
    );
    yield { ...result, sessions, active, ...(silent.length > 0 && { silent: silent.sort() }) };
  }
}

async function* loginOnAll(login: string, own: ControlApi, view: PeersView): AsyncGenerator<LoginState> {
  for await (const state of own({ verb: "login", login })) {
    const others = await sessionsOnOthers(login, view).catch((error: unknown) => {
      if (isAway(error)) return []; // who asks cannot read the queue either, and is told so
      throw error;
    });
    if (others.length === 0) {
      yield state;
      continue;
    }
    const hosts = [{ host: view.host, sessions: state.sessions }, ...others];
    const sessions = hosts.reduce((sum, one) => sum + (one.sessions ?? 0), 0);
    yield { ...state, sessions, hosts: hosts.sort((one, other) => (one.host < other.host ? -1 : 1)) };
  }
}

/** Throws as a query does. */
export async function sessionsOnOthers(login: string, view: PeersView): Promise<readonly HostSessions[]> {
  const { database, patience } = view;
  return Promise.all(
    (await othersOf(view)).map(async ({ lease, host }): Promise<HostSessions> => {
      try {
        for await (const { sessions } of askPeer(database, lease, { verb: "login", login }, patience))
          return { host, sessions };
      } catch (error) {
        if (!(error instanceof SilentPeer) && !(error instanceof Failure)) throw error;
      }
      return { host, sessions: null };
    }),
  );
}

/** The items of all `sources`, as they come. */
async function* merged<Item>(sources: readonly AsyncIterable<Item>[]): AsyncGenerator<Item> {
  const iterators = sources.map((source) => source[Symbol.asyncIterator]());
  const next = async (iterator: AsyncIterator<Item>) => ({ iterator, result: await iterator.next() });
  const waiting = new Map(iterators.map((iterator) => [iterator, next(iterator)]));
  try {
    while (waiting.size > 0) {
      const { iterator, result } = await Promise.race(waiting.values());
      if (result.done === true) waiting.delete(iterator);
      else {
        waiting.set(iterator, next(iterator));
        yield result.value;
      }
    }
  } finally {
    for (const one of waiting.values()) one.catch(() => undefined);
    for (const iterator of waiting.keys()) await iterator.return?.(undefined);
  }
}
