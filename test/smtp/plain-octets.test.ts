import { describe, expect, test } from "vitest";
import { newDotStuffing } from "../../src/smtp/client/transaction.ts";
import { PlainOctets } from "../../src/smtp/plain-octets.ts";

/** Numbers that are the same in every run. */
function chance(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** Octets around every border of what is looked for, at any place of memory. */
function someOctets(number: (below: number) => number): Buffer {
  const rare = [0, 1, 9, 10, 13, 14, 15, 0x2e, 0x7f, 0x80, 0x81, 0x8d, 0x8e, 0xff];
  const begin = number(9);
  const memory = Buffer.alloc(begin + number(300), 0x41);
  const each = 1 + number(60);
  for (let at = 0; at < memory.length; at++) {
    if (number(each) === 0) memory[at] = rare[number(rare.length)] ?? 0;
  }
  return memory.subarray(begin);
}

describe("octets that are passed over", () => {
  test("are those that a look at each of them passes over", () => {
    const number = chance(1);
    for (let run = 0; run < 20_000; run++) {
      const octets = someOctets(number);
      const plain = new PlainOctets(octets);
      const from = number(octets.length + 1);
      let bits = 0;
      let end = from;
      for (; end < octets.length && (octets[end] ?? 0) > 13; end++) bits |= octets[end] ?? 0;
      expect([plain.skip(from), plain.bits]).toEqual([end, bits]);
    }
  });

  test("leave the dots and line ends of a message as they were", () => {
    const number = chance(2);
    for (let run = 0; run < 5_000; run++) {
      const octets = someOctets(number);
      const stuffing = newDotStuffing();
      const sent = Buffer.concat([stuffing.next(octets), stuffing.end()]).toString("latin1");
      const lines = octets.toString("latin1").replaceAll(/\r\n|\r|\n/g, "\r\n");
      const stuffed = `\r\n${lines}`.replaceAll("\r\n.", "\r\n..").slice(2);
      const isWhole = stuffed === "" || stuffed.endsWith("\r\n");
      expect(sent).toBe(`${stuffed}${isWhole ? "" : "\r\n"}.\r\n`);
    }
  });
});
