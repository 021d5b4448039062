import { describe, expect, test } from "vitest";
import { importsOf, testFiles } from "./unit-files.ts";

describe("what a module imports", () => {
  test.each([
    ['import { a } from "./a.ts";', ["./a.ts"]],
    ['import a, {\n  b,\n  type C,\n} from "node:net";\nimport "./d.ts";', ["node:net", "./d.ts"]],
    ['import type { Socket } from "node:net";', []],
    ['export * from "./a.ts";\nexport type { B } from "./b.ts";', ["./a.ts"]],
    ['const a = await import("./a.ts");', ["./a.ts"]],
    ['const a = 1; // import { b } from "./b.ts"', []],
  ])("%j", (text, names) => {
    expect(importsOf(text)).toEqual(names);
  });
});

test("each test file is a unit test or not, and there are many of both", () => {
  const { unit, whole } = testFiles();
  expect(unit).toContain("test/tools/unit-files.test.ts");
  expect(unit.filter((path) => path.includes("/interop/"))).toEqual([]);
  expect(whole.filter((path) => unit.includes(path))).toEqual([]);
  expect(unit.length).toBeGreaterThan(50);
  expect(whole.length).toBeGreaterThan(50);
});

test("a unit test that gets out all the same is stopped", async () => {
  const { spawn } = await import("node:child_process".toString());
  expect(() => spawn("true")).toThrow("a unit test uses spawn()");
  const { createServer } = await import("node:net".toString());
  expect(() => createServer().listen(0)).toThrow("a unit test uses listen()");
});
