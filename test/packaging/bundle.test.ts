/** The bundle, as a package installs it: in a folder of its own, with no package of npm's anywhere above it. */
import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { prepareRelay } from "../../demo/relay.mjs";

const root = fileURLToPath(new URL("../../", import.meta.url));
let folder = "";
let program = "";

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs Node with nothing of ours in its environment. */
function node(argv: readonly string[], input = ""): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, argv, { cwd: folder, env: { PATH: process.env["PATH"] ?? "" } });
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (chunk: Buffer) => {
      stdout += chunk.toString();
    });
    child.stderr.on("data", (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    child.on("error", reject);
    child.on("close", (status) => resolve({ status, stdout, stderr }));
    child.stdin.on("error", () => undefined); // it may end without reading
    child.stdin.end(input);
  });
}

const run = (words: string, input = ""): Promise<Ended> => node([program, ...words.split(" ")], input);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tpa-submit-bundle-"));
  const bundle = join(root, "packaging/bundle.mjs");
  const [one, other] = await Promise.all(["one", "other"].map((name) => node([bundle, join(folder, name)])));
  expect(one).toEqual({ status: 0, stdout: "", stderr: "" });
  expect(other).toEqual(one);
  program = join(folder, "one/bin/tpa-submit");
});

afterAll(() => rm(folder, { recursive: true, force: true }));

const octetsIn = (name: string): ReadonlyMap<string, string> =>
  new Map(
    readdirSync(join(folder, name), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .sort()
      .map((path) => [path.slice(join(folder, name).length), readFileSync(path, "latin1")]),
  );

const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
  readonly version: string;
};

describe("the bundle", () => {
  test("has the same octets whenever and wherever it is made", () => {
    expect(octetsIn("other")).toEqual(octetsIn("one"));
  });

  test("names no folder of the machine that made it", () => {
    const naming = [...octetsIn("one")].filter(([, text]) => text.includes(root) || text.includes(folder));
    expect(naming.map(([path]) => path)).toEqual([]);
  });

  test("has the licence of every package that it contains", () => {
    const files = octetsIn("one");
    const contained = [...files.values()].flatMap((text) =>
      [
        ...text.matchAll(
          /^\s*\/\/(?:#region)? node_modules\/(?:.*\/node_modules\/)?((?:@[^/\n]+\/)?[^/\n]+)/gm,
        ),
      ].map(([, name]) => name),
    );
    const told = [...(files.get("/LICENSES.txt") ?? "").matchAll(/^={78}\n(\S+) \S+ \(.+\)\n={78}$/gm)].map(
      ([, name]) => name,
    );
    expect(contained).toContain("commander");
    expect(contained.filter((name) => !told.includes(name))).toEqual([]);
  });

  const commands = ["serve", "sync", "queue", "probe", "passwd", "completion"];
  const deeper = [
    ...["list", "show", "summary", "hold", "redirect", "export", "freeze", "thaw", "verify"].map(
      (word) => `queue ${word}`,
    ),
    ...["monitor", "checkup", "propagation", "report"].map((word) => `probe ${word}`),
  ];
  test.each([...commands, ...deeper])("tells about %s", async (words) => {
    const built = await node([join(root, "bin/tpa-submit"), ...words.split(" "), "--help"]);
    expect(built).toMatchObject({ status: 0, stderr: "" });
    expect(await run(`${words} --help`)).toEqual(built);
  });

  // A start is measured by hand (docs/testing.md); here is what must not be loaded for it.
  const heavy = ["http", "https", "tls", "worker_threads", "zlib"];
  const listed = encodeURIComponent(
    `process.on("exit", () => process.stderr.write(process.moduleLoadList.filter((name) => ${JSON.stringify(
      heavy.map((name) => `NativeModule ${name}`),
    )}.includes(name)).join()))`,
  );
  const loaded = async (words: string): Promise<string> =>
    (await node(["--import", `data:text/javascript,${listed}`, program, ...words.split(" ")])).stderr;
  test.each([
    "--help",
    "--version",
    "probe --version",
    "probe --completion bash",
    ...[...commands, ...deeper].map((words) => `${words} --help`),
  ])("loads nothing of weight for %s", async (words) => {
    expect(await loaded(words)).toBe("");
  });

  test("is seen to load what has weight", async () => {
    expect(await loaded("serve --check --config /nonexistent")).toContain("NativeModule tls");
  });

  test("knows its version", async () => {
    expect(await run("--version")).toEqual({ status: 0, stdout: `tpa-submit ${version}\n`, stderr: "" });
    expect((await run("probe --version")).stdout).toContain(version);
  });

  test("is found by a symbolic link to its program", async () => {
    const link = join(folder, "link");
    await symlink(program, link);
    expect((await node([link, "--version"])).stdout).toBe(`tpa-submit ${version}\n`);
  });

  test("shows no list of calls for a mistake", async () => {
    const { status, stderr } = await run("serve --config /nonexistent/tpa-submit.toml");
    expect(stderr).toMatch(/^tpa-submit serve: \/nonexistent\/tpa-submit\.toml: .*\n$/);
    expect(status).not.toBe(0);
  });
});

describe("passwd of the bundle", () => {
  test.each(["CRYPT", "BLF-CRYPT", "ARGON2ID", "SHA512-CRYPT", "PLAIN-MD4", "SCRAM-SHA-256"])(
    "makes a hash of %s and verifies it",
    async (scheme) => {
      const made = await run(`passwd --stdin -s ${scheme}`, "Kaffee-um-4\n");
      expect(made.status).toBe(0);
      const hash = made.stdout.trim();
      const tested = await node([program, "passwd", "--stdin", "-t", hash], "Kaffee-um-4\n");
      expect(tested).toMatchObject({ status: 0, stdout: `${hash} (verified)\n` });
      const wrong = await node([program, "passwd", "--stdin", "-t", hash], "Tee-um-5\n");
      expect(wrong.status).not.toBe(0);
    },
  );
});

describe("serve of the bundle", () => {
  test("reads its logins, takes a message from the bundle's probe, and delivers it", async () => {
    const relay = await prepareRelay();
    relay.program = program;
    relay.environment = { NODE_PATH: "" };
    try {
      const argon = await run("passwd --stdin -s ARGON2ID", `${relay.password}\n`);
      const more = `user2:${argon.stdout}`;
      const file = join(relay.folder, "mail-passwords");
      await writeFile(file, `${await readFile(file, "utf8")}${more}`, { mode: 0o600 });
      await relay.start();
      for (const user of ["user1", "user2"]) {
        const sent = await node([
          program,
          "probe",
          ...["--server", "127.0.0.1", "--port", String(relay.submission), "--tls", "--timeout", "20"],
          ...["--auth", "PLAIN", "--auth-user", user, "--auth-password", relay.password],
          ...["--from", `${user}@example.org`, "--to", "someone@example.net", "--header", `Subject: ${user}`],
        ]);
        expect(sent, sent.stdout).toMatchObject({ status: 0, stderr: "" });
        await relay.logged(new RegExp(`from=<${user}@example\\.org>`));
      }
      await relay.logged(/status=sent[\s\S]*status=sent/);
      const delivered = await readdir(relay.delivered, { recursive: true });
      expect(delivered.length).toBeGreaterThanOrEqual(2);
      const listed = await run(`queue list --config ${relay.config}`);
      expect(listed).toMatchObject({ status: 0, stderr: "no messages\n" });
    } finally {
      await relay.stop();
    }
    await expect(relay.ended).resolves.toMatchObject({ status: 0 });
  });
});
