/**
 * Frozen logins: who was shut out in one step, sessions, new messages and queued ones alike. What is frozen is in one
 * file of the spool, a line of JSON for each login, so that a freeze is one durable write however much is queued: what
 * is held follows from the file and is written into no envelope.
 */
import { readFile } from "node:fs/promises";
import { replaceFile } from "../../durable.ts";
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";
import type { Envelope, Held } from "../spool/envelope.ts";
import { isDamaged, type Spool, type SpoolReader } from "../spool/spool.ts";
import { type Field, is, Mismatch, record } from "../spool/strict-json.ts";
import type { Frozen } from "./order.ts";

export interface FrozenLogins {
  /** Since when and why `login` is frozen; undefined where it is not. */
  of(login: string): Frozen | undefined;
  all(): readonly Frozen[];
  /** In force when it returns, durable when it resolves. Throws a Failure where the disk refuses; then still in force. */
  freeze(frozen: Frozen): Promise<void>;
  /** False where it was not frozen. Throws a Failure where the disk refuses; then it stays frozen. */
  thaw(login: string): Promise<boolean>;
}

const text: Field<string> = is("a text", (found) => typeof found === "string");
const line = record<Frozen>({
  login: text,
  at: is("milliseconds since 1970", (found): found is number => Number.isSafeInteger(found)),
  by: text,
  reason: text,
});

/**
 * The frozen logins that the file `path` tells of; none where it is missing. Throws a Failure where it cannot be read
 * or understood: guessing would let somebody in again.
 */
export async function openFrozen(path: string): Promise<FrozenLogins> {
  const logins = new Map((await load(path)).map((frozen) => [frozen.login, frozen]));
  let last: Promise<unknown> = Promise.resolve();

  /** One write after the other, each of what holds when its turn has come. */
  function inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const mine = last.then(work);
    last = mine.catch(() => undefined); // whoever asked for it is told
    return mine;
  }

  return {
    of: (login) => logins.get(login),
    all: () => [...logins.values()],
    async freeze(frozen) {
      logins.set(frozen.login, frozen); // from here on nothing of this login is accepted or sent
      await inTurn(() => save(path, [...logins.values()]));
    },
    thaw: (login) =>
      inTurn(async () => {
        const found = logins.get(login);
        if (!found) return false;
        await save(
          path,
          [...logins.values()].filter((one) => one !== found),
        );
        if (logins.get(login) === found) logins.delete(login); // else it was frozen anew meanwhile
        return true;
      }),
  };
}

async function load(path: string): Promise<readonly Frozen[]> {
  let lines: string;
  try {
    lines = await readFile(path, "utf8");
  } catch (error) {
    if (errorCode(error) === "ENOENT") return [];
    throw trouble(path, "cannot be read", error);
  }
  return parse(lines, path);
}

function parse(lines: string, path: string): readonly Frozen[] {
  return lines.split("\n").flatMap((json, at) => (json === "" ? [] : [parseLine(json, `${path}:${at + 1}`)]));
}

function parseLine(json: string, where: string): Frozen {
  try {
    return line.read(JSON.parse(json), "");
  } catch (error) {
    if (!(error instanceof Mismatch) && !(error instanceof SyntaxError)) throw error;
    const what = error instanceof Mismatch ? error.message : "expected JSON";
    throw new Failure(
      exitStatus.data,
      `${where}: ${what}; mend the line: it says which login may not send mail`,
    );
  }
}

async function save(path: string, frozen: readonly Frozen[]): Promise<void> {
  try {
    await replaceFile(path, frozen.map((each) => `${JSON.stringify(each)}\n`).join(""), { mode: 0o600 });
  } catch (error) {
    throw trouble(path, "cannot be written, a restart would forget it", error);
  }
}

function trouble(path: string, what: string, error: unknown): unknown {
  if (errorCode(error) === "") return error;
  return new Failure(exitStatus.ioError, `${path}: ${what}: ${errorText(error)}`);
}

/**
 * What a freeze makes of the queue: messages of a frozen login are held as long as it is frozen, whatever is on disk.
 * Nothing of that is ever written down, so that it ends with the freeze.
 */
export interface Frost {
  /** The envelope as it stands in this moment. */
  on(envelope: Envelope): Envelope;
  /** Whether `held` is nothing but its login's being frozen. */
  is(held: Held): boolean;
}

export function newFrost(frozen: Pick<FrozenLogins, "of">): Frost {
  const made = new WeakSet<Held>();
  return {
    is: (held) => made.has(held),
    on(envelope) {
      const { login, held, ...rest } = envelope;
      if (held !== undefined && !made.has(held)) return envelope; // held for a reason of its own, which stays
      const found = login === null ? undefined : frozen.of(login);
      if (!found) return { login, ...rest };
      const why = found.reason === "" ? "" : `: ${found.reason}`;
      const frost = { at: found.at, by: found.by, reason: `login ${found.login} is frozen${why}` };
      made.add(frost);
      return { login, ...rest, held: frost };
    },
  };
}

/** `reading` with frost on it. */
export function frostedReading(reading: SpoolReader, frost: Frost): SpoolReader {
  return {
    ...reading,
    async read(id) {
      const envelope = await reading.read(id);
      return isDamaged(envelope) ? envelope : frost.on(envelope);
    },
  };
}

/** `spool` as scheduler and desk are to see it. */
export function frostedSpool(spool: Spool, frost: Frost): Spool {
  return {
    ...spool,
    ...frostedReading(spool, frost),
    record(envelope) {
      const { held, ...free } = envelope;
      return spool.record(held !== undefined && frost.is(held) ? free : envelope);
    },
  };
}

/** What is wrong with the text of the file, in one line, or undefined. */
export function frozenFault(text: string): string | undefined {
  try {
    parse(text, "");
    return undefined;
  } catch (error) {
    if (error instanceof Failure) return error.message;
    throw error;
  }
}
