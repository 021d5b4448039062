/** What the host gives the relay: ports, descriptors, a clock. */
import { execFile } from "node:child_process";
import { readdir, readFile, readlink, stat } from "node:fs/promises";
import { isIP, isIPv6 } from "node:net";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { type HostAndPort, writeAddress } from "../../config/setting-types.ts";
import type { Config } from "../../config/settings.ts";
import { descriptorsAllowed } from "../../server/submission/limits/admission.ts";
import { type CheckContext, type Look, orUndefined } from "./context.ts";
import { age } from "./logins.ts";
import { cannotTell, fail, fine, type Judgement, warn } from "./rows.ts";

/** A socket that listens, as the kernel's table has it (proc(5)). */
export interface ListeningSocket {
  /** In hex, as there; zeros for any address. */
  readonly address: string;
  readonly port: number;
  readonly inode: string;
}

/** The listening sockets of /proc/net/tcp or tcp6. */
export function listeningSockets(table: string): readonly ListeningSocket[] {
  return table
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[3] === "0A")
    .map((fields) => {
      const [address = "", port = ""] = (fields[1] ?? "").split(":");
      return { address, port: Number.parseInt(port, 16), inode: fields[9] ?? "" };
    });
}

/** Whether `socket` keeps others from listening at `address`. A name may be any address. */
export function isInTheWay({ address, port }: ListeningSocket, { host, port: wanted }: HostAndPort): boolean {
  if (port !== wanted || port === 0) return false;
  const own = hexOf(host);
  // An IPv6 socket for any address takes IPv4 as well; which of the two an address is in, the length says.
  return /^0+$/.test(address)
    ? address.length >= (own?.length ?? 0)
    : own === undefined || /^0+$/.test(own) || own === address;
}

/** As the kernel writes it: words of 32 bits, each with its octets turned round. Undefined for a name. */
function hexOf(host: string): string | undefined {
  const octets = octetsOf(host);
  if (octets === undefined) return undefined;
  let text = "";
  for (let at = 0; at < octets.length; at += 4) {
    text += Buffer.from(octets.subarray(at, at + 4))
      .reverse()
      .toString("hex")
      .toUpperCase();
  }
  return text;
}

function octetsOf(host: string): Buffer | undefined {
  if (isIP(host) === 4) return Buffer.from(host.split(".").map(Number));
  if (!isIPv6(host)) return undefined;
  const [front = "", back = ""] = new URL(`http://[${host}]`).hostname.slice(1, -1).split("::");
  const groups = (text: string): string[] => (text === "" ? [] : text.split(":"));
  const before = groups(front);
  const after = groups(back);
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => "0");
  return Buffer.from([...before, ...zeros, ...after].map((group) => group.padStart(4, "0")).join(""), "hex");
}

const doors = ({ listen }: Config) =>
  [
    ...listen.submission.map((address) => ["listen.submission", address] as const),
    ...listen.submissions.map((address) => ["listen.submissions", address] as const),
    ...(listen.http === null ? [] : [["listen.http", listen.http] as const]),
  ].filter(([, { port }]) => port !== 0);

export const ports: Look = async (context) => {
  const { config, unit } = context;
  const tables = await Promise.all(
    ["tcp", "tcp6"].map((name) => orUndefined(readFile(`/proc/net/${name}`, "utf8"))),
  );
  if (tables[0] === undefined) return [cannotTell("", "the kernel's table of sockets cannot be read")];
  const sockets = tables.flatMap((table) => listeningSockets(table ?? ""));
  const relay = await relayProcess(config);
  const found: Judgement[] = [];
  for (const [setting, address] of doors(config)) {
    const name = writeAddress(address);
    const here = sockets.filter((socket) => isInTheWay(socket, address));
    const isOurs = unit?.hasSockets === true && setting !== "listen.http";
    if (here.length > 0) found.push(await judgeTaken(name, here, isOurs, relay));
    else if (!isLocal(address.host))
      found.push(fail(name, `no interface of this host has ${address.host}; ${setting} names it`));
    else if (isOurs) found.push(fine(name, "free, for the socket units"));
    else found.push(await judgeFree(name, setting, address.port, context));
  }
  return found.length > 0 ? found : [fine("", "chosen by the system at the start")];
};

async function judgeTaken(
  name: string,
  sockets: readonly ListeningSocket[],
  isSystemds: boolean,
  relay: number | undefined,
): Promise<Judgement> {
  const owners = await ownersOf(sockets.map(({ inode }) => inode));
  if (relay !== undefined && (owners.length === 0 || owners.includes(relay))) {
    return fine(name, `the running relay's (process ${relay})`);
  }
  if (isSystemds && (owners.length === 0 || owners.includes(1)))
    return fine(name, "systemd's, for the relay");
  const [owner] = owners;
  const who = owner === undefined ? "another program" : `${await nameOf(owner)} (process ${owner})`;
  return fail(name, `${who} has this port`);
}

async function judgeFree(
  name: string,
  setting: string,
  port: number,
  { unit, user }: CheckContext,
): Promise<Judgement> {
  const text = await orUndefined(readFile("/proc/sys/net/ipv4/ip_unprivileged_port_start", "utf8"));
  const first = Number(text ?? 1024);
  if (unit && unit.user !== "" && user.uid !== 0 && port < first && !unit.mayBindPorts) {
    return fail(
      name,
      `${user.name} may not listen below port ${first}; ${setting} names it`,
      "Enable the socket units, or add AmbientCapabilities=CAP_NET_BIND_SERVICE to the unit.",
    );
  }
  return fine(name, "free");
}

function isLocal(host: string): boolean {
  if (isIP(host) === 0 || /^[0.:]+$/.test(host) || host.startsWith("127.") || host === "::1") return true;
  const own = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return own.some(({ address }) => hexOf(address) === hexOf(host));
}

/** The process that has the spool, by what it wrote into the lock; undefined where none runs. */
export async function relayProcess({ spool }: Config): Promise<number | undefined> {
  const note = await orUndefined(readFile(join(spool.directory, "lock"), "utf8"));
  const pid = Number(/^process (\d+)/.exec(note ?? "")?.[1]);
  if (!Number.isInteger(pid)) return undefined;
  const words = await orUndefined(readFile(`/proc/${pid}/cmdline`, "utf8"));
  return words?.split("\0").includes("serve") ? pid : undefined; // else the note is of a process that was killed
}

/** Processes that have one of the sockets, as far as we may see. */
async function ownersOf(inodes: readonly string[]): Promise<readonly number[]> {
  const wanted = new Set(inodes.map((inode) => `socket:[${inode}]`));
  const owners: number[] = [];
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const descriptors = (await orUndefined(readdir(`/proc/${name}/fd`))) ?? [];
    for (const descriptor of descriptors) {
      const target = await orUndefined(readlink(`/proc/${name}/fd/${descriptor}`));
      if (target === undefined || !wanted.has(target)) continue;
      owners.push(Number(name));
      break;
    }
  }
  return owners;
}

async function nameOf(pid: number): Promise<string> {
  return (await orUndefined(readFile(`/proc/${pid}/comm`, "utf8")))?.trim() ?? "another program";
}

/** A session has its socket and the draft of a message, a delivery its socket and the message; and there are others. */
const wanted = ({ limits, delivery }: Config): number =>
  2 * limits.connections + 2 * delivery.concurrency + 100;

export const limits: Look = async ({ config, unit }) => {
  const relay = await relayProcess(config);
  const running =
    relay === undefined ? undefined : await orUndefined(readFile(`/proc/${relay}/limits`, "utf8"));
  const ofRelay = /^Max open files +(\d+)/m.exec(running ?? "")?.[1];
  const [allowed, whose] =
    ofRelay !== undefined
      ? [Number(ofRelay), "the running relay has"]
      : unit?.descriptors !== undefined
        ? [unit.descriptors, "the unit gives"]
        : [await descriptorsAllowed(), "a process of this shell has"];
  const words = `${whose} ${allowed} descriptors, its limits may take ${wanted(config)}`;
  return [allowed < wanted(config) ? warn("", words) : fine("", words)];
};

/** Milliseconds that a file may be from the future: another host's disk has another clock. Our choice. */
const tolerance = 300_000;

export const clock: Look = async ({ config, file, now }) => {
  const written = [
    file,
    config.passwords.file,
    config.spool.directory,
    join(config.spool.directory, "queue"),
  ];
  if (config.log.target.kind === "file") written.push(config.log.target.path);
  const zone = new Intl.DateTimeFormat().resolvedOptions().timeZone;
  const time = new Date(now()).toISOString();
  const found: Judgement[] = [];
  for (const path of written) {
    const ahead = ((await orUndefined(stat(path)))?.mtimeMs ?? 0) - now();
    if (ahead > tolerance)
      found.push(fail(path, `was written ${age(ahead)} from now: the clock says ${time}`));
  }
  if (found.length === 0) found.push(fine("", `${time}, time zone ${zone}`));
  return [...found, ...judgeSynchronised(await timeService())];
};

/** What timedatectl(1) says; "" where no systemd runs, as in a container, whose clock is another's business. */
async function timeService(): Promise<string> {
  if ((await orUndefined(stat("/run/systemd/system"))) === undefined) return "";
  try {
    const words = ["show", "-p", "NTPSynchronized"];
    return (await promisify(execFile)("timedatectl", words, { timeout: 5000 })).stdout.trim();
  } catch (error) {
    if (error instanceof Error) return ""; // it has no answer, so neither have we
    throw error;
  }
}

function judgeSynchronised(said: string): readonly Judgement[] {
  if (said === "NTPSynchronized=yes") return [fine("", "kept by a time service")];
  return said === "NTPSynchronized=no" ? [warn("", "no time service keeps the clock")] : [];
}
