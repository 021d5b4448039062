import { expect, test } from "vitest";
import { judgeStore, type StoreFacts } from "../../../src/commands/check/store.ts";

const sound: StoreFacts = {
  server: "15.14",
  format: { found: 3, wanted: 3 },
  tls: "TLSv1.3",
  isRemote: true,
  closed: [],
  fsync: "on",
  synchronousCommit: "on",
  synchronousStandbys: "ANY 1 (db2)",
  waiting: 0.2,
  confirming: ["db2"],
  connections: { used: 12, most: 97 },
  ahead: 3,
  mark: "A",
  otherMarks: new Map([["B", "mail2.example.org"]]),
  wantedMark: "",
};

const concerns = (facts: Partial<StoreFacts>): readonly string[] =>
  judgeStore({ ...sound, ...facts })
    .filter(({ state }) => state !== "ok")
    .map(({ state, words, advice }) => {
      expect(advice).toMatch(/\S/);
      return `${state}: ${words}`;
    });

test("a database with a standby that confirms is well", () => {
  expect(concerns({})).toEqual([]);
});

test.each<readonly [string, Partial<StoreFacts>]>([
  ["failed: the connection is in the clear", { tls: undefined }],
  ["failed: the database has no tables of this program", { format: { found: 0, wanted: 3 } }],
  ["failed: the database has format 2, this program works with 3", { format: { found: 2, wanted: 3 } }],
  ["failed: the database has format 4, this program works with 3", { format: { found: 4, wanted: 3 } }],
  ["failed: no right to read and change bodies, messages", { closed: ["bodies", "messages"] }],
  ["failed: fsync is off: a power cut loses messages that were promised", { fsync: "off" }],
  [
    "failed: synchronous_commit is off: a message is promised before it is on any disk",
    { synchronousCommit: "off" },
  ],
  [
    "warning: no standby is synchronous: a promise is as safe as one host",
    { synchronousStandbys: "", confirming: [] },
  ],
  ["warning: synchronous_commit is local: a promise is as safe as one host", { synchronousCommit: "local" }],
  [
    'failed: synchronous_standby_names is "ANY 1 (db2)", and none of them is there: commits wait for it, and nobody can send',
    { confirming: [] },
  ],
  [
    'failed: synchronous_standby_names is "ANY 1 (db2)", and none of them has confirmed a commit for 7 seconds: nobody can send',
    { waiting: 7.2 },
  ],
  ["warning: 90 of 97 connections are in use", { connections: { used: 90, most: 97 } }],
  ["warning: its clock is 14.2 s ahead of this host's", { ahead: 14_200 }],
  ["warning: its clock is 2.5 s behind this host's", { ahead: -2_500 }],
  ["failed: host-mark B is that of mail2.example.org", { wantedMark: "B" }],
])("%s", (words, facts) => {
  expect(concerns(facts)).toEqual([words]);
});

test("a connection in the clear that stays on this host is well, and so is what the user may not know", () => {
  expect(concerns({ tls: undefined, isRemote: false, confirming: undefined, mark: undefined })).toEqual([]);
});

test("a seventeenth host finds no mark", () => {
  const otherMarks = new Map("0123456789ABCDEF".split("").map((mark) => [mark, `mail${mark}.example.org`]));
  expect(concerns({ mark: undefined, otherMarks })).toEqual([
    "failed: 16 hosts have marks, and there are no more",
  ]);
});
