/** Listening on a Unix socket that the file system guards: its owner, its group and root may connect. */
import { once } from "node:events";
import { chmod, chown, lstat, unlink } from "node:fs/promises";
import { connect, type Server } from "node:net";
import { errorCode, errorText, exitStatus, Failure } from "./failure.ts";

/** sun_path of Linux has 108 octets, the last of them NUL. */
const longestPath = 107;

export interface UnixSocketOptions {
  readonly path: string;
  /** The setting that names the path, for who has to mend it. */
  readonly setting: string;
  /** Permission bits; 0o660 where it is not given. */
  readonly mode?: number;
  /** Number of the group that it is given; the process's own where it is not given. */
  readonly gid?: number | undefined;
}

/**
 * Has `server` listen. Replaces the socket of a process that was killed, and nothing else that may be there. Throws a Failure
 * where that cannot be.
 */
export async function listenOnUnixSocket(server: Server, options: UnixSocketOptions): Promise<void> {
  const { path, setting } = options;
  try {
    requireShortPath(path, setting);
    await removeDeadSocket(path, setting);
    await bind(server, options);
  } catch (error) {
    if (error instanceof Failure || errorCode(error) === "") throw error;
    throw new Failure(
      exitStatus.cannotCreate,
      `${path}: cannot listen for requests: ${errorText(error)}; ${setting} names it, and its folder must be there`,
      { cause: error },
    );
  }
}

/** Throws a Failure where `path` is longer than a socket's may be. `setting` can name another. */
export function requireShortPath(path: string, setting: string): void {
  if (Buffer.byteLength(path) <= longestPath) return;
  throw new Failure(
    exitStatus.config,
    `${path}: expected a path of ${longestPath} octets at most; ${setting} can name a shorter one`,
  );
}

async function bind(server: Server, { path, mode = 0o660, gid }: UnixSocketOptions): Promise<void> {
  const listening = once(server, "listening");
  // Between these two lines the socket has what the umask leaves of 0777: nobody else may connect meanwhile.
  const umask = process.umask(0o177);
  try {
    server.listen(path); // binds at once
  } finally {
    process.umask(umask);
  }
  await listening;
  try {
    if (gid !== undefined) await chown(path, process.geteuid?.() ?? 0, gid);
    await chmod(path, mode);
  } catch (error) {
    server.close(); // it would keep the process alive
    throw error;
  }
}

/** Removes a socket where nobody answers. */
async function removeDeadSocket(path: string, setting: string): Promise<void> {
  try {
    if (!(await lstat(path)).isSocket()) {
      throw new Failure(
        exitStatus.cannotCreate,
        `${path}: is no socket, and is left alone; remove it, or name another path in ${setting}`,
      );
    }
  } catch (error) {
    if (errorCode(error) === "ENOENT") return;
    throw error;
  }
  if (await isAnswered(path)) {
    throw new Failure(
      exitStatus.unavailable,
      `${path}: another program listens there; stop that, or name another path in ${setting}`,
    );
  }
  await unlink(path);
}

async function isAnswered(path: string): Promise<boolean> {
  const socket = connect(path);
  try {
    await once(socket, "connect");
    return true;
  } catch (error) {
    if (["ECONNREFUSED", "ENOENT"].includes(errorCode(error))) return false;
    throw error;
  } finally {
    socket.destroy();
  }
}
