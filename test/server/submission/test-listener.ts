/** A listener for tests: the real one on a free port, with a spool in memory and passwords in a table. */
import { setTimeout } from "node:timers/promises";
import { newSaslLogins } from "../../../src/passwd/sasl-logins.ts";
import { type LogEntry, log, logTo } from "../../../src/server/log/log.ts";
import type { Envelope } from "../../../src/server/spool/envelope.ts";
import type { Draft, NewEnvelope, Scratch } from "../../../src/server/spool/spool.ts";
import { newConnectionTable } from "../../../src/server/submission/limits/admission.ts";
import { newAuthRateLimiter } from "../../../src/server/submission/limits/auth-rate-limiter.ts";
import { type Allowance, newQuota, type Quota } from "../../../src/server/submission/limits/quota.ts";
import { newUsage } from "../../../src/server/submission/limits/usage.ts";
import { type Listener, listen } from "../../../src/server/submission/listener.ts";
import { newMessageMemory } from "../../../src/server/submission/message-memory.ts";
import { senderPolicy } from "../../../src/server/submission/sender-policy.ts";
import type { SessionContext } from "../../../src/server/submission/session.ts";
import { selfSigned } from "../../tools/certificate.ts";
import { loginsOf } from "../../tools/logins.ts";

export const pair = selfSigned();

export interface Stored {
  readonly envelope: Envelope;
  /** The message as "latin1". */
  readonly text: string;
}

export interface TestListener {
  readonly listener: Listener;
  readonly port: number;
  /** Messages promised so far. */
  readonly stored: readonly Stored[];
  /** Drafts begun and neither accepted nor discarded. */
  openDrafts(): number;
  readonly log: readonly LogEntry[];
  close(): Promise<void>;
}

/** What stands in for the disk: makes it refuse a step with a system error such as "ENOSPC". */
export interface DiskFaults {
  readonly draft?: string;
  readonly scratch?: string;
  readonly write?: string;
  readonly accept?: string;
  /** Octets free. */
  readonly free?: number;
}

const passwords: ReadonlyMap<string, string> = new Map([
  ["user1", "secret"],
  ["user2", "geheim"],
  ["ünter", "secret"],
]);

async function verify(login: string, password: string): ReturnType<SessionContext["verify"]> {
  const name = login.toLowerCase().replace(/@example\.org$/, "");
  if (name === "nobody-knows") return { kind: "unavailable", reason: "no password file was ever read" };
  if (!passwords.has(name)) return { kind: "rejected", reason: "no such user" };
  if (passwords.get(name) !== password) return { kind: "rejected", reason: "password mismatch" };
  return { kind: "accepted", login: name };
}

const keyed = loginsOf([...passwords].map(([login, password]) => `${login}:{PLAIN}${password}`).join("\n"));

export const testTimeouts = {
  proxy: 60_000,
  login: 60_000,
  stressed: 60_000,
  command: 60_000,
  rate: 500,
  wrongPassword: 1,
};

/** Limits of each login, high ones where `changes` names none. */
export function quotaOf(changes: Partial<Allowance> = {}): Quota {
  const high = { messagesPerHour: 1e6, recipientsPerDay: 1e6, newRecipientsPerDay: 1e6 };
  return newQuota({
    usage: newUsage(Buffer.alloc(32)),
    allowance: () => ({ ...high, ...changes }),
    now: () => Date.now(),
    record: () => undefined,
    limitReached: (login, limit, until) =>
      log("limit-reached", { login, limit, until: new Date(until).toISOString() }),
  });
}

/** A small site, whose spool stores nothing that can be seen. */
export function testContext(): SessionContext {
  const aliases = new Map([["press@example.org", new Set(["user1", "user2"])]]);
  return {
    hostname: "relay.example.org",
    domain: "example.org",
    messageSize: 100_000,
    recipients: 100,
    senders: senderPolicy("own", "example.org", aliases),
    connectionsPerAddress: 1_000,
    connections: 1_000,
    descriptors: Number.POSITIVE_INFINITY,
    connectionTable: newConnectionTable(),
    memory: newMessageMemory(() => 16_777_216),
    isProxy: () => false,
    wrongText: "Authentication failed: check your user name and your e-mail password",
    lineEnds: "refuse",
    reserve: { octets: 1_048_576, inodes: 100 },
    clientAddressInMail: false,
    timeouts: testTimeouts,
    verify,
    slowestCheck: async () => 0,
    proofs: newSaslLogins(async () => keyed, "example.org", Buffer.from("secret of the host")),
    challenges: [],
    nonce: () => "NONCE",
    hashes: async () => [],
    hashesUnchanged: () => true,
    authLimiter: newAuthRateLimiter(() => Date.now(), Buffer.alloc(32)),
    isFrozen: () => false,
    quota: quotaOf(),
    requireTls: true,
    spool: memorySpool([], {}),
    accepted: () => undefined,
    now: () => Date.now(),
    steady: () => performance.now(),
    pause: (milliseconds) => setTimeout(milliseconds),
  };
}

/** Opens a listener on 127.0.0.1 with the rules of a small site, `changes` apart. */
export async function openTestListener(
  server: "submission" | "smtps",
  changes: Partial<SessionContext> = {},
  faults: DiskFaults = {},
): Promise<TestListener> {
  const entries: LogEntry[] = [];
  logTo((entry) => entries.push(entry));
  const stored: Stored[] = [];
  const spool = memorySpool(stored, faults);
  const submission: SessionContext = { ...testContext(), spool, ...changes };
  const listener = await listen(server, { host: "127.0.0.1", port: 0 }, pair, () => submission);
  return {
    listener,
    port: listener.address.port,
    stored,
    openDrafts: () => spool.openDrafts(),
    log: entries,
    close: () => listener.drain(0),
  };
}

function memorySpool(
  stored: Stored[],
  faults: DiskFaults,
): SessionContext["spool"] & { openDrafts(): number } {
  let count = 0;
  let open = 0;
  return {
    openDrafts: () => open,
    free: async () => ({ octets: faults.free ?? 1e12, inodes: 1e6 }),
    inodesFor: () => 2,
    async scratch() {
      fail(faults.scratch);
      return memoryScratch();
    },
    async draft() {
      fail(faults.draft);
      count++;
      open++;
      return memoryDraft(count.toString(16).toUpperCase().padStart(12, "A"), stored, faults, () => open--);
    },
  };
}

function memoryScratch(): Scratch {
  let octets = Buffer.alloc(0);
  return {
    get size() {
      return octets.length;
    },
    async write(more) {
      octets = Buffer.concat([octets, more]);
    },
    async *read(start) {
      for (let at = start; at < octets.length; at += 65_536) yield octets.subarray(at, at + 65_536);
    },
    close: async () => undefined,
  };
}

function memoryDraft(id: string, stored: Stored[], faults: DiskFaults, closed: () => void): Draft {
  const chunks: Buffer[] = [];
  let over = false;
  function end(): void {
    if (over) return;
    over = true;
    closed();
  }
  return {
    id,
    async write(chunk) {
      fail(faults.write);
      chunks.push(Buffer.from(chunk));
    },
    async accept(given: NewEnvelope) {
      end();
      fail(faults.accept);
      const octets = Buffer.concat(chunks);
      const envelope = { ...given, id, size: octets.length };
      stored.push({ envelope, text: octets.toString("latin1") });
      return envelope;
    },
    async discard() {
      end();
    },
  };
}

function fail(code: string | undefined): void {
  if (code !== undefined) throw Object.assign(new Error(`${code}: as the test wants it`), { code });
}
