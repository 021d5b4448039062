/** A spool full of messages, as they are there after a first attempt in vain, or before one. */
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const body = `Subject: bulk\r\n\r\n${"The quick brown fox jumps over the lazy dog.\r\n".repeat(20)}`;

/** @param {number} number */
function whoseIs(number) {
  const login = `user${number % 100}`;
  return { login, sender: `${login}@example.org`, address: `r${number}@example.net` };
}

/**
 * What a built checkout has in `path` of its dist.
 * @param {string} checkout
 * @param {string} path
 */
const built = (checkout, path) => import(pathToFileURL(join(checkout, "dist", path)).href);

/**
 * The library for the spool of a checkout.
 * @param {string} checkout
 * @returns {Promise<typeof import("../src/server/spool/spool.ts")>}
 */
export const spoolOf = (checkout) => built(checkout, "server/spool/spool.js");

/**
 * Opens a spool of a checkout in the database `url`; `directory` is the host's own folder. Undefined where the checkout knows none.
 * @param {string} checkout
 * @param {string} directory
 * @param {string} url
 */
export async function sharedSpoolOf(checkout, directory, url) {
  if (!knowsDatabases(checkout)) return undefined;
  /** @type {typeof import("../src/postgres/database.ts")} */
  const { openDatabase } = await built(checkout, "postgres/database.js");
  /** @type {typeof import("../src/postgres/migrations.ts")} */
  const { migrate } = await built(checkout, "postgres/migrations.js");
  /** @type {typeof import("../src/postgres/settings.ts")} */
  const { storeAccess } = await built(checkout, "postgres/settings.js");
  /** @type {typeof import("../src/server/spool/postgres/spool.ts")} */
  const { openSharedSpool } = await built(checkout, "server/spool/postgres/spool.js");
  const { openSpool } = await spoolOf(checkout);
  const files = { "store-password-file": "", "store-ca": "", "store-certificate": "", "store-key": "" };
  const database = await openDatabase(await storeAccess({ store: url, ...files }), "bench");
  await migrate(database);
  const events = { bug: console.error, leaseOver: () => undefined, claimed: () => undefined };
  const spool = await openSharedSpool(
    { host: "bench.example.org", owner: "bench", version: "0", lease: 60_000, mark: "" },
    {
      ...{ database, events, now: Date.now, steady: () => performance.now() },
      local: await openSpool(directory, Date.now),
    },
  );
  const close = async () => {
    await spool.close();
    await database.close();
  };
  return { ...spool, close };
}

/** @param {string} checkout */
export const knowsDatabases = (checkout) => existsSync(join(checkout, "dist/postgres/database.js"));

/**
 * Puts `messages` messages, accepted an hour ago, tried once and due again, into a new spool of files. Nothing is fsynced: only
 * how they are read matters.
 * @param {string} checkout whose format it is to have
 * @param {string} directory
 * @param {number} messages
 */
export async function fillFolders(checkout, directory, messages) {
  /** @type {typeof import("../src/server/spool/envelope-file.ts")} */
  const { formatEnvelope } = await built(checkout, "server/spool/envelope-file.js");
  const { openSpool } = await spoolOf(checkout);
  const spool = await openSpool(directory, Date.now);
  await spool.close();
  const accepted = Date.now() - 3_600_000;
  const first = BigInt(accepted) * 16n;
  for (let number = 0; number < messages; number += 1) {
    const id = (first + BigInt(number)).toString(16).toUpperCase().padStart(12, "0");
    const { address, ...whose } = whoseIs(number);
    const reply = {
      code: 451,
      status: "4.7.1",
      text: "Greylisted, come back later",
      relay: "mx.example.net[192.0.2.1]:25",
      command: "RCPT TO",
      at: accepted + 1_000,
    };
    const envelope = formatEnvelope({
      ...whose,
      id,
      accepted,
      size: body.length,
      eightBit: false,
      smtputf8: false,
      recipients: [{ address, state: "waiting", reply }],
      attempts: 1,
      due: accepted + 300_000,
      warned: true,
    });
    await Promise.all([
      writeFile(join(directory, "messages", id), body, { mode: 0o600 }),
      writeFile(join(directory, "queue", id), envelope, { mode: 0o600 }),
    ]);
  }
}

/**
 * Puts `messages` messages that nobody has tried yet into the journal of a new spool.
 * @param {string} checkout
 * @param {string} directory
 * @param {number} messages
 */
export async function fillJournal(checkout, directory, messages) {
  const { openSpool } = await spoolOf(checkout);
  const spool = await openSpool(directory, Date.now, undefined, journal);
  let next = 0;
  const octets = Buffer.from(body);
  const work = async () => {
    while (next < messages) {
      const { address, ...whose } = whoseIs(next);
      next += 1;
      const draft = await spool.draft();
      await draft.write(octets);
      await draft.accept({
        ...whose,
        accepted: Date.now(),
        eightBit: false,
        smtputf8: false,
        recipients: [{ address, state: "waiting" }],
        attempts: 0,
        due: Date.now(),
        warned: false,
      });
    }
  };
  await Promise.all(Array.from({ length: 50 }, work));
  await spool.close();
}

/** As `serve` has it where nothing else is set. */
export const journal = { segment: 16 * 1_024 * 1_024, largest: 1_024 * 1_024 };
