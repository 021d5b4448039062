/** A directory whose contextCSN comes after the entries that it stands for, for a moment or for ever: `sync --watch` with a real slapd. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, realpath, rm, writeFile } from "node:fs/promises";
import { connect, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { program } from "../../demo/program.mjs";
import { real } from "../tools/real.ts";
import { until } from "../tools/until.ts";
import { hashes } from "./cases.ts";
import { people, person, reader, type Slapd, slapdPrograms, startSlapd } from "./slapd.ts";

const { md5 = "", blf = "", ssha = "" } = hashes;

/** Says: asked in full every minute. */
const blind = /contextCSN stands still/;

describe.skipIf(!real(...slapdPrograms))("sync --watch where the state of the directory is late", () => {
  let folder: string;
  let slapd: Slapd;
  let between: Server;
  let watching: ChildProcess;
  let said = "";
  let isLate = false;

  beforeAll(async () => {
    folder = await mkdtemp(join(await realpath(tmpdir()), "late-"));
    slapd = await startSlapd({ entries: person("user1", `mailPassword: ${md5}`) });
    between = await standBetween(join(folder, "ldapi"), socketOf(slapd.ldapi), () => isLate);
    const config = join(folder, "tpa-submit.toml");
    await writeFile(join(folder, "password"), reader.password);
    await writeFile(
      config,
      `hostname = "mail.example.org"
domain = "example.org"
[passwords]
file = "${folder}/mail-passwords"
[ldap]
url = ["ldapi://${encodeURIComponent(join(folder, "ldapi"))}"]
base = "${people}"
bind-dn = "${reader.dn}"
bind-password-file = "${folder}/password"
[sync]
interval = "1s"
`,
    );
    watching = spawn(process.execPath, [program, "sync", "--watch", "-c", config], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    watching.stderr?.setEncoding("utf8").on("data", (piece: string) => {
      said += piece;
    });
  }, 60_000);
  afterAll(async () => {
    if (watching?.exitCode === null) {
      watching.kill();
      await once(watching, "close");
    }
    between?.close();
    await slapd?.remove();
    if (folder !== undefined) await rm(folder, { recursive: true });
  });

  const change = (hash: string): Promise<void> =>
    slapd.modify(
      `dn: uid=user1,${people}\nchangetype: modify\nreplace: mailPassword\nmailPassword: ${hash}\n`,
    );
  const synced = (hash: string): Promise<unknown> =>
    until(`${hash.slice(0, 8)} in the file`, async () => {
      const text = await readFile(join(folder, "mail-passwords"), "utf8").catch(() => "");
      return text === `user1:${hash}\n` || undefined;
    });

  test("a moment's lateness costs no minute", async () => {
    await synced(md5);
    isLate = true;
    await change(blf);
    await synced(blf);
    isLate = false;
    await change(ssha);
    await synced(ssha); // within 25 s: a poll in full would come after 60
    expect(said).not.toMatch(blind);
  }, 60_000);

  test("one that stays late is asked in full every minute, which is said", async () => {
    isLate = true;
    await change(md5);
    await synced(md5);
    await until("the line that says so", () => (blind.test(said) ? true : undefined));
  }, 60_000);
});

const socketOf = (url: string): string => decodeURIComponent(url.slice("ldapi://".length));

/** Passes everything on, with the year of each contextCSN set back where `isLate` says so. */
async function standBetween(path: string, target: string, isLate: () => boolean): Promise<Server> {
  const server = createServer((client) => {
    const directory = connect(target);
    directory.on("data", (octets: Buffer) => {
      const at = octets.indexOf("contextCSN");
      const year = at === -1 ? -1 : octets.indexOf("20", at + "contextCSN".length);
      if (isLate() && year !== -1) octets.write("1999", year);
      client.write(octets);
    });
    client.pipe(directory);
    for (const [one, other] of [
      [client, directory],
      [directory, client],
    ] as const) {
      one.on("error", () => undefined);
      one.on("close", () => other.destroy());
    }
  });
  await new Promise<void>((resolve) => {
    server.listen(path, resolve);
  });
  return server;
}
