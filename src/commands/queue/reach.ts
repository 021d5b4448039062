/**
 * Where orders go: to the relay that runs, through its control socket; to the spool itself where none does. Whoever only
 * looks disturbs nobody and needs no lock; whoever changes something takes the spool as the relay would.
 */
import { existsSync, readFileSync, statSync } from "node:fs";
import { access, constants, stat } from "node:fs/promises";
import { userInfo } from "node:os";
import { join } from "node:path";
import type { Config } from "../../config/settings.ts";
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";
import { callDesk } from "../../server/control/caller.ts";
import { verify } from "../../server/control/care.ts";
import { openDesk, openWindow } from "../../server/control/desk.ts";
import { layFloor } from "../../server/control/floor.ts";
import { frostedReading, newFrost, openFrozen } from "../../server/control/frozen.ts";
import type { Operator } from "../../server/control/operator.ts";
import type { Checked, Desk, VerifyOrder, Window } from "../../server/control/order.ts";
import { logTo } from "../../server/log/log.ts";
import { openSink } from "../../server/log/sink.ts";
import { type Disk, systemDisk } from "../../server/spool/disk.ts";
import { fsckBeside, fsckLocked } from "../../server/spool/fsck.ts";
import { openSpool, viewSpool } from "../../server/spool/spool.ts";
import { version } from "../../version.ts";
import { controlSocket, frozenFile, openWinter, wait } from "../serve/control.ts";
import { patienceOf } from "../serve/patience.ts";
import { keepsakes, openQuota } from "../serve/usage.ts";

/** To be closed when all is asked. */
export interface Reached<Kind> {
  readonly desk: Kind;
  readonly close: () => Promise<void>;
}

/**
 * A disk that is waited for at every call: this process has nothing else to do, and 100 000 small files take seconds in
 * this way, where Node.js would hand each call to a thread and back.
 */
const patientDisk: Disk = {
  ...systemDisk,
  readText: async (path) => readFileSync(path, "utf8"),
  size: async (path) => statSync(path).size,
};

const nothing = async (): Promise<void> => undefined;

/** For a look at the queue. Throws a Failure where there is neither a relay nor a spool to be read. */
export async function reachWindow(config: Config): Promise<Reached<Window>> {
  const { directory } = config.spool;
  const called = await callDesk(controlSocket(config), version);
  if (called && !(await isReadable(directory))) return { desk: called, close: nothing };
  const active = new Set<string>();
  if (called) for await (const { id } of called({ word: "active" })) active.add(id);
  const reading = await viewSpool(directory, patientDisk);
  const frozen = await openFrozen(frozenFile(directory));
  const spool = frostedReading(reading, newFrost(frozen));
  return { desk: openWindow({ spool, frozen, active: () => active, now: Date.now }), close: nothing };
}

/** Then a look costs the relay nothing. Who is only in the group of its socket asks the relay. */
async function isReadable(directory: string): Promise<boolean> {
  try {
    await access(join(directory, "queue"), constants.R_OK | constants.X_OK);
    return true;
  } catch (error) {
    if (errorCode(error) === "") throw error;
    return false;
  }
}

/** For changes. Throws a Failure where the spool is not there, not ours, or another process has it and does not answer. */
export async function reachDesk(config: Config): Promise<Reached<Desk>> {
  const called = await callDesk(controlSocket(config), version);
  if (called) return { desk: called, close: nothing };
  const { directory } = config.spool;
  await becomeOwner(directory);
  const closeLog = await openLog(config);
  const spool = await openSpool(directory, Date.now).catch((error: unknown) => {
    throw notAnswering(error, config);
  });
  const quota = await openQuota(directory, () => config.limits);
  const winter = await openWinter(spool, directory);
  const people = { endSessions: () => 0, unheardOf: async () => "", sent: quota.sent };
  const { hostname } = config;
  const floor = layFloor({ ...winter, people, patience: patienceOf(config), now: Date.now, hostname });
  return {
    desk: openDesk(floor, wait, keepsakes),
    async close() {
      await quota.close();
      await spool.close();
      await closeLog();
    },
  };
}

/** For `queue verify`, which works on what no relay would start with, too. */
export async function reachCare(
  config: Config,
): Promise<Reached<(order: VerifyOrder) => AsyncIterable<Checked>>> {
  const called = await callDesk(controlSocket(config), version);
  if (called) return { desk: called, close: nothing };
  const { directory } = config.spool;
  return {
    async *desk(order) {
      if (!order.repair) return yield* verify(order, await fsckBeside(directory), keepsakes);
      await becomeOwner(directory);
      const closeLog = await openLog(config);
      const care = await fsckLocked(directory, Date.now).catch((error: unknown) => {
        throw notAnswering(error, config);
      });
      yield* verify(order, care, keepsakes);
      await care.close();
      await closeLog();
    },
    close: nothing,
  };
}

/** Who runs this command; to be asked before {@link reachDesk}, which may become somebody else. */
export function operatorHere(): Operator {
  const sudoUser = process.env["SUDO_USER"]?.slice(0, 64);
  const uid = process.getuid?.() ?? -1;
  return { name: nameHere(), uid, ...(sudoUser === undefined ? {} : { sudoUser }) };
}

function nameHere(): string {
  try {
    return userInfo().username.slice(0, 64);
  } catch (error) {
    if (errorCode(error) === "") throw error;
    return "unknown"; // a user without a line in passwd(5)
  }
}

/** Root works as the spool's owner does: the relay could not read what root leaves there. */
async function becomeOwner(directory: string): Promise<void> {
  let owner: { readonly uid: number; readonly gid: number };
  try {
    owner = await stat(directory);
    await stat(join(directory, "format"));
  } catch (error) {
    if (errorCode(error) === "") throw error;
    const denied = ["EACCES", "EPERM"].includes(errorCode(error));
    throw new Failure(
      denied ? exitStatus.noPermission : exitStatus.noInput,
      denied
        ? `${directory}: ${errorText(error)}; run the command as root or as the relay's user`
        : `${directory}: no spool is there (${errorText(error)}); spool.directory names it`,
    );
  }
  if (process.getuid?.() !== 0 || owner.uid === 0) return;
  process.setgroups?.([owner.gid]);
  process.setgid?.(owner.gid);
  process.setuid?.(owner.uid);
}

/** The relay's log; where that goes to the relay's own standard output, the journal, or standard error without one. */
async function openLog({ log, hostname }: Config): Promise<() => Promise<void>> {
  const journal = "/run/systemd/journal/stdout";
  const target =
    log.target.kind === "stdout" && existsSync(journal) ? ({ kind: "journal" } as const) : log.target;
  const { stderr, pid } = process;
  const sink = await openSink({ ...log, target, hostname }, Date.now, {
    stdout: stderr,
    stderr,
    journal,
    pid,
  });
  logTo(sink.write);
  return async () => {
    logTo(() => undefined);
    await sink.close();
  };
}

function notAnswering(error: unknown, config: Config): unknown {
  if (!(error instanceof Failure) || error.status !== exitStatus.temporary) return error;
  const said = error.message.split("; ")[0] ?? "";
  return new Failure(
    exitStatus.temporary,
    `${said}, but nobody answers at ${controlSocket(config)}; is control.socket as it was when the relay started?`,
  );
}
