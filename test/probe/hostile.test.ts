import { createServer, type Server, type Socket } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import type { OutputPlan, ProbePlan } from "../../src/probe/plan.ts";
import { probe } from "../../src/probe/probe.ts";
import type { ProbeDependencies } from "../../src/probe/transaction/session.ts";
import { selfSigned } from "../tools/certificate.ts";

const shown: OutputPlan = {
  suppressData: true,
  hints: { send: true, receive: true, info: true },
  hide: { send: false, receive: false, info: false, all: false },
  silent: 0,
  raw: false,
  stdout: "&STDOUT",
  stderr: "&STDERR",
  explain: false,
  json: false,
};

const dependencies: ProbeDependencies = {
  clock: () => performance.now(),
  now: () => Date.now(),
  random: (count) => new Uint8Array(count),
  systemCa: () => selfSigned().cert,
  route: async (domain) => [domain],
  save: () => undefined,
};

let server: Server | undefined;
const sockets = new Set<Socket>();

afterEach(() => {
  for (const socket of sockets) socket.destroy();
  server?.close();
});

/** Listens, and gives each client to `serve`. */
async function serverThat(serve: (socket: Socket) => void): Promise<number> {
  const listening = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    serve(socket);
  });
  server = listening;
  await new Promise<void>((resolve) => {
    listening.listen(0, "127.0.0.1", resolve);
  });
  const address = listening.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

const planFor = (port: number, changes: Partial<ProbePlan> = {}, timeout = 500): ProbePlan => ({
  transport: { kind: "inet", server: "127.0.0.1", port },
  protocol: {
    core: "esmtp",
    helo: "client.example.org",
    from: "alice@example.org",
    to: ["bob@example.org"],
    pipeline: false,
    prdr: false,
    mailParameters: [],
    rcptParameters: [],
    rawLines: [],
    messages: 1,
    timeout,
  },
  output: shown,
  ...changes,
});

interface Ran {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly took: number;
}

async function ran(plan: ProbePlan, terminal = false): Promise<Ran> {
  const said = { stdout: "", stderr: "" };
  const begun = performance.now();
  const into = (name: "stdout" | "stderr") => ({
    write(octets: Uint8Array): void {
      said[name] += Buffer.from(octets).toString();
    },
    terminal,
  });
  const status = await probe(plan, { stdout: into("stdout"), stderr: into("stderr") }, dependencies);
  return { ...said, status, took: performance.now() - begun };
}

/** Writes as fast as the other side reads, for ever. */
function pour(socket: Socket, octets: Buffer): void {
  const more = (): void => {
    while (!socket.destroyed && socket.write(octets));
  };
  socket.on("drain", more);
  more();
}

describe("the probe and a server", () => {
  test.each([
    ["whose line never ends", Buffer.alloc(65_536, "x")],
    ["whose reply never ends", Buffer.from("220-more\r\n".repeat(5000))],
    ["that sends NULs", Buffer.alloc(65_536)],
  ])("%s ends with 21, in time and in little memory", async (_, octets) => {
    const before = process.memoryUsage().rss;
    const port = await serverThat((socket) => pour(socket, octets));
    const { status, stdout, stderr } = await ran(planFor(port, {}, 20_000));
    expect(status).toBe(21);
    expect(stderr).toBe("*** The reply is longer than a reply can be.\n");
    expect(stdout.length).toBeLessThan(10_000);
    expect(process.memoryUsage().rss - before).toBeLessThan(200 * 1024 * 1024);
  });

  test("that sends an octet now and then has no more time than any", async () => {
    const port = await serverThat((socket) => {
      const timer = setInterval(() => socket.write("2"), 20);
      socket.once("close", () => clearInterval(timer));
    });
    const { status, took } = await ran(planFor(port));
    expect(status).toBe(21);
    expect(took).toBeLessThan(5000);
  });

  test("that reads nothing and says nothing behind a large message", async () => {
    const port = await serverThat((socket) => {
      socket.write("220 a\r\n250 b\r\n250 c\r\n250 d\r\n354 e\r\n");
      socket.pause();
    });
    const data = { octets: Buffer.alloc(20_000_000, "line\r\n"), fixup: true };
    const { status, stdout, took } = await ran(planFor(port, { data }));
    expect(stdout).toContain("Timeout (0.5 secs) waiting for server response");
    expect(status).toBe(26);
    expect(took).toBeLessThan(8000);
  });

  test("that does not answer a handshake", async () => {
    const port = await serverThat(() => undefined);
    const tls = { kind: "on-connect", need: "required", verifyCa: false, verifyHost: false } as const;
    const { status, stderr, took } = await ran(planFor(port, { tls }));
    expect([status, stderr]).toEqual([29, "*** TLS startup failed (connect(): no answer within 0.5 secs)\n"]);
    expect(took).toBeLessThan(5000);
  });

  test("that sends control characters changes no terminal", async () => {
    const port = await serverThat((socket) => {
      socket.write(Buffer.from("550 a\u001b[2Jb\u009b31mc\u0000\r\n"));
      socket.end();
    });
    const { stdout, stderr } = await ran(planFor(port), true);
    expect(stdout).toContain("<** 550 a\\x1b[2Jb\\x9b31mc\\x00\n");
    expect(stdout + stderr).not.toMatch(/[^\P{Cc}\n]/u);
  });
});
