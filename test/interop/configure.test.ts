/** msmtp finds us by itself, from the mail address alone: SRV records of RFC 6186 and RFC 8314, from a name server of ours. */
import { spawnSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Relay, startRelay } from "../../demo/relay.mjs";
import { runWell } from "../tools/child.mjs";
import { type NameServer, nameServer, type Records } from "../tools/dns.ts";
import { real } from "../tools/real.ts";
import { capturingHop, type Hop } from "./hops.ts";
import { expectUnchanged, newLetter } from "./letter.ts";

/** Programs ask port 53 and nothing else; an address of loopback that no other name server has. */
const resolver = { address: "127.53.53.1", port: 53 };

describe.skipIf(!real("msmtp", "unshare", "mount") || !mayMount())("msmtp --configure", () => {
  let hop: Hop;
  let relay: Relay;
  let names: NameServer;
  const zone = new Map<string, Records>();

  beforeAll(async () => {
    hop = await capturingHop();
    relay = await startRelay(`[delivery]\n${hop.delivery}`);
    names = await nameServer(zone, resolver);
    await writeFile(join(relay.folder, "resolv.conf"), `nameserver ${resolver.address}\n`);
  });
  afterAll(async () => {
    await names?.close();
    await relay?.stop();
    await hop?.stop();
  });

  test.each(["_submissions._tcp.example.org", "_submission._tcp.example.org"])(
    "sends by %s",
    async (name) => {
      zone.clear();
      const port = name.startsWith("_submissions") ? relay.submissions : relay.submission;
      zone.set(name, { srv: [{ port, host: "localhost" }] });
      const printed = await asking(relay, "msmtp", "--configure", "user1@example.org");
      expect(names.asked).toContain(`SRV ${name}`);
      expect(printed).toMatch(new RegExp(`^\\s*host localhost\\n\\s*port ${port}$`, "m"));

      const { token, octets } = newLetter();
      const settings = join(relay.folder, "msmtprc");
      // What it prints, with the password and the test's own certificate in place of the system's.
      const added = `tls_trust_file ${relay.certificate}\npasswordeval cat ${relay.folder}/password\n`;
      await writeFile(
        settings,
        `${printed.replaceAll(/^\s*(?:passwordeval|tls_trust_file) .*$/gm, "")}\n${added}`,
        {
          mode: 0o600,
        },
      );
      const lines = octets.toString().replaceAll("\r\n", "\n");
      await runWell("msmtp", ["-C", settings, "--from=user1@example.org", "x@example.net"], `${lines}\n`);
      expectUnchanged(await hop.arrived(token), octets);
    },
  );
});

/** Runs a program that finds our name server in /etc/resolv.conf; nobody else sees that file. */
function asking(relay: Relay, ...command: readonly string[]): Promise<string> {
  const script = 'mount --bind "$1" /etc/resolv.conf && shift && exec "$@"';
  return runWell("unshare", ["-m", "sh", "-c", script, "sh", join(relay.folder, "resolv.conf"), ...command]);
}

function mayMount(): boolean {
  const { status } = spawnSync("unshare", ["-m", "mount", "--bind", "/etc/hostname", "/etc/resolv.conf"]);
  if (status !== 0)
    process.stderr.write("\n*** SKIPPED: msmtp --configure wants a mount namespace of its own ***\n");
  return status === 0;
}
