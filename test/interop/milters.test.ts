/** Filters as sites have them, unmodified: OpenDKIM, clamav-milter and rspamd of Debian, each before our relay's 250. */
import { access, chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Relay, startRelay } from "../../demo/relay.mjs";
import { enter, note, submit, submitAlone } from "../commands/serve/conversation.ts";
import { odd } from "../server/delivery/dkim/odd.ts";
import { pairs, recordOf, verified } from "../server/delivery/dkim/site.ts";
import { start } from "../tools/child.mjs";
import { freePort, untilListening } from "../tools/port.mjs";
import { pathOf, real } from "../tools/real.ts";
import { until } from "../tools/until.ts";
import { capturingHop, type Hop } from "./hops.ts";

type Child = ReturnType<typeof start>;

/** A folder, the filter's programs, and a relay that asks it. */
interface FilteredSite {
  readonly relay: Relay;
  readonly hop: Hop;
  stop(): Promise<void>;
}

/** `programs` starts the filter in a folder, and gives its address. */
async function siteWith(
  name: string,
  programs: (folder: string, port: number) => Promise<readonly Child[]>,
): Promise<FilteredSite> {
  const folder = await mkdtemp(join(tmpdir(), `tpa-submit-${name}-`));
  await chmod(folder, 0o755);
  const port = await freePort();
  const children = await programs(folder, port);
  await untilListening(port);
  const hop = await capturingHop();
  const relay = await startRelay(
    `[[milter]]\nname = "${name}"\naddress = "inet:127.0.0.1:${port}"\n[delivery]\n${hop.delivery}
[[route]]\nto = "example.com"\nrelay = "file:FOLDER/delivered"`,
  );
  return {
    relay,
    hop,
    async stop() {
      await relay.stop();
      await hop.stop();
      for (const child of [...children].reverse()) await child.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

describe.skipIf(!real("opendkim"))("OpenDKIM", () => {
  let site: FilteredSite;
  const dns = { milter: recordOf("rsa") };

  beforeAll(async () => {
    site = await siteWith("opendkim", async (folder, port) => {
      const key = join(folder, "milter.private");
      const pem = pairs.rsa.privateKey.export({ type: "pkcs8", format: "pem" });
      await writeFile(key, pem, { mode: 0o600 });
      const lines = [
        `Socket inet:${port}@127.0.0.1`,
        "Mode s",
        "Canonicalization simple/simple",
        "Domain example.org",
        "Selector milter",
        `KeyFile ${key}`,
        "RequireSafeKeys no",
        "InternalHosts 0.0.0.0/0",
        "Syslog no",
        "Background no",
        `PidFile ${join(folder, "pid")}`,
      ];
      const configuration = join(folder, "opendkim.conf");
      await writeFile(configuration, `${lines.join("\n")}\n`);
      return [start(pathOf("opendkim") ?? "", ["-f", "-x", configuration])];
    });
  }, 120_000);
  afterAll(() => site?.stop());

  test("signs what goes out, and its signature is valid, octet by octet", async () => {
    const token = crypto.randomUUID();
    const text = `${"A line of text.  \r\n.\r\n..dots\r\n".repeat(50)}\r\n\r\n`;
    await submitAlone(site.relay, note(token, text));
    const message = await site.hop.arrived(token);
    expect(message).toMatch(/^Received: .*\r\n(?:\t.*\r\n)*DKIM-Signature: /);
    expect(await verified(message, dns)).toEqual(["milter pass"]);
  });

  test("signs messages of every odd shape", async () => {
    const talk = await enter(site.relay, "submissions");
    // The protocol has no place for a blank before the colon, so that one does not count.
    const shapes = odd.map(
      ([name, text]) =>
        [name, text.replace("FROM :", "FROM:").replace("Sender: x@", "Sender: user1@")] as const,
    );
    for (const [name, text] of shapes) {
      const token = crypto.randomUUID();
      const message = `X-Token: ${token}\r\n${text}`;
      await submit(talk, message.endsWith("\r\n") ? message : `${message}\r\n`);
      expect(await verified(await site.hop.arrived(token), dns), name).toContain("milter pass");
    }
    talk.close();
  }, 120_000);

  test("signs a message of megabytes, which is on the disk meanwhile", async () => {
    const long = `${note("megabytes")}${`${"y".repeat(70)}\r\n`.repeat(40_000)}`;
    const id = await submitAlone(site.relay, long, { to: ["x@example.com"] });
    await site.relay.logged(new RegExp(`${id}: removed`));
    const message = await readFile(join(site.relay.delivered, `${id}.eml`), "latin1");
    expect(message.endsWith(long.slice(long.indexOf("\r\n\r\n")))).toBe(true);
    expect(await verified(message, dns)).toEqual(["milter pass"]);
  });
});

/** The test file of all virus scanners, in two pieces so that none of them finds this file. */
const eicar = ["X5O!P%@AP[4\\PZX54(P^)7CC)7}$", "EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"].join("");

describe.skipIf(!real("clamd", "clamav-milter"))("clamav-milter", () => {
  let site: FilteredSite;

  beforeAll(async () => {
    site = await siteWith("clamav", async (folder, port) => {
      const database = join(folder, "database");
      await mkdir(database);
      await writeFile(join(database, "test.ndb"), `Test.Eicar:0:*:${Buffer.from(eicar).toString("hex")}\n`);
      const socket = join(folder, "clamd.sock");
      const clamd = [
        `DatabaseDirectory ${database}`,
        `LocalSocket ${socket}`,
        `TemporaryDirectory ${folder}`,
        "Foreground yes",
      ];
      await writeFile(join(folder, "clamd.conf"), `${clamd.join("\n")}\n`);
      const scanner = start(pathOf("clamd") ?? "", ["--config-file", join(folder, "clamd.conf")]);
      await until("clamd's socket", () =>
        access(socket).then(
          () => true,
          () => undefined,
        ),
      );
      const milter = [
        `MilterSocket inet:${port}@127.0.0.1`,
        `ClamdSocket unix:${socket}`,
        `TemporaryDirectory ${folder}`,
        "Foreground yes",
        "OnInfected Reject",
        "RejectMsg virus found: %v",
        "AddHeader Replace",
      ];
      await writeFile(join(folder, "milter.conf"), `${milter.join("\n")}\n`);
      return [scanner, start(pathOf("clamav-milter") ?? "", ["--config-file", join(folder, "milter.conf")])];
    });
  }, 120_000);
  afterAll(() => site?.stop());

  test("lets a clean message pass and says so in its header", async () => {
    const token = crypto.randomUUID();
    await submitAlone(site.relay, note(token));
    const message = await site.hop.arrived(token);
    expect(message).toMatch(/^X-Virus-Status: Clean\r$/m);
    expect(message.endsWith("\r\n\r\nHello\r\n")).toBe(true);
  });

  test("has a virus refused, which the client is told by name", async () => {
    const talk = await enter(site.relay, "submissions");
    await expect(submit(talk, note("virus", eicar))).rejects.toThrow(
      /5\d\d 5\.7\.1 virus found: Test\.Eicar/,
    );
    await site.relay.logged(/milter clamav: rejected in .*virus found/);
    talk.close();
  });
});

/** The same for spam filters. */
const gtube = ["XJS*C4JDBQADN1.NSBN3*2IDNEN", "*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"].join("");

describe.skipIf(!real("rspamd"))("rspamd", () => {
  let site: FilteredSite;

  beforeAll(async () => {
    site = await siteWith("rspamd", async (folder, port) => {
      const text = `
        options {
          pidfile = "${folder}/pid"; tempdir = "${folder}"; hs_cache_dir = "${folder}"; filters = "";
          control_socket = "${folder}/control.sock mode=0600"; dns { nameserver = ["127.0.0.1:1"]; }
          url_tld = "${folder}/tld"; disable_hyperscan = true;
        }
        logging { type = "console"; level = "info"; }
        lang_detection { languages = "${folder}/none"; }
        actions { reject = 15; add_header = 6; }
        modules { path = "/usr/share/rspamd/plugins/milter_headers.lua"; }
        milter_headers { use = ["x-spam-status"]; skip_local = false; skip_authenticated = false; }
        worker "rspamd_proxy" {
          bind_socket = "127.0.0.1:${port}"; milter = yes; timeout = 20s; count = 1;
          upstream "local" { default = yes; self_scan = yes; }
        }
      `;
      const configuration = join(folder, "rspamd.conf");
      await writeFile(configuration, text);
      await writeFile(join(folder, "tld"), "com\norg\nnet\n"); // Debian's list takes it many seconds
      return [start(pathOf("rspamd") ?? "", ["-f", "-i", "-c", configuration, "--var", `DBDIR=${folder}`])];
    });
  }, 120_000);
  afterAll(() => site?.stop());

  test("lets mail pass as it was, with its field in the header", async () => {
    const token = crypto.randomUUID();
    await submitAlone(site.relay, note(token));
    const message = await site.hop.arrived(token);
    expect(message).toMatch(/^X-Spam-Status: No, score=0\.00\r$/m);
    expect(message.endsWith("\r\n\r\nHello\r\n")).toBe(true);
    await site.relay.logged(/milter rspamd: accepted .*: changed header \(X-Spam-Status\)/);
  });

  test("refuses what it takes for spam, in its own words", async () => {
    const talk = await enter(site.relay, "submissions");
    await expect(submit(talk, note("spam", gtube))).rejects.toThrow(/554 5\.7\.1 Gtube pattern/);
    talk.close();
  });
});
