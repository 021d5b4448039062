import { type ChildProcess, spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Writable } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { entryOf, type LogEntry } from "../../../src/server/log/log.ts";
import {
  type LogOptions,
  openSink,
  processDependencies,
  type SinkDependencies,
} from "../../../src/server/log/sink.ts";
import { reply } from "../../../src/smtp/reply.ts";
import { real } from "../../tools/real.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "tpa-submit-log-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const noon = new Date(2026, 10, 22, 12, 0, 0).getTime();
const head = "Nov 22 12:00:00 submission.example.org postfix";
const removed = (id: string): LogEntry => entryOf("removed", { id });
const sent = (id: string): LogEntry =>
  entryOf("delivery", {
    id,
    to: "x@example.net",
    relay: "mx.example.net[192.0.2.1]:25",
    delays: [0, 0, 0, 0],
    reply: reply(250, "2.0.0", "Ok"),
    command: "",
  });
const failed = entryOf("auth-failed", {
  door: "submission",
  client: "unknown[192.0.2.7]",
  mechanism: "PLAIN",
  login: "user1",
  reason: "wrong password",
});

/** Resolves when `claim` no longer throws. */
const eventually = (claim: () => void): Promise<void> => vi.waitFor(claim, { timeout: 15_000, interval: 10 });

function collector() {
  const stream = new PassThrough();
  let text = "";
  stream.on("data", (chunk: Buffer) => {
    text += chunk.toString();
  });
  return { stream, text: () => text };
}

/** Opens the log with streams and a journal of its own, without perl unless the plan has it. */
async function opened(
  target: LogOptions["target"],
  plan: Partial<LogOptions> & Partial<Omit<SinkDependencies, "stderr">> = {},
) {
  const stdout = collector();
  const stderr = collector();
  const sink = await openSink(
    { target, format: plan.format ?? "postfix", hostname: "submission.example.org" },
    () => noon,
    {
      stdout: stdout.stream,
      journalBehind: { output: false, error: false },
      journal: folder,
      perl: join(folder, "no-perl"),
      pid: 7,
      patience: 60_000,
      ...plan,
      stderr: stderr.stream,
    },
  );
  return { ...sink, stdout: stdout.text, stderr: stderr.text };
}

/** A stream that stays as it is until it is told how its writes end. */
function stuck() {
  const pending: ((error?: Error) => void)[] = [];
  const stream = new Writable({
    highWaterMark: 1,
    write: (_chunk, _encoding, done) => void pending.push(done),
  });
  return { stream, pending };
}

describe("to standard output", () => {
  test("writes each entry as a line, in order, and all of them before close() resolves", async () => {
    const log = await opened({ kind: "stdout" });
    for (let count = 0; count < 2000; count += 1) log.write(removed(`ID${count}`));
    log.write(failed);
    await log.close();
    const lines = log.stdout().split("\n");
    expect(lines.length).toBe(2002);
    expect(lines[1999]).toBe(`${head}/qmgr[7]: ID1999: removed`);
    expect(lines[2000]).toBe(
      `${head}/submission/smtpd[7]: warning: unknown[192.0.2.7]: SASL PLAIN authentication failed: wrong password, sasl_username=user1`,
    );
    expect(lines[2001]).toBe("");
    expect(log.stderr()).toBe("");
  });

  test("writes JSON when asked to", async () => {
    const log = await opened({ kind: "stdout" }, { format: "json" });
    log.write(removed("ID1"));
    await log.close();
    expect(JSON.parse(log.stdout())).toEqual({
      time: new Date(noon).toISOString(),
      level: "info",
      daemon: "qmgr",
      event: "removed",
      id: "ID1",
    });
  });

  test("goes on at standard error when the reader is gone", async () => {
    const stdout = new Writable({
      write: (_chunk, _encoding, done) => done(Object.assign(new Error("write EPIPE"), { code: "EPIPE" })),
    });
    const log = await opened({ kind: "stdout" }, { stdout });
    log.write(removed("ID1"));
    await eventually(() => expect(log.stderr()).toContain("ID1"));
    log.write(removed("ID2"));
    await log.close();
    expect(log.stderr()).toMatch(
      /^the log cannot be written, and goes on here: write EPIPE\n.*: ID1: removed\n.*: ID2: removed\n$/,
    );
  });

  test("keeps what comes while the reader sleeps, counts what is too much, and tells it", async () => {
    const { stream, pending } = stuck();
    const log = await opened({ kind: "stdout" }, { stdout: stream });
    log.write(removed("first"));
    await eventually(() => expect(pending.length).toBe(1));
    for (let count = 0; count < 100_003; count += 1) log.write(removed("more"));
    expect(log.lost()).toBe(3);
    const texts: string[] = [];
    stream._write = (chunk: Buffer, _encoding, done) => {
      texts.push(chunk.toString());
      done();
    };
    pending[0]?.();
    await log.close();
    const lines = texts.join("").trimEnd().split("\n");
    expect(lines.length).toBe(100_001);
    expect(lines.at(-1)).toBe(
      `${head}/master[7]: error: 3 lines of this log could not be written and are lost`,
    );
    expect(log.stderr()).toBe("");
  });
});

test("lines that are lost are counted at once, and told once the log can be written again", async () => {
  const told: number[] = [];
  let isFull = true;
  const place = () =>
    Object.assign(new PassThrough(), {
      write: (_text: unknown, done?: unknown) => {
        if (typeof done === "function") done(isFull ? new Error("full") : null);
        return true;
      },
    });
  const log = await openSink(
    {
      target: { kind: "stdout" },
      format: "postfix",
      hostname: "submission.example.org",
      tellLost: (lines) => told.push(lines),
    },
    () => noon,
    processDependencies({
      stdout: place(),
      stderr: place(),
      journalBehind: { output: false, error: false },
    }),
  );
  log.write(removed("ID1"));
  log.write(removed("ID2"));
  await eventually(() => expect(log.lost()).toBe(2));
  expect(told).toEqual([]);
  isFull = false;
  log.write(removed("ID3"));
  await log.close();
  expect(told).toEqual([2]);
  expect(log.lost()).toBe(2);
});

describe("to a file", () => {
  test("appends, and goes on in a new file when logrotate has renamed the old one", async () => {
    const path = join(folder, "mail.log");
    const log = await opened({ kind: "file", path });
    log.write(removed("ID1"));
    await eventually(() => expect(readFileSync(path, "utf8")).toContain("ID1"));
    renameSync(path, `${path}.1`);
    log.write(removed("ID2"));
    await eventually(() => expect(readFileSync(`${path}.1`, "utf8")).toContain("ID2"));
    await log.reopen();
    log.write(removed("ID3"));
    await log.close();
    expect(readFileSync(`${path}.1`, "utf8")).toBe(
      `${head}/qmgr[7]: ID1: removed\n${head}/qmgr[7]: ID2: removed\n`,
    );
    expect(readFileSync(path, "utf8")).toBe(`${head}/qmgr[7]: ID3: removed\n`);
  });

  test("loses nothing when it is reopened in the middle of writing", async () => {
    const path = join(folder, "mail.log");
    const log = await opened({ kind: "file", path });
    for (let count = 0; count < 200; count += 1) {
      log.write(removed(`ID${count}`));
      if (count % 20 === 0) await log.reopen();
    }
    await log.close();
    expect(readFileSync(path, "utf8").match(/: removed\n/g)?.length).toBe(200);
    expect(log.stderr()).toBe("");
  });

  test("cannot be opened: a Failure that names the file", async () => {
    const path = join(folder, "none", "mail.log");
    await expect(opened({ kind: "file", path })).rejects.toMatchObject({
      name: "Failure",
      status: 73,
      message: expect.stringContaining(path),
    });
  });

  test("cannot be reopened: a Failure, and the old file stays in use", async () => {
    const inner = mkdtempSync(join(folder, "inner-"));
    const log = await opened({ kind: "file", path: join(inner, "mail.log") });
    renameSync(inner, `${inner}.moved`);
    await expect(log.reopen()).rejects.toMatchObject({ name: "Failure" });
    log.write(removed("ID1"));
    await log.close();
    expect(readFileSync(join(`${inner}.moved`, "mail.log"), "utf8")).toContain("ID1");
  });

  test("is full: the lines go to standard error, said once", async () => {
    const log = await opened({ kind: "file", path: "/dev/full" });
    log.write(removed("ID1"));
    await eventually(() => expect(log.stderr()).toContain("ID1"));
    log.write(removed("ID2"));
    await log.close();
    expect(log.stderr()).toMatch(/^the log cannot be written.*ENOSPC.*\n.*ID1: removed\n.*ID2: removed\n$/);
  });

  test("is closed: what comes later goes to standard error", async () => {
    const log = await opened({ kind: "file", path: join(folder, "mail.log") });
    await log.close();
    log.write(removed("late"));
    await eventually(() => expect(log.stderr()).toContain("late: removed"));
  });
});

describe("to the journal by its streams, where there is no perl", () => {
  const servers: Server[] = [];
  const sockets: Socket[] = [];
  afterEach(() => {
    for (const socket of sockets.splice(0)) socket.destroy();
    for (const server of servers.splice(0)) server.close();
  });

  /** A journal that keeps what each connection says. As systemd's, it shuts its own side down at once. */
  async function journal() {
    const said: string[] = [];
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      const index = said.push("") - 1;
      sockets.push(socket);
      socket.end();
      socket.on("end", () => socket.destroy());
      socket.on("data", (chunk) => {
        said[index] += chunk.toString();
      });
      socket.on("error", () => undefined);
    });
    servers.push(server);
    server.listen(join(folder, "stdout"));
    await once(server, "listening");
    return said;
  }

  test("has one connection for each tag, with its header, and a level for each line", async () => {
    const said = await journal();
    const log = await opened({ kind: "journal" });
    log.write(removed("ID1"));
    log.write(failed);
    log.write(removed("ID2"));
    await log.close();
    await eventually(() =>
      expect(said).toEqual([
        "postfix/qmgr\n\n22\n1\n1\n0\n0\n<6>ID1: removed\n<6>ID2: removed\n",
        "postfix/submission/smtpd\n\n22\n1\n1\n0\n0\n<4>warning: unknown[192.0.2.7]: SASL PLAIN authentication failed: wrong password, sasl_username=user1\n",
      ]),
    );
  });

  test("goes on in the same connections after an idle spell", async () => {
    const said = await journal();
    const log = await opened({ kind: "journal" });
    log.write(removed("ID1"));
    await eventually(() => expect(said[0]).toContain("ID1"));
    await eventually(() => expect(sockets[0]?.writableFinished).toBe(true));
    for (let count = 2; count < 20; count += 1) {
      await pause(5);
      log.write(removed(`ID${count}`));
    }
    await log.close();
    await eventually(() => expect(said[0]).toContain("ID19"));
    expect(said.length).toBe(1);
    expect(log.stderr()).toBe("");
  });

  test("tells of one message in its order, whichever stream is read first", async () => {
    const order: string[] = [];
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      sockets.push(socket.end());
      socket.on("data", (chunk: Buffer) => {
        // What came in the same moment is taken the other way round.
        if (ready.unshift(chunk.toString()) === 1) setImmediate(() => void order.push(...ready.splice(0)));
      });
    });
    const ready: string[] = [];
    servers.push(server);
    server.listen(join(folder, "stdout"));
    await once(server, "listening");
    const log = await opened({ kind: "journal" });
    log.write(removed("ID0"));
    log.write(sent("ID0")); // the streams are open
    await eventually(() => expect(order.join("")).toMatch(/ID0: to=/));
    const ids = Array.from({ length: 50 }, (_, index) => `ID${index + 1}`);
    for (const [index, id] of ids.entries()) {
      log.write(sent(id));
      log.write(removed(id));
      if (index % 10 === 0) await pause(1);
    }
    await log.close();
    await eventually(() => expect(order.join("")).toContain("ID50: removed"));
    const text = order.join("");
    const swapped = ids.filter((id) => text.indexOf(`>${id}: removed`) < text.indexOf(`>${id}: to=`));
    // Two milliseconds are all that parts two streams: a busy machine that stops the reader for longer mixes ten.
    expect(swapped.length).toBeLessThan(25);
    expect(log.stderr()).toBe("");
  });

  test("connects again when the journal was restarted", async () => {
    const said = await journal();
    const log = await opened({ kind: "journal" });
    log.write(removed("ID1"));
    await eventually(() => expect(said[0]).toContain("ID1"));
    sockets[0]?.destroy();
    let count = 1;
    await eventually(() => {
      count += 1;
      log.write(removed(`ID${count}`));
      expect(said[1]).toMatch(/^postfix\/qmgr\n[\s\S]*removed\n/);
    });
    await log.close();
  });

  test("is not there: the lines go to standard error, and to the journal once it is", async () => {
    const log = await opened({ kind: "journal" });
    log.write(removed("ID1"));
    await eventually(() => expect(log.stderr()).toMatch(/ENOENT[\s\S]*ID1: removed\n/));
    const said = await journal();
    log.write(removed("ID2"));
    await log.close();
    await eventually(() => expect(said[0]).toContain("<6>ID2: removed\n"));
    expect(log.stderr()).toMatch(/ID1: removed\nthe log can be written again, and goes on there\n$/);
  });
});

describe.skipIf(!real("perl"))("to the journal and to /dev/log by datagrams", () => {
  const receivers: ChildProcess[] = [];
  afterEach(() => {
    for (const receiver of receivers.splice(0)) receiver.kill("SIGKILL");
  });

  /** What a socket of datagrams at `name` in the folder receives. */
  async function receiver(name: string) {
    const child = spawn(
      "perl",
      [
        "-e",
        `use Socket; $| = 1; socket(S, AF_UNIX, SOCK_DGRAM, 0); unlink $ARGV[0];
         bind(S, pack_sockaddr_un($ARGV[0])) or die $!; print "ready\\0";
         while (defined recv(S, my $datagram, 300000, 0)) { print "$datagram\\0" }`,
        join(folder, name),
      ],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    receivers.push(child);
    let text = "";
    child.stdout.on("data", (chunk: Buffer) => {
      text += chunk.toString();
    });
    await eventually(() => expect(text).toContain("ready\0"));
    return { child, datagrams: () => text.split("\0").slice(1, -1) };
  }

  const withPerl = { perl: "/usr/bin/perl" };
  const qmgr = "PRIORITY=6\nSYSLOG_FACILITY=2\nSYSLOG_IDENTIFIER=postfix/qmgr\nSYSLOG_PID=7\n";

  test("an entry of the journal has program, process, level and facility", async () => {
    const { datagrams } = await receiver("socket");
    const log = await opened({ kind: "journal" }, withPerl);
    log.write(removed("ID1"));
    log.write(failed);
    await log.close();
    await eventually(() =>
      expect(datagrams()).toEqual([
        `${qmgr}MESSAGE=ID1: removed\n`,
        "PRIORITY=4\nSYSLOG_FACILITY=2\nSYSLOG_IDENTIFIER=postfix/submission/smtpd\nSYSLOG_PID=7\n" +
          "MESSAGE=warning: unknown[192.0.2.7]: SASL PLAIN authentication failed: wrong password, sasl_username=user1\n",
      ]),
    );
  });

  test("standard output that leads to the journal is the journal", async () => {
    const { datagrams } = await receiver("socket");
    const log = await opened(
      { kind: "stdout" },
      { ...withPerl, journalBehind: { output: true, error: true } },
    );
    log.write(removed("ID1"));
    await log.close();
    await eventually(() => expect(datagrams()).toEqual([`${qmgr}MESSAGE=ID1: removed\n`]));
    expect(log.stdout()).toBe("");
  });

  test("/dev/log gets a line as syslog(3) writes it, without the host, cut to what rsyslog takes", async () => {
    const { datagrams } = await receiver("log");
    const log = await opened({ kind: "socket", path: join(folder, "log") }, withPerl);
    log.write(removed("ID1"));
    log.write(failed);
    log.write(entryOf("bug", { where: "here", stack: "é".repeat(10_000) }));
    await log.close();
    await eventually(() => expect(datagrams().length).toBe(3));
    const [first, second, long = ""] = datagrams();
    expect(first).toBe("<22>Nov 22 12:00:00 postfix/qmgr[7]: ID1: removed");
    expect(second).toMatch(/^<20>Nov 22 12:00:00 postfix\/submission\/smtpd\[7\]: warning: unknown\[192/);
    expect(long).toMatch(/^<19>Nov 22 12:00:00 postfix\/master\[7\]: error: bug in here: éé/);
    expect(Buffer.byteLength(long)).toBeLessThan(8010);
  });

  test("lines of different programs stay in order, all of them", async () => {
    const { datagrams } = await receiver("socket");
    const log = await opened({ kind: "journal" }, withPerl);
    const ids = Array.from({ length: 2_000 }, (_, index) => `ID${index}`);
    for (const [index, id] of ids.entries()) {
      log.write(sent(id));
      log.write(removed(id));
      if (index % 100 === 0) await pause(1);
    }
    await log.close();
    await eventually(() => expect(datagrams().length).toBe(4_000));
    expect(datagrams().map((one) => /MESSAGE=(\w+): (to=|removed)/.exec(one)?.slice(1).join(" "))).toEqual(
      ids.flatMap((id) => [`${id} to=`, `${id} removed`]),
    );
    expect(log.stderr()).toBe("");
  });

  test("a sender that dies is started again, and says all that the old one had not said", async () => {
    const { datagrams } = await receiver("socket");
    const wrapper = join(folder, "perl");
    const pids = join(folder, "pids");
    writeFileSync(wrapper, `#!/bin/sh\necho $$ >>"${pids}"\nPATH=/usr/bin exec perl "$@"\n`, { mode: 0o755 });
    const log = await opened({ kind: "journal" }, { perl: wrapper });
    log.write(removed("ID0"));
    await eventually(() => expect(datagrams().length).toBe(1));
    log.write(removed("ID1")); // goes once the sender has told of the one before: one that told of nothing yet is not tried twice
    await eventually(() => expect(datagrams().length).toBe(2));
    for (let index = 2; index < 500; index += 1) log.write(removed(`ID${index}`));
    process.kill(Number(readFileSync(pids, "utf8")), "SIGKILL");
    await log.close();
    const last = "ID499: removed";
    await eventually(() => expect(datagrams().at(-1)).toContain(last));
    const ids = datagrams().map((one) => /MESSAGE=(\w+)/.exec(one)?.[1] ?? "");
    expect(new Set(ids).size).toBe(500);
    expect(ids.length).toBeLessThan(502); // one more: what it sent, and could not tell
    expect(readFileSync(pids, "utf8").trim().split("\n").length).toBe(2);
    expect(log.stderr()).toBe("");
  });

  test("no socket: the lines go to standard error, and to the socket once it is there", async () => {
    const log = await opened({ kind: "socket", path: join(folder, "log") }, withPerl);
    log.write(removed("ID1"));
    await eventually(() =>
      expect(log.stderr()).toMatch(/log: No such file or directory\n.*: ID1: removed\n$/),
    );
    const { datagrams } = await receiver("log");
    await pause(1_100);
    log.write(removed("ID2"));
    await log.close();
    await eventually(() =>
      expect(datagrams()).toEqual(["<22>Nov 22 12:00:00 postfix/qmgr[7]: ID2: removed"]),
    );
    expect(log.stderr()).toMatch(/ID1: removed\nthe log can be written again, and goes on there\n$/);
  });

  test("a socket that is restarted loses nothing that was not on its way", async () => {
    const first = await receiver("log");
    const log = await opened({ kind: "socket", path: join(folder, "log") }, withPerl);
    log.write(removed("ID1"));
    await eventually(() => expect(first.datagrams().length).toBe(1));
    first.child.kill("SIGKILL");
    const second = await receiver("log");
    log.write(removed("ID2"));
    await log.close();
    await eventually(() => expect(second.datagrams().join()).toContain("ID2: removed"));
    expect(log.stderr()).toBe("");
  });

  test("a journal that takes nothing: close() gives up, and tells how many lines are lost", async () => {
    const { child, datagrams } = await receiver("socket");
    const log = await opened({ kind: "journal" }, { ...withPerl, patience: 300 });
    log.write(removed("ID0"));
    await eventually(() => expect(datagrams().length).toBe(1));
    child.kill("SIGSTOP");
    for (let index = 0; index < 50_000; index += 1) log.write(removed("more"));
    await log.close();
    expect(log.stderr()).toBe("the log takes nothing, 50000 of its last lines are lost\n");
  });

  test("standard error that leads to the journal gets lines without a second date and host", async () => {
    const log = await opened(
      { kind: "journal" },
      { ...withPerl, journalBehind: { output: true, error: true } },
    );
    log.write(failed);
    await eventually(() =>
      expect(log.stderr()).toMatch(/\n<4>postfix\/submission\/smtpd\[7\]: warning: unknown\[192/),
    );
    await log.close();
  });

  test("without perl there is no /dev/log: a Failure that says what to do", async () => {
    await expect(opened({ kind: "socket", path: "/dev/log" })).rejects.toMatchObject({
      name: "Failure",
      message: expect.stringMatching(/\/dev\/log: .*perl-base.*log\.target can be a file/),
    });
  });
});

describe("to a syslog server", () => {
  async function server() {
    const socket = createSocket("udp4");
    const datagrams: string[] = [];
    socket.on("message", (datagram) => datagrams.push(datagram.toString()));
    socket.bind(0, "127.0.0.1");
    await once(socket, "listening");
    return { port: socket.address().port, datagrams, close: () => socket.close() };
  }

  test.each([
    ["postfix", `<22>${head}/qmgr[7]: ID1: removed`, `<20>${head}/submission/smtpd[7]: warning: unknown[`],
    ["json", '<22>Nov 22 12:00:00 submission.example.org tpa-submit[7]: {"time":"', "<20>Nov 22 12:00:00 s"],
  ] as const)(
    "sends a datagram in RFC 3164's shape for each line, form %s",
    async (format, first, second) => {
      const { port, datagrams, close } = await server();
      const log = await opened({ kind: "syslog", host: "127.0.0.1", port }, { format });
      log.write(removed("ID1"));
      log.write(failed);
      await log.close();
      await eventually(() => expect(datagrams.length).toBe(2));
      expect(datagrams[0]?.startsWith(first)).toBe(true);
      expect(datagrams[1]?.startsWith(second)).toBe(true);
      expect(log.stderr()).toBe("");
      close();
    },
  );

  test("cannot be found: the lines go to standard error", async () => {
    const log = await opened({ kind: "syslog", host: "syslog.invalid", port: 514 });
    log.write(removed("ID1"));
    await log.close();
    expect(log.stderr()).toMatch(/^the log cannot be written[^\n]*syslog\.invalid\n.*ID1: removed\n$/);
  });

  test("does not listen: the loss is told when the host says so", async () => {
    const { port, close } = await server();
    close();
    const log = await opened({ kind: "syslog", host: "127.0.0.1", port });
    await eventually(() => {
      log.write(removed("ID1"));
      expect(log.stderr()).toContain("ECONNREFUSED");
    });
    await log.close();
  });
});
