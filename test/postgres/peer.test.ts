/** A database that knows its users by their processes (peer), asked by root: by the real program and Debian's PostgreSQL. */
import { chmod, chown, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { prepareRelay, program, type Relay } from "../../demo/relay.mjs";
import { findUser } from "../../src/commands/system-user.ts";
import { format } from "../../src/postgres/migrations.ts";
import { formatEnvelopeLine } from "../../src/server/spool/envelope-file.ts";
import { check, expectFinding } from "../commands/check/checked.ts";
import { toOne } from "../server/spool/to-one.ts";
import { asRoot } from "../tools/as-root.ts";
import { run } from "../tools/child.mjs";
import { real } from "../tools/real.ts";
import { type Cluster, startCluster } from "./cluster.ts";

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

/** Who the service is, and a user whom the database does not know. Debian has both. */
const service = "daemon";

const isReal = real("postgresql");
const isRoot = asRoot("be another user for the database");

describe.skipIf(!isReal || !isRoot)(
  "a database that knows the service by its processes, asked by root",
  () => {
    let started: Promise<Cluster> | undefined;
    const cluster = async (): Promise<Cluster> => {
      started ??= startPeer();
      return started;
    };
    afterAll(async () => (await started)?.close());

    async function startPeer(): Promise<Cluster> {
      const one = await startCluster({
        access: ["local all service peer map=relay"],
        files: { "pg_ident.conf": `relay ${service} service\n` },
      });
      await chmod(one.folder, 0o755);
      await one.sql("CREATE ROLE service LOGIN");
      return one;
    }

    let relay: Relay;
    let url: string;
    beforeEach(async () => {
      const server = await cluster();
      url = (await server.database("empty")).replace("postgresql://tpa@", "postgresql://service@");
      await server.sql(`ALTER DATABASE ${databaseIn(url)} OWNER TO service`);
      relay = await prepareRelay(
        `user = "${service}"\n[spool]\ndirectory = "FOLDER/spool"\nstore = "${url}"`,
      );
    });
    afterEach(() => relay.stop());

    const databaseIn = (store: string): string => /\/(\w+)\?/.exec(store)?.[1] ?? "";
    const say = (...words: readonly string[]) =>
      run(process.execPath, [program, ...words, "--config", relay.config]);

    test("is reached as the service's user would, and root stays root for the rest", async () => {
      const server = await cluster();
      // No folder of the spool tells whose the service is.
      expect(await say("spool", "migrate")).toMatchObject({
        status: 0,
        stdout: expect.stringContaining(`${url}: has format ${format} now\n`),
        stderr: "",
      });
      const envelope = formatEnvelopeLine({ ...toOne, id: "00000000000A", size: 0 });
      await server.sql(
        `INSERT INTO messages (id, lease, due, envelope, size) VALUES ('00000000000A', NULL, 0, $$${envelope}$$, 0)`,
        databaseIn(url),
      );
      await mkdir(join(relay.folder, "spool"), { mode: 0o700 });
      const { uid = 0, gids: [gid = 0] = [] } = (await findUser(service)) ?? {};
      await chown(join(relay.folder, "spool"), uid, gid);
      const list = await say("queue", "list");
      expect(list).toMatchObject({ status: 0, stdout: expect.stringContaining("00000000000A") });
      expect(await say("queue", "verify")).toMatchObject({ status: 0 });
      const folder = join(relay.folder, "of-root");
      const exported = await say("queue", "export", "--all", "--to", folder);
      expect(exported, exported.stderr).toMatchObject({ status: 0 });
      expect((await say("status")).stdout).toMatch(/^ +queue +1 message/m);
      expectFinding(
        await check(relay, []),
        ["store", "ok", /its tables have format \d+, and can be used/],
        relay,
      );
    });

    test("tells the command to run where nobody is known whose process it would let in", async () => {
      await relay.configure(`user = "root"\n[spool]\ndirectory = "FOLDER/spool"\nstore = "${url}"`);
      const said = await say("spool", "migrate");
      expect(said).toMatchObject({ status: 75, stdout: "" });
      expect(said.stderr).toMatch(
        /^tpa-submit spool: .*Peer authentication failed for user "service"; .*runuser -u USER -- tpa-submit …\n$/,
      );
    });
  },
);
