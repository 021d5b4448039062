import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { program } from "../../demo/program.mjs";
import { arrivalOptions } from "../../src/probe/options/arrival.ts";
import { find, groups } from "../../src/probe/options/table.ts";
import { type SelfSigned, selfSigned } from "../tools/certificate.ts";
import { pathOf, real } from "../tools/real.ts";
import { type Case, masked, parseCases } from "./cases.ts";
import { scripted } from "./scripted.ts";

const folder = fileURLToPath(new URL("cases/", import.meta.url));
const cases = readdirSync(folder).flatMap((file) => parseCases(readFileSync(join(folder, file), "utf8")));

let place: string;
let certificate: SelfSigned;

beforeAll(() => {
  place = mkdtempSync(join(tmpdir(), "tpa-submit-cases-"));
  certificate = selfSigned(["fake.example.net", "127.0.0.1"]);
  writeFileSync(join(place, "cert"), certificate.cert);
  writeFileSync(join(place, "key"), certificate.key);
  writeFileSync(join(place, "message"), "From someone\nSubject: a file\n\n.one dot\nend\n");
  writeFileSync(join(place, "password"), "secret\n");
  writeFileSync(join(place, "settings"), "# of a case\nfrom carol@example.org\n");
  writeFileSync(join(place, "server"), serverOverPipes);
  mkdirSync(join(place, "home"));
});

afterAll(() => rmSync(place, { recursive: true, force: true }));

/** For --pipe: a mail server in the language of sh(1). */
const serverOverPipes = `say() { printf '%s\\r\\n' "$1"; }
say '220 fake.example.net'
while read -r line; do
  case $line in
  DATA*) say '354 go ahead'; while read -r line && [ "\${line%?}" != . ]; do :; done; say '250 queued' ;;
  QUIT*) say '221 bye'; exit ;;
  *) say '250 ok' ;;
  esac
done
`;

let sockets = 0;

interface Run {
  readonly status: number | null;
  readonly stdout: readonly string[];
  readonly stderr: readonly string[];
  readonly surprises: readonly string[];
}

/** Runs `command` on the case's options, against the case's server. */
async function run(command: readonly string[], { words, acts, input }: Case): Promise<Run> {
  const socket = join(place, `socket${++sockets}`);
  const hasSocket = words.includes("{socket}");
  const server = await scripted(acts, certificate, hasSocket ? socket : undefined);
  const places = { socket, port: hasSocket ? socket : String(server.port), folder: place };
  const argv = words.map((word) =>
    word.replace(/\{(port|folder|socket)\}/g, (_, name: keyof typeof places) => places[name]),
  );
  const [file = "", ...first] = command;
  const child = spawn(file, [...first, ...argv], {
    env: { PATH: process.env["PATH"], HOME: join(place, "home"), LOGNAME: "alice", LC_ALL: "C" },
    cwd: place,
  });
  const said = { stdout: "", stderr: "" };
  child.stdout.on("data", (octets: Buffer) => (said.stdout += octets.toString()));
  child.stderr.on("data", (octets: Buffer) => (said.stderr += octets.toString()));
  child.stdin.on("error", () => undefined).end(input);
  const status = await new Promise<number | null>((resolve) => child.once("close", resolve));
  await server.close();
  const lines = (text: string): readonly string[] => {
    const shown = masked(text, places);
    return shown === "" ? [] : shown.replace(/\n$/, "").split("\n");
  };
  return { status, stdout: lines(said.stdout), stderr: lines(said.stderr), surprises: server.surprises };
}

const expected = ({ status, stdout, stderr }: Case): Run => ({ status, stdout, stderr, surprises: [] });

/** What goes on behind `> ...` is not looked at. */
function seen(ran: Run, { stdout }: Case): Run {
  if (stdout.at(-1) !== "...") return ran;
  return { ...ran, stdout: [...ran.stdout.slice(0, stdout.length - 1), "..."] };
}

describe.concurrent("the probe", () => {
  test.each(cases)("$title", async (one) => {
    expect(seen(await run([program, "probe"], one), one)).toEqual(expected(one));
  });
});

const same = cases.filter(({ unlike }) => unlike === undefined);

describe.skipIf(!real("swaks")).concurrent("Debian's swaks does the same", () => {
  test.each(same)("$title", async (one) => {
    expect(await run([pathOf("swaks") ?? "swaks"], one)).toEqual(expected(one));
  });
});

test("every option is in some case", () => {
  const used = new Set<string>();
  for (const { words } of cases)
    for (const word of words) {
      const [, name = ""] = /^--?([\w-]+)/.exec(word) ?? [];
      const found = name === "" ? [] : find(name);
      if ("row" in found) used.add(found.row.name);
      if (/^--?h(eader)?-/.test(word)) used.add("header");
    }
  // Arrival needs a mailbox: test/interop/arrival.test.ts and test/probe/options/arrival.test.ts.
  const here = groups
    .filter((group) => group !== arrivalOptions)
    .flatMap((group) => group.rows.map(({ name }) => name));
  expect(here.filter((name) => !used.has(name))).toEqual([]);
});
