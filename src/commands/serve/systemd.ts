/**
 * Sockets that systemd opened for us (sd_listen_fds(3)): then no port needs a privilege, and a restart turns nobody
 * away. Pure but for the variables, which are taken away so that no child believes that they are meant for it.
 */

import { execFile } from "node:child_process";
import type { ListenAddress } from "../../bound-socket.ts";
import type { Config } from "../../config/settings.ts";
import { errorText, exitStatus, Failure } from "../../failure.ts";
import { log } from "../../server/log/log.ts";

/** Where to listen: what the configuration says, or instead of it the sockets of the same name. */
export interface ListenAddresses {
  readonly submission: readonly ListenAddress[];
  readonly submissions: readonly ListenAddress[];
  readonly http: ListenAddress | null;
}

/** The first of the descriptors; the others follow it. */
const firstDescriptor = 3;

/**
 * The places for the process `pid`, which was started with the variables of `environment`. Throws a Failure where a
 * socket unit gives its socket another name than one of the settings of [listen].
 */
export function listenAddresses(
  { submission, submissions, http }: Config["listen"],
  environment: NodeJS.ProcessEnv,
  pid: number,
): ListenAddresses {
  const sockets = inherited(environment, pid);
  const named = (name: string): readonly ListenAddress[] => sockets.filter((socket) => socket.name === name);
  const [ownHttp = http, secondHttp] = named("http");
  const stranger = sockets.find(({ name }) => !["submission", "submissions", "http"].includes(name));
  if (stranger || secondHttp) {
    throw new Failure(
      exitStatus.config,
      `sockets of systemd: expected the names submission, submissions and at most one http, found ${sockets
        .map(({ name }) => `"${name}"`)
        .join(", ")}; set FileDescriptorName= in the socket units`,
    );
  }
  return {
    submission: orElse(named("submission"), submission),
    submissions: orElse(named("submissions"), submissions),
    http: ownHttp,
  };
}

function inherited(
  environment: NodeJS.ProcessEnv,
  pid: number,
): readonly { readonly fd: number; readonly name: string }[] {
  const { LISTEN_PID: meant, LISTEN_FDS: count = "0", LISTEN_FDNAMES: names = "" } = environment;
  for (const name of ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"]) delete environment[name];
  if (meant !== String(pid) || !/^\d{1,3}$/.test(count)) return [];
  const list = names.split(":");
  return Array.from({ length: Number(count) }, (_, index) => ({
    fd: firstDescriptor + index,
    name: list[index] ?? "",
  }));
}

function orElse(
  sockets: readonly ListenAddress[],
  addresses: readonly ListenAddress[],
): readonly ListenAddress[] {
  return sockets.length > 0 ? sockets : addresses;
}

// Whoever manages the service hears how it is (sd_notify(3)). Node has no datagram sockets of Unix, so systemd-notify
// sends each message; the unit needs NotifyAccess=all for it.

export interface ServiceManager {
  /** Sends lines such as "READY=1". Resolves when they have been read, or could not be sent. */
  notify(...lines: readonly string[]): Promise<void>;
  /** No more signs of life. */
  stop(): void;
}

/** The manager that the variables of `environment` name, if they name one; it gets the signs of life it asks for. */
export function serviceManager(environment: NodeJS.ProcessEnv, pid: number): ServiceManager {
  const { NOTIFY_SOCKET: socket = "", WATCHDOG_USEC: patience = "", WATCHDOG_PID: watched } = environment;
  if (socket === "") return { notify: () => Promise.resolve(), stop: () => undefined };
  const tell: ServiceManager["notify"] = (...lines) =>
    new Promise((resolve) => {
      execFile("systemd-notify", lines, (error) => {
        if (error) log("manager-untold", { lines: lines.join(" "), reason: errorText(error) });
        resolve();
      });
    });
  if (!/^[1-9]\d*$/.test(patience) || (watched !== undefined && watched !== String(pid))) {
    return { notify: tell, stop: () => undefined };
  }
  // Twice in its patience, as sd_watchdog_enabled(3) recommends. That this timer runs is the sign.
  const beat = setInterval(() => void tell("WATCHDOG=1"), Number(patience) / 1_000 / 2);
  return { notify: tell, stop: () => clearInterval(beat) };
}

/** What a reload begins with; the end of it is "READY=1" again. The time is CLOCK_MONOTONIC's. */
export function reloadingLines(): readonly string[] {
  return ["RELOADING=1", `MONOTONIC_USEC=${process.hrtime.bigint() / 1_000n}`];
}
