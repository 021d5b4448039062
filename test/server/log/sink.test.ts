import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Writable } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type Entry, entryOf } from "../../../src/server/log/log.ts";
import { type LogPlan, openSink } from "../../../src/server/log/sink.ts";
import { reply } from "../../../src/smtp/reply.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "tpa-submit-log-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const noon = new Date(2026, 10, 22, 12, 0, 0).getTime();
const head = "Nov 22 12:00:00 submission.example.org postfix";
const removed = (id: string): Entry => entryOf("removed", { id });
const sent = (id: string): Entry =>
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

/** Opens the log with streams and a journal of its own. */
async function opened(target: LogPlan["target"], plan: Partial<LogPlan> & { stdout?: Writable } = {}) {
  const stdout = collector();
  const stderr = collector();
  const sink = await openSink(
    { target, format: plan.format ?? "postfix", hostname: "submission.example.org" },
    () => noon,
    { stdout: plan.stdout ?? stdout.stream, stderr: stderr.stream, journal: join(folder, "journal"), pid: 7 },
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

describe("to the journal", () => {
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
    server.listen(join(folder, "journal"));
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
    server.listen(join(folder, "journal"));
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
