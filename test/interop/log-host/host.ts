/**
 * A host of its own, in namespaces: the real systemd-journald, the real rsyslog, the relay as a service of systemd
 * would run, and a network with clients in a namespace beside it. Only root may make one.
 */
import { spawnSync } from "node:child_process";
import { accessSync, constants, readFileSync } from "node:fs";
import { mkdir, mkdtemp, rm, rmdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { prepareRelay, program, type Relay } from "../../../demo/relay.mjs";
import { run, runWell, start as startChild } from "../../tools/child.mjs";
import { until } from "../../tools/until.ts";
import { realAsRoot } from "../root.ts";

const here = (name: string): string => join(import.meta.dirname, name);

/** RFC 5737: of the host, and the network of its clients. */
export const address = "192.0.2.1";
export const clientAddress = (last: number): string => `192.0.2.${last}`;
const clients = [7, 8, 9, 10, 11, 12];

/** What rsyslog writes: Debian 12's own template, and that of Debian 11 and before. */
export const mailLog = "/var/log/mail.log";
export const traditionalLog = "/var/log/mail-traditional.log";
/** Where rsyslog listens as it would at /dev/log. */
export const devLog = "/run/dev-log";

const rsyslog = `
global(workDirectory="/run")
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket="/run/systemd/journal/syslog")
input(type="imuxsock" Socket="${devLog}")
mail.* action(type="omfile" file="${mailLog}" template="RSYSLOG_FileFormat")
mail.* action(type="omfile" file="${traditionalLog}" template="RSYSLOG_TraditionalFileFormat")
`;

const journald = `[Journal]
Storage=volatile
ForwardToSyslog=yes
ReadKMsg=no
Audit=no
RateLimitIntervalSec=0
`;

/** As `real`, with what such a host takes. Where the kernel allows none, that is said aloud. */
export function realHost(...others: readonly string[]): boolean {
  const programs = [
    "systemd-journald",
    "journalctl",
    "rsyslogd",
    "unshare",
    "nsenter",
    "pgrep",
    "ip",
    "python3",
  ];
  if (!realAsRoot(...programs, ...others)) return false;
  const allowed = mayMakeOne();
  if (!allowed)
    process.stderr.write("\n*** SKIPPED, no namespaces or control groups here: a host of its own ***\n");
  return allowed;
}

function mayMakeOne(): boolean {
  try {
    accessSync(ownControlGroup(), constants.W_OK);
    const words = [
      "--mount",
      "--net",
      "--pid",
      "--fork",
      "--mount-proc",
      "mount",
      "-t",
      "tmpfs",
      "none",
      "/run",
    ];
    return spawnSync("unshare", words, { stdio: "ignore" }).status === 0;
  } catch {
    return false; // no control groups of version 2, or not ours to change
  }
}

export interface LogHost {
  readonly folder: string;
  readonly relay: Relay;
  /** Runs a program on the host to its end, and gives its standard output. */
  readonly run: (program: string, ...words: readonly string[]) => Promise<string>;
  /** The same, whatever its exit status is. */
  readonly attempt: (program: string, ...words: readonly string[]) => ReturnType<typeof run>;
  /** Starts a program on the host, which ends with it. */
  readonly start: (program: string, ...words: readonly string[]) => ReturnType<typeof startChild>;
  /** Runs client.py among the clients, and gives its lines. */
  readonly client: (act: string, source: string, ...rest: readonly string[]) => Promise<readonly string[]>;
  /** Starts the relay as the service; resolves when it listens. */
  readonly startRelay: (settings?: string) => Promise<void>;
  readonly stopRelay: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

export async function startLogHost(): Promise<LogHost> {
  const folder = await mkdtemp(join(tmpdir(), "tpa-submit-host-"));
  await mkdir(join(folder, "systemd"));
  await writeFile(join(folder, "systemd", "journald.conf"), journald);
  await writeFile(join(folder, "rsyslog.conf"), rsyslog);
  const relay = await prepareRelay(listen);
  const slice = join(ownControlGroup(), `tpasubmittest${process.pid}.slice`);
  const group = join(slice, "tpa-submit.service");
  await mkdir(group, { recursive: true });

  const namespaces = ["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"];
  const holder = startHolder([...namespaces, "sh", here("start.sh"), folder]);
  const network = startHolder([
    "--net",
    "--fork",
    "--kill-child",
    "sh",
    "-c",
    "echo ready; exec sleep infinity",
  ]);
  /** Whoever is in the namespaces ends with the holder. */
  async function release(): Promise<void> {
    for (const { pid } of [holder, network]) process.kill(pid, "SIGKILL");
    await Promise.all([holder.stop(true), network.stop(true)]);
    await until("the end of the service", () =>
      rmdir(group).then(
        () => true,
        () => undefined,
      ),
    );
    await rmdir(slice);
    await relay.stop();
    await rm(folder, { recursive: true });
  }

  const [inside, among] = await Promise.all([insideOf(holder), insideOf(network)]).catch(
    async (error: unknown) => {
      await release();
      throw error;
    },
  );
  const enter = ["-t", String(inside), "-m", "-n", "-p", "--"];
  const enterClients = ["-t", String(among), "-n", "--"];

  await runWell("ip", [
    ...["link", "add", "host", "netns", String(inside), "type", "veth"],
    ...["peer", "name", "clients", "netns", String(among)],
  ]);
  await runWell("nsenter", [
    ...enter,
    "sh",
    "-c",
    `ip addr add ${address}/24 dev host && ip link set host up`,
  ]);
  const addresses = clients.map((last) => `ip addr add ${clientAddress(last)}/24 dev clients`).join(" && ");
  await runWell("nsenter", [...enterClients, "sh", "-c", `${addresses} && ip link set clients up`]);

  let service: ReturnType<typeof startChild> | undefined;
  const onHost: LogHost["run"] = (name, ...words) => runWell("nsenter", [...enter, name, ...words]);
  const clientsDo: LogHost["client"] = async (act, source, ...rest) => {
    const words = [...enterClients, "python3", here("client.py"), act, address, source, ...rest];
    return (await runWell("nsenter", words)).trimEnd().split("\n");
  };

  /** As systemd does with KillMode=control-group: tells every process of the service. */
  async function stopRelay(): Promise<void> {
    for (const pid of processesIn(group)) process.kill(pid, "SIGTERM");
    await service?.stop(true);
    service = undefined;
  }

  return {
    folder,
    relay,
    run: onHost,
    attempt: (name, ...words) => run("nsenter", [...enter, name, ...words]),
    start: (name, ...words) => startChild("nsenter", [...enter, name, ...words]),
    client: clientsDo,
    startRelay: async (settings = "") => {
      await relay.configure(`${listen}\n${settings}`);
      const serve = [process.execPath, program, "serve", "--config", relay.config];
      service = startChild("nsenter", [...enter, "python3", here("unit.py"), group, ...serve]);
      await until("the relay", async () =>
        (await clientsDo("reach", clientAddress(12)))[0] === "250" ? true : undefined,
      );
    },
    stopRelay,
    stop: async () => {
      await stopRelay();
      await release();
    },
  };
}

const listen = `[listen]\nsubmission = ["0.0.0.0:587"]\nsubmissions = ["0.0.0.0:465"]\nhttp = "127.0.0.1:9587"\n`;

type Holder = ReturnType<typeof startChild>;

const startHolder = (words: readonly string[]): Holder => startChild("unshare", words);

/** The process in the namespaces that a holder made, once it says that it is ready. */
async function insideOf(holder: Holder): Promise<number> {
  await until("namespaces", () => (holder.output().includes("ready\n") ? true : undefined));
  return Number((await runWell("pgrep", ["-P", String(holder.pid)])).trim());
}

const processesIn = (group: string): readonly number[] =>
  readFileSync(join(group, "cgroup.procs"), "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map(Number);

/** The folder of our own control group, of version 2. */
function ownControlGroup(): string {
  const mounts = readFileSync("/proc/mounts", "utf8");
  const [, mount] = /^\S+ (\S+) cgroup2 /m.exec(mounts) ?? [];
  if (mount === undefined) throw new Error("there are no control groups of version 2");
  const [, path = ""] = /^0::(.*)$/m.exec(readFileSync("/proc/self/cgroup", "utf8")) ?? [];
  return join(mount, path);
}
