/**
 * Opens the spool in the folder named by its first argument, and dies by SIGKILL in the middle of it.
 *   victim.mjs DIRECTORY life NUMBER   accepts, records and removes one message; dies before call NUMBER to the disk
 *   victim.mjs DIRECTORY load          accepts and removes many messages side by side, until somebody kills it
 *   victim.mjs DIRECTORY hold          opens the spool and waits
 * With TPA_SUBMIT_VICTIM_JOURNAL=1 the spool has a journal.
 * What the world may believe is written to standard output at the moment it becomes true: "accepted ID".
 */
import { writeSync } from "node:fs";

/** @type {(path: string) => string} */
const compiled = (path) => new URL(`../../../dist/${path}`, import.meta.url).href;
/** @type {typeof import("../../../src/server/spool/disk.ts")} */
const { systemDisk } = await import(compiled("server/spool/disk.js"));
/** @type {typeof import("../../../src/server/spool/spool.ts")} */
const { openSpool } = await import(compiled("server/spool/spool.js"));
/** @typedef {import("../../../src/server/spool/spool.ts").Spool} Spool */

const [directory = "", scenario, argument] = process.argv.slice(2);
/** @param {readonly unknown[]} words */
const say = (...words) => writeSync(1, `${words.join(" ")}\n`);
/** @type {import("../../../src/server/spool/spool.ts").NewEnvelope} */
const toOne = {
  accepted: 0,
  login: "user1",
  sender: "user1@example.org",
  eightBit: false,
  smtputf8: false,
  recipients: [{ address: "x@example.net", state: "waiting" }],
  attempts: 0,
  due: 0,
  warned: false,
};

/** The calls that change the disk; dying before another one is dying before the next of these. */
const deadlyCalls = [
  "makeDirectory",
  "create",
  "write",
  "sync",
  "rename",
  "unlink",
  "openPlaced",
  "writeNow",
];
let calls = 0;

/**
 * The same object, but the process dies before the call that was asked for.
 * @template {object} T
 * @param {T} object
 * @returns {T}
 */
function deadly(object) {
  return new Proxy(object, {
    get(target, name) {
      const found = Reflect.get(target, name);
      if (typeof found !== "function") return found;
      return (/** @type {readonly unknown[]} */ ...args) => {
        if (deadlyCalls.includes(String(name))) calls += 1;
        if (scenario === "life" && calls > Number(argument)) process.kill(process.pid, "SIGKILL");
        const result = Reflect.apply(found, target, args);
        return result instanceof Promise
          ? result.then((value) => (typeof value?.close === "function" ? deadly(value) : value))
          : result;
      };
    },
  });
}

/** @type {(spool: Spool, octets: number) => Promise<import("../../../src/server/spool/envelope.ts").Envelope>} */
async function accept(spool, octets) {
  const draft = await spool.draft();
  say("accepting", draft.id, 0);
  await draft.write(Buffer.from(`${draft.id}\r\n`));
  await draft.write(Buffer.alloc(octets, "x"));
  const envelope = await draft.accept(toOne);
  say("accepted", draft.id, 0);
  return envelope;
}

/** @type {(spool: Spool) => Promise<void>} */
async function wholeLife(spool) {
  const envelope = await accept(spool, 70_000);
  say("recording", envelope.id, 1);
  await spool.record({ ...envelope, attempts: 1 });
  say("recorded", envelope.id, 1);
  say("removing", envelope.id, 1);
  await spool.remove(envelope.id);
  say("removed", envelope.id, 1);
}

/**
 * Keeps every second message.
 * @type {(spool: Spool) => Promise<void>}
 */
async function load(spool) {
  for (let count = 0; ; count += 1) {
    const { id } = await accept(spool, 5_000);
    if (count % 2 === 1) continue;
    say("removing", id, 0);
    await spool.remove(id);
    say("removed", id, 0);
  }
}

const settings = process.env["TPA_SUBMIT_VICTIM_JOURNAL"]
  ? { segment: 1024 * 1024, largest: 100_000 }
  : undefined;
const spool = await openSpool(directory, Date.now, deadly(systemDisk), settings);
say("opened");
if (scenario === "life") {
  await wholeLife(spool);
  await spool.close();
  say("survived");
} else if (scenario === "load") {
  await Promise.all(Array.from({ length: 16 }, () => load(spool)));
} else {
  setInterval(() => undefined, 60_000);
}
