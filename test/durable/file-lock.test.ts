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
  realpath,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { takeFileLock } from "../../src/file-lock.ts";
import { passwd } from "../passwd/program.ts";

let folder = "";
let file = "";
let lock = "";
beforeEach(async () => {
  folder = await mkdtemp(join(await realpath(tmpdir()), "file-lock-"));
  file = join(folder, "mail-passwords");
  lock = join(folder, ".mail-passwords.lock");
});
afterEach(() => rm(folder, { recursive: true }));

async function set(user: string) {
  const result = await passwd(["--set", user, "-s", "PLAIN", "-p", "new", "--file", file]);
  const [weak = "", ...complaints] = result.stderr.split("\n"); // PLAIN is warned about
  expect(weak).toContain("warning: weak");
  return { ...result, stderr: complaints.join("\n") };
}

/** Names of the lines of the file. */
async function logins(): Promise<readonly string[]> {
  const lines = (await readFile(file, "utf8")).split("\n").slice(0, -1);
  return lines.map((line) => line.split(":")[0] ?? "").sort();
}

/** Another process that has the lock and, if it is told to, a draft of the file. */
async function startHolder(draft: string): Promise<ChildProcess> {
  const module = fileURLToPath(new URL("../../dist/file-lock.js", import.meta.url));
  const script = `
    const { takeFileLock } = await import(${JSON.stringify(module)});
    const { writeFileSync } = await import("node:fs");
    await takeFileLock(${JSON.stringify(file)}, "a test");
    writeFileSync(${JSON.stringify(draft)}, "user1:secret");
    process.stdout.write("held");
    setInterval(() => undefined, 1000);`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(child.stdout, "data");
  return child;
}

describe("writers of a password file", () => {
  test("lose nothing that was told as done, eight at once", async () => {
    const leaving = ["old1", "old2", "old3"];
    const coming = ["new1", "new2", "new3", "new4", "new5"];
    for (let round = 0; round < 3; round += 1) {
      await writeFile(file, [...leaving, "stays"].map((name) => `${name}:{PLAIN}x\n`).join(""));
      const results = await Promise.all([
        ...coming.map(set),
        ...leaving.map((user) => passwd(["--delete", user, "--file", file])),
      ]);
      expect(results.map(({ status }) => status)).toEqual(Array.from({ length: 8 }, () => 0));
      expect(await logins()).toEqual([...coming, "stays"]);
    }
    expect((await readdir(folder)).sort()).toEqual([".mail-passwords.lock", "mail-passwords"]);
    expect(await readFile(lock, "utf8")).toBe("");
  }, 60_000);

  test("make a file together that was not there", async () => {
    const users = ["user1", "user2", "user3", "user4"];
    await Promise.all(users.map(set));
    expect(await logins()).toEqual(users);
  });

  test("meet at one lock, by whatever link they come", async () => {
    await writeFile(file, "");
    await mkdir(join(folder, "links"));
    const aside = join(folder, "links", "passwords");
    await symlink(file, aside);
    const held = await takeFileLock(aside, "a test");
    expect(held.file).toBe(file);
    await expect(takeFileLock(file, "another", 100)).rejects.toThrow(lock);
    await held.release();
    expect(await readdir(join(folder, "links"))).toEqual(["passwords"]);
  });

  test("sweep the draft that a killed one left, and nothing else", async () => {
    const draft = join(folder, ".mail-passwords.0123456789ab.new");
    const others = [".mail-passwords.0123456789a.new", ".mail-passwords.mine.new", ".other.0123456789ab.new"];
    for (const name of others) await writeFile(join(folder, name), "");
    const holder = await startHolder(draft);
    holder.kill("SIGKILL");
    await once(holder, "exit");
    expect(await readFile(draft, "utf8")).toBe("user1:secret");
    expect(await set("user2")).toMatchObject({ status: 0 });
    const left = [".mail-passwords.lock", ...others, "mail-passwords"];
    expect((await readdir(folder)).sort()).toEqual(left.sort());
  });

  test("leave the draft of a living one alone, and go on from what it wrote", async () => {
    const draft = join(folder, ".mail-passwords.0123456789ab.new");
    await writeFile(file, "user1:{PLAIN}old\n");
    const held = await takeFileLock(file, "a test");
    await writeFile(draft, "user1:{PLAIN}newer\n");
    const setting = set("user2");
    await pause(1000);
    expect(await readFile(draft, "utf8")).toBe("user1:{PLAIN}newer\n");
    expect(await readFile(file, "utf8")).toBe("user1:{PLAIN}old\n");
    await rename(draft, file);
    await held.release();
    expect(await setting).toMatchObject({ status: 0 });
    expect(await readFile(file, "utf8")).toBe("user1:{PLAIN}newer\nuser2:{PLAIN}new\n");
  });

  test("say in one line who holds the lock for too long, and change nothing", async () => {
    await writeFile(file, "user1:{PLAIN}old\n");
    const holder = await startHolder(join(folder, "draft"));
    try {
      const { status, stdout, stderr } = await set("user2");
      expect({ status, stdout, stderr }).toEqual({
        status: 75,
        stdout: "",
        stderr: `tpa-submit passwd: password file ${file}: ${lock} has been held by process ${holder.pid} (a test) for more than 10 seconds; nothing was changed, try again\n`,
      });
      expect(await readFile(file, "utf8")).toBe("user1:{PLAIN}old\n");
    } finally {
      holder.kill("SIGKILL");
      await once(holder, "exit");
    }
  });

  test("are not fooled by a lock that somebody removed", async () => {
    const first = await takeFileLock(file, "the first");
    const second = takeFileLock(file, "the second");
    await pause(500); // it waits for what is now removed
    await rm(lock);
    const third = await takeFileLock(file, "the third");
    await first.release();
    const order: string[] = [];
    const waited = second.then((found) => {
      order.push("second");
      return found;
    });
    await pause(500);
    order.push("third is done");
    await third.release();
    await (await waited).release();
    expect(order).toEqual(["third is done", "second"]);
  });
});

describe("the lock", () => {
  test.each([
    ["a symbolic link", "is a symbolic link, which is not followed; remove it", symlink],
    ["a second name of a file", "has another name as well; remove it", link],
    ["a folder", "is no file; remove it", (_: string, path: string) => mkdir(path)],
  ])("is refused where it is %s", async (_, complaint, make) => {
    const victim = join(folder, "victim");
    await writeFile(victim, "precious");
    await make(victim, lock);
    const { status, stderr } = await set("user1");
    expect({ status, stderr }).toEqual({
      status: 75,
      stderr: `tpa-submit passwd: password file ${file}: ${lock}: ${complaint}\n`,
    });
    expect(await readFile(victim, "utf8")).toBe("precious");
    expect(await readdir(folder)).not.toContain("mail-passwords");
  });

  test("is not made through a link that leads nowhere", async () => {
    await symlink(join(folder, "elsewhere"), lock);
    expect(await set("user1")).toMatchObject({ status: 75 });
    expect(await readdir(folder)).toEqual([".mail-passwords.lock"]);
  });

  test.each([
    ["0700", "0600"],
    ["0750", "0600"],
    ["0770", "0660"],
    ["1777", "0666"],
  ])("in a folder of mode %s has mode %s: who may replace the file may lock", async (open, mode) => {
    const place = join(folder, "place");
    await mkdir(place);

    await chmod(place, Number.parseInt(open, 8));
    const isRoot = process.getuid?.() === 0;
    if (isRoot) await chown(place, 1234, 5678);
    const held = await takeFileLock(join(place, "mail-passwords"), "a test");
    await held.release();
    const found = await stat(join(place, ".mail-passwords.lock"));
    const owner = await stat(place);
    expect(found.mode & 0o7777).toBe(Number.parseInt(mode, 8));
    expect([found.uid, found.gid]).toEqual([owner.uid, owner.gid]);
  });
});
