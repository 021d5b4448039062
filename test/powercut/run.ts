/**
 * A run of the real program under strace: clients send, a next hop takes, refuses and puts off, the program is killed once and
 * ended twice. What comes of it is what was done to its spool, and when which promise left it.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { prepareRelay, type Relay } from "../../demo/relay.mjs";
import type { JournalSettings } from "../../src/server/spool/spool.ts";
import { authPlain } from "../commands/serve/conversation.ts";
import { type Client, connect } from "../server/submission/client.ts";
import { type FakeServer, fakeServer } from "../tools/fakeserver.ts";
import { pathOf } from "../tools/real.ts";
import { until, within } from "../tools/until.ts";
import type { Chance } from "../torture/chance.ts";
import { letter, nobody, tokenIn, toldAbout } from "../torture/letter.ts";
import type { Copy } from "./duty.ts";
import { type Doings, doingsOf } from "./image.ts";
import { type Files, filesBelow, settled } from "./killed.ts";
import { type Call, descriptorIn, octetsIn, readTrace } from "./trace.ts";

export interface TracedRun {
  readonly doings: Doings;
  readonly copies: readonly Copy[];
  /** Where the disk of the run is: the spool is in it, and was made by the program. */
  readonly root: string;
  /** Behind the last place. */
  readonly end: number;
  /** How the spool is opened. */
  readonly journal: JournalSettings | undefined;
}

/** What a client knows of a letter. Times in microseconds since the epoch, as strace has them. */
interface Sent {
  readonly token: string;
  readonly recipients: readonly string[];
  /** Its end of the connection. */
  readonly port: number;
  /** Before it was sent. */
  readonly began: number;
  /** When 250 had come, and the queue ID in it; nothing where the program was gone. */
  readonly heard?: number;
  readonly id?: string;
}

const clients = 4;

/** Refused at the first attempt, and taken later. */
const later = "later-";

/** Small segments, so that some are filled and used again. */
const small: JournalSettings = { segment: 1_048_576, largest: 65_536 };

/** The configuration of a relay with a spool in `disk/spool`, with or without a journal, that delivers to `hop`. */
export const settingsFor = (hop: FakeServer, hasJournal: boolean): string => `[delivery]
relay = "smtp://127.0.0.1:${String(hop.port)}"
retry-first = "1s"
retry-longest = "2s"
[spool]
directory = "FOLDER/disk/spool"
warn-after = ""
reserve = "1M"
journal = ${String(hasJournal)}
journal-segment = "${String(small.segment)}"
journal-largest = "${String(small.largest)}"
`;

const traced = [
  "?open ?creat openat ?openat2 ?mkdir mkdirat ?rename ?renameat renameat2 ?link linkat ?symlink symlinkat ?unlink unlinkat ?rmdir",
  "read ?readv recvfrom recvmsg write pwrite64 writev pwritev pwritev2 sendto sendmsg truncate ftruncate fallocate",
  "copy_file_range sendfile splice fsync fdatasync sync_file_range",
]
  .join(" ")
  .replaceAll(" ", ",");

/** A next hop that names in its 250 what it took: the letter, and the recipients or whom a report is about. */
export async function startHop(): Promise<FakeServer> {
  const putOff = new Set<string>();
  const hop: FakeServer = await fakeServer({
    RCPT(argument) {
      const address = /<(.*?)>/.exec(argument)?.[1] ?? "";
      if (address.startsWith(nobody)) return "550 5.1.1 no such user";
      if (!address.startsWith(later) || putOff.has(address)) return "250 2.1.5 ok";
      putOff.add(address);
      return "451 4.3.0 not now";
    },
    message() {
      const { mail = "", recipients = [], message = "" } = hop.received.at(-1) ?? {};
      const addresses = mail.includes("<>")
        ? toldAbout(message)
        : recipients.map((argument) => /<(.*?)>/.exec(argument)?.[1] ?? "");
      return `250 2.0.0 taken ${tokenIn(message) ?? ""} ${addresses.join(",")}`;
    },
  });
  return hop;
}

/** So many letters are sent. */
export async function runTraced(hasJournal: boolean, letters: number, chance: Chance): Promise<TracedRun> {
  const hop = await startHop();
  const relay = await prepareRelay(settingsFor(hop, hasJournal));
  const root = join(relay.folder, "disk");
  const sent: Sent[] = [];
  try {
    await mkdir(root);
    let left = letters;
    const work = async (life: Life): Promise<void> => {
      const senders = Array.from({ length: clients }, () =>
        send(relay, life, chance.fork(), sent, () => {
          left -= 1;
          return left >= 0 ? letters - left : undefined;
        }),
      );
      await Promise.all(senders);
    };
    const traces: Traced[] = [];
    const end = async (life: Life, signal: NodeJS.Signals): Promise<void> => {
      const trace = await life.end(signal);
      traces.push({ trace, files: await filesBelow(root) });
    };

    const first = await begin(relay, join(relay.folder, "trace-1"));
    const working = work(first);
    await until("a third of the letters", () => (left < (letters * 2) / 3 ? true : undefined));
    await end(first, "SIGKILL");
    await working;

    const second = await begin(relay, join(relay.folder, "trace-2"));
    await work(second);
    await end(second, "SIGTERM");

    const third = await begin(relay, join(relay.folder, "trace-3"));
    const isDone = ({ token, recipients, heard }: Sent): boolean =>
      heard === undefined || recipients.every((recipient) => hasTaken(hop, token, recipient));
    await until("every letter at its next hop", () => (sent.every(isDone) ? true : undefined));
    await pause(1_100); // what is done with is made durable within a second
    await end(third, "SIGTERM");
    return { ...told(traces, sent, root), root, journal: hasJournal ? small : undefined };
  } finally {
    await hop.close();
    await relay.stop();
  }
}

/** Whether the letter has come to the recipient, or the news to its sender that it cannot. */
export function hasTaken({ received }: FakeServer, token: string, recipient: string): boolean {
  return received.some(
    ({ mail, recipients, message }) =>
      tokenIn(message) === token &&
      (mail.includes("<>") ? toldAbout(message) : recipients).some((one) => one.includes(recipient)),
  );
}

interface Traced {
  readonly trace: string;
  /** What was on the disk at its end. */
  readonly files: Files;
}

/** The program from one start to its end. */
interface Life {
  readonly port: number;
  readonly isOver: () => boolean;
  /** Resolves to the trace. */
  end(signal: NodeJS.Signals): Promise<string>;
}

async function begin(relay: Relay, file: string): Promise<Life> {
  const words = ["-f", "--seccomp-bpf", "-ttt", "-yy", "-s", "4194304", "-o", file];
  const program = [process.execPath, relay.program, "serve", "--config", relay.config];
  const strace = spawn(
    pathOf("strace") ?? "strace",
    [...words, "-e", `trace=${traced}`, "-e", "signal=none", ...program],
    { cwd: relay.folder, env: { ...process.env, UV_USE_IO_URING: "0" }, stdio: ["ignore", "pipe", "pipe"] },
  );
  const gone = once(strace, "close");
  let over = false;
  strace.once("close", () => {
    over = true;
  });
  let said = "";
  for (const stream of [strace.stdout, strace.stderr]) {
    stream.setEncoding("utf8").on("data", (part: string) => {
      said += part;
    });
  }
  const port = await until("the traced program", () => {
    if (over) throw new Error(`it ended:\n${said}`);
    const [, found] = /listening for submissions on \S+:(\d+)/.exec(said) ?? [];
    return /: tpa-submit \S+ started as/.test(said) && found !== undefined ? Number(found) : undefined;
  });
  const pid = await childOf(strace);
  return {
    port,
    isOver: () => over,
    async end(signal) {
      process.kill(pid, signal);
      await within("the end of the traced program", 60_000, gone);
      return readFile(file, "latin1");
    },
  };
}

async function childOf({ pid = 0 }: ChildProcess): Promise<number> {
  const children = await readFile(`/proc/${String(pid)}/task/${String(pid)}/children`, "utf8");
  return Number(children.trim().split(" ")[0]);
}

/** Sends letter after letter, until there is no next one or the program is gone. */
async function send(
  relay: Relay,
  life: Life,
  chance: Chance,
  sent: Sent[],
  next: () => number | undefined,
): Promise<void> {
  const client = await connect(life.port, true).catch(() => undefined);
  if (client === undefined) return;
  const port = client.socket().localPort ?? 0;
  try {
    await hear(client);
    for (const command of ["EHLO client.example.org", authPlain(relay.login, relay.password)]) {
      if (!(await say(client, command)).startsWith("2")) return;
    }
    for (let number = next(); number !== undefined; number = next()) {
      const token = `torture-cut-${String(number)}`;
      const { text, recipients } = letter(token, recipientsOf(number, chance), linesOf(chance));
      const began = Date.now() * 1_000;
      let said = await say(client, "MAIL FROM:<user1@example.org>");
      for (const recipient of recipients) said = await say(client, `RCPT TO:<${recipient}>`);
      said = await say(client, "DATA");
      if (said.startsWith("354")) said = await say(client, `${text.replace(/^\./gm, "..")}.`);
      const [, id] = /^250 .* queued as ([0-9A-F]{12})$/.exec(said) ?? [];
      if (id === undefined && said !== "") throw new Error(`the traced program said ${said}`);
      const heard = (Date.now() + 1) * 1_000;
      sent.push({ token, recipients, port, began, ...(id !== undefined && { heard, id }) });
      if (id === undefined) return;
      await pause(5 + chance.below(60)); // so that no other reply leaves before that time
    }
  } finally {
    client.destroy();
  }
}

function recipientsOf(number: number, chance: Chance): readonly string[] {
  const kinds = ["x-", "x-", "x-", "x-", "x-", later, nobody] as const;
  return Array.from(
    { length: chance.percent(25) ? 2 : 1 },
    (_, index) => `${chance.one(kinds)}${String(number)}-${String(index)}@example.net`,
  );
}

/** Most letters are short; some fill segments, and some are too large for the journal. */
function linesOf(chance: Chance): number {
  const share = chance.below(100);
  if (share < 55) return chance.below(40);
  return share < 90 ? 300 + chance.below(300) : 1_000;
}

async function say(client: Client, line: string): Promise<string> {
  await client.send(`${line}\r\n`);
  return hear(client);
}

/** The last line of a reply; nothing where the program is gone. */
async function hear(client: Client): Promise<string> {
  for (;;) {
    const line = await client.line();
    if (line === undefined || !/^\d{3}-/.test(line)) return line ?? "";
  }
}

/** What the traces of the lives say, one behind the other. */
function told(
  traces: readonly Traced[],
  sent: readonly Sent[],
  root: string,
): Omit<TracedRun, "root" | "journal"> {
  const calls: Call[] = [];
  let end = 0;
  for (const { trace, files } of traces) {
    const read = readTrace(trace, (text) => isWanted(text, root), end);
    ({ end } = read);
    calls.push(...read.calls.flatMap((call) => settled(call, files, end) ?? []));
  }
  return { doings: doingsOf(calls.filter(isOfDisk), root), copies: copiesIn(calls, sent), end };
}

/** What is done to the disk, what leaves by a socket, what a next hop has taken, and what the log calls removed. */
function isWanted(text: string, root: string): boolean {
  const isReading = /^(?:read|recv)/.test(text);
  if (/^\w+\(\d+<TCP:/.test(text)) return isReading ? text.includes(" taken ") : true;
  return !isReading && (text.includes(root) || text.includes(": removed"));
}

const isSocket = (call: Call): boolean => descriptorIn(call.words[0])?.of.startsWith("TCP:") === true;
const isOfDisk = (call: Call): boolean => !isSocket(call) && !/^(?:read|recv)/.test(call.name);

function copiesIn(calls: readonly Call[], sent: readonly Sent[]): readonly Copy[] {
  const taken = new Map<string, number>();
  const removed = new Map<string, number>();
  const replies = new Map<string, Call[]>();
  for (const call of calls) {
    const { of = "" } = descriptorIn(call.words[0]) ?? {};
    if (/^(?:read|recv)/.test(call.name)) {
      const text = octetsIn(call.words[1] ?? "").toString("latin1");
      for (const [, token = "", addresses = ""] of text.matchAll(/ taken (\S+) (\S+)\r\n/g)) {
        for (const address of addresses.split(","))
          taken.set(`${token} ${address}`, call.ended ?? call.begun);
      }
    } else if (isSocket(call)) {
      const [, port = ""] = /->\S+:(\d+)\]$/.exec(of) ?? [];
      replies.set(port, [...(replies.get(port) ?? []), call]);
    } else if (!of.startsWith("/")) {
      const text = octetsIn(call.words[1] ?? "").toString("latin1");
      for (const [, id = ""] of text.matchAll(/ ([0-9A-F]{12}): removed$/gm)) removed.set(id, call.begun);
    }
  }
  if (removed.size === 0) throw new Error("the log is not in the trace");
  return sent.flatMap(({ token, recipients, port, began, heard, id }) => {
    const before = calls.findLast(({ at }) => at < began)?.begun ?? 0;
    const reply = replies.get(String(port))?.findLast(({ at }) => heard !== undefined && at < heard)?.begun;
    if (heard !== undefined && reply === undefined)
      throw new Error(`the 250 of ${token} is not in the trace`);
    return recipients.map((recipient) => ({
      token,
      recipient,
      sent: before,
      promised: reply,
      taken: taken.get(`${token} ${recipient}`),
      removed: removed.get(id ?? ""),
    }));
  });
}
