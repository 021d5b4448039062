/**
 * The listeners and the certificate that they need. Where no certificate can be used nothing is listened to, until one can:
 * what was accepted before is delivered meanwhile.
 */

import { type HostAndPort, writeAddress } from "../../config/setting-types.ts";
import type { Config } from "../../config/settings.ts";
import { errorText, exitStatus, Failure } from "../../failure.ts";
import type { ListenerState } from "../../server/control/protocol.ts";
import { log } from "../../server/log/log.ts";
import type { Certificates } from "../../server/submission/certificate.ts";
import { newConnectionTable } from "../../server/submission/limits/admission.ts";
import {
  type Listener,
  listen,
  listenForOnion,
  type OnionListener,
} from "../../server/submission/listener.ts";
import type { SessionContext } from "../../server/submission/session.ts";
import type { KeyPair } from "../../server/submission/tls.ts";
import type { UnixSocketOptions } from "../../unix-socket.ts";
import { groupNamed } from "../system-user.ts";
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

/** The listener of an onion service. */
export interface OnionOptions {
  readonly where: UnixSocketOptions | HostAndPort;
  readonly hasCircuits: boolean;
  readonly context: () => SessionContext;
}

export interface ListenersOptions {
  readonly addresses: ListenAddresses;
  readonly onion?: OnionOptions | undefined;
  readonly context: () => SessionContext;
  /** Throws a Failure where they cannot be used. */
  readonly read: () => Promise<Certificates>;
  /** The files that they are read from. */
  readonly files: () => readonly string[];
  readonly status: RelayStatus;
  readonly now: () => number;
}

/** The onion service that the configuration asks for. `context` is the sessions'; `current` the configuration in use. */
export async function onionOptions(
  { listen: { onion, ...others } }: Config,
  context: () => SessionContext,
  current: () => Config,
): Promise<OnionOptions | undefined> {
  if (onion === "") return undefined;
  const group = others["onion-group"];
  const gid = group === "" ? undefined : await groupNamed(group, "listen.onion-group");
  const where = typeof onion === "string" ? { path: onion, setting: "listen.onion", gid } : onion;
  // A table of its own: whoever fills it keeps nobody from the other listeners, and is not sent away for their sake.
  const connectionTable = newConnectionTable();
  return {
    where,
    hasCircuits: others["onion-circuits"],
    context() {
      const { listen, limits } = current();
      const { hostname, ...rest } = context();
      const greetingName = listen["onion-name"] ?? hostname;
      return { ...rest, hostname, greetingName, connectionTable, connections: limits["onion-connections"] };
    },
  };
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
  const { addresses, onion, context, status, now } = options;
  let bound: BoundListeners | undefined;
  let inUse: Certificates | undefined;
  let logged = "";
  let closed = false;

  const isExpired = (certificates: Certificates): boolean =>
    allOf(certificates).some(({ until }) => until <= now());

  async function use(certificates: Certificates): Promise<void> {
    if (!bound) bound = await bindListeners(addresses, onion, certificates, context);
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
  onion: OnionOptions | undefined,
  pair: KeyPair,
  context: () => SessionContext,
): Promise<BoundListeners> {
  const listeners: Listener[] = [];
  const all: Omit<Listener, "address">[] = [];
  let onionDoor: OnionListener | undefined;
  const drain = async (grace: number): Promise<void> => {
    await Promise.all(all.map((listener) => listener.drain(Date.now() + grace)));
  };
  try {
    for (const address of withStartTls) {
      listeners.push(await listen("submission", address, pair, context));
      all.push(...listeners.slice(-1));
    }
    for (const address of insideTls) {
      listeners.push(await listen("smtps", address, pair, context));
      all.push(...listeners.slice(-1));
    }
    if (onion) {
      onionDoor = await listenForOnion(onion.where, onion.hasCircuits, pair, onion.context);
      all.push(onionDoor);
    }
  } catch (error) {
    await drain(0);
    throw error;
  }
  const states = (): readonly ListenerState[] => [
    ...listeners.map((listener, index): ListenerState => {
      const { address: host, port } = listener.address;
      const door = index < withStartTls.length ? "submission" : "submissions";
      return { door, address: writeAddress({ host, port }), sessions: listener.sessions() };
    }),
    ...(onionDoor
      ? [{ door: "onion", address: onionDoor.address, sessions: onionDoor.sessions() } as const]
      : []),
  ];
  for (const { door, address } of states()) log("listening", { door, address });
  return {
    replaceCertificate: (renewed) => {
      for (const listener of all) listener.replaceCertificate(renewed);
    },
    sessions: () => all.reduce((sum, listener) => sum + listener.sessions(), 0),
    states,
    sessionsOf: (login) => all.reduce((sum, listener) => sum + listener.sessionsOf(login), 0),
    endSessions: (login) => all.reduce((sum, listener) => sum + listener.endSessions(login), 0),
    drain: async (grace) => {
      log("stopping", { sessions: all.reduce((sum, listener) => sum + listener.sessions(), 0) });
      await drain(grace);
    },
  };
}
