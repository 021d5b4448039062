/** All doors of the relay as one: opened together or not at all, with one certificate. */
import { writeAddress } from "../../config/setting-types.ts";
import { log } from "../../server/log/log.ts";
import { type Listener, listen } from "../../server/submission/listener.ts";
import type { SessionContext } from "../../server/submission/session.ts";
import type { KeyPair } from "../../server/submission/tls.ts";
import type { Places } from "./inherited.ts";

export interface Doors {
  replaceCertificate(pair: KeyPair): void;
  /** Ends the sessions of `login`; how many there were. */
  expel(login: string): number;
  /** Listens no more; sessions may end for `grace` milliseconds. */
  drain(grace: number): Promise<void>;
}

/** Throws a Failure, with no door left open, where a place cannot be had. */
export async function openDoors(
  { submission: withStartTls, submissions: insideTls }: Places,
  pair: KeyPair,
  submission: () => SessionContext,
): Promise<Doors> {
  const listeners: Listener[] = [];
  const drain = async (grace: number): Promise<void> => {
    await Promise.all(listeners.map((listener) => listener.drain(Date.now() + grace)));
  };
  try {
    for (const place of withStartTls) listeners.push(await listen("submission", place, pair, submission));
    for (const place of insideTls) listeners.push(await listen("smtps", place, pair, submission));
  } catch (error) {
    await drain(0);
    throw error;
  }
  for (const [index, { address }] of listeners.entries()) {
    const door = index < withStartTls.length ? "submission" : "submissions";
    const { address: host, port } = address;
    log("listening", { door, address: writeAddress({ host, port }) });
  }
  return {
    replaceCertificate: (renewed) => {
      for (const listener of listeners) listener.replaceCertificate(renewed);
    },
    expel: (login) => listeners.reduce((sum, listener) => sum + listener.endSessions(login), 0),
    drain: async (grace) => {
      log("stopping", { sessions: listeners.reduce((sum, listener) => sum + listener.sessions(), 0) });
      await drain(grace);
    },
  };
}
