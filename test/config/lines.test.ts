import fc from "fast-check";
import { parse, stringify } from "smol-toml";
import { describe, expect, test } from "vitest";
import { findLines, type KeyPath } from "../../src/config/lines.ts";

const source = String.raw`# not = a key
top = 1 # nor = this
"quoted key" = "a # no comment = 1" # }
dotted . "in.side" .'x y' = 2
'literal\' = 3
"A\tB" = 4

text = """
inside = "no key"
""quoted"" \""" [no.table]
""""
literal = '''
inside = 'no key' ''
'''''
list = [
  "one", # "two",
  [ "three",
    'four' ], 5,

  """six
six""", { seven = 7,
  eight = [ 8 ] } ]
inline = { a = 1, b.c = "}", "d" = { e = ']' } }
time = 1979-05-27 07:32:00
after = inf

[table] # a = 1
key = 1
[ table . "sub.table" ]
key = 2
[[many]]
key = 3
[[many]]

  key = 4
[[many.more]]
key = 5
[last]`;

const expected: readonly (readonly [number, ...KeyPath])[] = [
  [2, "top"],
  [3, "quoted key"],
  [4, "dotted"],
  [4, "dotted", "in.side"],
  [4, "dotted", "in.side", "x y"],
  [5, "literal\\"],
  [6, "A\tB"],
  [8, "text"],
  [12, "literal"],
  [15, "list"],
  [16, "list", 0],
  [17, "list", 1],
  [17, "list", 1, 0],
  [18, "list", 1, 1],
  [18, "list", 2],
  [20, "list", 3],
  [21, "list", 4],
  [21, "list", 4, "seven"],
  [22, "list", 4, "eight"],
  [22, "list", 4, "eight", 0],
  [23, "inline"],
  [23, "inline", "b", "c"],
  [23, "inline", "d", "e"],
  [24, "time"],
  [25, "after"],
  [27, "table"],
  [28, "table", "key"],
  [29, "table", "sub.table"],
  [30, "table", "sub.table", "key"],
  [31, "many", 0],
  [32, "many", 0, "key"],
  [33, "many", 1],
  [35, "many", 1, "key"],
  [38, "last"],
];

describe("findLines()", () => {
  test("has a sample that is TOML", () => {
    expect(parse(source)).toHaveProperty("last");
  });

  test.each(expected)("finds line %i", (line, ...path) => {
    expect(findLines(source)(path)).toBe(line);
  });

  test("finds nothing in comments and texts", () => {
    expect(findLines(source)(["inside"])).toBeUndefined();
    expect(findLines(source)(["not"])).toBeUndefined();
    expect(findLines(source)(["no", "table"])).toBeUndefined();
  });

  test("counts the lines of a file from Windows, with a byte order mark", () => {
    const lineOf = findLines("\uFEFFa = 1\r\n\r\n[b]\r\nc = [\r\n1,\r\n2]\r\n");
    expect([lineOf(["a"]), lineOf(["b"]), lineOf(["b", "c"]), lineOf(["b", "c", 1])]).toEqual([1, 3, 4, 6]);
  });

  test("finds every key of any TOML that can be written", () => {
    const text = fc.oneof(fc.string(), fc.stringMatching(/^[a-z."'#=[\]{}\n\\]{0,12}$/));
    const { value } = fc.letrec<{ value: unknown; table: Record<string, unknown> }>((tie) => ({
      value: fc.oneof(
        { depthSize: "small" },
        text,
        fc.integer(),
        fc.boolean(),
        fc.array(text),
        fc.array(fc.integer()),
        tie("table"),
      ),
      table: fc.dictionary(text, tie("value"), { maxKeys: 5 }),
    }));
    fc.assert(
      fc.property(fc.dictionary(text, value), (table) => {
        const written = stringify(table);
        const lineOf = findLines(written);
        const lines = written.split("\n");
        for (const path of paths(parse(written), [])) {
          const line = lineOf(path);
          expect(line, `${JSON.stringify(path)} in\n${written}`).toBeDefined();
          const key = path.at(-1);
          if (typeof key === "string") {
            expect(lines[(line ?? 0) - 1]).toContain(/^[\w-]+$/.test(key) ? key : JSON.stringify(key));
          }
        }
      }),
      { numRuns: 300 },
    );
  });
});

function paths(value: unknown, from: KeyPath): readonly KeyPath[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => {
    const path = [...from, Array.isArray(value) ? Number(key) : key];
    return [path, ...paths(inner, path)];
  });
}
