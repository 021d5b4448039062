/** Who may open a spool, which folders are taken for one, and the one line that an operator gets otherwise. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmod,
  chown,
  link,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  symlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Failure } from "../../../src/failure.ts";
import { openSpool } from "../../../src/server/spool/spool.ts";
import { asRoot } from "../../tools/as-root.ts";

const victim = new URL("victim.mjs", import.meta.url).pathname;
const now = (): number => Date.parse("2026-11-22T14:11:00.000Z");

let parent: string;
let directory: string;
let children: ChildProcess[];

beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), "spool-open-"));
  directory = join(parent, "spool");
  children = [];
});

afterEach(async () => {
  for (const child of children) {
    child.kill("SIGKILL");
    if (child.exitCode === null && child.signalCode === null) await once(child, "close");
  }
  await rm(parent, { recursive: true, force: true });
});

/** The Failure with which the spool refuses to open, its one line without the folder's random name. */
async function refusal(): Promise<{ status: number; message: string }> {
  try {
    const spool = await openSpool(directory, now);
    await spool.close();
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    expect(error.message).not.toContain("\n");
    return { status: error.status, message: error.message.replaceAll(parent, "") };
  }
  throw new Error("the spool was opened");
}

/** Another process that tries to own the spool and then waits. Resolves to whether it does. */
async function rival(): Promise<{ child: ChildProcess; owns: boolean }> {
  const child = spawn(process.execPath, [victim, directory, "hold"], { stdio: ["ignore", "pipe", "ignore"] });
  children.push(child);
  const opened = once(child.stdout, "data").then(() => true);
  return { child, owns: await Promise.race([opened, once(child, "exit").then(() => false)]) };
}

describe("nobody else has a hand in a spool:", () => {
  it("the lock is no link to somebody's file", async () => {
    await mkdir(directory);
    const precious = join(parent, "precious");
    await writeFile(precious, "precious");
    await symlink(precious, join(directory, "lock"));
    expect(await refusal()).toEqual({
      status: 77,
      message: "/spool/lock: is a symbolic link, which is not followed; remove it",
    });
    expect(await readFile(precious, "utf8")).toBe("precious");
    await rm(join(directory, "lock"));
    await link(precious, join(directory, "lock"));
    expect((await refusal()).message).toBe("/spool/lock: has another name as well; remove it");
    expect(await readFile(precious, "utf8")).toBe("precious");
  });

  it("a folder that others may write into is not taken", async () => {
    await mkdir(directory);
    await chmod(directory, 0o777);
    expect(await refusal()).toEqual({
      status: 77,
      message: "/spool: others may write into it (mode 0777); chmod 0700 it",
    });
    await chmod(directory, 0o700);
    await (await openSpool(directory, now)).close();
    await chmod(join(directory, "queue"), 0o720);
    expect((await refusal()).message).toMatch(/^\/spool\/queue: others may write into it/);
  });

  it.skipIf(!asRoot("give a folder to another user"))("a folder of another owner is not taken", async () => {
    await mkdir(directory);
    await chown(directory, 4711, 4711);
    expect((await refusal()).message).toMatch(
      /^\/spool: belongs to the user 4711, and tpa-submit runs as the user 0/,
    );
    await chown(directory, 0, 0);
    await (await openSpool(directory, now)).close();
    await chown(join(directory, "messages"), 4711, 4711);
    expect((await refusal()).message).toMatch(/^\/spool\/messages: belongs to the user 4711/);
  });
});

describe("one process owns a spool:", () => {
  it("the second is told who has it, and may try again when it is free", async () => {
    const spool = await openSpool(directory, now);
    expect(await refusal()).toEqual({
      status: 75,
      message:
        `/spool: this spool is in use by process ${String(process.pid)}, since 2026-11-22T14:11:00.000Z; ` +
        "stop that first, or name another directory in [spool]",
    });
    expect(await readFile(join(directory, "lock"), "utf8")).toContain(String(process.pid));
    await spool.close();
    expect(await readFile(join(directory, "lock"), "utf8")).toBe("");
    await (await openSpool(directory, now)).close();
  });

  it("another process keeps us out until it dies, even by SIGKILL", async () => {
    const { child, owns } = await rival();
    expect(owns).toBe(true);
    expect(await refusal()).toMatchObject({
      status: 75,
      message: expect.stringContaining(`process ${String(child.pid)}`),
    });
    child.kill("SIGKILL");
    await once(child, "exit");
    await (await openSpool(directory, now)).close();
  });

  it("of several processes that race for it exactly one wins", async () => {
    const rivals = await Promise.all([rival(), rival(), rival()]);
    expect(rivals.filter(({ owns }) => owns)).toHaveLength(1);
  });

  it("of several calls in one process exactly one wins, and the others harm nothing", async () => {
    const outcomes = await Promise.allSettled(Array.from({ length: 8 }, () => openSpool(directory, now)));
    const won = outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
    expect(won).toHaveLength(1);
    for (const spool of won) {
      expect(await spool.ids()).toEqual([]);
      await spool.close();
    }
  });

  it("says what is missing where flock(1) cannot be run", async () => {
    const path = process.env["PATH"];
    process.env["PATH"] = parent;
    try {
      expect(await refusal()).toEqual({
        status: 69,
        message: "/spool/lock: cannot be locked: flock(1) of util-linux cannot be run: spawn flock ENOENT",
      });
    } finally {
      process.env["PATH"] = path;
    }
  });
});

describe("a folder is taken for a spool", () => {
  it("when it is not there yet, is empty, or is the top of a file system", async () => {
    await mkdir(join(directory, "lost+found"), { recursive: true });
    await (await openSpool(directory, now)).close();
    expect(await readdir(directory)).toEqual(
      expect.arrayContaining(["drafts", "format", "lock", "lost+found", "messages", "queue"]),
    );
    expect(await readFile(join(directory, "format"), "utf8")).toBe("tpa-submit spool 2\n");
  });

  it("not when it holds something else, which stays untouched", async () => {
    await mkdir(join(directory, "messages"), { recursive: true });
    await writeFile(join(directory, "messages", "00000000000A"), "not ours");
    expect(await refusal()).toEqual({
      status: 73,
      message: '/spool: not a spool: it holds "messages" but no file "format"; name an empty folder',
    });
    expect(await readdir(join(directory, "messages"))).toEqual(["00000000000A"]);
  });

  it("not when a later version wrote it, which stays untouched", async () => {
    await (await openSpool(directory, now)).close();
    await writeFile(join(directory, "format"), "tpa-submit spool 4\n");
    await writeFile(join(directory, "drafts", "00000000000A"), "of another kind");
    expect(await refusal()).toEqual({
      status: 65,
      message:
        '/spool/format: expected "tpa-submit spool 2" or "tpa-submit spool 3", found "tpa-submit spool 4"; ' +
        "run the version of tpa-submit that wrote this spool",
    });
    expect(await readdir(join(directory, "drafts"))).toEqual(["00000000000A"]);
  });

  it("not when the folder above is missing", async () => {
    directory = join(parent, "no", "spool");
    expect(await refusal()).toMatchObject({
      status: 73,
      message: expect.stringMatching(
        /^\/no\/spool: the spool cannot be opened: ENOENT: .*; make the folder above it/,
      ),
    });
  });

  it("not when it is a file", async () => {
    await writeFile(directory, "");
    expect(await refusal()).toMatchObject({ status: 73, message: expect.stringContaining("ENOTDIR") });
  });
});

describe("without permission", () => {
  /** Runs `work` without root's powers. */
  async function unprivileged<Result>(work: () => Promise<Result>): Promise<Result> {
    if (process.geteuid?.() !== 0) return work();
    process.seteuid?.(65534);
    try {
      return await work();
    } finally {
      process.seteuid?.(0);
    }
  }

  it("to make the folder, says so", async () => {
    await chmod(parent, 0o555);
    expect(await unprivileged(refusal)).toMatchObject({
      status: 77,
      message: expect.stringMatching(
        /^\/spool: the spool cannot be opened: EACCES: .*a folder of the user who runs/,
      ),
    });
    await chmod(parent, 0o755);
  });

  it("to use the folder, says so", async () => {
    await chmod(parent, 0o755);
    await (await openSpool(directory, now)).close();
    await chmod(directory, 0o000);
    expect(await unprivileged(refusal)).toMatchObject({
      status: 77,
      message: expect.stringMatching(/EACCES|belongs to the user 0, and tpa-submit runs as the user 65534/),
    });
    await chmod(directory, 0o700);
  });
});
