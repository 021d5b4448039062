/**
 * The listeners and the certificate that they need. Where no certificate can be used nothing is listened to, until one can:
 * what was accepted before is delivered meanwhile.
 */

import { writeAddress } from "../../config/setting-types.ts";
import { errorText, exitStatus, Failure } from "../../failure.ts";
import type { ListenerState } from "../../server/control/protocol.ts";
import { log } from "../../server/log/log.ts";
import type { Certificates } from "../../server/submission/certificate.ts";
import { type Listener, listen } from "../../server/submission/listener.ts";
import type { SessionContext } from "../../server/submission/session.ts";
import type { KeyPair } from "../../server/submission/tls.ts";
import { allOf, logCertificates, warnDaily, watchFiles } from "./certificates.ts";
import type { RelayStatus } from "./observation.ts";
import type { ListenAddresses } from "./systemd.ts";

export interface Listeners {
  /** Reads the certificate again, and begins to listen where nothing is listened to; what is wrong is logged. */
  renew(): Promise<void>;
  /** Open connections. */
  sessions(): number;
  /** Each, with its open connections. */
  states(): readonly ListenerState[];
  /** Sessions that are logged in as `login`. */
  sessionsOf(login: string): number;
  /** Ends the sessions of `login`; how many there were. */
  endSessions(login: string): number;
  /** Listens no more; sessions may end for `grace` milliseconds. */
  close(grace: number): Promise<void>;
}

export interface ListenersOptions {
  readonly addresses: ListenAddresses;
  readonly context: () => SessionContext;
  /** Throws a Failure where they cannot be used. */
  readonly read: () => Promise<Certificates>;
  /** The files that they are read from. */
  readonly files: () => readonly string[];
  readonly status: RelayStatus;
  readonly now: () => number;
}

/** Milliseconds between two looks at the files: one is renewed weeks before its end, or somebody is at work on it. */
const whileValid = 60_000;
const whileInvalid = 1_000;

/**
 * Listens with what was read first; not yet where that was a Failure. Throws a Failure where an address cannot be had.
 */
export async function openListeners(
  first: Certificates | Failure,
  options: ListenersOptions,
): Promise<Listeners> {
  const { addresses, context, status, now } = options;
  let bound: BoundListeners | undefined;
  let inUse: Certificates | undefined;
  let logged = "";
  let closed = false;

  const isExpired = (certificates: Certificates): boolean =>
    allOf(certificates).some(({ until }) => until <= now());

  async function use(certificates: Certificates): Promise<void> {
    if (!bound) bound = await bindListeners(addresses, certificates, context);
    else if (isExpired(certificates) && inUse && !isExpired(inUse)) {
      throw new Failure(exitStatus.config, `${certificates.file}: it, or one in tls.more, has expired`);
    } else bound.replaceCertificate(certificates);
    inUse = certificates;
    status.certificateUntil = Math.min(...allOf(certificates).map(({ until }) => until));
    logCertificates(certificates, now());
  }

  function logNotListening(failure: Failure): void {
    const reason = oneLine(failure);
    if (reason !== logged) log("not-listening", { reason });
    logged = reason;
  }

  async function renewed(): Promise<void> {
    if (closed) return;
    try {
      await use(await options.read());
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      if (bound) log("certificate-refused", { reason: oneLine(error) });
      else logNotListening(error);
    }
  }

  if (first instanceof Failure) logNotListening(first);
  else await use(first);
  let renewing = Promise.resolve();
  const renew = (): Promise<void> => {
    const mine = renewing.then(renewed);
    renewing = mine.catch(() => undefined); // who waits for it hears of it
    return mine;
  };
  const watch = watchFiles(options.files, renew, () => ({
    interval: inUse && !isExpired(inUse) ? whileValid : whileInvalid,
    regardless: !bound,
  }));
  const warning = warnDaily(() => inUse, now);
  return {
    renew,
    sessions: () => bound?.sessions() ?? 0,
    states: () => bound?.states() ?? [],
    sessionsOf: (login) => bound?.sessionsOf(login) ?? 0,
    endSessions: (login) => bound?.endSessions(login) ?? 0,
    async close(grace) {
      closed = true;
      watch.stop();
      warning.stop();
      await renewing;
      await bound?.drain(grace);
      bound = undefined;
    },
  };
}

const oneLine = (failure: Failure): string => errorText(failure).replaceAll("\n", "; ");

/** All listeners as one: opened together or not at all, with one certificate. */
interface BoundListeners {
  replaceCertificate(pair: KeyPair): void;
  /** Open connections. */
  sessions(): number;
  /** Each, with its open connections. */
  states(): readonly ListenerState[];
  /** Sessions that are logged in as `login`. */
  sessionsOf(login: string): number;
  /** Ends the sessions of `login`; how many there were. */
  endSessions(login: string): number;
  /** Listens no more; sessions may end for `grace` milliseconds. */
  drain(grace: number): Promise<void>;
}

/** Throws a Failure, with nothing listening, where an address cannot be had. */
async function bindListeners(
  { submission: withStartTls, submissions: insideTls }: ListenAddresses,
  pair: KeyPair,
  context: () => SessionContext,
): Promise<BoundListeners> {
  const listeners: Listener[] = [];
  const drain = async (grace: number): Promise<void> => {
    await Promise.all(listeners.map((listener) => listener.drain(Date.now() + grace)));
  };
  try {
    for (const address of withStartTls) listeners.push(await listen("submission", address, pair, context));
    for (const address of insideTls) listeners.push(await listen("smtps", address, pair, context));
  } catch (error) {
    await drain(0);
    throw error;
  }
  const states = () =>
    listeners.map((listener, index): ListenerState => {
      const { address: host, port } = listener.address;
      const door = index < withStartTls.length ? "submission" : "submissions";
      return { door, address: writeAddress({ host, port }), sessions: listener.sessions() };
    });
  for (const { door, address } of states()) log("listening", { door, address });
  return {
    replaceCertificate: (renewed) => {
      for (const listener of listeners) listener.replaceCertificate(renewed);
    },
    sessions: () => listeners.reduce((sum, listener) => sum + listener.sessions(), 0),
    states,
    sessionsOf: (login) => listeners.reduce((sum, listener) => sum + listener.sessionsOf(login), 0),
    endSessions: (login) => listeners.reduce((sum, listener) => sum + listener.endSessions(login), 0),
    drain: async (grace) => {
      log("stopping", { sessions: listeners.reduce((sum, listener) => sum + listener.sessions(), 0) });
      await drain(grace);
    },
  };
}
