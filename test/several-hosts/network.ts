/**
 * Hosts in network namespaces, each on a cable of its own to the test: a cut makes a host as alone as its dead cable would.
 * The addresses are of RFC 2544, C.2.2, which no network uses; only root may make one.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { realAsRoot } from "../interop/root.ts";
import { runWell } from "../tools/child.mjs";
import { until } from "../tools/until.ts";

/** As `real`, with what such a network takes. Where the kernel allows none, that is said aloud. */
export function realNetwork(...others: readonly string[]): boolean {
  if (!realAsRoot("ip", "nsenter", "unshare", ...others)) return false;
  const allowed = mayMakeOne();
  if (!allowed) process.stderr.write("\n*** SKIPPED, no network namespaces here: several hosts ***\n");
  return allowed;
}

function mayMakeOne(): boolean {
  const words = ["--net", "ip", "link", "add", "host", "type", "veth", "peer", "name", "cable"];
  return spawnSync("unshare", words, { stdio: "ignore" }).status === 0;
}

export interface Place {
  readonly address: string;
  /** What stands before a command that runs there; it becomes that command's process. */
  readonly enter: readonly [string, ...string[]];
  /**
   * Nothing comes from there and nothing arrives. "silent": what is sent is lost, and nobody says so. "link": the host
   * sees its cable gone.
   */
  cut(how: Cut): Promise<void>;
  mend(): Promise<void>;
}

export type Cut = "silent" | "link";

export interface Network {
  /** Of the test, for all the hosts. */
  readonly address: string;
  readonly places: readonly Place[];
  close(): Promise<void>;
}

/** Nobody's: what is sent to it is received, and dropped. */
const nobody = "02:00:00:00:00:01";

const ip = async (...words: readonly string[]): Promise<void> => void (await runWell("ip", words));

/** So many places, each of which reaches the test and no other. */
export async function makeNetwork(size: number): Promise<Network> {
  const block = Math.floor(Math.random() * 8_192) * 16;
  const address = (last: number): string =>
    `198.${String(18 + (block >> 16))}.${String((block >> 8) & 255)}.${String((block & 255) + last)}`;
  const mine = address(1);
  const holders: ChildProcess[] = [];
  try {
    const places: Place[] = [];
    for (let number = 0; number < size; number += 1) {
      const holder = await hold();
      holders.push(holder);
      places.push(
        await plug(holder, mine, address(2 + number), `tpa${block.toString(36)}-${String(number)}`),
      );
    }
    return { address: mine, places, close: () => release(holders) };
  } catch (error) {
    await release(holders);
    throw error;
  }
}

/** A namespace, which lasts until its standard input ends: at the latest with this process, however that ends. */
async function hold(): Promise<ChildProcess> {
  const holder = spawn("unshare", ["--net", "sh", "-c", "ip link set lo up && echo ready && exec cat"], {
    stdio: ["pipe", "pipe", "ignore"],
  });
  let said = "";
  holder.stdout.setEncoding("utf8").on("data", (part: string) => {
    said += part;
  });
  await until("a namespace", () => (said.includes("ready\n") ? true : undefined));
  return holder;
}

async function release(holders: readonly ChildProcess[]): Promise<void> {
  for (const holder of holders) {
    const ended = once(holder, "close");
    holder.stdin?.end();
    await ended;
  }
}

async function plug(holder: ChildProcess, mine: string, theirs: string, cable: string): Promise<Place> {
  const pid = String(holder.pid);
  const enter = ["nsenter", "-t", pid, "-n", "--"] as const;
  const inside = async (...words: readonly string[]): Promise<void> =>
    void (await runWell(enter[0], [...enter.slice(1), "ip", ...words]));
  await ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", pid);
  await ip("addr", "add", mine, "peer", theirs, "dev", cable);
  await ip("link", "set", cable, "up");
  await inside("addr", "add", theirs, "peer", mine, "dev", "eth0");
  await inside("link", "set", "eth0", "up");
  const neighbour = ["lladdr", nobody, "nud", "permanent", "dev"];
  let how: Cut | undefined;
  return {
    address: theirs,
    enter,
    async cut(wanted) {
      how = wanted;
      if (how === "link") return inside("link", "set", "eth0", "down");
      await inside("neigh", "replace", mine, ...neighbour, "eth0");
      await ip("neigh", "replace", theirs, ...neighbour, cable);
    },
    async mend() {
      const was = how;
      how = undefined;
      if (was === undefined) return;
      if (was === "link") return inside("link", "set", "eth0", "up");
      await inside("neigh", "del", mine, "dev", "eth0");
      await ip("neigh", "del", theirs, "dev", cable);
    },
  };
}
