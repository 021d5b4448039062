/**
 * Connections to a server: by TCP, maybe through a proxy, by Unix socket, or through a program's standard input and
 * output.
 */
import type { ChildProcess } from "node:child_process";
import { connect, isIP, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { connectThroughProxy, parseProxy } from "./proxy.ts";

export interface ServerAddress {
  /** A name or an address. */
  readonly host: string;
  readonly port: number;
  readonly family?: 4 | 6;
  readonly localInterface?: string;
  readonly localPort?: number;
  /** What {@link parseProxy} reads. */
  readonly via?: string;
}

/**
 * Connects to the first of the host's addresses that accepts, with `timeout` milliseconds for all of them (0: no
 * limit). Rejects with the last one's error.
 */
export function connectTcp(address: ServerAddress, timeout: number): Promise<Duplex> {
  return withTimeout(timeout, async (signal) => {
    if (address.via === undefined) return connectToHost(address, signal);
    const proxy = parseProxy(address.via);
    if (proxy === undefined)
      throw new Error(`not a proxy: expected socks5h://, socks5:// or http://HOST:PORT`);
    const socket = await connectToHost({ ...address, host: proxy.host, port: proxy.port }, signal);
    const stop = (): void => void socket.destroy(new Error("Connection timed out"));
    signal.addEventListener("abort", stop);
    try {
      await connectThroughProxy(socket, proxy, address.host, address.port);
      return socket;
    } catch (error) {
      socket.destroy();
      throw error;
    } finally {
      signal.removeEventListener("abort", stop);
    }
  });
}

export function connectUnix(path: string, timeout: number): Promise<Socket> {
  return withTimeout(timeout, (signal) => connected(connect({ path }), signal));
}

/**
 * Runs `work`. When the time is up (milliseconds; 0: never), it aborts the signal and rejects as after a network
 * timeout.
 */
export async function withTimeout<Result>(
  timeout: number,
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const clock = new AbortController();
  const timer = timeout > 0 ? setTimeout(() => clock.abort(), timeout) : undefined;
  const silence = new Promise<never>((_, reject) => {
    clock.signal.addEventListener("abort", () => reject(new Error("Connection timed out")));
  });
  try {
    return await Promise.race([work(clock.signal), silence]);
  } finally {
    clearTimeout(timer);
  }
}

async function connectToHost(
  { host, port, family, localInterface, localPort }: ServerAddress,
  signal: AbortSignal,
) {
  const known = isIP(host);
  const found =
    known === 0
      ? await (await import("node:dns/promises")).lookup(host, { all: true, family: family ?? 0 })
      : [{ address: host, family: known }];
  let last: unknown = new Error("Name or service not known");
  for (const { address } of found) {
    if (signal.aborted) break;
    try {
      const from = {
        ...(localInterface === undefined ? {} : { localAddress: localInterface }),
        ...(localPort === undefined ? {} : { localPort }),
      };
      return await connected(connect({ host: address, port, ...from }), signal);
    } catch (error) {
      last = error;
    }
  }
  throw last;
}

function connected(socket: Socket, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const stop = (): void => void socket.destroy(new Error("Connection timed out"));
    const settle = (act: () => void): void => {
      socket.off("error", fail).off("connect", open);
      signal.removeEventListener("abort", stop);
      act();
    };
    const fail = (error: Error): void => settle(() => reject(error));
    const open = (): void => settle(() => resolve(socket));
    // An error while nobody reads is noticed as the end of the stream.
    socket.on("error", () => undefined);
    socket.on("error", fail).on("connect", open).setNoDelay(true);
    signal.addEventListener("abort", stop);
  });
}

/** Characters that only a shell understands; without any, the command is a program and its arguments. */
const forTheShell = /[$&*(){}[\]'";\\|?<>~`\n]/;

/** Starts `command`, with our standard error. Rejects if there is no such program. */
export async function connectProgram(command: string): Promise<Duplex> {
  const { spawn } = await import("node:child_process");
  const [program = "", ...words] = command.trim().split(/\s+/);
  const [file, args] = forTheShell.test(command) ? ["/bin/sh", ["-c", command]] : [program, words];
  const child = spawn(file, args, { stdio: ["pipe", "pipe", "inherit"] });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("spawn", () => resolve(overPipes(child)));
  });
}

function overPipes(child: ChildProcess): Duplex {
  const { stdin, stdout } = child;
  if (stdin === null || stdout === null) throw new Error("a program without pipes");
  const duplex = new Duplex({
    read: () => void stdout.resume(),
    write: (octets: Uint8Array, _encoding, done) => void stdin.write(octets, done),
    final: (done) => void stdin.end(done),
    destroy(error, done) {
      stdin.destroy();
      stdout.destroy();
      child.unref(); // it sees the end of its input; we need not wait for it
      done(error);
    },
  });
  stdin.on("error", () => undefined); // the writer's callback gets it
  stdout.on("error", (error) => duplex.destroy(error)).on("end", () => duplex.push(null));
  stdout.on("data", (octets: Uint8Array) => {
    if (!duplex.push(octets)) stdout.pause();
  });
  return duplex;
}
