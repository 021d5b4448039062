/**
 * A site with several hosts: relays of the real program, each in a network namespace of its own, one PostgreSQL with a
 * synchronous standby that they reach by TLS over their cables, and a next hop. Databases sync, as a site's would.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chownSync, statSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import bcrypt from "bcryptjs";
import { generate } from "selfsigned";
import { program } from "../../demo/relay.mjs";
import { type Cluster, role, startCluster } from "../postgres/cluster.ts";
import { run } from "../tools/child.mjs";
import { until, within } from "../tools/until.ts";
import type { Network, Place } from "./network.ts";

/** Inside TLS, in the host's own namespace. */
const port = 465;

const firstDatabase = 5_432;

export interface Host {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly login: string;
  readonly password: string;
  readonly place: Place;
  /** Path of its configuration. */
  readonly config: string;
  /** Of all its lives. */
  log(): string;
  /** Starts it; resolves when it is at work. Rejects, with what it said, where it ends instead. */
  start(): Promise<void>;
  isRunning(): boolean;
  signal(signal: NodeJS.Signals): void;
  /** Resolves, to its exit status, when the life that was started last has ended. */
  ended(): Promise<number | null>;
  /** Runs `tpa-submit` there with these words and its configuration. */
  run(...words: readonly string[]): ReturnType<typeof run>;
}

export interface Site {
  readonly hosts: readonly Host[];
  /** What an administrator of the database says to the server that takes writes. */
  sql(text: string): Promise<string>;
  /** Kills the server that takes writes, as its crash would, and promotes the standby. False where there is none left. */
  failover(): Promise<boolean>;
  /** Ends the server that takes writes; there is none then. */
  loseDatabase(): Promise<void>;
  /** A new standby for the server that takes writes, while there are addresses left for one. */
  follow(): Promise<boolean>;
  close(): Promise<void>;
}

export interface SiteOptions {
  /** A host at each of its places. It is closed with the site. */
  readonly network: Network;
  readonly logins?: readonly string[];
  /** Tables of each host's configuration; the host's number begins at 0. */
  readonly settings: (host: number) => string;
  readonly lease?: string;
  /** Of [spool], one line each. */
  readonly spool?: (host: number) => string;
  /** How often another server may become the one that takes writes; 0 for a database without standby. */
  readonly failovers?: number;
  /** Whether PostgreSQL syncs. */
  readonly fsync?: boolean;
}

/** Prepares it; the hosts are not started. */
export async function prepareSite(options: SiteOptions): Promise<Site> {
  const { network, failovers = 0, fsync = true } = options;
  const folder = await mkdtemp(join(tmpdir(), "tpa-hosts-"));
  const closing: (() => Promise<void>)[] = [
    () => network.close(),
    () => rm(folder, { recursive: true, force: true }),
  ];
  const close = async (): Promise<void> => {
    for (const each of closing.splice(0).reverse()) await each();
  };
  try {
    const secret = randomBytes(12).toString("hex");
    await writeFile(join(folder, "store-password"), `${secret}\n`, { mode: 0o600 });
    await certify(folder, network.address);
    const first = await startCluster({
      fsync,
      settings: [`listen_addresses = '${network.address}'`],
      access: [`hostssl all ${role} ${network.address}/28 scram-sha-256`],
    });
    closing.push(() => first.close());
    await encrypt(first, folder);
    await first.sql(`ALTER ROLE ${role} PASSWORD '${secret}'`);
    const database = nameIn(await first.database());
    let primary = first;
    let standby = failovers > 0 ? await first.standby("synchronous") : undefined;
    let promoted = 0;

    const servers = Array.from(
      { length: failovers + 1 },
      (_, more) => `${network.address}:${String(firstDatabase + more)}`,
    );
    const store = `postgresql://${role}@${servers.join(",")}/${database}`;
    const hosts: Host[] = [];
    for (const [number, place] of network.places.entries()) {
      const host = await prepareHost(folder, number, place, store, options);
      hosts.push(host);
      closing.push(async () => {
        if (!host.isRunning()) return;
        host.signal("SIGKILL");
        host.signal("SIGCONT");
        await host.ended();
      });
    }
    return {
      hosts,
      sql: (text) => primary.sql(text, database),
      async failover() {
        if (standby === undefined) return false;
        await primary.stop("immediate");
        await standby.promote();
        primary = standby;
        standby = undefined;
        promoted += 1;
        return true;
      },
      loseDatabase: () => primary.stop("immediate"),
      async follow() {
        if (standby !== undefined || promoted >= failovers) return false;
        standby = await primary.standby("synchronous");
        return true;
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

const nameIn = (url: string): string => /\/([a-z0-9_]+)\?/.exec(url)?.[1] ?? "";

/** One certificate for the database and the hosts; who connects to the database trusts it and its address. */
async function certify(folder: string, address: string): Promise<void> {
  const made = await generate([{ name: "commonName", value: "database" }], {
    keyType: "ec",
    curve: "P-256",
    notAfterDate: new Date(Date.now() + 30 * 86_400_000),
    extensions: [
      { name: "basicConstraints", cA: true, critical: true },
      { name: "subjectAltName", altNames: [{ type: 7, ip: address }] },
    ],
  });
  await writeFile(join(folder, "certificate.pem"), made.cert);
  await writeFile(join(folder, "key.pem"), made.private, { mode: 0o600 });
}

/** The server reads its key as its own user, in a folder of its own. */
async function encrypt(cluster: Cluster, folder: string): Promise<void> {
  const { uid, gid } = statSync(cluster.folder);
  for (const name of ["certificate.pem", "key.pem"]) {
    const path = join(cluster.folder, name);
    await writeFile(path, await readFile(join(folder, name)), { mode: 0o600 });
    chownSync(path, uid, gid);
  }
  await cluster.sql(`ALTER SYSTEM SET ssl_cert_file = '${cluster.folder}/certificate.pem'`);
  await cluster.sql(`ALTER SYSTEM SET ssl_key_file = '${cluster.folder}/key.pem'`);
  await cluster.sql("ALTER SYSTEM SET ssl = on");
  await cluster.sql("SELECT pg_reload_conf()");
}

/** The same for every host: people log in at any of them. */
const password = randomBytes(12).toString("hex");

async function prepareHost(
  site: string,
  number: number,
  place: Place,
  store: string,
  options: SiteOptions,
): Promise<Host> {
  const { logins = ["user1"], lease = "2s", settings, spool = () => "" } = options;
  const name = `relay${String(number + 1)}.example.org`;
  const folder = join(site, name);
  await mkdir(folder);
  const hash = await bcrypt.hash(password, 4);
  await writeFile(join(folder, "passwords"), logins.map((login) => `${login}:${hash}\n`).join(""), {
    mode: 0o600,
  });
  const own = settings(number);
  const tables = {
    listen: `submission = []\nsubmissions = ["0.0.0.0:${String(port)}"]\nhttp = ""`,
    tls: `certificate = "${site}/certificate.pem"\nkey = "${site}/key.pem"`,
    passwords: `file = "${folder}/passwords"`,
    limits:
      "messages-per-hour = 1000000\nrecipients-per-day = 1000000\nnew-recipients-per-day = 1000000\n" +
      "connections = 1000\nconnections-per-address = 1000",
    spool: `directory = "${folder}/spool"
store = "${store}"
store-ca = "${site}/certificate.pem"
store-password-file = "${site}/store-password"
lease = "${lease}"
warn-after = ""
${spool(number)}`,
  };
  const standard = Object.entries(tables)
    .filter(([table]) => !own.includes(`[${table}]`))
    .map(([table, lines]) => `[${table}]\n${lines}\n`);
  const config = join(folder, "tpa-submit.toml");
  await writeFile(
    config,
    `hostname = "${name}"\ndomain = "example.org"\nuser = "root"\n${standard.join("")}${own}\n`,
  );

  let log = "";
  let child: ChildProcess | undefined;
  let end: Promise<number | null> = Promise.resolve(null);
  const isRunning = (): boolean =>
    child !== undefined && child.exitCode === null && child.signalCode === null;
  const [enter, ...into] = place.enter;
  return {
    name,
    address: place.address,
    port,
    login: logins[0] ?? "",
    password,
    place,
    config,
    log: () => log,
    isRunning,
    async start() {
      const from = log.length;
      const started = spawn(enter, [...into, process.execPath, program, "serve", "--config", config], {
        cwd: folder,
        stdio: ["ignore", "pipe", "pipe"],
      });
      child = started;
      for (const stream of [started.stdout, started.stderr]) {
        stream.setEncoding("utf8").on("data", (part: string) => {
          log += part;
        });
      }
      end = new Promise((resolve) => {
        started.on("close", (status) => resolve(status));
      });
      await until(
        `the start of ${name}`,
        () => {
          if (/: tpa-submit \S+ started as/.test(log.slice(from))) return true;
          if (isRunning()) return undefined;
          throw new Error(`${name} ended before it had started:\n${log.slice(from)}`);
        },
        30,
      );
    },
    signal: (signal) => void child?.kill(signal),
    ended: () => end,
    run: (...words) => run(enter, [...into, process.execPath, program, ...words, "--config", config]),
  };
}

/** Ends a host in good order; gives its exit status. */
export async function endWell(host: Host): Promise<number | null> {
  host.signal("SIGTERM");
  return within(`the end of ${host.name}`, 30_000, host.ended());
}

/** Starts a host again and again, as systemd would, where it ends because its database is away. Gives how often. */
export async function startAtLast(host: Host): Promise<number> {
  for (let tries = 1; ; tries += 1) {
    try {
      await host.start();
      return tries;
    } catch (error) {
      if (tries === 40 || host.isRunning()) throw error;
      await pause(500);
    }
  }
}
