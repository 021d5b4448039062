/**
 * All that a host changes in the database, in transactions of its own: what waits when one begins is in it, and the next one
 * has what came meanwhile, so that many sessions share one commit. A promise is made where the transaction has been answered.
 *
 * While the database is away, everything waits for it: a failover is a pause of seconds. Promises give up sooner than what
 * became of deliveries, since clients wait for them.
 */
import { setTimeout as pause } from "node:timers/promises";
import { errorCode, errorText } from "../../../failure.ts";
import { type Database, DatabaseAway, type Query } from "../../../postgres/database.ts";
import { cutHistory, formatHistory, type History, mostLines, parseHistory } from "../history.ts";
import type { Spend, SpendRefusal } from "../spend.ts";
import type { RecordOutcome } from "../spool.ts";
import { type BodyRow, bodyInsert, draftRemoval } from "./bodies.ts";
import { type Lease, LeaseEnded, mustStand } from "./lease.ts";
import { patiently, promisePatience } from "./patience.ts";

/** A message that is to be promised. */
export interface PromiseRequest {
  readonly id: string;
  /** A line of JSON, as in the journal. */
  readonly envelope: string;
  readonly due: number;
  readonly login: string | null;
  readonly size: number;
  /** Undefined where its pieces are in the database already, under a draft. */
  readonly body: readonly Buffer[] | undefined;
  readonly spend?: Spend;
}

/**
 * Counts what is to be promised against the limits of the logins, in the order given, in the transaction of `query`. Gives what
 * is refused. What it counts stands when the promises do. `spends` is not empty.
 */
export type SpendIn = (query: Query, spends: readonly Spend[]) => Promise<ReadonlyMap<Spend, SpendRefusal>>;

export interface Committer {
  /** Undefined when it is promised. Throws, with nothing promised, as a query does. */
  accept(message: PromiseRequest): Promise<SpendRefusal | undefined>;
  /** Throws as a query does, when the database was away for too long. */
  record(id: string, envelope: string, due: number): Promise<RecordOutcome>;
  remove(id: string): Promise<RecordOutcome>;
  /** Throws as a query does. */
  note(id: string, entries: History): Promise<void>;
  /** Resolves when all that was asked for has come to its end. */
  close(): Promise<void>;
}

interface Waiter<Result> {
  readonly done: (result: Result) => void;
  readonly fail: (error: unknown) => void;
}

type Work =
  | ({
      readonly kind: "accept";
      readonly message: PromiseRequest;
      /** When its client is told to wait, where the database is still away. */
      readonly until: number;
    } & Waiter<SpendRefusal | undefined>)
  | ({
      readonly kind: "record";
      readonly id: string;
      readonly envelope: string;
      readonly due: number;
    } & Waiter<RecordOutcome>)
  | ({ readonly kind: "remove"; readonly id: string } & Waiter<RecordOutcome>)
  | ({ readonly kind: "note"; readonly id: string; readonly entries: History } & Waiter<void>);

type Of<Kind extends Work["kind"]> = Extract<Work, { readonly kind: Kind }>;

/** What one transaction has at most. Our choices: the rows of a statement, and what is in memory a second time. */
const mostWorks = 400;
const mostRows = 200;
const mostOctets = 16 * 1024 * 1024;

/** Milliseconds between two looks whether this host is to end, where the database is away. */
const longestWait = 1_000;
const unheld = { ref: false };

/** A duplicate ID, which the clock of a host that went back can make. */
export const idTaken = (id: string): Error =>
  Object.assign(new Error(`${id} is there already`), { code: "EEXIST" });

/** A host that was silent for too long has its drafts swept, and a standby that took over may not have had all of them. */
export const draftGone = (): Error =>
  Object.assign(new Error("what had come of the message is not there any more"), { code: "ESTALE" });

export interface CommitterDependencies {
  readonly database: Database;
  readonly lease: Lease;
  readonly spendIn: SpendIn;
  /** Called with what is a bug. */
  readonly bug: (error: unknown) => void;
  /** Called after each commit: of how many changes, and how long it took. */
  readonly committed?: ((changes: number, seconds: number) => void) | undefined;
}

export function newCommitter({ database, lease, spendIn, bug, committed }: CommitterDependencies): Committer {
  let waiting: Work[] = [];
  let isWorking = false;
  let working: Promise<void> = Promise.resolve();
  const settling = new Set<Promise<void>>();
  let isClosing = false;

  function begin(work: Work): void {
    waiting.push(work);
    if (!isWorking) working = workOff();
  }

  const asked = <Result>(make: (change: Waiter<Result>) => Work): Promise<Result> =>
    new Promise((done, fail) => begin(make({ done, fail })));

  async function workOff(): Promise<void> {
    isWorking = true;
    await Promise.resolve(); // all that comes in this turn
    while (waiting.length > 0) await commitAll(takeBatch());
    isWorking = false; // in the turn in which nothing waits any more
  }

  /** The first that wait: nothing twice of one message, whose changes come one after the other. */
  function takeBatch(): readonly Work[] {
    const seen = new Set<string>();
    let rows = 0;
    let octets = 0;
    let count = 0;
    for (const work of waiting) {
      const id = idOf(work);
      if (work.kind === "accept") {
        rows += work.message.body?.length ?? 0;
        octets += work.message.body === undefined ? 0 : work.message.size;
      }
      const isFull = count >= mostWorks || rows > mostRows || octets > mostOctets;
      if (count > 0 && (isFull || seen.has(id))) break;
      seen.add(id);
      count += 1;
    }
    return waiting.splice(0, count);
  }

  async function commitAll(batch: readonly Work[]): Promise<void> {
    const accepts = batch.filter((work) => work.kind === "accept");
    const others = batch.filter((work) => work.kind !== "accept");
    try {
      await commitOnce(batch);
    } catch (error) {
      if (error instanceof LeaseEnded) return tryAgain(batch);
      if (error instanceof DatabaseAway) {
        if (accepts.length > 0) await promiseLater(accepts, error);
        if (others.length > 0) await commitLater(others);
        return;
      }
      if (batch.length === 1) for (const { fail } of batch) fail(error);
      else for (const work of batch) await commitAll([work]); // one of them is to blame
    }
  }

  /** With a new lease. */
  async function tryAgain(batch: readonly Work[]): Promise<void> {
    try {
      await lease.renew();
      waiting = [...batch, ...waiting];
    } catch (error) {
      for (const { fail } of batch) fail(error);
    }
  }

  /** Again when the database is back, in the next transaction; but not what stands, where the answer alone was lost. */
  async function promiseLater(works: readonly Of<"accept">[], error: DatabaseAway): Promise<void> {
    const { session } = error;
    try {
      const patience = Math.max(...works.map(({ until }) => until)) - performance.now();
      if (patience <= 0 || !(await database.there(patience))) throw error;
      const standing = await patiently(database, () => standingAfter(session, works.map(idOf)), patience);
      waiting = [...works.filter((work) => !standing.has(idOf(work))), ...waiting];
      for (const work of works) if (standing.has(idOf(work))) work.done(undefined);
    } catch (trouble) {
      if (session !== undefined) settle(session, works);
      for (const { fail } of works) fail(trouble);
    }
  }

  /** Those of `ids` that `session` had committed when it ended; where it had begun no commit, none. */
  async function standingAfter(
    session: string | undefined,
    ids: readonly string[],
  ): Promise<ReadonlySet<string>> {
    if (session === undefined) return new Set();
    await database.ended(session);
    return database.transaction(async (query) => {
      const rows = await query<{ id: string }>("SELECT id FROM messages WHERE id = ANY($1::text[])", [ids]);
      await mustReachStandby(query);
      return new Set(rows.map(({ id }) => id));
    });
  }

  /**
   * What a commit changed that was cut short while it waited for a standby is seen here, and may not be there. The commit of
   * `query` waits for more than that, since it changes something.
   */
  async function mustReachStandby(query: Query): Promise<void> {
    await query("UPDATE leases SET seen = now() WHERE number = $1", [lease.number()]);
  }

  /** What became of deliveries: each of these statements may be done twice. */
  async function commitLater(batch: readonly Work[]): Promise<void> {
    try {
      await patiently(database, () => commitOnce(batch));
    } catch (error) {
      for (const { fail } of batch) fail(error);
    }
  }

  async function commitOnce(batch: readonly Work[]): Promise<void> {
    const begun = performance.now();
    // THE MOMENT OF COMMITMENT: once this has resolved, what it promises survives as long as the database does.
    const tell = await database.transaction((query) => changeAll(query, batch));
    for (const one of tell) one();
    committed?.(batch.length, (performance.now() - begun) / 1000);
  }

  /** Gives what is to be told to whom, once it stands. */
  async function changeAll(query: Query, batch: readonly Work[]): Promise<readonly (() => void)[]> {
    const accepts = batch.filter((work) => work.kind === "accept");
    const records = batch.filter((work) => work.kind === "record");
    const removals = batch.filter((work) => work.kind === "remove");
    const notes = batch.filter((work) => work.kind === "note");
    return [
      ...(accepts.length > 0 ? await promiseAll(query, accepts) : []),
      ...(records.length > 0 ? await recordAll(query, records) : []),
      ...(removals.length > 0 ? await removeAll(query, removals) : []),
      ...(notes.length > 0 ? await noteAll(query, notes) : []),
    ];
  }

  async function promiseAll(query: Query, works: readonly Of<"accept">[]): Promise<readonly (() => void)[]> {
    const number = lease.number();
    await mustStand(query, number);
    const tell: (() => void)[] = [];
    const spends = works.flatMap(({ message }) => message.spend ?? []);
    const refusals = spends.length > 0 ? await spendIn(query, spends) : undefined;
    const allowed = works.filter(({ message, done }) => {
      const refusal = message.spend && refusals?.get(message.spend);
      if (refusal) tell.push(() => done(refusal));
      return refusal === undefined;
    });
    await takeDrafts(
      query,
      allowed.filter(({ message }) => message.body === undefined),
    );
    const rows = await query<{ id: string }>(
      `INSERT INTO messages (id, lease, due, login, envelope, size)
       SELECT u.id, $1::bigint, u.due, u.login, u.envelope, u.size
       FROM unnest($2::text[], $3::bigint[], $4::text[], $5::text[], $6::bigint[]) AS u (id, due, login, envelope, size)
       ON CONFLICT DO NOTHING RETURNING id`,
      [
        number,
        allowed.map(({ message }) => message.id),
        allowed.map(({ message }) => Math.ceil(message.due)),
        allowed.map(({ message }) => message.login),
        allowed.map(({ message }) => message.envelope),
        allowed.map(({ message }) => message.size),
      ],
    );
    const promised = new Set(rows.map(({ id }) => id));
    const bodies: BodyRow[] = [];
    for (const { message, done } of allowed) {
      const { id, body = [] } = message;
      if (!promised.has(id)) throw idTaken(id);
      bodies.push(...body.map((octets, piece) => ({ id, piece, octets })));
      tell.push(() => done(undefined));
    }
    if (bodies.length > 0) await query(...bodyInsert(bodies));
    return tell;
  }

  /** Those whose pieces are there. Throws where one is not, or not whole: a standby that took over may lack what came last. */
  async function takeDrafts(query: Query, works: readonly Of<"accept">[]): Promise<void> {
    if (works.length === 0) return;
    const rows = await query<{ id: string; octets: number }>(
      `DELETE FROM drafts d WHERE id = ANY($1::text[]) AND lease = ANY($2::bigint[])
       RETURNING id, (SELECT coalesce(sum(length(octets)), 0)::bigint FROM bodies b WHERE b.id = d.id) AS octets`,
      [works.map(idOf), lease.numbers()],
    );
    const octets = new Map(rows.map((row) => [row.id, row.octets]));
    if (works.some(({ message }) => octets.get(message.id) !== message.size)) throw draftGone();
  }

  /** What nobody else has had since it was ours is ours, whatever became of the lease. */
  async function recordAll(query: Query, works: readonly Of<"record">[]): Promise<readonly (() => void)[]> {
    const rows = await query<{ id: string }>(
      `UPDATE messages m SET envelope = u.envelope, due = u.due
       FROM unnest($1::text[], $2::text[], $3::bigint[]) AS u (id, envelope, due)
       WHERE m.id = u.id AND m.lease = ANY($4::bigint[]) RETURNING m.id`,
      [
        works.map(({ id }) => id),
        works.map(({ envelope }) => envelope),
        works.map(({ due }) => Math.ceil(due)),
        lease.numbers(),
      ],
    );
    const kept = new Set(rows.map(({ id }) => id));
    return works.map(
      ({ id, done }) =>
        () =>
          done(kept.has(id) ? "kept" : "lost"),
    );
  }

  /** What is gone already is what was wanted: the answer to an earlier try may not have come. */
  async function removeAll(query: Query, works: readonly Of<"remove">[]): Promise<readonly (() => void)[]> {
    const ids = works.map(({ id }) => id);
    const rows = await query<{ id: string }>(
      `WITH gone AS (
         DELETE FROM messages WHERE id = ANY($1::text[]) AND lease = ANY($2::bigint[]) RETURNING id
       ), bodies_gone AS (
         DELETE FROM bodies WHERE id = ANY($1::text[]) AND id IN (SELECT id FROM gone)
       ), history_gone AS (
         DELETE FROM history WHERE id = ANY($1::text[]) AND id IN (SELECT id FROM gone)
       ) SELECT id FROM gone`,
      [ids, lease.numbers()],
    );
    const gone = new Set(rows.map(({ id }) => id));
    const left = ids.filter((id) => !gone.has(id));
    const others =
      left.length > 0
        ? await query<{ id: string }>("SELECT id FROM messages WHERE id = ANY($1::text[])", [left])
        : [];
    const lost = new Set(others.map(({ id }) => id));
    if (lost.size < left.length) await mustReachStandby(query);
    return works.map(
      ({ id, done }) =>
        () =>
          done(lost.has(id) ? "lost" : "kept"),
    );
  }

  /** For messages that are there and nobody else's. Long histories keep their beginning and their end. */
  async function noteAll(query: Query, works: readonly Of<"note">[]): Promise<readonly (() => void)[]> {
    const own = await query<{ id: string }>(
      "SELECT id FROM messages WHERE id = ANY($1::text[]) AND lease = ANY($2::bigint[]) FOR NO KEY UPDATE",
      [works.map(({ id }) => id), lease.numbers()],
    );
    const ids = own.map(({ id }) => id);
    const ours = works.filter(({ id }) => ids.includes(id));
    await addLines(
      query,
      ours.flatMap(({ id, entries }) => linesOf(entries).map((line) => ({ id, line }))),
    );
    const long = await query<{ id: string; lines: string }>(
      `SELECT id, string_agg(line, E'\\n' ORDER BY number) AS lines FROM history
       WHERE id = ANY($1::text[]) GROUP BY id HAVING count(*) > $2`,
      [ids, mostLines],
    );
    for (const { id, lines: all } of long) {
      await query("DELETE FROM history WHERE id = $1", [id]);
      await addLines(
        query,
        linesOf(cutHistory(parseHistory(all))).map((line) => ({ id, line })),
      );
    }
    return works.map(
      ({ done }) =>
        () =>
          done(),
    );
  }

  /** Where a commit was not answered: takes back what it may have promised, since the clients were told to try again. */
  function settle(session: string, works: readonly Of<"accept">[]): void {
    const ids = works.map(idOf);
    const task = settleWhenBack(session, ids).finally(() => settling.delete(task));
    settling.add(task);
  }

  /** However long it takes, while this host is at work: nobody delivers what nobody was told of. */
  async function settleWhenBack(session: string, ids: readonly string[]): Promise<void> {
    for (;;) {
      try {
        await patiently(database, () => takeBack(session, ids), longestWait);
        return;
      } catch (error) {
        if (!(error instanceof DatabaseAway)) {
          if (errorCode(error) === "") bug(new Error(errorText(error), { cause: error }));
          return; // it is delivered after the next start, and the client may send it again
        }
      }
      if (isClosing) return;
      await pause(longestWait, undefined, unheld);
    }
  }

  async function takeBack(session: string, ids: readonly string[]): Promise<void> {
    await database.ended(session);
    await database.transaction(async (query) => {
      await query(
        `WITH gone AS (
           DELETE FROM messages WHERE id = ANY($1::text[]) AND lease = ANY($2::bigint[]) RETURNING id
         ) DELETE FROM bodies WHERE id = ANY($1::text[]) AND id IN (SELECT id FROM gone)`,
        [ids, lease.numbers()],
      );
      await query(...draftRemoval(ids));
    });
  }

  return {
    async accept(message) {
      const until = performance.now() + promisePatience;
      if (!(await database.there(promisePatience))) database.mustBeThere();
      return asked((change) => ({ kind: "accept", message, until, ...change }));
    },
    record: (id, envelope, due) => asked((change) => ({ kind: "record", id, envelope, due, ...change })),
    remove: (id) => asked((change) => ({ kind: "remove", id, ...change })),
    note: (id, entries) => asked((change) => ({ kind: "note", id, entries, ...change })),
    async close() {
      isClosing = true;
      await working;
      await Promise.all(settling);
    },
  };
}

const idOf = (work: Work): string => (work.kind === "accept" ? work.message.id : work.id);

const linesOf = (history: History): readonly string[] =>
  formatHistory(history)
    .split("\n")
    .filter((line) => line !== "");

async function addLines(
  query: Query,
  lines: readonly { readonly id: string; readonly line: string }[],
): Promise<void> {
  await query(
    `INSERT INTO history (id, line) SELECT u.id, u.line
     FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS u (id, line, number) ORDER BY u.number`,
    [lines.map(({ id }) => id), lines.map(({ line }) => line)],
  );
}
