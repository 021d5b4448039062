/**
 * The doors and the certificate that they need. Where no certificate can be used they stay shut, and open by themselves
 * when one can: what was accepted before is delivered meanwhile.
 */
import { errorText, exitStatus, Failure } from "../../failure.ts";
import { log } from "../../server/log/log.ts";
import type { Certificates } from "../../server/submission/certificate.ts";
import type { SessionContext } from "../../server/submission/session.ts";
import { each, tellOf, warnDaily } from "./certificates.ts";
import { type Doors, openDoors } from "./doors.ts";
import type { State } from "./figures.ts";
import type { Places } from "./inherited.ts";
import { watchFiles } from "./watch.ts";

export interface Entrance {
  /** Reads the certificate again, and opens the doors if they are shut; what is wrong is logged. */
  renew(): Promise<void>;
  /** Ends the sessions of `login`; how many there were. */
  expel(login: string): number;
  /** Listens no more; sessions may end for `grace` milliseconds. */
  close(grace: number): Promise<void>;
}

export interface Needs {
  readonly places: Places;
  readonly submission: () => SessionContext;
  /** Throws a Failure where they cannot be used. */
  readonly read: () => Promise<Certificates>;
  /** The files that they are read from. */
  readonly files: () => readonly string[];
  readonly state: State;
  readonly now: () => number;
}

/** Milliseconds between two looks at the files: one is renewed weeks before its end, or somebody is at work on it. */
const calm = 60_000;
const anxious = 1_000;

/**
 * Opens the doors with what was read first; shut where that was a Failure. Throws a Failure where a place cannot be had.
 */
export async function openEntrance(first: Certificates | Failure, needs: Needs): Promise<Entrance> {
  const { places, submission, state, now } = needs;
  let doors: Doors | undefined;
  let inUse: Certificates | undefined;
  let told = "";
  let closed = false;

  const isExpired = (certificates: Certificates): boolean =>
    each(certificates).some(({ until }) => until <= now());

  async function use(certificates: Certificates): Promise<void> {
    if (!doors) doors = await openDoors(places, certificates, submission);
    else if (isExpired(certificates) && inUse && !isExpired(inUse)) {
      throw new Failure(exitStatus.config, `${certificates.file}: it, or one in tls.more, has expired`);
    } else doors.replaceCertificate(certificates);
    inUse = certificates;
    state.certificateUntil = Math.min(...each(certificates).map(({ until }) => until));
    tellOf(certificates, now());
  }

  function tellShut(failure: Failure): void {
    const reason = oneLine(failure);
    if (reason !== told) log("not-listening", { reason });
    told = reason;
  }

  async function renewed(): Promise<void> {
    if (closed) return;
    try {
      await use(await needs.read());
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      if (doors) log("certificate-refused", { reason: oneLine(error) });
      else tellShut(error);
    }
  }

  if (first instanceof Failure) tellShut(first);
  else await use(first);
  let renewing = Promise.resolve();
  const renew = (): Promise<void> => {
    const mine = renewing.then(renewed);
    renewing = mine.catch(() => undefined); // who waits for it hears of it
    return mine;
  };
  const watch = watchFiles(needs.files, renew, () => ({
    interval: inUse && !isExpired(inUse) ? calm : anxious,
    regardless: !doors,
  }));
  const warning = warnDaily(() => inUse, now);
  return {
    renew,
    expel: (login) => doors?.expel(login) ?? 0,
    async close(grace) {
      closed = true;
      watch.stop();
      warning.stop();
      await renewing;
      await doors?.drain(grace);
    },
  };
}

const oneLine = (failure: Failure): string => errorText(failure).replaceAll("\n", "; ");
