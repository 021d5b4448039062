/**
 * A Debian host for tests: a real systemd, booted in namespaces from a minimal Debian that apt's mirror gave once and
 * that is kept in /var/tmp. Only root can do that, and not on every machine: where it cannot be done, that is said aloud.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Ended, run } from "../tools/child.mjs";
import { until } from "../tools/until.ts";

export interface Host {
  /** Runs a script of bash as root there. */
  sh(script: string): Promise<Ended>;
  /** The same; rejects where it ends with anything but 0. Resolves to its standard output. */
  well(script: string): Promise<string>;
  /** Writes a file there. */
  put(path: string, content: string | Buffer): Promise<void>;
  /** Waits until its services are started, after a reboot for instance. */
  up(): Promise<void>;
  stop(): Promise<void>;
}

/** What is installed there beside the base, so that a test needs no mirror. */
const packages = "systemd,systemd-sysv,dbus,iproute2,logrotate,man-db,procps,rsyslog";
const releases = {
  bookworm: { folder: "/var/tmp/tpa-submit-debian12-1", packages },
  trixie: { folder: "/var/tmp/tpa-submit-debian13-1", packages: `${packages},nodejs` },
} as const;

export type Release = keyof typeof releases;

/** Seconds that a busy machine may take to end everything and to boot again. */
export const longestBoot = 120;

/** With us, however we end. */
const dying = ["--pdeathsig", "KILL"];

const programs: Readonly<Record<string, string>> = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" };

/** The folder with the minimal Debian, made where it is not there; otherwise what is missing. */
export async function bareDebian(
  release: Release,
): Promise<{ readonly root: string } | { readonly missing: string }> {
  const { folder: bare, packages: included } = releases[release];
  if (process.geteuid?.() !== 0) return { missing: "only root may boot one" };
  if (!/ cgroup2 /.test(readFileSync("/proc/mounts", "utf8"))) return { missing: "there is no cgroup2" };
  if (existsSync(bare)) return { root: bare };
  const draft = await mkdtemp(`${bare}-draft-`);
  try {
    const made = await run(
      "mmdebstrap",
      [
        "--quiet",
        "--mode=root",
        "--variant=minbase",
        '--aptopt=Dpkg::Options "--force-unsafe-io"',
        `--include=${included}`,
        release,
        join(draft, "root"),
      ],
      "",
      programs,
    );
    if (made.status !== 0) return { missing: `mmdebstrap: ${made.stderr.trim().split("\n").at(-1) ?? ""}` };
    await rename(join(draft, "root"), bare);
    return { root: bare };
  } catch (error) {
    return { missing: String(error) };
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

/** Boots a copy of it that lasts until it is stopped. Rejects where this machine cannot. */
export async function bootHost(root: string): Promise<Host> {
  const folder = await mkdtemp(join(tmpdir(), "tpa-submit-host-"));
  const boot = spawn("setpriv", [...dying, join(import.meta.dirname, "boot.sh"), root, folder], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  for (const stream of [boot.stdout, boot.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      said += text;
    });
  }
  const ended = new Promise<void>((resolve) => {
    boot.on("close", () => resolve());
    boot.on("error", () => resolve());
  });
  const enter = async (words: readonly string[], input: string | Buffer = ""): Promise<Ended> => {
    const init = initOf(boot);
    if (init === undefined) throw new Error(`the host is not up:\n${said}`);
    const inside = [
      "env",
      "-i",
      "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
      "HOME=/root",
      "LANG=C.UTF-8",
      ...words,
    ];
    return run("nsenter", ["--target", init, "--all", ...inside], input);
  };
  const host: Host = {
    sh: (script) => enter(["bash", "-c", script]),
    async well(script) {
      const { status, stdout, stderr } = await host.sh(script);
      if (status === 0) return stdout;
      throw new Error(`${script}\nended with status ${String(status)}:\n${stdout}${stderr}`);
    },
    async put(path, content) {
      const { status, stderr } = await enter(["dd", "status=none", `of=${path}`], content);
      if (status !== 0) throw new Error(`${path}: ${stderr}`);
    },
    async up() {
      const isUp = async (): Promise<true | undefined> => {
        if (boot.exitCode !== null) throw new Error(`this machine boots no Debian:\n${said}`);
        if (initOf(boot) === undefined) return undefined;
        const { stdout } = await host.sh("systemctl is-system-running");
        return /^(?:running|degraded)/.test(stdout) ? true : undefined;
      };
      await until("a booted host", isUp, longestBoot).catch((error: unknown) => {
        throw new Error(`${String(error)}:\n${said}`);
      });
    },
    async stop() {
      // Again and again: in the middle of a reboot there is none to kill.
      const end = setInterval(() => {
        const init = initOf(boot);
        if (init !== undefined) process.kill(Number(init), "SIGKILL");
      }, 50);
      await ended;
      clearInterval(end);
      await rm(folder, { recursive: true, force: true });
    },
  };
  try {
    await host.up();
  } catch (error) {
    boot.kill("SIGKILL");
    await host.stop();
    throw error;
  }
  return host;
}

/** The process that is 1 there: boot.sh's unshare's child, once it has become systemd. */
function initOf({ pid }: ChildProcess): string | undefined {
  let at = pid === undefined ? undefined : String(pid);
  for (let depth = 0; depth < 3 && at !== undefined; depth += 1) at = childOf(at);
  if (at === undefined || nameOf(at) !== "systemd") return undefined;
  return at;
}

function childOf(pid: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8")
      .split(" ")
      .find((word) => word !== "");
  } catch {
    return undefined;
  }
}

function nameOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
  } catch {
    return "";
  }
}
