/** A mailbox that floods, lies or breaks: one run reads so much and no more, and goes on where it ended. */
import type { ImapFlow } from "imapflow";
import { expect, test } from "vitest";
import type { ImapAccount } from "../../../src/probe/arrival/imap.ts";
import type { ImapConnection } from "../../../src/probe/arrival/imap-connection.ts";
import { type FolderMessage, readFolder } from "../../../src/probe/reports/imap.ts";

const account: ImapAccount = {
  host: "localhost",
  port: 993,
  implicitTls: true,
  user: "reports",
  password: "secret",
  folder: "INBOX",
};
const { signal } = new AbortController();

interface Server {
  readonly uids?: readonly number[];
  /** What it says of each message, and what it sends of it from an octet on. */
  readonly size?: number;
  readonly send?: (start: number) => Buffer;
  /** Called before each message. */
  readonly before?: () => void;
}

/** As much of a connection as is used, with what it was asked for. */
function connectionTo({ uids = [1], size = 10, send = () => Buffer.alloc(10, "x"), before }: Server) {
  const asked: string[] = [];
  const client = {
    mailbox: { uidValidity: 7n },
    getMailboxLock: async (_: string, { readOnly = false } = {}) => {
      asked.push(readOnly ? "look" : "change");
      return { release: () => undefined };
    },
    noop: async () => undefined,
    search: async ({ uid }: { uid: string }) => uids.filter((one) => one >= Number(uid.split(":")[0])),
    fetchOne: async (uid: string, { source }: { source: { start: number } }) => {
      if (source.start === 0) before?.();
      return { uid: Number(uid), size, source: send(source.start) };
    },
  };
  const connection: ImapConnection = {
    use: async (_, work) => work(client as unknown as ImapFlow),
    open: () => undefined,
    release: async () => undefined,
  };
  return { connection, asked };
}

const read = async (server: Server, last = 0, now = () => 0) => {
  const taken: (readonly [number, FolderMessage])[] = [];
  const { connection, asked } = connectionTo(server);
  const place = { key: "k", validity: "7", last };
  const reading = await readFolder(account, connection, place, signal, now, async (uid, message) => {
    taken.push([uid, message]);
    return true;
  });
  return { ...reading, taken, asked };
};

test("a flood of messages is read in portions, the oldest first", async () => {
  const uids = Array.from({ length: 5000 }, (_, at) => 5000 - at);
  const first = await read({ uids });
  expect(first.taken).toHaveLength(2000);
  expect(first.place).toMatchObject({ validity: "7", last: 2000 });
  expect(first.isMore).toBe(true);
  const last = await read({ uids }, 4000);
  expect([last.taken.length, last.place.last, last.isMore]).toEqual([1000, 5000, false]);
  expect(new Set(last.asked)).toEqual(new Set(["look"]));
});

test("a run ends after ten minutes", async () => {
  let time = 0;
  const reading = await read({ uids: [1, 2, 3], before: () => (time += 400_000) }, 0, () => time);
  expect([reading.place.last, reading.isMore]).toEqual([2, true]);
});

test("what is too large is not read, whatever size the server tells", async () => {
  const told = await read({ size: 17 * 1024 * 1024, send: () => Buffer.alloc(0) });
  const untold = await read({ size: 16 * 1024 * 1024, send: () => Buffer.alloc(128 * 1024, "\r\n") });
  const endless = await read({ size: 10, send: () => Buffer.alloc(1024 * 1024, "\r\n") });
  expect(told.taken).toEqual([[1, { kind: "unreadable", why: "the message is too large" }]]);
  expect(untold.taken).toMatchObject([[1, { kind: "mail" }]]);
  expect(endless.taken).toMatchObject([[1, { kind: "mail", mail: { attachments: [] } }]]);
});

test("messages that are gone by now are passed over", async () => {
  const { connection } = connectionTo({});
  const gone: ImapConnection = {
    ...connection,
    use: (stop, work) =>
      connection.use(stop, (client) => work(Object.assign(client, { fetchOne: async () => false }))),
  };
  const reading = await readFolder(
    account,
    gone,
    undefined,
    signal,
    () => 0,
    async () => true,
  );
  expect(reading).toMatchObject({ reports: [], place: { last: 1 }, isMore: false });
});

test("a new UIDVALIDITY is a new folder", async () => {
  const { connection } = connectionTo({ uids: [1, 2] });
  const before = { key: "k", validity: "6", last: 2 };
  const reading = await readFolder(
    account,
    connection,
    before,
    signal,
    () => 0,
    async () => true,
  );
  expect(reading.reports).toEqual([1, 2]);
});
