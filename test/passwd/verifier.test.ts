import { mkdtemp, rename, rm, stat, unlink, utimes, writeFile } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { poolSize, realClock } from "../../src/passwd/pool.ts";
import { schemes } from "../../src/passwd/schemes.ts";
import { createStored, formatStored } from "../../src/passwd/stored.ts";
import {
  type AuthenticationResult,
  type PasswordEvent,
  startVerifier,
  type Verifier,
} from "../../src/passwd/verifier.ts";

const realWorker = new URL("../../dist/passwd/worker.js", import.meta.url);
const realFileWorker = new URL("../../dist/passwd/file-worker.js", import.meta.url);

/** A worker of a few words: lets everybody in once, then dies; "hang" it never answers. */
const oneAnswer = stub(`
  let answered = 0;
  parentPort.on("message", ({ number, password }) => {
    if (password === "hang") return;
    if (answered++ > 0) throw new Error("asked twice");
    parentPort.postMessage({ number, match: 0 });
  });`);

/** Lets nobody in, and dies of a password that it has seen before. */
const noneTwice = stub(`
  const seen = new Set();
  parentPort.on("message", ({ number, password }) => {
    if (seen.has(password)) throw new Error("asked twice");
    seen.add(password);
    parentPort.postMessage({ number, match: -1 });
  });`);

function stub(script: string): URL {
  const source = `import { parentPort } from "node:worker_threads";${script}`;
  return new URL(`data:text/javascript,${encodeURIComponent(source)}`);
}

const bcrypt = "$2y$05$6gKfOJhm6Wm1ExJVUEvtouXhYGvqiq./2VSg0EiS9BSa08rPMrDvG"; // correct horse
const md5 = "$1$o8vJpPVD$ZADWRpY5krq2l8aA3AK2R/"; // correct horse

const refusal = (reason: string): AuthenticationResult => ({ kind: "rejected", reason });
const acceptance = (login: string): AuthenticationResult => ({
  kind: "accepted",
  login,
  stored: expect.stringMatching(/^[\w-]{22}$/),
});

let folder = "";
let file = "";
let events: PasswordEvent[] = [];
let report: (event: PasswordEvent) => void = () => undefined;
let verifier: Verifier | undefined;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "tpa-submit-verifier-"));
  file = join(folder, "mail-passwords");
  events = [];
  report = () => undefined;
});

afterEach(async () => {
  await verifier?.close();
  verifier = undefined;
  await rm(folder, { recursive: true });
});

/** The parts of a running verifier, to be called alone. */
async function start(
  text: string | undefined,
  worker = realWorker,
  queue = 8,
  clock = realClock,
  fileWorker = realFileWorker,
) {
  if (text !== undefined) await writeFile(file, text);
  const options = {
    ...{
      file,
      domain: "example.org",
      workers: 1,
      queue,
      worker,
      fileWorker,
      secret: Buffer.from("s"),
      clock,
    },
  };
  const started = await startVerifier(options, (event) => {
    events.push(event);
    report(event);
  });
  verifier = started;
  return {
    verify: (login: string, password: string) => started.verify(login, password),
    reload: () => started.reload(),
    close: () => started.close(),
  };
}

test("a thread checks passwords for each processor, unless the setting has a number", () => {
  expect(poolSize(3, 7)).toBe(3);
  expect(poolSize(0, 7)).toBe(7);
  expect(poolSize(0)).toBe(availableParallelism());
});

describe("a login", () => {
  test.each([
    ["bcrypt without a prefix", bcrypt],
    ["bcrypt with a prefix", `{BLF-CRYPT}${bcrypt}`],
    ["md5-crypt", md5],
    [
      "sha512-crypt",
      "$6$u67byrTJoyJiRMtE$g2IbuaYMYp4D.8MJ4SqER6QVwDp2IBFHvoUbJJzJGrfR0L/IZFLo.sStc3oXtHG1G/LGuyXxrBLdS5QZvTLmX0",
    ],
    ["sha256-crypt", "$5$qrAmirLspoWJXmLJ$yxzjKT9K0.IDKoZGUU3AD94McbK1WAZ7ErICw1EaRT7"],
    [
      "Argon2",
      "{ARGON2I}$argon2i$v=19$m=32768,t=4,p=1$1+ypakhp3mSOE32d/RX8jg$T/6cT/n8U0/KqIpwz2ms4Ak+DOmot/2QpRRXO08+MCI",
    ],
  ])("with its password is let in, with another it is not: %s", async (_, hash) => {
    const { verify } = await start(`user1:${hash}\n`);
    expect(await verify("user1", "correct horse")).toEqual(acceptance("user1"));
    expect(await verify("user1", "correct horsf")).toEqual(refusal("wrong password"));
  });

  test.each([
    ["user1", acceptance("user1")],
    ["USER1@Example.Org", acceptance("user1")],
    ["user1@example.net", refusal("unknown user")],
    ["user2", refusal("unknown user")],
    ["__proto__", refusal("unknown user")],
    ["", refusal("unknown user")],
    ["user3", refusal("locked")],
    ["user4", refusal("damaged BLF-CRYPT string")],
  ])("as %j has one answer", async (login, expected) => {
    const { verify } = await start(`user1:${md5}\nuser3:!${md5}\nuser4:${bcrypt.slice(0, -1)}\n`);
    expect(await verify(login, "correct horse")).toEqual(expected);
  });

  test("with two lines may use both passwords", async () => {
    const { verify } = await start(`user1:${bcrypt}\nuser1:{PLAIN}old\n`);
    expect(await verify("user1", "correct horse")).toEqual(acceptance("user1"));
    expect(await verify("user1", "old")).toEqual(acceptance("user1"));
  });

  test("is let in with what each scheme makes", { timeout: 60_000 }, async () => {
    const lines = await Promise.all(
      schemes.map(async (scheme, at) => {
        const attempt = { password: "open 16", names: [`user${at}@example.org`] };
        const { value } = await createStored(scheme, scheme.rounds?.least ?? 0, attempt);
        return `user${at}:${formatStored({ scheme, suffix: "" }, value)}\n`;
      }),
    );
    const { verify } = await start(lines.join(""));
    for (const [at, { name }] of schemes.entries())
      expect(await verify(`user${at}`, "open 16"), name).toEqual(acceptance(`user${at}`));
  });

  test("finds its realm for DIGEST-MD5", async () => {
    // MD5 of user1:example.org:correct horse
    const { verify } = await start("user1:{DIGEST-MD5}9a62fd095b73bc60f68128e05dbcaa1c\n");
    expect((await verify("user1", "correct horse")).kind).toBe("accepted");
  });

  test.each([
    ["an empty password", "", "empty password"],
    ["a password of 1025 octets", "x".repeat(1025), "password too long"],
    ["a password with a NUL", "a\0b", "password with a NUL"],
  ])("with %s is refused unread", async (_, password, reason) => {
    const { verify } = await start(`user1:{PLAIN}${password.replace("\0", "")}\n`, oneAnswer);
    expect(await verify("user1", password)).toEqual(refusal(reason));
  });
});

describe("the file", () => {
  test("is read again when it is replaced", async () => {
    const { verify } = await start("user1:{PLAIN}old\n");
    await writeFile(`${file}.new`, "user1:{PLAIN}new\n");
    await rename(`${file}.new`, file);
    expect(await verify("user1", "new")).toEqual(acceptance("user1"));
    expect(await verify("user1", "old")).toEqual(refusal("wrong password"));
  });

  test("is read again when it is rewritten with the same size and time", async () => {
    const { verify } = await start("user1:{PLAIN}old\n");
    expect(await verify("user1", "old")).toEqual(acceptance("user1"));
    const { atime, mtime } = await stat(file);
    await writeFile(file, "user1:{PLAIN}new\n");
    await utimes(file, atime, mtime);
    expect(await verify("user1", "new")).toEqual(acceptance("user1"));
    expect(await verify("user1", "old")).toEqual(refusal("wrong password"));
  });

  test("is not taken half-written", async () => {
    const { verify } = await start("user1:{PLAIN}old\nuser2:{PLAIN}two\n");
    await writeFile(file, "user1:{PLAIN}ne");
    const answer = verify("user2", "two");
    await writeFile(file, "user1:{PLAIN}new\nuser2:{PLAIN}two\n");
    expect(await answer).toEqual(acceptance("user2"));
    expect(await verify("user1", "new")).toEqual(acceptance("user1"));
    expect(events.filter(({ kind }) => kind === "loaded")).toHaveLength(2);
  });

  test.each([
    ["empty", "", "it is empty"],
    ["without a login", "# nothing\nuser1:*LK*\n", "no line lets anybody in"],
    ["damaged", "user1\0\0\0", "it has NUL characters: is it damaged, or no text file?"],
    ["gone", undefined, "ENOENT: no such file or directory"],
  ])("that is %s is refused once, and the last good one stays", async (_, text, reason) => {
    const { verify } = await start(`user1:${md5}\n`);
    if (text === undefined) await unlink(file);
    else await writeFile(file, text);
    expect(await verify("user1", "correct horse")).toEqual(acceptance("user1"));
    expect(await verify("user2", "correct horse")).toEqual(refusal("unknown user"));
    const refused = events.flatMap((event) => (event.kind === "refused" ? event.reason : []));
    expect(refused).toHaveLength(1);
    expect(refused[0]).toContain(`password file ${file}: ${reason}`);
    expect(refused[0]).toContain("the last good one, with 1 logins, stays in use");
  });

  test("that was never good makes logins unavailable until it comes", async () => {
    const { verify } = await start(undefined);
    expect((await verify("user1", "correct horse")).kind).toBe("unavailable");
    await writeFile(file, `user1:${md5}\n`);
    expect(await verify("user1", "correct horse")).toEqual(acceptance("user1"));
  });

  test("is reported with the lines that let nobody in, each when it appears, and never with a hash", async () => {
    const { reload } = await start(`user1:${md5}\nuser2:!${md5}\n`);
    const lines = () => events.filter(({ kind }) => kind === "line");
    expect(lines()).toEqual([{ kind: "line", line: 2, login: "user2", reason: "locked" }]);
    await writeFile(file, `user1:${md5}\nuser2:!${md5}\nuser3:*\n`);
    await verifier?.verify("user1", "correct horse");
    expect(lines().slice(1)).toEqual([{ kind: "line", line: 3, login: "user3", reason: "locked" }]);
    await reload();
    expect(lines()).toHaveLength(4);
    expect(JSON.stringify(events)).not.toContain(md5);
  });
});

describe("the thread that reads the file", () => {
  const refusing = stub(`import { workerData } from "node:worker_threads";
    parentPort.postMessage({ kind: "refused", reason: "read for " + workerData.domain });`);

  test("is the only one that does", async () => {
    const { verify } = await start(`user1:${md5}\n`, realWorker, 8, realClock, refusing);
    expect(events).toEqual([
      { kind: "refused", reason: `password file ${file}: read for example.org; nobody can log in` },
    ]);
    expect((await verify("user1", "correct horse")).kind).toBe("unavailable");
  });

  test("may die, and the last good file stays", async () => {
    const mortal = stub(`import { workerData } from "node:worker_threads";
      import { readFileSync } from "node:fs";
      import { readTable } from "${new URL("../../dist/passwd/login-table.js", import.meta.url).href}";
      const octets = new Uint8Array(readFileSync(workerData.descriptor));
      if (octets.length === 0) throw new Error("as the test wants it");
      parentPort.postMessage({ kind: "read", read: readTable(octets, workerData.domain) });`);
    const { verify } = await start(`user1:${md5}\n`, realWorker, 8, realClock, mortal);
    await writeFile(file, "");
    expect(await verify("user1", "correct horse")).toEqual(acceptance("user1"));
    expect(events.at(-1)).toEqual({
      kind: "refused",
      reason:
        `password file ${file}: the thread that read it ended: as the test wants it; ` +
        "the last good one, with 1 logins, stays in use",
    });
  });

  test("leaves thousands of lines to report, a hundred in a turn of the event loop", async () => {
    const { reload } = await start(`user1:${md5}\n`);
    const lines = Array.from({ length: 1_000 }, (_, at) => `shut${at}:*\n`).join("");
    await writeFile(file, `user1:${md5}\n${lines}`);
    const turns: number[] = [];
    let inTurn = 0;
    let isOver = false;
    report = (event) => {
      if (event.kind !== "line") return;
      if (inTurn === 0)
        setImmediate(() => {
          turns.push(inTurn);
          inTurn = 0;
        });
      inTurn += 1;
    };
    await reload().then(() => {
      isOver = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(isOver).toBe(true);
    expect(turns).toEqual(Array.from({ length: 10 }, () => 100));
    const reported = events.flatMap((event) => (event.kind === "line" ? event.line : []));
    expect(reported).toEqual(Array.from({ length: 1_000 }, (_, at) => at + 2));
  });
});

describe("the work", () => {
  test("is done once: the second login is remembered", async () => {
    const { verify } = await start(`user1:${bcrypt}\n`, oneAnswer);
    expect(await verify("user1", "correct horse")).toEqual(acceptance("user1"));
    expect(await verify("user1@example.org", "correct horse")).toEqual(acceptance("user1"));
  });

  test("is done again for a changed hash, another password and another login", async () => {
    const { verify } = await start(`user1:${bcrypt}\nuser2:${bcrypt}\n`, oneAnswer);
    expect((await verify("user1", "correct horse")).kind).toBe("accepted");
    expect((await verify("user1", "another")).kind).toBe("unavailable");
    expect((await verify("user2", "correct horse")).kind).toBe("accepted"); // by a new worker
    await writeFile(file, `user1:${md5}\n`);
    expect((await verify("user1", "correct horse")).kind).toBe("unavailable");
  });

  test("is shared by those who ask the same at the same time", async () => {
    const { verify } = await start(`user1:${bcrypt}\n`, oneAnswer);
    const verdicts = await Promise.all([1, 2, 3].map(() => verify("user1", "correct horse")));
    expect(verdicts).toEqual([1, 2, 3].map(() => acceptance("user1")));
  });

  test("is not done for a failure that was seen before, of those who do not exist neither", async () => {
    const { verify } = await start(`user1:${bcrypt}\nuser1:${md5}\n`, noneTwice);
    for (const name of ["user1", "USER1", "user1@example.org", "user1"])
      expect(await verify(name, "wrong")).toEqual(refusal("wrong password"));
    for (const name of ["nobody", "Nobody", "nobody@example.org", "nobody"])
      expect(await verify(name, "vain")).toEqual(refusal("unknown user"));
    for (let times = 0; times < 3; times++)
      expect(await verify("x@example.net", "foreign")).toEqual(refusal("unknown user"));
  });

  test("is done again for a failure once another hash is there", async () => {
    const { verify } = await start("user1:{PLAIN}old\n");
    expect(await verify("user1", "new")).toEqual(refusal("wrong password"));
    await writeFile(file, "user1:{PLAIN}new\n");
    expect(await verify("user1", "new")).toEqual(acceptance("user1"));
    await writeFile(file, "user1:{PLAIN}newer\nuser1:{PLAIN}newest\n");
    expect(await verify("user1", "new")).toEqual(refusal("wrong password"));
    expect(await verify("user1", "newest")).toEqual(acceptance("user1"));
  });

  test("takes a thread as long for every failure, whatever is stored, and no longer for a right password", async () => {
    let now = 0;
    const waited: number[] = [];
    const clock = {
      steady: () => now++, // a check takes two looks at it
      pause: async (milliseconds: number) => void waited.push(milliseconds),
    };
    const right = stub(`parentPort.on("message", ({ number, password, hashes }) =>
      parentPort.postMessage({ number, match: hashes.indexOf("{PLAIN}" + password) }));`);
    const { verify } = await start(
      `user1:${bcrypt}\nuser2:${md5}\nuser2:{PLAIN}two\nuser3:{PLAIN}three\n`,
      right,
      8,
      clock,
    );
    const dearest = (await verifier?.slowestCheck()) ?? 0;
    expect(dearest).toBeGreaterThan(1);
    for (const name of ["user1", "user2", "user3", "nobody", "x@example.net"]) await verify(name, "wrong");
    expect(waited).toEqual(waited.map(() => dearest - 1));
    expect(waited).toHaveLength(5);
    expect(await verify("user3", "three")).toEqual(acceptance("user3"));
    expect(waited).toHaveLength(5);
  });

  test("that would match for somebody who does not exist takes as long as any failure", async () => {
    const waited: number[] = [];
    let now = 0;
    const clock = {
      steady: () => now++,
      pause: async (milliseconds: number) => void waited.push(milliseconds),
    };
    const all = stub(
      `parentPort.on("message", ({ number }) => parentPort.postMessage({ number, match: 0 }));`,
    );
    const { verify } = await start(`user1:${md5}\n`, all, 8, clock);
    await verifier?.slowestCheck();
    expect(await verify("user1", "correct horse")).toEqual(acceptance("user1"));
    expect(waited).toHaveLength(0);
    expect(await verify("nobody", "correct horse")).toEqual(refusal("unknown user"));
    expect(waited).toHaveLength(1);
  });

  test("is done for those who do not exist as well, and lets them in for no answer", async () => {
    const { verify } = await start(`user1:${bcrypt}\nuser2:*\n`, oneAnswer);
    expect(await verify("nobody", "correct horse")).toEqual(refusal("unknown user"));
    expect((await verify("user2", "correct horse")).kind).toBe("unavailable"); // it went to the worker
    expect(await verify("user2", "correct horse")).toEqual(refusal("locked"));
  });

  test("beyond the queue is unavailable at once, and the rest when the verifier ends", async () => {
    const { verify, close } = await start(`user1:${bcrypt}\nuser2:${bcrypt}\n`, oneAnswer, 1);
    const first = verify("user1", "hang");
    const second = verify("user2", "hang");
    await Promise.race([first, second, verify("user3", "hang")]).then((verdict) =>
      expect(verdict).toEqual({ kind: "unavailable", reason: "too many password checks are waiting" }),
    );
    await close();
    expect([(await first).kind, (await second).kind]).toEqual(["unavailable", "unavailable"]);
  });

  test("of a worker that dies is unavailable, and the next one is done by another", async () => {
    const dying = stub(`parentPort.on("message", ({ number, password }) => {
      if (password === "die") process.exit(1);
      parentPort.postMessage({ number, match: 0 });
    });`);
    const { verify } = await start(`user1:${bcrypt}\n`, dying);
    expect((await verify("user1", "die")).kind).toBe("unavailable");
    expect(await verify("user1", "live")).toEqual(acceptance("user1"));
  });
});

test("tells whether what a login was let in with still stands", async () => {
  await start(`user1:${bcrypt}\nuser2:${md5}\n`);
  const hashes = (await verifier?.hashes("USER1@example.org")) ?? [];
  expect(hashes.length).toBe(1);
  expect(verifier?.stillValid("user1", hashes)).toBe(true);
  for (const [line, stands] of [
    [`user1:${md5}`, false],
    [`user1:${bcrypt}`, true],
    [`user1:!${bcrypt}`, false],
    [`user3:${bcrypt}`, false],
  ] as const) {
    await writeFile(file, `${line}\nuser2:${md5}\n`);
    await verifier?.reload();
    expect(verifier?.stillValid("user1", hashes)).toBe(stands);
  }
});
