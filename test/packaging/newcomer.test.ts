/**
 * The transcript in README.md, from a bare Debian to the first message: typed on a booted host as it stands there, for each
 * flavour of the package. `TPA_SUBMIT_BOOT=1` compares what is said, `TPA_SUBMIT_BOOT=write` puts it into the README.
 */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { real } from "../tools/real.ts";
import { until } from "../tools/until.ts";
import { certified } from "../tools/x509.ts";
import { bareDebian, bootHost, type Host, type Release } from "./host.ts";
import { packedFor } from "./packed.ts";

const readme = join(import.meta.dirname, "..", "..", "README.md");
const block = /(<!-- typed: newcomer -->\n```\n)([\s\S]*?)(```\n)/;

/** What is to be typed, and what was said. */
interface Typed {
  readonly command: string;
  readonly said: string;
}

function typedIn(page: string): readonly Typed[] {
  const text = block.exec(page)?.[2] ?? "";
  return text
    .split(/^# /m)
    .slice(1)
    .map((part) => {
      const end = part.indexOf("\n");
      return { command: part.slice(0, end), said: part.slice(end + 1) };
    });
}

const writtenOut = (typed: readonly Typed[]): string =>
  typed.map(({ command, said }) => `# ${command}\n${said}`).join("");

/** Without what no two runs have in common: times, IDs, sizes, versions, the password. */
const common = (text: string): string =>
  text
    .replaceAll(/\b[a-z]{5}(?:-[a-z]{5}){3}\b/g, "PASSWORD")
    .replaceAll(/ ~> [\w+/=]{20,}/g, " ~> PASSWORD")
    .replaceAll(/\b[0-9A-F]{12}\b/g, "ID")
    .replaceAll(/^debconf: .*\n/gm, "") // Debian 12's alone
    .replaceAll(/^Created symlink .*\/(\S+\.(?:socket|service)).*$/gm, "Created symlink $1") // in each one's words
    .replaceAll(/\w{3}, \d+ \w{3} \d{4} [\d:]+ [+-]\d{4}/g, "DATE")
    .replaceAll(/\d[\d.:]*/g, "N")
    .replaceAll("~debN+nodeN", "")
    .replaceAll(/N ?(?:ms|s|[KMG]|minutes?|seconds?)\b/g, "SOME")
    .replaceAll(/ {2,}/g, " ");

const wanted = process.env["TPA_SUBMIT_BOOT"] ?? "";
const isWanted = ["1", "write"].includes(wanted) && real("dpkg-deb", "mmdebstrap", "nsenter");
if (!isWanted)
  process.stderr.write("\n*** SKIPPED, the README's newcomer: TPA_SUBMIT_BOOT=1 asks for it ***\n");

test("README.md needs fewer than ten commands to the first message", async () => {
  const commands = typedIn(await readFile(readme, "utf8")).map(({ command }) => command);
  expect(commands.length).toBeGreaterThan(4);
  expect(commands.length).toBeLessThan(10);
  expect(commands[0]).toMatch(/^apt-get install /);
  expect(commands.at(-1)).toMatch(/^tpa-submit trace /);
});

const flavours: readonly (readonly [flavour: "debian12" | "debian13", release: Release])[] = [
  ["debian12", "bookworm"],
  ["debian13", "trixie"],
];

describe.skipIf(!isWanted).each(flavours)("a newcomer with the package for %s", (flavour, release) => {
  test("comes to the first delivered message as README.md says, in less than five minutes", async (context) => {
    const bare = await bareDebian(release);
    if ("missing" in bare) {
      process.stderr.write(`\n*** SKIPPED, no ${release} is booted: ${bare.missing} ***\n`);
      return context.skip();
    }
    const folder = await mkdtemp(join(tmpdir(), "tpa-submit-newcomer-"));
    const host = await bootHost(bare.root);
    try {
      await prepare(host, await packedFor(flavour, folder));
      const page = await readFile(readme, "utf8");
      const begun = performance.now();
      const typed = await typeAll(host, typedIn(page));
      expect(performance.now() - begun).toBeLessThan(5 * 60_000);
      const text = writtenOut(typed);
      if (wanted === "write" && flavour === "debian12") {
        await writeFile(
          readme,
          page.replace(block, (_, start: string, __, end: string) => start + text + end),
        );
      }
      expect(common(text)).toBe(common(block.exec(await readFile(readme, "utf8"))?.[2] ?? ""));
      expect(text).toMatch(/queued as [0-9A-F]{12}\n/);
      expect(text).toMatch(/delivered/);

      // Root's commands while nothing runs leave nothing that the service could not use, also with Debian 13's Node.js.
      await host.well("systemctl stop tpa-submit-submission.socket tpa-submit-submissions.socket tpa-submit");
      await host.well("tpa-submit queue freeze user1; tpa-submit queue verify --repair --yes");
      expect(await host.well("find /var/spool/tpa-submit ! -user tpa-submit")).toBe("");
      expect(await host.well("tpa-submit check --offline || true")).not.toMatch(/^unknown/m);
    } finally {
      await host.stop();
      await rm(folder, { recursive: true });
    }
  }, 900_000);
});

/** What the newcomer has: the package, and a certificate with its key. */
async function prepare(host: Host, packed: string): Promise<void> {
  await host.put("/root/tpa-submit.deb", await readFile(packed));
  const subject = "submission.example.org";
  const { cert, key } = certified({ subject, names: [`DNS:${subject}`], days: 89, algorithm: "ec" });
  await host.put("/root/fullchain.pem", cert);
  await host.put("/root/privkey.pem", key);
}

/** Types the commands one after the other; the password that one of them shows is typed where the README has its own. */
async function typeAll(host: Host, typed: readonly Typed[]): Promise<readonly Typed[]> {
  const shown = /the password of user1, shown only now: (\S+)/;
  const written = shown.exec(typed.map(({ said }) => said).join(""))?.[1] ?? "PASSWORD";
  const done: Typed[] = [];
  let password = written;
  for (const { command } of typed) {
    const line = command.replaceAll(written, password);
    // A person takes longer than the history to be written.
    if (line.startsWith("tpa-submit trace ")) {
      await until("the history", async () => ((await host.sh(line)).status === 0 ? true : undefined));
    }
    const { status, stdout } = await host.sh(`cd; export DEBIAN_FRONTEND=noninteractive; exec 2>&1; ${line}`);
    const said = stdout.replaceAll(/\r+\n/g, "\n").replaceAll(/^.*\r/gm, ""); // as a terminal shows it
    expect(status, said).toBe(0);
    password = shown.exec(said)?.[1] ?? password;
    done.push({ command: line, said });
  }
  return done;
}
