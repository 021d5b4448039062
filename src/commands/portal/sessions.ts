/**
 * Who is signed in. A session is in its sealed cookie; here is what ends one before its time: a number for each login that
 * "sign out everywhere" raises, and the sessions that were signed out, until they would have ended anyway.
 */
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { replaceFile } from "../../durable.ts";
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";
import { isPortalLogin } from "../../server/control/portal-door.ts";
import type { Seals } from "./sealed.ts";

export interface Session {
  readonly id: string;
  readonly login: string;
  /** Milliseconds since the epoch: its beginning, and the last page. */
  readonly born: number;
  readonly seen: number;
  readonly generation: number;
  /** A password that was set, or is gone, and what has to come as far as the relay: SHA-256 of its hash, in base64. */
  readonly pending?: { readonly digest: string; readonly at: number; readonly gone?: true };
}

export interface Sessions {
  begin(login: string): Session;
  /** The session in a cookie; undefined where there is none, or where it has ended. */
  read(cookie: string): Session | undefined;
  /** The value of the cookie from now on. */
  write(session: Session): string;
  /** Durable when it resolves, as the next one. */
  end(session: Session): Promise<void>;
  endAll(login: string): Promise<void>;
}

export interface SessionLimits {
  readonly idle: number;
  readonly longest: number;
}

/** The prefix has a browser take it only by TLS, for this host alone and all of its paths (RFC 6265bis section 4.1.3). */
export const sessionCookie = "__Host-tpa-submit";

interface EndedSessions {
  readonly generations: Readonly<Record<string, number>>;
  /** By session, until when that has to be known. */
  readonly ended: Readonly<Record<string, number>>;
}

/** Throws a Failure where the file cannot be read: guessing would let somebody in again. */
export async function openSessions(
  folder: string,
  seals: Seals,
  { idle, longest }: SessionLimits,
  now: () => number,
): Promise<Sessions> {
  const path = join(folder, "sessions");
  const known = await load(path);
  const generations = new Map(Object.entries(known.generations));
  const ended = new Map(Object.entries(known.ended));
  let last: Promise<unknown> = Promise.resolve();

  /** One write after the other, each of the state at its turn. */
  function save(): Promise<void> {
    for (const [id, until] of ended) if (until < now()) ended.delete(id);
    const mine = last.then(() => {
      const state: EndedSessions = {
        generations: Object.fromEntries(generations),
        ended: Object.fromEntries(ended),
      };
      return replaceFile(path, `${JSON.stringify(state)}\n`, { mode: 0o600 });
    });
    last = mine.catch(() => undefined); // the caller gets the error
    return mine;
  }

  const generationOf = (login: string): number => generations.get(login) ?? 0;

  function read(cookie: string): Session | undefined {
    const session = sessionIn(seals.open(sessionCookie, cookie));
    if (session === undefined || ended.has(session.id)) return undefined;
    const { login, born, seen, generation } = session;
    if (generation !== generationOf(login)) return undefined;
    return now() - seen > idle || now() - born > longest ? undefined : session;
  }

  return {
    begin: (login) => ({
      id: randomBytes(18).toString("base64url"),
      login,
      born: now(),
      seen: now(),
      generation: generationOf(login),
    }),
    read,
    write: (session) => seals.seal(sessionCookie, { ...session, seen: now() }),
    async end({ id, born }) {
      ended.set(id, born + longest);
      await save();
    },
    async endAll(login) {
      generations.set(login, generationOf(login) + 1);
      await save();
    },
  };
}

function sessionIn(found: Readonly<Record<string, unknown>> | undefined): Session | undefined {
  if (found === undefined) return undefined;
  const { id, login, born, seen, generation, pending } = found;
  if (typeof id !== "string" || typeof login !== "string" || !isPortalLogin(login)) return undefined;
  if (typeof born !== "number" || typeof seen !== "number" || typeof generation !== "number")
    return undefined;
  const waiting = pendingIn(pending);
  return { id, login, born, seen, generation, ...(waiting && { pending: waiting }) };
}

function pendingIn(found: unknown): Session["pending"] {
  if (typeof found !== "object" || found === null) return undefined;
  const { digest, at, gone } = found as Readonly<Record<string, unknown>>;
  if (typeof digest !== "string" || typeof at !== "number") return undefined;
  return { digest, at, ...(gone === true && { gone }) };
}

async function load(path: string): Promise<EndedSessions> {
  try {
    const found: unknown = JSON.parse(await readFile(path, "utf8"));
    const { generations, ended } = found as Readonly<Record<string, unknown>>;
    return { generations: numbersIn(generations), ended: numbersIn(ended) };
  } catch (error) {
    if (errorCode(error) === "ENOENT") return { generations: {}, ended: {} };
    throw new Failure(
      exitStatus.data,
      `${path}: cannot be read (${errorText(error)}); without it and the file key beside it everybody signs in anew`,
      { cause: error },
    );
  }
}

function numbersIn(found: unknown): Readonly<Record<string, number>> {
  if (typeof found !== "object" || found === null) throw new TypeError("not a table of numbers");
  return Object.fromEntries(
    Object.entries(found).map(([name, value]) => {
      if (typeof value !== "number") throw new TypeError("not a table of numbers");
      return [name, value];
    }),
  );
}
