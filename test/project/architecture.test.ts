import { readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

/** The house, as docs/architecture.md draws it: who may import what of ours. failure.ts is open to all. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  "main.ts": ["commands", "cli", "version.ts"],
  commands: ["*"],
  "failure.ts": [],
  "version.ts": [],
  "bound-socket.ts": [],
  "unix-socket.ts": [],
  "at-once.ts": [],
  "durable.ts": [],
  "file-lock.ts": ["durable.ts"],
  smtp: [],
  cli: [],
  "store-url.ts": [],
  config: ["store-url.ts"],
  passwd: ["durable.ts", "file-lock.ts"],
  ldap: ["passwd", "durable.ts", "file-lock.ts", "ssh"],
  probe: ["smtp", "passwd", "durable.ts"],
  ssh: [],
  postgres: ["store-url.ts", "at-once.ts"],
  "server/spool/postgres": ["server/spool", "postgres", "at-once.ts"],
  "server/spool": ["smtp", "at-once.ts", "durable.ts", "file-lock.ts"],
  "server/log": ["smtp", "bound-socket.ts"],
  "server/history": ["smtp", "server/log"],
  "server/submission": ["smtp", "server/spool", "passwd", "server/log", "bound-socket.ts", "unix-socket.ts"],
  "server/delivery": ["smtp", "server/spool", "server/log", "at-once.ts", "durable.ts"],
  "server/tls-reports": ["smtp", "server/spool", "server/log", "server/delivery"],
  "server/dsn": ["smtp", "server/spool", "server/log", "server/delivery"],
  "server/queue": ["smtp", "server/spool", "server/log", "server/delivery", "server/dsn", "at-once.ts"],
  "server/maildrop": ["smtp", "server/spool", "server/log", "server/dsn", "server/submission", "durable.ts"],
  "server/shared": [
    "postgres",
    "server/spool",
    "server/log",
    "server/delivery",
    "server/submission",
    "server/control",
  ],
  "server/control": [
    "smtp",
    "postgres",
    "server/spool",
    "server/spool/postgres",
    "server/log",
    "server/dsn",
    "server/queue",
    "at-once.ts",
    "durable.ts",
    "unix-socket.ts",
  ],
};

/** The same table from the page: `| passwd, other | durable |`, failure.ts left out. */
function drawn(): ReadonlyMap<string, readonly string[]> {
  const page = readFileSync(new URL("../../docs/architecture.md", import.meta.url), "utf8");
  const table = /\| folder \| may import \|\n.*\n((?:\|.*\n)*)/.exec(page)?.[1] ?? "";
  const rows = [...table.matchAll(/^\| (.*) \| (.*) \|$/gm)].flatMap(([, left = "", right = ""]) => {
    const imports = (right.split("; ")[0] ?? "").replace("everything", "*").split(", ");
    const named = imports.filter((name) => name !== "failure" && name !== "nothing of ours");
    return left.split(", ").map((name) => [bare(name), named.map(bare).sort()] as const);
  });
  return new Map(rows);
}

const bare = (name: string): string => name.replace(/\.ts$/, "");

/** Where the packages are at home; nobody else imports them. */
const packages: Readonly<Record<string, readonly string[]>> = {
  bcryptjs: ["passwd"],
  chalk: ["cli"],
  commander: ["cli"],
  "hash-wasm": ["passwd"],
  hono: ["commands"],
  imapflow: ["probe"],
  ldapts: ["ldap"],
  libqp: ["smtp"],
  nodemailer: ["probe"],
  ora: ["cli"],
  pg: ["postgres"],
  "smol-toml": ["config"],
  "smtp-server": ["server/submission"],
  tldts: ["commands"],
};

const root = fileURLToPath(new URL("../../src", import.meta.url));

interface Source {
  /** Below src/. */
  readonly path: string;
  readonly text: string;
  readonly area: string;
}

const sources: readonly Source[] = readdirSync(root, { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".ts"))
  .sort()
  .map((path) => ({ path, text: readFileSync(join(root, path), "utf8"), area: areaOf(path) }));

function areaOf(path: string): string {
  const area = Object.keys(mayImport).find((name) => path === name || path.startsWith(`${name}/`));
  return area ?? `${dirname(path)}, which the table does not have`;
}

function importsOf({ text }: Source): readonly string[] {
  const found = text.matchAll(/\bfrom\s+"([^"]+)"|\bimport\s*\(\s*"([^"]+)"|^import\s+"([^"]+)"/gm);
  return [...found].map((names) => names[1] ?? names[2] ?? names[3] ?? "");
}

function foreign(source: Source): readonly string[] {
  const allowed = mayImport[source.area] ?? [];
  return importsOf(source)
    .filter((name) => name.startsWith("."))
    .map((name) => relative(root, join(root, dirname(source.path), name)))
    .filter((path) => path !== "failure.ts" && areaOf(path) !== source.area)
    .filter((path) => !(allowed.includes("*") && areaOf(path) !== "main.ts"))
    .filter((path) => !allowed.includes(areaOf(path)));
}

/** Groups of files each of which leads to each other (Tarjan's strongly connected components), as "a.ts b.ts". */
function circles(): readonly string[] {
  const next = new Map(
    sources.map((source) => [
      source.path,
      importsOf(source)
        .filter((name) => name.startsWith("."))
        .map((name) => relative(root, join(root, dirname(source.path), name))),
    ]),
  );
  const found: string[] = [];
  const numbers = new Map<string, number>();
  const path: string[] = [];
  const visit = (file: string): number => {
    const own = numbers.size;
    numbers.set(file, own);
    const depth = path.push(file);
    let lowest = own;
    for (const other of next.get(file) ?? []) {
      if (!numbers.has(other)) lowest = Math.min(lowest, visit(other));
      else if (path.includes(other)) lowest = Math.min(lowest, numbers.get(other) ?? own);
    }
    if (lowest === own) {
      const group = path.splice(depth - 1).sort();
      if (group.length > 1) found.push(group.join(" "));
    }
    return lowest;
  };
  for (const file of next.keys()) if (!numbers.has(file)) visit(file);
  return found.sort();
}

const isComment = (line: string): boolean => /^\s*(\/\*|\*|\/\/)/.test(line);

/** Lines of code that match, each with its file and number. */
function linesWith(pattern: RegExp, files: readonly Source[] = sources): readonly string[] {
  return files.flatMap(({ path, text }) =>
    text
      .split("\n")
      .flatMap((line, index) =>
        !isComment(line) && pattern.test(line) ? [`${path}:${index + 1}: ${line.trim()}`] : [],
      ),
  );
}

test("docs/architecture.md draws the house as it is", () => {
  const table = Object.entries(mayImport).filter(([name]) => name !== "main.ts");
  const expected = new Map(table.map(([name, imports]) => [bare(name), imports.map(bare).sort()]));
  expect(drawn()).toEqual(expected);
});

describe("src/", () => {
  test.each(sources)("$path imports only what its folder may", (source) => {
    expect(foreign(source)).toEqual([]);
  });

  test("imports each package only where it is at home", () => {
    const wrong = sources.flatMap((source) =>
      importsOf(source)
        .filter((name) => !name.startsWith(".") && !name.startsWith("node:"))
        .map((name) => name.split("/")[0] ?? "")
        .filter((name) => !packages[name]?.includes(source.area))
        .map((name) => `${source.path} imports ${name}`),
    );
    expect(wrong).toEqual([]);
  });

  test("has no files that import each other in a circle, types included", () => {
    expect(circles()).toEqual([]);
  });

  test("says at the top of each file what it is for", () => {
    expect(sources.filter(({ text }) => !text.startsWith("/**")).map(({ path }) => path)).toEqual([]);
  });

  test("has no file named after nothing", () => {
    const nothing = /^(utils?|helpers?|common|shared|misc|types|index)\.ts$/;
    expect(sources.filter(({ path }) => nothing.test(basename(path))).map(({ path }) => path)).toEqual([]);
  });

  test("has no any, no enum, no assertion that something is not null, no silenced check", () => {
    expect(linesWith(/[:<|(]\s*any\b|\bas any\b|^\s*(export\s+)?(declare\s+)?(const\s+)?enum\s/)).toEqual([]);
    expect(linesWith(/[\w)\]]!(?=[.;,)\]])/)).toEqual([]);
    const silenced = /@ts-|biome-ignore|oxlint-disable/;
    expect(sources.filter(({ text }) => silenced.test(text)).map(({ path }) => path)).toEqual([]);
  });

  test("asks clock and chance only in commands/", () => {
    const below = sources.filter(({ area }) => area !== "commands");
    expect(linesWith(/\bDate\.now\b|\bnew Date\(\)|\bMath\.random\b/, below)).toEqual([]);
  });
});
