/**
 * The clients, in a process of their own so that their work is not counted as the server's. Reads a plan (../load.mjs tells
 * which), one line of JSON, from standard input; says "ready"; waits for a line; sends; prints what it saw, as JSON.
 */
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { createInterface } from "node:readline";
import { connect as connectTls } from "node:tls";

/** @typedef {import("../load.mjs").Plan} Plan */

const lines = createInterface(process.stdin)[Symbol.asyncIterator]();
const nextLine = async () => (await lines.next()).value ?? "";

/** @type {Plan} */
const plan = JSON.parse(await nextLine());
const ca = readFileSync(plan.certificate);
const host = "127.0.0.1";

const line = "The quick brown fox jumps over the lazy dog, again and again and again.\r\n";
const header = "To: x@example.net\r\nSubject: bulk\r\nDate: Sun, 22 Nov 2026 12:00:00 +0000\r\n";
const body = Buffer.from(`${line.repeat(Math.max(1, Math.round((plan.size - 220) / line.length)))}.\r\n`);

/**
 * @param {string} login
 * @param {number} number of the session
 */
async function openSession(login, number) {
  // So many come from one address only where the plan says so: a server counts them.
  const localAddress = plan.addresses > 1 ? `127.0.${(number % plan.addresses) + 1}.2` : undefined;
  const socket = connectTls({
    host,
    servername: "localhost",
    ca,
    socket: connect({ host, port: plan.port, noDelay: true, ...(localAddress && { localAddress }) }),
  });
  const sender = `${login}@example.org`;
  let text = "";
  let wake = () => {};
  /** @type {Error | undefined} */
  let failure;
  socket.on("data", (/** @type {Buffer} */ chunk) => {
    text += chunk.toString("latin1");
    wake();
  });
  socket.on("error", (error) => {
    failure = error;
    wake();
  });
  socket.on("close", () => {
    failure ??= new Error("the server closed the connection");
    wake();
  });

  /** @param {string} code that the next reply has to begin with */
  async function hear(code) {
    for (let from = 0; ; ) {
      const end = text.indexOf("\r\n", from);
      if (end === -1) {
        if (failure) throw failure;
        await new Promise((/** @type {(value: void) => void} */ resolve) => {
          wake = resolve;
        });
      } else if (text[from + 3] === "-") {
        from = end + 2;
      } else {
        const reply = text.slice(0, end);
        text = text.slice(end + 2);
        if (!reply.startsWith(code)) throw new Error(`expected ${code}, heard ${reply}`);
        return;
      }
    }
  }

  await hear("220");
  socket.write("EHLO client.example.org\r\n");
  await hear("250");
  socket.write(`AUTH PLAIN ${Buffer.from(`\0${login}\0${plan.password}`).toString("base64")}\r\n`);
  await hear("235");
  return {
    /** @param {number} message */
    async send(message) {
      const to = plan.domains > 1 ? `x@d${message % plan.domains}.example.net` : "x@example.net";
      socket.write(`MAIL FROM:<${sender}>\r\nRCPT TO:<${to}>\r\nDATA\r\n`);
      for (const code of ["250", "250", "354"]) await hear(code);
      socket.cork();
      const id = `<${message}.${process.pid}@client.example.org>`;
      socket.write(`From: ${sender}\r\n${header}Message-ID: ${id}\r\n\r\n`);
      socket.write(body);
      socket.uncork();
      await hear("250");
    },
    async end() {
      socket.write("QUIT\r\n");
      await hear("221");
      socket.destroy();
    },
  };
}

const loginOf = (/** @type {number} */ number) => plan.logins[number % plan.logins.length] ?? "";

/** @type {Awaited<ReturnType<typeof openSession>>[]} */
const sessions = [];
if (!plan.reconnect) {
  let opened = 0;
  const openSome = async () => {
    while (opened < plan.connections) {
      const number = opened;
      opened += 1;
      sessions.push(await openSession(loginOf(number), number));
    }
  };
  await Promise.all(Array.from({ length: Math.min(plan.connections, plan.opening) }, openSome));
}
process.stdout.write("ready\n");
await nextLine();

/** @type {number[]} */
const times = [];
let refused = 0;
let next = 0;
const cpuBefore = process.cpuUsage();
const begun = performance.now();
const end = begun + plan.seconds * 1_000;
const goesOn = () => next < plan.messages && performance.now() < end;

if (plan.reconnect) {
  const visit = async (/** @type {number} */ number) => {
    const session = await openSession(loginOf(number), number);
    await session.send(number);
    await session.end();
  };
  await together(visit);
} else if (plan.messages > 0) {
  await Promise.all(
    sessions.map((session) =>
      untilTheEnd(async (number) => {
        await session.send(number);
      }),
    ),
  );
}

/** @param {(number: number) => Promise<void>} task */
async function together(task) {
  await Promise.all(Array.from({ length: plan.connections }, () => untilTheEnd(task)));
}

/** @param {(number: number) => Promise<void>} task */
async function untilTheEnd(task) {
  while (goesOn()) {
    const number = next;
    next += 1;
    const started = performance.now();
    try {
      await task(number);
      times.push(performance.now() - started);
    } catch (error) {
      // One who comes anew each time may come again; a session that breaks is not what is measured.
      if (!plan.reconnect) throw error;
      refused += 1;
    }
  }
}

const seconds = (performance.now() - begun) / 1_000;
const { user, system } = process.cpuUsage(cpuBefore);
times.sort((one, other) => one - other);
const at = (/** @type {number} */ share) => times[Math.floor(times.length * share)] ?? 0;
/** @type {import("../load.mjs").Seen} */
const seen = {
  messages: times.length,
  refused,
  seconds,
  p50: at(0.5),
  p99: at(0.99),
  worst: times.at(-1) ?? 0,
  processor: (user + system) / 1_000_000,
};
process.stdout.write(`${JSON.stringify(seen)}\n`);
await nextLine(); // what only waits does so until it is told
process.exit();
