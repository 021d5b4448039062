/**
 * What messages count for the limits of their logins, settled in the transaction that promises them: the rows of the logins
 * are locked, in the order of their names, until it ends. So a limit is true to the message, however many hosts take mail of
 * a login at the same time, and two of them never wait for each other.
 */
import type { Query } from "../../postgres/database.ts";
import type { Spend, SpendRefusal } from "../spool/spend.ts";
import { dayOf, rememberedDays, type UsageEntry } from "../submission/limits/usage.ts";
import {
  type Allowance,
  firstExceeded,
  type LoginUsage,
  noUsage,
  withCounted,
} from "../submission/limits/usage-limits.ts";
import { formatState, parseState } from "./usage-state.ts";

/** By the database's clock, milliseconds since the epoch: clocks of hosts differ. */
const clock = "floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint";

/** In order, whether the rows are there or not. They are locked where nothing of them changes, too. */
const lockLogins = `
  INSERT INTO usage (login) SELECT login FROM unnest($1::text[]) AS login ORDER BY login COLLATE "C"
  ON CONFLICT (login) DO UPDATE SET state = usage.state WHERE false`;

/** A statement of its own, which sees what was committed before the rows were locked: rows of logins, and of whom they know. */
const read = `
  SELECT login, state, NULL AS digest, NULL AS day, ${clock} AS now FROM usage WHERE login = ANY($1::text[])
  UNION ALL
  SELECT login, NULL, digest, day, NULL FROM unnest($2::text[], $3::text[]) AS asked (login, digest)
  JOIN correspondents USING (login, digest)`;

const writeUsage = `
  UPDATE usage SET state = wanted.state, changed = pg_current_xact_id()
  FROM unnest($1::text[], $2::text[]) AS wanted (login, state) WHERE usage.login = wanted.login`;

const writeBoth = `
  WITH counted AS (${writeUsage})
  INSERT INTO correspondents (login, digest, day) SELECT * FROM unnest($3::text[], $4::text[], $5::int[])
  ON CONFLICT (login, digest) DO UPDATE SET day = excluded.day, changed = excluded.changed
  WHERE correspondents.day < excluded.day`;

interface UsageRow {
  readonly login: string;
  readonly state: string;
  readonly digest: null;
  readonly now: number;
}

interface CorrespondentRow {
  readonly login: string;
  readonly digest: string;
  readonly day: number;
}

/** Logins whose rows are locked until the transaction ends. */
class LockedLogins {
  readonly now: number;
  readonly #states: Map<string, LoginUsage>;
  /** By login and digest: the day of the last message. */
  readonly #days: Map<string, number>;
  readonly #changed = new Set<string>();
  readonly #written = new Map<string, CorrespondentRow>();

  constructor(rows: readonly (UsageRow | CorrespondentRow)[]) {
    const logins = rows.filter((row) => row.digest === null);
    const correspondents = rows.filter((row) => row.digest !== null);
    this.now = logins[0]?.now ?? 0;
    this.#states = new Map(logins.map(({ login, state }) => [login, parseState(state)]));
    this.#days = new Map(correspondents.map((row) => [keyOf(row), row.day]));
  }

  /** Counts `spend`, or says which limit it would exceed. */
  spend({ login, recipients }: Spend, allowance: Allowance): SpendRefusal | undefined {
    const sent = this.#states.get(login) ?? noUsage;
    const digests = [...new Set(recipients)];
    const since = dayOf(this.now) - rememberedDays;
    const strangers = digests.filter((digest) => (this.#days.get(keyOf({ login, digest })) ?? 0) < since);
    const wanted = { messages: 1, recipients: recipients.length, newRecipients: strangers.length };
    const refusal = firstExceeded(sent, wanted, allowance, this.now);
    if (refusal) return refusal;
    this.add({ login, at: this.now, ...wanted, addresses: digests });
    return undefined;
  }

  /** Counts it whatever the limits are. */
  add({ login, at, addresses, ...counted }: UsageEntry): void {
    this.#states.set(login, withCounted(this.#states.get(login) ?? noUsage, at, counted, this.now));
    this.#changed.add(login);
    const day = dayOf(at);
    for (const digest of addresses) {
      const key = keyOf({ login, digest });
      if ((this.#days.get(key) ?? 0) >= day) continue; // most people write to the same ones all day
      this.#days.set(key, day);
      this.#written.set(key, { login, digest, day });
    }
  }

  async write(query: Query): Promise<void> {
    if (this.#changed.size === 0) return;
    const logins = [...this.#changed];
    const states = logins.map((login) => formatState(this.#states.get(login) ?? noUsage));
    const rows = [...this.#written.values()];
    if (rows.length === 0) {
      await query(writeUsage, [logins, states]);
      return;
    }
    const column = <Field extends keyof CorrespondentRow>(field: Field) => rows.map((row) => row[field]);
    await query(writeBoth, [logins, states, column("login"), column("digest"), column("day")]);
  }
}

/** A login has no NUL, which PostgreSQL would not keep. */
const keyOf = ({ login, digest }: Pick<CorrespondentRow, "login" | "digest">): string =>
  `${login}\0${digest}`;

/** `parties` are logins, each with the digests of those that it writes to. */
async function lock(
  query: Query,
  parties: readonly { readonly login: string; readonly digests: readonly string[] }[],
): Promise<LockedLogins> {
  const all = [...new Set(parties.map(({ login }) => login))];
  const asked = new Map(
    parties.flatMap(({ login, digests }) =>
      digests.map((digest) => [keyOf({ login, digest }), { login, digest }] as const),
    ),
  );
  await query(lockLogins, [all]);
  const pairs = [...asked.values()];
  return new LockedLogins(
    await query<UsageRow | CorrespondentRow>(read, [
      all,
      pairs.map(({ login }) => login),
      pairs.map(({ digest }) => digest),
    ]),
  );
}

/**
 * Counts `spends`, one after the other, but for those that would exceed a limit: it gives why their messages must not be
 * promised. `query` is of the transaction with the promises, which must be READ COMMITTED.
 */
export async function settleSpends(
  query: Query,
  spends: readonly Spend[],
  allowance: Allowance,
): Promise<ReadonlyMap<Spend, SpendRefusal>> {
  const refused = new Map<Spend, SpendRefusal>();
  if (spends.length === 0) return refused;
  const locked = await lock(
    query,
    spends.map(({ login, recipients }) => ({ login, digests: recipients })),
  );
  for (const spend of spends) {
    const refusal = locked.spend(spend, allowance);
    if (refusal) refused.set(spend, refusal);
  }
  await locked.write(query);
  return refused;
}

/** Counts what was sent already, by way of another spool for example: no limit keeps it out. */
export async function addEntries(query: Query, entries: readonly UsageEntry[]): Promise<void> {
  if (entries.length === 0) return;
  const locked = await lock(
    query,
    entries.map(({ login, addresses }) => ({ login, digests: addresses })),
  );
  for (const entry of entries) locked.add(entry);
  await locked.write(query);
}
