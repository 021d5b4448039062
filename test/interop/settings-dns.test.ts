/** The records of `settings --dns` in real name servers: as a zone, signed, and asked by msmtp and by our own DANE. */
import { spawnSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { isIP } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { program, type Relay, startRelay } from "../../demo/relay.mjs";
import { zoneLines } from "../../src/commands/settings/records.ts";
import { nameServer } from "../../src/server/delivery/dns/query.ts";
import { validatingResolver } from "../../src/server/delivery/dns/resolver.ts";
import { matchesTlsa } from "../../src/server/delivery/tls/dane.ts";
import { selfSigned } from "../tools/certificate.ts";
import { run, runWell, start } from "../tools/child.mjs";
import { real } from "../tools/real.ts";
import { signedDns } from "../tools/signed-dns.ts";
import { until } from "../tools/until.ts";
import { capturingHop, type Hop } from "./hops.ts";
import { expectUnchanged, newLetter } from "./letter.ts";

let hop: Hop;
let relay: Relay;
let printed: string;

beforeAll(async () => {
  hop = await capturingHop();
  relay = await startRelay(`[delivery]\n${hop.delivery}`);
  const config = join(relay.folder, "settings.toml");
  await writeFile(
    config,
    `hostname = "relay.example.org"\ndomain = "example.org"
[listen]\nsubmission = ["127.0.0.1:${relay.submission}"]\nsubmissions = ["127.0.0.1:${relay.submissions}"]
[tls]\ncertificate = "${relay.certificate}"\nkey = "${relay.folder}/key.pem"
[[domains]]\nname = "example.net"\npassword-file = "${relay.folder}/mail-passwords"\n`,
  );
  const words = ["settings", "-c", config, "--dns", "--server", "submission.example.org"];
  printed = await runWell(process.execPath, [program, ...words]);
});
afterAll(async () => {
  await relay?.stop();
  await hop?.stop();
});

/** The lines below the zone's name; with those that are comments where `all` is set. */
function recordsIn(zone: string, text: string, all = false): readonly string[] {
  return text
    .split("\n")
    .map((line) => (all ? line.replace(/^; (?=\S+\. IN )/, "") : line))
    .filter((line) => line.split(" ")[0]?.endsWith(`${zone}.`) === true);
}

const zones = ["example.org", "example.net", "in-addr.arpa", "ip6.arpa"] as const;
const top = (zone: string): string =>
  `$ORIGIN ${zone}.\n$TTL 300\n@ SOA ns hostmaster 1 3600 600 86400 300\n@ NS ns\nns A 127.0.0.1\n`;

describe.skipIf(!real("kzonecheck"))("a name server takes the records as zones", () => {
  async function check(text: string): Promise<void> {
    const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith(";"));
    expect(lines.length).toBe(zones.reduce((sum, zone) => sum + recordsIn(zone, text).length, 0));
    for (const zone of zones) {
      const records = recordsIn(zone, text, true);
      const file = join(relay.folder, `${zone}.zone`);
      await writeFile(file, `${top(zone)}${records.join("\n")}\n`);
      const { status, stdout, stderr } = await run("kzonecheck", ["-o", zone, file]);
      expect([zone, status, stdout, stderr]).toEqual([zone, 0, expect.any(String), expect.any(String)]);
      expect(`${stdout}${stderr}`).not.toMatch(/warning|error|ignor/i);
    }
  }

  test("as they are printed, those in comments as well", () => check(printed));

  test("also with many addresses, and SPF stays within what is looked up", async () => {
    const addresses = Array.from({ length: 24 }, (_, at) =>
      at % 2 === 0 ? `192.0.2.${at}` : `2001:db8:1111:2222:3333:4444:5555:${at}`,
    );
    const listen = { submission: [{ host: "::", port: 587 }], submissions: [{ host: "::", port: 465 }] };
    const text = zoneLines({
      config: { hostname: "relay.example.org", listen },
      domains: ["example.org", "example.net"],
      service: {
        host: "relay.example.org",
        domain: "example.org",
        login: "user1",
        address: "user1@example.org",
        port: 465,
        isImplicit: true,
        starttls: 587,
        wrongText: "",
        sshAccount: "submit",
      },
      addresses,
      certificate: { missing: "none" },
    });
    await check(text);
    const [spf = ""] = recordsIn("example.org", text).filter((line) => line.includes(" TXT "));
    const pieces = [...spf.matchAll(/"([^"]*)"/g)].map(([, piece = ""]) => piece);
    expect(Math.max(...pieces.map(({ length }) => length))).toBeLessThanOrEqual(255);
    const terms = pieces.join("").split(" ");
    expect(terms.slice(1, -2).map((term) => isIP(term.slice(4)) !== 0)).toEqual(addresses.map(() => true));
    // RFC 7208 section 4.6.4: the others are no look-up.
    const asking = terms.filter((term) => /^[-~+?]?(?:include|a|mx|ptr|exists|redirect)\b/.test(term));
    expect(asking).toEqual(["mx"]);
  });
});

test.skipIf(!real("knotd", "keymgr", "unbound", "dig"))(
  "signed, the TLSA records match our certificate by our own DANE, at both ports, and no other",
  async () => {
    const dns = await signedDns([
      { name: "example.org", records: recordsIn("example.org", printed).join("\n"), state: "signed" },
    ]);
    try {
      const resolver = validatingResolver(nameServer(dns.resolver));
      const chain = [new X509Certificate(await readFile(relay.certificate))];
      const other = [new X509Certificate(selfSigned().cert)];
      for (const door of [relay.submission, relay.submissions]) {
        const answer = await resolver.signed?.tlsa(`_${door}._tcp.relay.example.org`);
        if (answer?.kind !== "found") throw new Error(JSON.stringify(answer));
        expect([answer.authentic, answer.values.length]).toEqual([true, 1]);
        expect(matchesTlsa(chain, answer.values, [], Date.now())).toBe(true);
        expect(matchesTlsa(other, answer.values, [], Date.now())).toBe(false);
      }
    } finally {
      await dns.stop();
    }
  },
);

test("a domain that is none of them is told, with those that are", async () => {
  const config = join(relay.folder, "settings.toml");
  const words = ["settings", "-c", config, "--dns", "--login"];
  const wrong = await run(process.execPath, [program, ...words, "user1@example.com"]);
  expect([wrong.status, wrong.stdout]).toEqual([64, ""]);
  expect(wrong.stderr).toContain('"example.com" is none of the domains here: example.org, example.net');
  const one = await runWell(process.execPath, [program, ...words, "user1@example.net"]);
  expect(one).toContain("\nexample.net. IN TXT ");
  expect(one).not.toContain("\nexample.org. IN TXT ");
});

/** Programs ask port 53 and nothing else; an address of loopback that no other name server has. */
const resolver = "127.53.53.2";

test.skipIf(!real("msmtp", "knotd", "dig", "unshare", "mount") || !mayMount())(
  "msmtp --configure finds the better door through the zone, and mail goes through it",
  async () => {
    const folder = join(relay.folder, "knot");
    await mkdir(folder);
    const records = recordsIn("example.org", printed);
    await writeFile(join(folder, "example.org.zone"), `${top("example.org")}${records.join("\n")}\n`);
    const knotFile = join(folder, "knot.conf");
    await writeFile(
      knotFile,
      `server:\n    rundir: "${folder}"\n    listen: ${resolver}@53\nlog:\n  - target: stdout\n    any: info
database:\n    storage: "${folder}"\ntemplate:\n  - id: default\n    storage: "${folder}"
    journal-content: none\n    zonefile-sync: -1\nzone:\n  - domain: example.org\n    file: example.org.zone\n`,
    );
    await writeFile(join(folder, "resolv.conf"), `nameserver ${resolver}\n`);
    // Its address is a public one, and the relay is here.
    await writeFile(join(folder, "hosts"), "127.0.0.1 localhost relay.example.org\n");
    const knot = start("knotd", ["-c", knotFile]);
    try {
      await until("knot", async () => {
        const asked = [`@${resolver}`, "+short", "+time=1", "+tries=1", "example.org", "SOA"];
        const { stdout } = await run("dig", asked);
        return stdout.includes("hostmaster") ? true : undefined;
      });
      const found = await inside(folder, "msmtp", "--configure", "user1@example.org");
      const printedPort = new RegExp(`^\\s*host relay\\.example\\.org\\n\\s*port ${relay.submissions}$`, "m");
      expect(found).toMatch(printedPort);
      expect(found).toMatch(/^\s*tls_starttls off$/m);
      expect(found).toMatch(/^\s*user user1@example\.org$|^\s*user user1$/m);

      const { token, octets } = newLetter();
      const file = join(folder, "msmtprc");
      const own = found.replaceAll(/^\s*(?:passwordeval|tls_trust_file) .*$/gm, "");
      const added = `tls_trust_file ${relay.certificate}\ntls_host_override localhost\npasswordeval cat ${relay.folder}/password\n`;
      await writeFile(file, `${own}\n${added}`, { mode: 0o600 });
      const letter = join(folder, "letter");
      await writeFile(letter, `${octets.toString().replaceAll("\r\n", "\n")}\n`);
      await inside(
        folder,
        "sh",
        "-c",
        `exec msmtp -C ${file} --from=user1@example.org x@example.net < ${letter}`,
      );
      expectUnchanged(await hop.arrived(token), octets);
    } finally {
      await knot.stop();
    }
  },
);

/** Runs a program that has our resolv.conf and hosts; nobody else sees these files. */
function inside(folder: string, ...command: readonly string[]): Promise<string> {
  const script =
    'mount --bind "$1/resolv.conf" /etc/resolv.conf && mount --bind "$1/hosts" /etc/hosts && shift && exec "$@"';
  return runWell("unshare", ["-m", "sh", "-c", script, "sh", folder, ...command]);
}

function mayMount(): boolean {
  const { status } = spawnSync("unshare", ["-m", "mount", "--bind", "/etc/hostname", "/etc/resolv.conf"]);
  if (status !== 0)
    process.stderr.write("\n*** SKIPPED: msmtp --configure wants a mount namespace of its own ***\n");
  return status === 0;
}
