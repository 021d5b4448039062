/**
 * Frozen logins: shut out in one step, with their sessions, new messages and queued ones. They are in one file of the
 * spool, a line of JSON for each login, so that a freeze is one durable write however much is queued: which messages are
 * held follows from the file and is written into no envelope.
 */
import { readFile } from "node:fs/promises";
import { whenThere } from "../../at-once.ts";
import { replaceFile } from "../../durable.ts";
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";
import type { Envelope, Held } from "../spool/envelope.ts";
import { isDamaged } from "../spool/envelope-file.ts";
import type { Damaged, Spool, SpoolReader, StoredMessage } from "../spool/spool.ts";
import { is, type JsonField, Mismatch, record } from "../spool/strict-json.ts";
import type { FrozenLogin } from "./protocol.ts";

export interface FrozenLogins {
  /** Since when and why `login` is frozen; undefined where it is not. */
  of(login: string): FrozenLogin | undefined;
  all(): readonly FrozenLogin[];
  /** In force when it returns, durable when it resolves. Throws a Failure where the disk refuses; then still in force. */
  freeze(frozen: FrozenLogin): Promise<void>;
  /** False where it was not frozen. Throws a Failure where the disk refuses; then it stays frozen. */
  thaw(login: string): Promise<boolean>;
}

const text: JsonField<string> = is("a text", (found) => typeof found === "string");
const line = record<FrozenLogin>({
  login: text,
  at: is("milliseconds since 1970", (found): found is number => Number.isSafeInteger(found)),
  by: text,
  reason: text,
});

/**
 * The frozen logins of the file `path`; none where it is missing. Throws a Failure where it cannot be read or parsed:
 * guessing would let somebody in again.
 */
export async function openFrozenLogins(path: string): Promise<FrozenLogins> {
  const logins = new Map((await load(path)).map((frozen) => [frozen.login, frozen]));
  let last: Promise<unknown> = Promise.resolve();

  /** One write after the other, each of the state at its turn. */
  function inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const mine = last.then(work);
    last = mine.catch(() => undefined); // the caller gets the error
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
        if (logins.get(login) === found) logins.delete(login); // otherwise it was frozen again meanwhile
        return true;
      }),
  };
}

async function load(path: string): Promise<readonly FrozenLogin[]> {
  let lines: string;
  try {
    lines = await readFile(path, "utf8");
  } catch (error) {
    if (errorCode(error) === "ENOENT") return [];
    throw diskFailure(path, "cannot be read", error);
  }
  return parse(lines, path);
}

function parse(lines: string, path: string): readonly FrozenLogin[] {
  return lines.split("\n").flatMap((json, at) => (json === "" ? [] : [parseLine(json, `${path}:${at + 1}`)]));
}

function parseLine(json: string, where: string): FrozenLogin {
  try {
    return line.read(JSON.parse(json), "");
  } catch (error) {
    if (!(error instanceof Mismatch) && !(error instanceof SyntaxError)) throw error;
    const what = error instanceof Mismatch ? error.message : "expected JSON";
    throw new Failure(
      exitStatus.data,
      `${where}: ${what}; correct the line: it says which login may not send mail`,
    );
  }
}

async function save(path: string, frozen: readonly FrozenLogin[]): Promise<void> {
  try {
    await replaceFile(path, frozen.map((each) => `${JSON.stringify(each)}\n`).join(""), { mode: 0o600 });
  } catch (error) {
    throw diskFailure(path, "cannot be written, a restart would forget it", error);
  }
}

function diskFailure(path: string, what: string, error: unknown): unknown {
  if (errorCode(error) === "") return error;
  return new Failure(exitStatus.ioError, `${path}: ${what}: ${errorText(error)}`);
}

/**
 * What a freeze does to the queue: messages of a frozen login are held as long as it is frozen, whatever is on disk.
 * This hold is never written, so it ends with the freeze.
 */
export interface FreezeHold {
  /** The envelope with or without the hold, as its login is frozen or not at this moment. */
  applyTo(envelope: Envelope): Envelope;
  /** Whether `held` comes from a freeze alone. */
  isOwn(held: Held): boolean;
}

export function newFreezeHold(frozen: Pick<FrozenLogins, "of">): FreezeHold {
  const made = new WeakSet<Held>();
  return {
    isOwn: (held) => made.has(held),
    applyTo(envelope) {
      const { login, held } = envelope;
      if (held !== undefined && !made.has(held)) return envelope; // held by an operator, which stays
      const found = login === null ? undefined : frozen.of(login);
      if (!found && held === undefined) return envelope; // and not a copy: most messages are so
      const { held: _, ...rest } = envelope;
      if (!found) return rest;
      const why = found.reason === "" ? "" : `: ${found.reason}`;
      const hold = { at: found.at, by: found.by, reason: `login ${found.login} is frozen${why}` };
      made.add(hold);
      return { ...rest, held: hold };
    },
  };
}

const applied = (envelope: Envelope | Damaged, freezeHold: FreezeHold): Envelope | Damaged =>
  isDamaged(envelope) ? envelope : freezeHold.applyTo(envelope);

/** The same messages, and no copy of them, where none is of a frozen login: most are so. */
function allApplied(messages: readonly StoredMessage[], freezeHold: FreezeHold): readonly StoredMessage[] {
  return messages.some(({ envelope }) => applied(envelope, freezeHold) !== envelope)
    ? messages.map(({ id, envelope }) => ({ id, envelope: applied(envelope, freezeHold) }))
    : messages;
}

/** `reader`, with the messages of frozen logins held. */
export function readerWithFreezes(reader: SpoolReader, freezeHold: FreezeHold): SpoolReader {
  return {
    ...reader,
    read: async (id) => applied(await reader.read(id), freezeHold),
    async *readMany(ids) {
      for await (const found of reader.readMany(ids)) {
        yield allApplied(found, freezeHold);
      }
    },
    load: (id, most, known) =>
      whenThere(reader.load(id, most, known), (loaded) =>
        loaded === undefined || isDamaged(loaded)
          ? loaded
          : { ...loaded, envelope: freezeHold.applyTo(loaded.envelope) },
      ),
  };
}

/** `spool` for the scheduler and the control API. */
export function spoolWithFreezes(spool: Spool, freezeHold: FreezeHold): Spool {
  return {
    ...spool,
    ...readerWithFreezes(spool, freezeHold),
    async *arrivals(stop) {
      for await (const arrival of spool.arrivals(stop)) {
        if (arrival.kind === "messages")
          yield { kind: "messages", messages: allApplied(arrival.messages, freezeHold) };
        else yield arrival;
      }
    },
    record(envelope) {
      const { held, ...free } = envelope;
      return spool.record(held !== undefined && freezeHold.isOwn(held) ? free : envelope);
    },
  };
}

/** What is wrong with the file's text, in one line, or undefined. */
export function frozenFault(text: string): string | undefined {
  try {
    parse(text, "");
    return undefined;
  } catch (error) {
    if (error instanceof Failure) return error.message;
    throw error;
  }
}
