/**
 * Whoever manages the service hears how it is (sd_notify(3)). Node has no datagram sockets of Unix, so systemd-notify
 * sends each message; the unit needs NotifyAccess=all for it.
 */
import { execFile } from "node:child_process";
import { errorText } from "../../failure.ts";
import { log } from "../../server/log/log.ts";

export interface Manager {
  /** Sends lines such as "READY=1". Resolves when they have been read, or could not be sent. */
  tell(...lines: readonly string[]): Promise<void>;
  /** No more signs of life. */
  stop(): void;
}

/** The manager that the variables of `environment` name, if they name one; it gets the signs of life it asks for. */
export function managerOf(environment: NodeJS.ProcessEnv, pid: number): Manager {
  const { NOTIFY_SOCKET: socket = "", WATCHDOG_USEC: patience = "", WATCHDOG_PID: watched } = environment;
  if (socket === "") return { tell: () => Promise.resolve(), stop: () => undefined };
  const tell: Manager["tell"] = (...lines) =>
    new Promise((resolve) => {
      execFile("systemd-notify", lines, (error) => {
        if (error) log("manager-untold", { lines: lines.join(" "), reason: errorText(error) });
        resolve();
      });
    });
  if (!/^[1-9]\d*$/.test(patience) || (watched !== undefined && watched !== String(pid))) {
    return { tell, stop: () => undefined };
  }
  // Twice in its patience, as sd_watchdog_enabled(3) recommends. That this timer runs is the sign.
  const beat = setInterval(() => void tell("WATCHDOG=1"), Number(patience) / 1_000 / 2);
  return { tell, stop: () => clearInterval(beat) };
}

/** What a reload begins with; the end of it is "READY=1" again. The time is CLOCK_MONOTONIC's. */
export function reloadingLines(): readonly string[] {
  return ["RELOADING=1", `MONOTONIC_USEC=${process.hrtime.bigint() / 1_000n}`];
}
