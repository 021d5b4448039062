import { describe, expect, test } from "vitest";
import { type FileIdentity, journalAmong } from "../../../src/server/log/journal.ts";

const socket = (inode: bigint): FileIdentity => ({ device: 9n, inode, isSocket: true });
const file = (inode: bigint): FileIdentity => ({ device: 9n, inode, isSocket: false });

describe("the streams that lead to the journal", () => {
  test.each([
    ["none without the variable", socket(1n), socket(1n), undefined, [false, false]],
    ["both, by one connection", socket(1n), socket(1n), "9:1", [true, true]],
    [
      "both, each by its own: the variable tells of standard error",
      socket(1n),
      socket(2n),
      "9:2",
      [true, true],
    ],
    ["standard error only, output is a file", file(1n), socket(2n), "9:2", [false, true]],
    ["standard output only", socket(1n), file(2n), "9:1", [true, false]],
    ["neither: the variable was inherited", file(5n), file(5n), "9:1", [false, false]],
    ["neither: another device", socket(1n), socket(1n), "8:1", [false, false]],
    ["neither: both are closed", undefined, undefined, "9:1", [false, false]],
    ["neither: the variable is no pair", socket(1n), socket(1n), "9", [false, false]],
  ] as const)("%s", (_, output, error, variable, [first, second]) => {
    expect(journalAmong({ output, error }, variable)).toEqual({ output: first, error: second });
  });
});
