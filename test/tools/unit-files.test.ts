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
  // By a name that cannot be read from the text.
  const modules = ["child_process", "net"].map(
    (name) => import(/* @vite-ignore */ `node:${name}`) as Promise<unknown>,
  );
  const [processes, net] = (await Promise.all(modules)) as [
    { readonly spawn: (program: string) => unknown },
    { readonly createServer: () => { listen(port: number): unknown } },
  ];
  expect(() => processes.spawn("true")).toThrow("a unit test uses spawn()");
  expect(() => net.createServer().listen(0)).toThrow("a unit test uses listen()");
});
