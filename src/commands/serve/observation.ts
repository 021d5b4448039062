/** What the relay tells of itself: the log, the metrics, the watch on the event loop, and the pages of the HTTP listener. */
import { hostname as systemName } from "node:os";
import { setTimeout as pause } from "node:timers/promises";
import { domainOfLogin } from "../../config/domains.ts";
import { writeAddress } from "../../config/setting-types.ts";
import type { Config } from "../../config/settings.ts";
import { errorCode, errorText } from "../../failure.ts";
import type { QueueHost, RelayState, SigningKeyState, StoreState } from "../../server/control/protocol.ts";
import { takeLongestWork, watchEventLoop } from "../../server/log/event-loop.ts";
import { type Health, type MonitoringPages, startHttp } from "../../server/log/http.ts";
import { namesOfHost } from "../../server/log/http-host.ts";
import { type LogSink, log, logTo } from "../../server/log/log.ts";
import { type GaugeReadings, openMetrics, processReadings, toAll } from "../../server/log/metrics.ts";
import { openSink } from "../../server/log/sink.ts";
import type { Scheduler } from "../../server/queue/scheduler.ts";
import { cachedBriefly } from "../../server/spool/cached.ts";
import type { FreeSpace, Spool } from "../../server/spool/spool.ts";
import { version } from "../../version.ts";
import type { SshKeyFacts } from "../ssh/facts.ts";
import { reserveOf } from "./session-rules.ts";
import type { ListenAddresses } from "./systemd.ts";

export interface Observation {
  readonly status: RelayStatus;
  /** From now on `sink` hears of each event as well. */
  listen(sink: LogSink): void;
  /** From now on the metrics know these domains, the main one first. */
  domains(names: () => readonly string[]): void;
  /** Opens the log file anew, which a rotation may have moved. */
  reopenLog(): Promise<void>;
  /** For each commit of the database that hosts share. */
  readonly commit: (changes: number, seconds: number) => void;
  /** The metrics as Prometheus reads them. */
  readonly metrics: () => Promise<string>;
  close(): Promise<void>;
}

/** Opens the log, and counts and watches from now on. Throws a Failure where the log cannot be written. */
export async function openObservation(config: Config): Promise<Observation> {
  const tellLost = (lines: number) => log("log-lost", { lines });
  const sink = await openSink({ ...config.log, hostname: config.hostname, tellLost }, Date.now);
  const { "ban-target": banTarget } = config.log;
  const toBan =
    banTarget &&
    (await openSink({ target: banTarget, format: "postfix", hostname: config.hostname, tellLost }, Date.now));
  const sinks = toBan ? [sink, toBan] : [sink];
  const status = newRelayStatus();
  status.logLost = () => sinks.reduce((sum, { lost }) => sum + lost(), 0);
  let domains = (): readonly string[] => [];
  const byDomain = {
    names: () => domains(),
    of: (login: string) => {
      const found = domainOfLogin(login, config.domain);
      return domains().includes(found) ? found : config.domain;
    },
    logins: () => domains().map((name) => ({ labels: [name], value: status.domainLogins.get(name) ?? 0 })),
  };
  const metrics = openMetrics(gaugesOf(status, reserveOf(config)), byDomain, {
    isUsed: () => status.store !== undefined,
    isThere: () => status.store?.state().there === true,
    frozenHere: () => status.store?.state().frozenHere?.length ?? 0,
    hosts: () =>
      status.hosts.map(({ name, seen, waiting }) => ({
        name,
        waiting,
        age: seen === null ? Number.POSITIVE_INFINITY : (Date.now() - seen) / 1000,
      })),
  });
  const listeners: LogSink[] = [];
  const toListeners: LogSink = (entry) => {
    for (const hear of listeners) hear(entry);
  };
  logTo(toAll(sink.write, metrics.count, toListeners), toBan?.write);
  const watch = watchEventLoop({
    now: () => performance.now(),
    processor: () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1000;
    },
    longest: takeLongestWork,
    every,
  });
  status.delay = watch.delay;
  return {
    status,
    listen: (listener) => void listeners.push(listener),
    domains: (names) => {
      domains = names;
    },
    async reopenLog() {
      for (const { reopen } of sinks) await reopen();
    },
    commit: metrics.commit,
    metrics: async () => metrics.text(),
    async close() {
      watch.stop();
      for (const { close } of sinks) await close();
    },
  };
}

/** Answers at `address`; null where nobody asks. Throws a Failure where it cannot be had. */
export async function openHttp(
  address: ListenAddresses["http"],
  { hostname, listen }: Pick<Config, "hostname" | "listen">,
  { status, metrics }: Observation,
  pages: {
    readonly check: () => Promise<HealthReport>;
    readonly sshKeys: () => Promise<SshKeyFacts | undefined>;
    readonly status: MonitoringPages["status"];
  },
): Promise<{ close(): Promise<void> }> {
  if (address === null) return { close: () => Promise.resolve() };
  const http = await startHttp(
    address,
    {
      metrics: async () => {
        status.health = await pages.check();
        status.sshKeys = await pages.sshKeys();
        status.hosts = (await status.store?.hosts().catch(() => status.hosts)) ?? [];
        return metrics();
      },
      health: async () => (await pages.check()).health,
      ...(pages.status && { status: pages.status }),
    },
    { names: [...namesOfHost(hostname, systemName()), ...listen["http-names"]] },
  );
  const { address: host, port } = http.address;
  log("listening", { door: "http", address: writeAddress({ host, port }) });
  return http;
}

/** What the control socket tells: the notes of the parts, and what is asked of them now. */
export async function stateOf(
  status: RelayStatus,
  ask: {
    readonly check: () => Promise<HealthReport>;
    readonly sessions: () => number;
    readonly listeners: () => RelayState["listeners"];
    readonly nearLimits: (share: number, most: number) => RelayState["nearLimits"];
    readonly blocks: () => number;
  },
): Promise<RelayState> {
  const { health, free } = await ask.check();
  const { messages, held, oldest } = status.waiting?.() ?? { messages: 0, held: 0, oldest: null };
  return {
    version,
    pid: process.pid,
    started: Math.round(Date.now() - process.uptime() * 1000),
    sessions: ask.sessions(),
    listeners: ask.listeners(),
    trouble: health.ok ? "" : health.reason,
    certificateUntil: status.certificateUntil,
    logins: status.logins,
    messages,
    held,
    oldest,
    free: free ?? null,
    loopDelay: status.delay(),
    memory: process.memoryUsage.rss(),
    nearLimits: ask.nearLimits(nearLimit, mostNearLimits),
    blocks: ask.blocks(),
    dkim: status.dkim(),
    pauses: status.pauses(),
    ...(status.store && { store: status.store.state() }),
  };
}

/** The part of a limit from which a login is near it, and how many such logins are told. Our choice. */
const nearLimit = 0.8;
const mostNearLimits = 10;

/** What is told of a database. */
export interface StoreWatch {
  readonly state: () => StoreState;
  /** Throws while it is away. */
  readonly hosts: () => Promise<readonly QueueHost[]>;
}

/** What the parts of the relay note about themselves as they start and change. */
export interface RelayStatus {
  /** Undefined until there is a scheduler. */
  waiting: Scheduler["waiting"] | undefined;
  /** Of providers. */
  pauses: Scheduler["pauses"];
  /** End of the certificate in use, in milliseconds since the epoch; 0 while there is none. */
  certificateUntil: number;
  /** Logins in the password file in use; 0 while none was ever good. */
  logins: number;
  /** The same by domain. */
  domainLogins: ReadonlyMap<string, number>;
  /** Open connections, by listener. */
  sessions: () => ReadonlyMap<string, number>;
  /** Of those who send by SSH, as they were when somebody looked last; undefined where there is no file of them. */
  sshKeys: SshKeyFacts | undefined;
  /** The keys that sign what leaves. */
  dkim: () => readonly SigningKeyState[];
  stopping: boolean;
  /** Whom the queue is handed over to, where no new mail is taken meanwhile and until the next start; else "". */
  drainedTo: string;
  /** Why the spool can promise nothing any more. */
  broken: string | undefined;
  /** The database that hosts share, where there is one. */
  store: StoreWatch | undefined;
  /** Those hosts, when somebody asked last. */
  hosts: readonly QueueHost[];
  /** Of the event loop, in seconds. */
  delay: () => number;
  /** Lines of the log that were lost. */
  logLost: () => number;
  /** What was found when somebody looked last. */
  health: HealthReport | undefined;
}

export const newRelayStatus = (): RelayStatus => ({
  waiting: undefined,
  pauses: () => [],
  certificateUntil: 0,
  logins: 0,
  domainLogins: new Map(),
  sessions: () => new Map(),
  sshKeys: undefined,
  dkim: () => [],
  stopping: false,
  drainedTo: "",
  broken: undefined,
  store: undefined,
  hosts: [],
  delay: () => 0,
  logLost: () => 0,
  health: undefined,
});

function gaugesOf(state: RelayStatus, reserve: FreeSpace): GaugeReadings {
  const single = (value: number) => [{ labels: [], value }];
  const known = (value: number | undefined) => (value === undefined ? [] : single(value));
  return {
    ...processReadings(Date.now() - process.uptime() * 1000),
    build: () => [{ labels: [version, process.version], value: 1 }],
    logLost: () => single(state.logLost()),
    loopDelay: () => single(state.delay()),
    sessions: () => [...state.sessions()].map(([door, value]) => ({ labels: [door], value })),
    queueMessages: () => {
      const { messages, held } = state.waiting?.() ?? { messages: 0, held: 0 };
      return [
        { labels: ["waiting"], value: messages - held },
        { labels: ["held"], value: held },
      ];
    },
    queueOldest: () => {
      const oldest = state.waiting?.().oldest ?? null;
      return single(oldest === null ? 0 : (Date.now() - oldest) / 1000);
    },
    providerPauses: () =>
      state.pauses().map((pause) => ({
        labels: [pause.provider, pause.class],
        value: Math.max(0, pause.until - Date.now()) / 1000,
      })),
    freeOctets: () => known(state.health?.free?.octets),
    freeInodes: () => known(state.health?.free?.inodes),
    reserveOctets: () => single(reserve.octets),
    reserveInodes: () => single(reserve.inodes),
    healthy: () => single(state.health?.health.ok === true ? 1 : 0),
    certificate: () => single(state.certificateUntil / 1000),
    logins: () => single(state.logins),
    sshKeys: () => known(state.sshKeys?.written === undefined ? undefined : state.sshKeys.keys),
    sshKeysWritten: () => known(state.sshKeys?.written && state.sshKeys.written / 1000),
    dkimKeys: () =>
      state.dkim().map(({ domain, selector, kind, made }) => ({
        labels: [domain, selector, `${kind}-sha256`],
        value: made / 1000,
      })),
  };
}

// Whether a message sent now would be taken and delivered: what /healthz says.

export interface HealthReport {
  readonly health: Health;
  /** What the disk has left; undefined where it does not say. */
  readonly free: FreeSpace | undefined;
}

/** Milliseconds that the spool has for its trial. Our choice: monitoring asks in a few seconds or not at all. */
const trialTimeout = 3_000;

/** What to keep free, as receive.ts does: a body and an envelope above the reserve. */
const filesKept = 2;

/** A checkup of the relay whose parts note themselves in `state`; it is at most a second old. */
export function newHealthCheck(
  state: RelayStatus,
  spool: Pick<Spool, "free" | "trial">,
  reserve: FreeSpace,
  now: () => number,
): () => Promise<HealthReport> {
  return cachedBriefly(async () => {
    const free = await orReason(spool.free());
    const known = typeof free === "string" || free.octets === Number.POSITIVE_INFINITY ? undefined : free;
    const reason = ownFault(state, now()) ?? spoolFault(free, reserve) ?? (await trialFault(spool));
    return { health: reason === undefined ? { ok: true } : { ok: false, reason }, free: known };
  }, now);
}

/** What is known without a look at the disk. */
function ownFault(state: RelayStatus, now: number): string | undefined {
  if (state.stopping) return "the relay is stopping";
  if (state.drainedTo !== "")
    return `the queue goes to ${state.drainedTo}, and no mail is taken before the next start`;
  if (state.broken !== undefined) return `the spool can promise nothing more: ${state.broken}`;
  if (state.waiting === undefined) return "the relay is starting";
  if (state.certificateUntil === 0) return "no certificate can be used, so nobody is listened to";
  if (state.certificateUntil <= now) return "the certificate has expired";
  if (state.logins === 0) return "no password file could be read yet, so nobody can log in";
  return undefined;
}

function spoolFault(free: FreeSpace | string, reserve: FreeSpace): string | undefined {
  if (typeof free === "string") return `the spool cannot be looked at: ${free}`;
  if (free.octets < reserve.octets) {
    return `the spool has ${free.octets} octets left, less than spool.reserve: messages are refused`;
  }
  if (free.inodes < reserve.inodes + filesKept) {
    return `the spool has ${free.inodes} inodes left, spool.reserve-inodes are kept: messages are refused`;
  }
  return undefined;
}

async function trialFault(spool: Pick<Spool, "trial">): Promise<string | undefined> {
  const late = new AbortController();
  const outcome = await Promise.race([
    orReason(spool.trial()),
    pause(trialTimeout, `no answer within ${trialTimeout / 1000} seconds`, { signal: late.signal }).catch(
      () => undefined,
    ),
  ]);
  late.abort();
  return outcome === undefined ? undefined : `the spool cannot be written: ${outcome}`;
}

/** The system's words where `work` fails by them. */
async function orReason<Value>(work: Promise<Value>): Promise<Value | string> {
  try {
    return await work;
  } catch (error) {
    if (errorCode(error) === "") throw error;
    return errorText(error);
  }
}

function every(milliseconds: number, look: () => void): () => void {
  const timer = setInterval(look, milliseconds).unref();
  return () => clearInterval(timer);
}
