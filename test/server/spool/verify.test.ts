/**
 * Every damage that can be made with a hand, a bad copy or a repaired file system: it is found and told in a line, the
 * repair loses nothing, and afterwards nothing more is found.
 */
import {
  appendFile,
  chmod,
  chown,
  cp,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  symlink,
  truncate,
  unlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { systemDisk } from "../../../src/server/spool/disk.ts";
import { fsckBeside, fsckLocked, type KeptFile, repairText } from "../../../src/server/spool/fsck.ts";
import { type FailedAttempt, isDamaged, openSpool } from "../../../src/server/spool/spool.ts";
import type { SpoolFault } from "../../../src/server/spool/verify.ts";
import { asRoot } from "../../tools/as-root.ts";
import { intercept } from "./intercept.ts";
import { toOne } from "./to-one.ts";

const mayGive = asRoot("give files of a spool to another user");

const now = (): number => Date.parse("2026-11-22T14:11:00.000Z");
const id = "1A2039891200"; // the first ID at that time
const stray = "00000000000A";

const noted: FailedAttempt = {
  recipient: "x@example.net",
  code: 451,
  status: "4.4.1",
  text: "later",
  relay: "none",
  command: "",
  at: now(),
};

const keepsakes: readonly KeptFile[] = [
  {
    name: "usage",
    fault: (text) => (text.startsWith("usage 1\n") ? undefined : 'expected "usage 1"'),
    repair: "set aside",
  },
  {
    name: "frozen",
    fault: (text) => (text.startsWith("{") ? undefined : "line 1: expected JSON"),
    repair: { because: "mend the line" },
  },
];

let parent: string;
let directory: string;

beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), "spool-verify-"));
  directory = join(parent, "spool");
  const spool = await openSpool(directory, now);
  for (const body of ["0123456789", "sound"]) {
    const draft = await spool.draft();
    await draft.write(Buffer.from(body));
    await draft.accept(toOne);
  }
  expect((await spool.ids())[0]).toBe(id);
  await spool.close();
});

afterEach(async () => {
  await rm(parent, { recursive: true, force: true });
});

const at = (file: string): string => join(directory, file);

/** What is found, a line each with what repair would do; with `repair` it is done. */
async function verified(repair = false, disk = systemDisk): Promise<readonly string[]> {
  const care = await fsckLocked(directory, now, disk);
  try {
    const findings: SpoolFault[] = [];
    for await (const finding of care.damage(keepsakes)) findings.push(finding);
    if (repair) for (const finding of findings) await care.repair(finding);
    return findings.map(({ fault, repair: remedy }) => `${fault}; ${repairText(remedy)}`);
  } finally {
    await care.close();
  }
}

/** What the relay at work would find. */
async function foundBeside(): Promise<readonly string[]> {
  const lines: string[] = [];
  for await (const { fault } of (await fsckBeside(directory)).damage(keepsakes)) lines.push(fault);
  return lines;
}

/** Every file of the spool and its text; the lock's note comes and goes. */
async function everything(): Promise<Record<string, string>> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile() && entry.name !== "lock");
  return Object.fromEntries(
    await Promise.all(
      files.map(async ({ parentPath, name }) => {
        const path = join(parentPath, name);
        return [path.slice(directory.length + 1), await readFile(path, "utf8")] as const;
      }),
    ),
  );
}

const edit = async (file: string, from: string | RegExp, to: string): Promise<void> =>
  writeFile(at(file), (await readFile(at(file), "utf8")).replace(from, to));

const aside = `; set queue/${id} and messages/${id} aside in damaged/`;
const bothAside = [`damaged/messages-${id}`, `damaged/queue-${id}`];

/** By what was done to the spool: the lines, and the files that are new after a repair. */
const cases: readonly [
  what: string,
  damage: () => Promise<unknown>,
  lines: readonly string[],
  made: readonly string[],
][] = [
  [
    "an envelope that is empty",
    () => truncate(at(`queue/${id}`), 0),
    [`queue/${id}: expected a JSON object, found ""${aside}`],
    bothAside,
  ],
  [
    "an envelope with a field of another type",
    () => edit(`queue/${id}`, '"attempts": 0', '"attempts": "0"'),
    [`queue/${id}: attempts: expected a whole number, found "0"${aside}`],
    bothAside,
  ],
  [
    "an envelope of a later version",
    () => edit(`queue/${id}`, '"version": 2', '"version": 3'),
    [`queue/${id}: version: expected 1 or 2, found 3${aside}`],
    bothAside,
  ],
  [
    "an envelope under another's name",
    () => edit(`queue/${id}`, `"id": "${id}"`, `"id": "${stray}"`),
    [`queue/${id}: id: expected "${id}", the file's name, found "${stray}"${aside}`],
    bothAside,
  ],
  [
    "an envelope that cannot be used, with a history",
    async () => {
      await truncate(at(`queue/${id}`), 3);
      await writeFile(at(`history/${id}`), "{}\n", { mode: 0o600 });
    },
    [
      `queue/${id}: expected a JSON object, found "{\\n "; set queue/${id} and messages/${id} and history/${id} aside in damaged/`,
    ],
    [`damaged/history-${id}`, ...bothAside],
  ],
  [
    "a body that is missing",
    () => unlink(at(`messages/${id}`)),
    [`messages/${id}: expected 10 octets, found no such file; set queue/${id} aside in damaged/`],
    [`damaged/queue-${id}`],
  ],
  [
    "a body that was cut",
    () => truncate(at(`messages/${id}`), 3),
    [`messages/${id}: expected 10 octets, as queue/${id} says, found 3${aside}`],
    bothAside,
  ],
  [
    "a body that has grown",
    () => appendFile(at(`messages/${id}`), "more"),
    [`messages/${id}: expected 10 octets, as queue/${id} says, found 14${aside}`],
    bothAside,
  ],
  [
    "an envelope that is missing",
    () => unlink(at(`queue/${id}`)),
    [`messages/${id}: expected queue/${id} to go with it; set messages/${id} aside in damaged/`],
    [`damaged/messages-${id}`],
  ],
  [
    "a history without its message",
    () => writeFile(at(`history/${stray}`), "", { mode: 0o600 }),
    [`history/${stray}: expected queue/${stray} to go with it; remove history/${stray}`],
    [],
  ],
  [
    "drafts that a crash left",
    async () => {
      await writeFile(at(`drafts/${stray}`), "{", { mode: 0o600 });
      await writeFile(at("format.new"), "", { mode: 0o600 });
      await writeFile(at(".usage.0123456789ab.new"), "", { mode: 0o600 });
    },
    [
      ".usage.0123456789ab.new: a draft that a crash left; remove .usage.0123456789ab.new",
      "format.new: a draft that a crash left; remove format.new",
      `drafts/${stray}: a draft that a crash left; remove drafts/${stray}`,
    ],
    [],
  ],
  [
    "modes that let others in, or the relay not",
    async () => {
      await chmod(at("queue"), 0o755);
      await chmod(at(`queue/${id}`), 0o644);
      await chmod(at(`messages/${id}`), 0o666);
      await chmod(at("format"), 0o640);
    },
    [
      "format: expected mode 0600, found 0640; set the mode of format to 0600",
      "queue: expected mode 0700, found 0755; set the mode of queue to 0700",
      `queue/${id}: expected mode 0600, found 0644; set the mode of queue/${id} to 0600`,
      `messages/${id}: expected mode 0600, found 0666; set the mode of messages/${id} to 0600`,
    ],
    [],
  ],
  [
    "a format that is lost",
    () => unlink(at("format")),
    ['format: expected "tpa-submit spool 2", found no such file; write format anew'],
    ["format"],
  ],
  [
    "a format that is empty",
    () => truncate(at("format"), 0),
    ['format: expected "tpa-submit spool 2", found ""; write format anew'],
    [],
  ],
  [
    "the limits' file, whose reader begins afresh",
    () => writeFile(at("usage"), "\u0000", { mode: 0o600 }),
    ['usage: expected "usage 1"; set usage aside in damaged/'],
    ["damaged/usage"],
  ],
];

/** What nobody but a person can mend: told, and left alone. */
const left: readonly [what: string, damage: () => Promise<unknown>, lines: readonly string[]][] = [
  [
    "files with other names",
    async () => {
      await writeFile(at("notes.txt"), "");
      await writeFile(at(`queue/${id}~`), "");
      await writeFile(at("messages/x"), "");
    },
    [
      "notes.txt: expected no such file; leave it: it is neither used nor removed",
      `queue/${id}~: expected a queue ID for a name; leave it: it is neither used nor removed`,
      "messages/x: expected a queue ID for a name; leave it: it is neither used nor removed",
    ],
  ],
  [
    "a folder and a link where a file should be",
    async () => {
      await mkdir(at(`queue/${stray}`));
      await symlink("/dev/null", at(`messages/${stray}`));
    },
    [
      `queue/${stray}: expected a file, found a folder or a link; leave it: it is in nobody's way but yours`,
      `messages/${stray}: expected a file, found a folder or a link; leave it: it is in nobody's way but yours`,
    ],
  ],
  [
    "a later format",
    () => writeFile(at("format"), "tpa-submit spool 4\n"),
    [
      'format: expected "tpa-submit spool 2", found "tpa-submit spool 4\\n"; ' +
        "leave it: run the version of tpa-submit that wrote this spool",
    ],
  ],
  [
    "a format that is lost together with every envelope",
    async () => {
      await unlink(at("format"));
      for (const name of await readdir(at("queue"))) await rename(at(`queue/${name}`), join(parent, name));
      for (const name of await readdir(at("messages"))) await unlink(at(`messages/${name}`));
    },
    [
      'format: expected "tpa-submit spool 2", found no such file; ' +
        "leave it: no envelope in queue/ tells which version wrote this spool",
    ],
  ],
  [
    "a folder that is missing",
    () => rm(at("history"), { recursive: true }),
    ["history: expected a folder, found nothing; leave it: it is made at the next start of the relay"],
  ],
  [
    "who is frozen",
    () => writeFile(at("frozen"), "user1\n", { mode: 0o600 }),
    ["frozen: line 1: expected JSON; leave it: mend the line"],
  ],
];

describe("a sound spool", () => {
  it("has no damage, with all that may lie in it", async () => {
    await writeFile(at("usage"), "usage 1\n", { mode: 0o600 });
    await mkdir(at("lost+found"), { mode: 0o755 });
    await mkdir(at("mta-sts"), { mode: 0o700 });
    await writeFile(at("mta-sts/example.net"), "", { mode: 0o600 });
    await mkdir(at("damaged"), { mode: 0o700 });
    await writeFile(at("damaged/queue-x"), "");
    await writeFile(at(`history/${id}`), "", { mode: 0o600 });
    expect(await verified()).toEqual([]);
  });

  it.each(["format-1", "format-2"])("of %s has the leftover of its crash only", async (fixture) => {
    await rm(directory, { recursive: true });
    await cp(join(import.meta.dirname, "fixtures", fixture), directory, { recursive: true });
    await mkdir(at("drafts"), { recursive: true });
    await mkdir(at("history"), { recursive: true });
    for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
      await chmod(join(entry.parentPath, entry.name), entry.isDirectory() ? 0o700 : 0o600);
    }
    await writeFile(at("usage"), "usage 1\n");
    expect(await verified()).toEqual([expect.stringMatching(/^messages\/1A2039\w+: expected queue/)]);
  });
});

describe("damage", () => {
  it.each(cases)("%s: is told, repaired, and then there is no more", async (_, damage, lines, made) => {
    await damage();
    const before = await everything();
    expect(await verified()).toEqual(lines);
    expect(await everything()).toEqual(before); // looking changes nothing
    expect(await verified(true)).toEqual(lines);
    expect(await verified()).toEqual([]);
    const after = await everything();
    expect(
      Object.keys(after)
        .filter((name) => !(name in before))
        .sort(),
    ).toEqual([...made].sort());
    for (const name of made.filter((each) => each.startsWith("damaged/"))) {
      const from = name.replace("damaged/", "").replace("-", "/");
      expect(after[name]).toBe(before[from]);
    }
    const spool = await openSpool(directory, now);
    for (const each of await spool.ids()) expect(isDamaged(await spool.read(each))).toBe(false);
    await spool.close();
  });

  it.each(left)("%s: is told, and left to a person", async (_, damage, lines) => {
    await damage();
    const before = await everything();
    expect(await verified(true)).toEqual(lines);
    expect(await everything()).toEqual(before);
  });

  it.skipIf(!mayGive)("of another owner: is given to the spool's", async () => {
    await chown(at(`queue/${id}`), 65534, 65534);
    expect(await verified(true)).toEqual([
      `queue/${id}: expected user 0, who has the spool, found user 65534; give queue/${id} to user 0 and group 0`,
    ]);
    expect((await lstat(at(`queue/${id}`))).uid).toBe(0);
    expect(await verified()).toEqual([]);
  });

  it.skipIf(!mayGive)("repaired by root stays within reach of the relay's user", async () => {
    for (const name of ["", ...(await readdir(directory, { recursive: true }))])
      await chown(at(name), 65534, 65534);
    await truncate(at(`queue/${id}`), 0);
    await unlink(at("format"));
    await verified(true);
    expect((await lstat(at("damaged"))).uid).toBe(65534);
    expect((await lstat(at("format"))).uid).toBe(65534);
    expect(await verified()).toEqual([]);
  });

  it("set aside twice under the same name overwrites nothing", async () => {
    const body = await readFile(at(`queue/${id}`));
    for (const octets of [1, 2]) {
      await writeFile(at(`queue/${id}`), body.subarray(0, octets), { mode: 0o600 });
      await verified(true);
    }
    expect((await readFile(at(`damaged/queue-${id}`))).length).toBe(1);
    expect((await readFile(at(`damaged/queue-${id}.2`))).length).toBe(2);
  });

  it("is never half set aside: whichever call fails, every file keeps a name, and the next repair is whole", async () => {
    await truncate(at(`queue/${id}`), 3);
    const before = await everything();
    const pristine = join(parent, "pristine");
    await cp(directory, pristine, { recursive: true, preserveTimestamps: true });
    let failing = 0;
    for (let failed = true; failed; failing += 1) {
      await rm(directory, { recursive: true });
      await cp(pristine, directory, { recursive: true });
      let calls = 0;
      failed = false;
      const disk = intercept(systemDisk, (call) => {
        calls += 1;
        if (calls - 1 !== failing) return "go";
        failed = true;
        throw Object.assign(new Error(`EIO: ${call}`), { code: "EIO" });
      });
      await verified(true, disk).catch((error: unknown) => expect(String(error)).toContain("EIO"));
      await (await openSpool(directory, now)).close(); // with its sweep
      await verified(true);
      const after = Object.values(await everything());
      for (const text of Object.values(before)) expect(after).toContain(text);
      expect(await verified()).toEqual([]);
    }
    expect(failing).toBeGreaterThan(8);
  });
});

describe("a spool at work", () => {
  it("is looked at without its lock: what comes and goes is no damage, what is damaged is", async () => {
    const spool = await openSpool(directory, now);
    const draft = await spool.draft();
    await draft.write(Buffer.alloc(70_000));
    await writeFile(at(`drafts/${id}`), "{");
    expect(await foundBeside()).toEqual([]);
    await truncate(at(`messages/${id}`), 3);
    const [line = "", ...others] = await foundBeside();
    expect([line, others]).toEqual([expect.stringContaining("expected 10 octets"), []]);

    await unlink(at(`drafts/${id}`));
    for await (const finding of spool.damage(keepsakes)) {
      expect(finding.fault).toBe(line);
      expect(await spool.repair(finding)).toBe(true);
    }
    expect(await foundBeside()).toEqual([]);
    expect((await readdir(at("damaged"))).sort()).toEqual([`messages-${id}`, `queue-${id}`]);
    const { id: next } = await draft.accept(toOne);
    expect(await spool.ids()).toContain(next);
    await spool.close();
  });

  it("has no damage however often it is looked at while messages come, change and go", async () => {
    const spool = await openSpool(directory, now);
    let working = true;
    const work = async (): Promise<void> => {
      while (working) {
        const draft = await spool.draft();
        await draft.write(Buffer.from("x"));
        const envelope = await draft.accept(toOne);
        await spool.note(envelope.id, [noted]);
        await spool.record({ ...envelope, attempts: 1 });
        await spool.remove(envelope.id);
      }
    };
    const workers = [work(), work(), work()];
    try {
      for (let round = 0; round < 40; round += 1) expect(await foundBeside()).toEqual([]);
    } finally {
      working = false;
      await Promise.all(workers);
    }
    await spool.close();
  });

  it("is looked at as it lies where nobody is at work, and anybody may have it afterwards", async () => {
    await unlink(at(`queue/${id}`));
    expect(await foundBeside()).toEqual([`messages/${id}: expected queue/${id} to go with it`]);
    await (await openSpool(directory, now)).close(); // the sweep
    expect(await foundBeside()).toEqual([]);
  });

  it("keeps others from taking it for repair", async () => {
    const spool = await openSpool(directory, now);
    await expect(fsckLocked(directory, now)).rejects.toMatchObject({
      status: 75,
      message: expect.stringContaining(`in use by process ${String(process.pid)}`),
    });
    await spool.close();
  });
});

describe("what is no spool", () => {
  it("is not taken for a damaged one", async () => {
    const refused = { status: 66, message: expect.stringContaining("not a spool") };
    await expect(fsckLocked(parent, now)).rejects.toMatchObject(refused);
    await expect(fsckBeside(parent)).rejects.toMatchObject(refused);
    expect(await readdir(parent)).toEqual(["spool"]);
    await expect(fsckLocked(at("none"), now)).rejects.toMatchObject({ status: 66 });
  });
});
