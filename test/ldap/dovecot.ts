/** The real Dovecot, without any protocol: only its authentication, on a passwd-file. Needs no root. */
import { execFile, execFileSync, spawn } from "node:child_process";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { pathOf } from "../tools/real.ts";

export const dovecotPrograms = ["dovecot", "doveadm"] as const;

export interface Dovecot {
  /** Whether it lets `login` in. */
  accepts(login: string, password: string): Promise<boolean>;
  log(): string;
  remove(): Promise<void>;
}

/** Starts one on the password file `path`, which somebody may replace later. */
export async function startDovecot(path: string): Promise<Dovecot> {
  const folder = await mkdtemp(join(tmpdir(), "dovecot-"));
  await chmod(folder, 0o755);
  const me = userInfo().username;
  const group = execFileSync("id", ["-gn"], { encoding: "utf8" }).trim();
  const root = process.getuid?.() === 0;
  const config = join(folder, "dovecot.conf");
  const socket = join(folder, "run", "auth-client");
  await writeFile(
    config,
    `base_dir = ${folder}/run
state_dir = ${folder}/run
log_path = /dev/stderr
protocols =
ssl = no
auth_verbose = yes
auth_failure_delay = 0
${root ? "" : `default_internal_user = ${me}\ndefault_internal_group = ${group}\ndefault_login_user = ${me}\n`}
passdb {
  driver = passwd-file
  args = scheme=CRYPT username_format=%n ${path}
}
userdb {
  driver = static
  args = uid=${process.getuid?.() ?? 0} gid=${process.getgid?.() ?? 0} home=${folder}
}
service auth {
  user = ${me}
  chroot =
  unix_listener auth-client {
    mode = 0600
    user = ${me}
  }
}
service anvil {
  chroot =
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
service stats {
  chroot =
}
`,
  );
  const child = spawn(pathOf("dovecot") ?? "dovecot", ["-F", "-c", config], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let log = "";
  const gather = (chunk: Buffer): void => {
    log += chunk.toString();
  };
  child.stdout.on("data", gather);
  child.stderr.on("data", gather);
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));

  function accepts(login: string, password: string): Promise<boolean> {
    return new Promise((resolve, reject) => {
      // Passwords of these tests are known to everybody; they may stand in ps(1).
      const words = ["-c", config, "auth", "test", "-a", socket, login, password];
      execFile(pathOf("doveadm") ?? "doveadm", words, (_, stdout, stderr) => {
        const [, answer] = /auth (succeeded|failed)/.exec(stdout) ?? [];
        if (answer === undefined || stderr.includes("connect("))
          reject(new Error(`doveadm: ${stderr}\n${log}`));
        else resolve(answer === "succeeded");
      });
    });
  }

  for (let ready = false; !ready; ) {
    if (child.exitCode !== null) throw new Error(`dovecot does not start:\n${log}`);
    ready = await accepts("nobody-at-all", "x").then(
      () => true,
      () => false,
    );
    if (!ready) await pause(50);
  }
  return {
    accepts,
    log: () => log,
    async remove() {
      child.kill("SIGTERM");
      await ended;
      await rm(folder, { recursive: true, force: true });
    },
  };
}
