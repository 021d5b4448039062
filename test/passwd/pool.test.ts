/** Which checks a thread of the pool gets at a time. */
import { expect, test } from "vitest";
import { type CheckOutcome, startPool } from "../../src/passwd/pool.ts";

/** A worker that answers a turn later, with how many checks it had in hand when this one came last. */
const program = `
import { parentPort } from "node:worker_threads";
let inHand = 0;
parentPort.on("message", ({ number }) => {
  inHand += 1;
  setTimeout(() => parentPort.postMessage({ number, match: inHand }), 20);
  setTimeout(() => { inHand -= 1; }, 30);
});`;
const worker = new URL(`data:text/javascript,${encodeURIComponent(program)}`);

const bcrypt = (cost: string): string =>
  `{BLF-CRYPT}$2y$${cost}$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui`;
const check = (...hashes: readonly string[]) => ({ password: "correct horse", names: ["user1"], hashes });
const inHandOf = (outcome: CheckOutcome): number | string =>
  outcome.kind === "answer" ? outcome.match : outcome.reason;

test("two of bcrypt with the same cost are made together where they would wait, and no others", async () => {
  const pool = startPool(1, 100, worker);
  try {
    const hashes = [
      [bcrypt("10")], // alone: nothing else is there yet
      [bcrypt("10")],
      ["{SHA512-CRYPT}$6$salt$x"],
      [bcrypt("12")],
      [bcrypt("10")], // with the second
      [bcrypt("12"), bcrypt("12")],
      [bcrypt("12")], // with the fourth
    ];
    const outcomes = await Promise.all(hashes.map((texts) => pool.check(check(...texts))));
    expect(outcomes.map(inHandOf)).toEqual([1, 2, 1, 2, 2, 1, 2]);
  } finally {
    await pool.close();
  }
});

test("where a thread is free for each, none is made beside another", async () => {
  const pool = startPool(3, 100, worker);
  try {
    const outcomes = await Promise.all([1, 2, 3].map(() => pool.check(check(bcrypt("10")))));
    expect(outcomes.map(inHandOf)).toEqual([1, 1, 1]);
  } finally {
    await pool.close();
  }
});

test("both are unavailable where their thread ends", async () => {
  const dies = `
import { parentPort } from "node:worker_threads";
let seen = 0;
parentPort.on("message", ({ number }) => {
  seen += 1;
  if (seen === 1) parentPort.postMessage({ number, match: 0 });
  if (seen === 3) process.exit(1);
});`;
  const pool = startPool(1, 100, new URL(`data:text/javascript,${encodeURIComponent(dies)}`));
  try {
    const outcomes = await Promise.all([1, 2, 3].map(() => pool.check(check(bcrypt("10")))));
    const ended = "the thread that checked the password ended";
    expect(outcomes.map(inHandOf)).toEqual([0, ended, ended]);
    expect(inHandOf(await pool.check(check(bcrypt("10"))))).toBe(0);
  } finally {
    await pool.close();
  }
});
