/**
 * Takes the messages of the maildrop to the local listener, so that they go the way of all others: its policy, its limits, its
 * log. The owner of a file is its login. A message is delivered once: the spool keeps the name of the file that it came from,
 * and nothing of it is delivered before that file is gone for good.
 */
import { watch } from "node:fs";
import { Readable } from "node:stream";
import { errorCode, errorText } from "../../failure.ts";
import { isAscii, parseMailbox } from "../../smtp/address.ts";
import { connectUnix } from "../../smtp/client/connect.ts";
import { Connection, isPositive } from "../../smtp/client/connection.ts";
import { runTransaction, type TransactionResult } from "../../smtp/client/transaction.ts";
import { parseReply, type Reply, reply } from "../../smtp/reply.ts";
import { encodeXtext } from "../../smtp/xtext.ts";
import { type ContactOf, enterReport, octetsWanted } from "../dsn/report.ts";
import { log, logBug } from "../log/log.ts";
import type { Envelope, Recipient } from "../spool/envelope.ts";
import { isDamaged, type Spool } from "../spool/spool.ts";
import type { Senders } from "../submission/sender-policy.ts";
import { expandRecipient, type LocalAliases } from "./aliases.ts";
import { dropNames, type FoundDrop, openDrop, removeDrop, removeStaleDrafts } from "./folder.ts";

export interface PickupOptions {
  /** The maildrop. */
  readonly folder: string;
  /** The local listener's socket. */
  readonly socket: string;
  readonly hostname: string;
  /** Of recipients without one. */
  readonly domain: () => string;
  /** Read anew for each message. */
  readonly aliases: () => Promise<LocalAliases>;
  /** The name of a user of this host, by its number. */
  readonly userName: (uid: number) => Promise<string>;
  /** The own address of a login of this host, and whether it may use another. */
  readonly senders: () => Pick<Senders, "ownAddress" | "mayUse">;
  readonly spool: Pick<Spool, "draft">;
  readonly contactOf: ContactOf;
  /** Milliseconds for which a message that is refused for now is tried again. */
  readonly lifetime: () => number;
  /** Called with a report that has entered the spool. */
  readonly wake: (envelope: Envelope) => void;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

export interface Pickup {
  /**
   * The message of `envelope` is in the spool: the file that it came from is removed, and then `deliver` is called. What cannot
   * be removed is not delivered, and is tried again: else the next start would send it once more.
   */
  taken(drop: string, deliver: () => void): void;
  /** Takes nothing more, and waits for what is under way. */
  close(): Promise<void>;
}

/** Milliseconds between two looks that nothing led to. */
const lookAgain = 60_000;
/** Milliseconds after a refusal for now, the first time and at most; it doubles each time. */
const retryFirst = 30_000;
const retryLongest = 3_600_000;
/** Milliseconds to wait for our own replies. */
const patience = 120_000;

/** Before anything is delivered: removes the files of messages that the spool has. Throws the system's error. */
export async function settleDrops(folder: string, spool: Pick<Spool, "ids" | "read">): Promise<void> {
  const names = new Set(await dropNames(folder));
  if (names.size === 0) return;
  for (const id of await spool.ids()) {
    const envelope = await spool.read(id).catch((error: unknown) => {
      if (errorCode(error) === "ENOENT") return undefined;
      throw error;
    });
    if (!envelope || isDamaged(envelope) || envelope.drop === undefined) continue;
    if (names.has(envelope.drop)) await removeDrop(folder, envelope.drop);
  }
}

export function startPickup(options: PickupOptions): Pickup {
  const { folder, now } = options;
  /** In the spool already; their files are being removed. */
  const inSpool = new Set<string>();
  /** When to try again, and how long to wait after that. */
  const later = new Map<string, { readonly at: number; readonly pause: number }>();
  const timers = new Set<NodeJS.Timeout>();
  let isClosed = false;
  let isDirty = false;
  let running: Promise<void> | undefined;

  function look(): void {
    isDirty = true;
    if (isClosed) return;
    running ??= lookAll().finally(() => {
      running = undefined;
    });
  }

  async function lookAll(): Promise<void> {
    while (isDirty && !isClosed) {
      isDirty = false;
      try {
        const names = await dropNames(folder);
        for (const name of later.keys()) if (!names.includes(name)) later.delete(name);
        for (const name of names) {
          if (isClosed) return;
          if (!inSpool.has(name) && (later.get(name)?.at ?? 0) <= now()) await takeOne(name);
        }
      } catch (error) {
        trouble(folder, error);
      }
    }
  }

  async function takeOne(name: string): Promise<void> {
    try {
      const found = await openDrop(folder, name);
      if (!found) return;
      if ("wrong" in found) {
        log("drop-ignored", { drop: name, reason: found.wrong });
        later.set(name, { at: Number.POSITIVE_INFINITY, pause: 0 });
        return;
      }
      try {
        if (await submit(found, options)) tryLater(name);
        else later.delete(name);
      } finally {
        await found.file.close();
      }
    } catch (error) {
      trouble(name, error);
      tryLater(name);
    }
  }

  function tryLater(name: string): void {
    const pause = Math.min(retryLongest, 2 * (later.get(name)?.pause ?? retryFirst / 2));
    later.set(name, { at: now() + pause, pause });
    ring(pause, look);
  }

  function ring(after: number, work: () => void): void {
    const timer = setTimeout(() => {
      timers.delete(timer);
      work();
    }, after).unref();
    timers.add(timer);
  }

  function taken(drop: string, deliver: () => void): void {
    inSpool.add(drop);
    removeDrop(folder, drop).then(
      () => {
        inSpool.delete(drop);
        deliver();
      },
      (error: unknown) => {
        trouble(drop, error);
        if (!isClosed) ring(retryFirst, () => taken(drop, deliver));
      },
    );
  }

  const watcher = watch(folder, look);
  watcher.on("error", (error) => trouble(folder, error));
  const timer = setInterval(() => {
    look();
    removeStaleDrafts(folder, now()).catch((error: unknown) => trouble(folder, error));
  }, lookAgain).unref();
  look();
  return {
    taken,
    async close() {
      isClosed = true;
      watcher.close();
      clearInterval(timer);
      for (const one of timers) clearTimeout(one);
      await running;
    },
  };
}

function trouble(drop: string, error: unknown): void {
  if (errorCode(error) === "") logBug("the maildrop", error);
  else log("drop-trouble", { drop, reason: errorText(error) });
}

/** Submits a message. Whether it is to be tried again; otherwise it is in the spool, or its sender was told why not. */
async function submit(found: FoundDrop, options: PickupOptions): Promise<boolean> {
  const { domain, aliases, userName, senders, hostname, now } = options;
  const user = await userName(found.uid);
  const login = `${user}@${hostname}`;
  const known = await aliases();
  const recipients = [
    ...new Set(found.drop.recipients.flatMap((one) => expandRecipient(one, known, domain()))),
  ];
  const own = senders().ownAddress(login);
  const { sender: given = own } = found.drop;
  const sender = given === "" || given.includes("@") ? given : given === user ? own : `${given}@${hostname}`;
  log("pickup", { drop: found.name, uid: found.uid, from: sender });
  const outcome = await transact(found, { login, sender, recipients }, options);
  const isOld = now() - found.at > options.lifetime();
  if (outcome.kind === "later" && !isOld) {
    log("drop-deferred", { drop: found.name, reason: outcome.reason });
    return true;
  }
  const refused =
    outcome.kind === "later"
      ? recipients.map((address) => ({ address, reply: reply(450, "4.4.7", outcome.reason) }))
      : outcome.refused;
  if (refused.length > 0) {
    log("drop-refused", {
      drop: found.name,
      from: sender,
      recipients: refused.length,
      reply: refused[0]?.reply ?? noReply,
    });
    if (sender !== "") {
      // Whoever may not use an address gets no report sent there either.
      const isTheirs = sender !== own && senders().mayUse(login, sender);
      const [address = own] = expandRecipient(isTheirs ? sender : user, known, domain());
      await tellOwner(found, { login, address }, refused, options);
    }
  }
  if (outcome.kind === "later" || !outcome.isAccepted) await removeDrop(options.folder, found.name);
  return false;
}

const noReply = reply(554, "5.0.0", "");

interface Refused {
  readonly address: string;
  readonly reply: Reply;
}

/** What became of it: refused for now, or accepted for some recipients and refused for the others. */
type Outcome =
  | { readonly kind: "later"; readonly reason: string }
  | { readonly kind: "answered"; readonly isAccepted: boolean; readonly refused: readonly Refused[] };

interface LocalEnvelope {
  readonly login: string;
  readonly sender: string;
  readonly recipients: readonly string[];
}

async function transact(found: FoundDrop, envelope: LocalEnvelope, options: PickupOptions): Promise<Outcome> {
  const { socket, hostname } = options;
  const stream = await connectUnix(socket, patience);
  const connection = new Connection(stream, { protocol: "smtp", hostname, patience });
  const { signal } = new AbortController();
  try {
    const greeting = await connection.read(signal);
    const known = isPositive(greeting)
      ? await connection.command(`XCLIENT LOGIN=${encodeXtext(envelope.login)} METHOD=LOCAL`, signal)
      : greeting;
    const hello = isPositive(known) ? await connection.hello(false, signal) : known;
    if (!isPositive(hello))
      return refusal(hello.kind === "reply" ? hello.text : hello.kind, envelope.recipients);
    // One command after the other: a refused sender is one line of the log, and not one for each recipient as well.
    connection.keywords = new Map([...connection.keywords].filter(([name]) => name !== "PIPELINING"));
    const result = await runTransaction(connection, commandsOf(found, envelope), bodyOf(found), {
      signal,
      finalPatience: patience,
    });
    return outcomeOf(result, envelope.recipients);
  } finally {
    connection.quit();
  }
}

function commandsOf(
  { name, drop: { notify, ret, envid }, size }: FoundDrop,
  { sender, recipients }: LocalEnvelope,
): { readonly mail: string; readonly recipients: readonly string[] } {
  const parameters = [
    `XDROP=${name}`,
    `SIZE=${size}`,
    ...([sender, ...recipients].every(isAscii) ? [] : ["SMTPUTF8"]),
    ...(ret === undefined ? [] : [`RET=${ret}`]),
    ...(envid === undefined ? [] : [`ENVID=${encodeXtext(envid)}`]),
  ];
  const dsn = notify === undefined ? "" : ` NOTIFY=${notify.join(",")}`;
  return {
    mail: `MAIL FROM:<${sender}> ${parameters.join(" ")}`,
    recipients: recipients.map((address) => `RCPT TO:<${address}>${dsn}`),
  };
}

/** Octets that are read at a time. */
const pieceLength = 65_536;

/** The octets behind the first line. The file stays open, which a stream of its own would close. */
function bodyOf({ file, start }: FoundDrop): Readable {
  return Readable.from(
    (async function* () {
      for (let at = start; ; ) {
        const piece = Buffer.allocUnsafe(pieceLength);
        const { bytesRead } = await file.read(piece, 0, piece.length, at);
        if (bytesRead === 0) return;
        at += bytesRead;
        yield piece.subarray(0, bytesRead);
      }
    })(),
  );
}

function outcomeOf({ refused, ending }: TransactionResult, recipients: readonly string[]): Outcome {
  const some = [...refused].map(([index, text]) => ({
    address: recipients[index] ?? "",
    reply: parseReply(text),
  }));
  if (ending.kind === "reply" && ending.text.startsWith("2"))
    return { kind: "answered", isAccepted: true, refused: some };
  if (refused.size === recipients.length && recipients.length > 0) {
    const waiting = some.find((one) => one.reply.code < 500);
    if (waiting) return { kind: "later", reason: waiting.reply.text };
    return { kind: "answered", isAccepted: false, refused: some };
  }
  if (ending.kind === "unreadable") throw ending.error;
  return refusal("text" in ending ? ending.text : `the connection was ${ending.kind}`, recipients);
}

function refusal(text: string, recipients: readonly string[]): Outcome {
  const reply = parseReply(text);
  if (!text.startsWith("5")) return { kind: "later", reason: reply.text };
  return { kind: "answered", isAccepted: false, refused: recipients.map((address) => ({ address, reply })) };
}

/** Tells who put it there, as of a message that was returned. */
async function tellOwner(
  found: FoundDrop,
  { login, address }: { readonly login: string; readonly address: string },
  refused: readonly Refused[],
  { spool, hostname, now, wake, contactOf }: PickupOptions,
): Promise<void> {
  if (parseMailbox(address) === undefined) return;
  const relay = "none";
  const recipients: readonly Recipient[] = refused.map((one) => ({
    address: one.address,
    state: "failed",
    reply: { ...one.reply, relay, command: "", at: now() },
  }));
  const envelope: Envelope = {
    id: found.name.slice(0, 12).toUpperCase(),
    accepted: found.at,
    login,
    sender: address,
    size: found.size,
    eightBit: true,
    smtputf8: ![address, ...recipients.map((one) => one.address)].every(isAscii),
    recipients,
    attempts: 0,
    due: now(),
    warned: false,
  };
  const start = Buffer.alloc(Math.min(octetsWanted, found.size));
  const { bytesRead } = await found.file.read(start, 0, start.length, found.start);
  const occasion = {
    kind: "failure" as const,
    recipients: recipients.map((recipient) => ({ recipient, action: "failed" as const })),
  };
  const matter = { occasion, envelope, start: start.subarray(0, bytesRead) };
  wake(await enterReport(spool, matter, { hostname, until: now(), now, contactOf }));
}
