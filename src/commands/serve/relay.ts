/**
 * The relay put together: the one place where sockets, disk, clock and chance meet the rest.
 * What was opened last is closed first; between the doors and the deliveries there is only the spool.
 */
import { hkdfSync, randomBytes } from "node:crypto";
import { join } from "node:path";
import { writeAddress } from "../../config/setting-types.ts";
import type { Config } from "../../config/settings.ts";
import { errorText, Failure } from "../../failure.ts";
import { startVerifier } from "../../passwd/verifier.ts";
import { newSessionPool, type SessionPool } from "../../server/delivery/session-pool.ts";
import type { Transport } from "../../server/delivery/transport.ts";
import { markWith, takeLongestWork, watchEventLoop, workOnMessage } from "../../server/log/event-loop.ts";
import { startHttp } from "../../server/log/http.ts";
import { log, logTo } from "../../server/log/log.ts";
import { openMetrics, toAll } from "../../server/log/metrics.ts";
import { openSink } from "../../server/log/sink.ts";
import { startScheduler } from "../../server/queue/scheduler.ts";
import { openInHand } from "../../server/spool/in-hand-file.ts";
import { openSpool } from "../../server/spool/spool.ts";
import { readCertificate } from "../../server/submission/certificate.ts";
import { newConnectionTable } from "../../server/submission/limits/admission.ts";
import { newAuthRateLimiter } from "../../server/submission/limits/auth-rate-limiter.ts";
import type { SessionContext } from "../../server/submission/session.ts";
import { version } from "../../version.ts";
import { carrierFor } from "./carrier.ts";
import { filesOf } from "./certificates.ts";
import { controlSocket, openControl, openFreezes } from "./control.ts";
import { openEntrance } from "./entrance.ts";
import { newState, readingsOf } from "./figures.ts";
import { clearing, holdCulprits } from "./guard.ts";
import { newCheckup } from "./health.ts";
import { placesFor } from "./inherited.ts";
import { logPasswords } from "./journal.ts";
import { patienceOf } from "./patience.ts";
import { type Rules, reserveOf, rulesFor } from "./rules.ts";
import { openQuota } from "./usage.ts";

export interface Relay {
  /** Re-reads configuration, certificate and passwords; what is wrong is logged, and the old stays in use. */
  reload(): Promise<void>;
  /** Takes nothing new, lets sessions and deliveries end for a while, leaves the rest in the spool. */
  stop(): Promise<void>;
  /** Resolves, perhaps never, when only a new process can take mail again; {@link stop} is then a matter of moments. */
  readonly broken: Promise<void>;
}

/** What a reload replaces as one. */
interface InUse {
  readonly config: Config;
  readonly rules: Rules;
  readonly carrier: Transport;
}

/** How long sessions and deliveries may go on after SIGTERM, in milliseconds. systemd's own patience is 90 s. */
const standardGrace = 30_000;

/** And when the spool can promise nothing: whatever they did would be in vain, or done twice. */
const brokenGrace = 1_000;

/**
 * Starts everything that `config` asks for. `reread` gives the configuration anew.
 * Throws a Failure, with nothing left open, where something cannot be had.
 */
export async function startRelay(config: Config, reread: () => Promise<Config>): Promise<Relay> {
  const opened: (() => Promise<void>)[] = [];
  let grace = standardGrace;
  let isStarted = false;
  const state = newState();
  const stop = async (): Promise<void> => {
    state.stopping = true;
    for (const close of opened.splice(0).reverse()) await close();
  };
  try {
    const sink = await openSink({ ...config.log, hostname: config.hostname }, Date.now);
    opened.push(sink.close);
    const reserve = reserveOf(config);
    const metrics = openMetrics(readingsOf(state, reserve));
    logTo(toAll(sink.write, metrics.count));

    const watch = watchEventLoop({
      now: () => performance.now(),
      processor: () => {
        const { user, system } = process.cpuUsage();
        return (user + system) / 1000;
      },
      longest: takeLongestWork,
      every,
    });
    state.delay = watch.delay;
    opened.push(async () => watch.stop());

    const places = placesFor(config.listen, process.env, process.pid);
    const certificate = await orFailure(readCertificate(config.tls));
    const sessions = newSessionPool(Date.now);
    opened.push(async () => sessions.close());
    let inUse = await putToUse(config, sessions);

    const spool = await openSpool(config.spool.directory, Date.now);
    opened.push(() => spool.close());
    // With nothing to deliver there is nothing to start for.
    if (certificate instanceof Failure && (await spool.ids()).length === 0) throw certificate;
    const broken = spool.broken.then((error) => {
      grace = brokenGrace;
      state.broken = errorText(error);
      log("spool-broken", { reason: errorText(error) });
    });
    const inHandFile = openInHand(join(config.spool.directory, "in-hand"));
    opened.push(async () => {
      markWith(() => undefined);
      inHandFile.close(isStarted);
    });
    await holdCulprits(inHandFile, spool, Date.now);
    markWith(inHandFile.mark);
    const guarded = clearing(spool, inHandFile);
    const { frozen, freezeHold: frost, spool: frosted } = await openFreezes(guarded, config.spool.directory);

    const limited = await openQuota(config.spool.directory, () => inUse.config.limits);
    opened.push(() => limited.close());

    const { passwords, domain, hostname } = config;
    const worker = new URL("../../passwd/worker.js", import.meta.url);
    // Derived from what only this host knows, and keeps.
    const known = certificate instanceof Failure ? randomBytes(32) : certificate.key;
    const secret = new Uint8Array(hkdfSync("sha256", known, "", "tpa-submit: logins without keys", 32));
    const verifier = await startVerifier({ ...passwords, domain, worker, secret }, (event) => {
      if (event.kind === "loaded") state.logins = event.logins;
      logPasswords(passwords.file, event);
    });
    opened.push(() => verifier.close());

    const carrier: Transport = {
      destination: (envelope, address) =>
        workOnMessage(envelope.id, () => inUse.carrier.destination(envelope, address)),
      deliver: async ({ envelope, ...letter }, signal, tell) =>
        frost.applyTo(envelope).held ? [] : inUse.carrier.deliver({ envelope, ...letter }, signal, tell),
    };
    const scheduler = startScheduler({ spool: frosted, transport: carrier, hostname }, patienceOf(config), {
      now: Date.now,
      steady: () => performance.now(),
      random: Math.random,
      alarm,
    });
    opened.push(async () => {
      await scheduler.drain(grace);
      log("stopped", { waiting: scheduler.waiting().messages });
    });

    state.waiting = () => scheduler.waiting();
    const crowd = newConnectionTable();
    const brake = newAuthRateLimiter(Date.now, randomBytes(32));
    const submission = (): SessionContext => ({
      ...inUse.rules,
      connectionTable: crowd,
      verify: (login, password) => verifier.verify(login, password),
      slowestCheck: () => verifier.slowestCheck(),
      proofs: verifier.sasl,
      hashes: (login) => verifier.hashes(login),
      hashesUnchanged: (login, hashes) => verifier.stillValid(login, hashes),
      challenges: passwords["challenge-response"] ? verifier.challenges() : [],
      authLimiter: brake,
      isFrozen: (login) => frozen.of(login) !== undefined,
      quota: limited.quota,
      spool,
      accepted: (envelope) => scheduler.wake(frost.applyTo(envelope)),
    });
    const entrance = await openEntrance(certificate, {
      places,
      submission,
      read: () => readCertificate(inUse.config.tls),
      files: () => filesOf(inUse.config.tls),
      state,
      now: Date.now,
    });
    opened.push(() => entrance.close(grace));
    const people = {
      endSessions: (login: string) => entrance.expel(login),
      whyUnknown: async (login: string) => {
        const verdict = await verifier.sasl.external(login);
        return verdict.kind === "rejected" ? verdict.reason : "";
      },
      sent: limited.sent,
    };
    const control = await openControl(
      controlSocket(config),
      {
        spool: frosted,
        frozen,
        freezeHold: frost,
        sessions: people,
        retryPolicy: patienceOf(config),
        now: Date.now,
        hostname,
      },
      scheduler,
    );
    opened.push(() => control.close());
    const reload = async (): Promise<void> => {
      try {
        const read = await reread();
        inUse = await putToUse(keeping(config, read), sessions);
        const changed = changedForRestart(config, read);
        if (changed.length > 0) log("restart-needed", { settings: changed.join(", ") });
        await sink.reopen();
        log("reloaded", {});
      } catch (error) {
        log("reload-refused", { reason: asReason(error) });
      }
      await entrance.renew();
      await verifier.reload();
    };

    if (places.http !== null) {
      const checkup = newCheckup(state, spool, reserve, Date.now);
      const http = await startHttp(places.http, {
        metrics: async () => {
          state.checkup = await checkup();
          return metrics.text();
        },
        health: async () => (await checkup()).health,
      });
      opened.push(() => http.close());
      const { address: host, port } = http.address;
      log("listening", { door: "http", address: writeAddress({ host, port }) });
    }
    log("started", { version, hostname, waiting: (await spool.ids()).length });
    isStarted = true;
    return { reload, stop, broken };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function putToUse(config: Config, sessions: SessionPool): Promise<InUse> {
  return { config, rules: await rulesFor(config), carrier: await carrierFor(config, sessions) };
}

/** What a running relay cannot change, by the words for it. */
const restartOnly: readonly (readonly [string, (config: Config) => unknown])[] = [
  ["hostname", ({ hostname }) => hostname],
  ["domain", ({ domain }) => domain],
  ["listen", ({ listen }) => listen],
  ["passwords", ({ passwords }) => ({ ...passwords, "wrong-text": "" })], // the words go with the session's rules
  ["spool", ({ spool }) => spool],
  ["control", ({ control }) => control],
  ["log", ({ log: target }) => target],
  ["retries and concurrency of delivery", patienceOf],
];

function changedForRestart(first: Config, next: Config): readonly string[] {
  return restartOnly
    .filter(([, part]) => JSON.stringify(part(first)) !== JSON.stringify(part(next)))
    .map(([words]) => words);
}

/** `next`, but for what stays as the relay was started with. */
function keeping(first: Config, next: Config): Config {
  const { hostname, domain, listen, spool, control, log: target } = first;
  const passwords = { ...first.passwords, "wrong-text": next.passwords["wrong-text"] };
  return { ...next, hostname, domain, listen, passwords, spool, control, log: target };
}

function every(milliseconds: number, look: () => void): () => void {
  const timer = setInterval(look, milliseconds).unref();
  return () => clearInterval(timer);
}

function alarm(after: number, ring: () => void): () => void {
  const timer = setTimeout(ring, after);
  return () => clearTimeout(timer);
}

/** What `reading` resolves to, or the Failure that it rejects with. */
async function orFailure<Value>(reading: Promise<Value>): Promise<Value | Failure> {
  try {
    return await reading;
  } catch (error) {
    if (error instanceof Failure) return error;
    throw error;
  }
}

/** A Failure's lines as one; anything else is a bug and goes on as such. */
function asReason(error: unknown): string {
  if (!(error instanceof Failure)) throw error;
  return errorText(error).replaceAll("\n", "; ");
}
