/** What `probe --arrive` and `probe checkup --message` say of the signatures of a relay at work. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { program } from "../../../demo/relay.mjs";
import { type Ended, run } from "../../tools/child.mjs";
import { freePort } from "../../tools/port.mjs";
import { note, submitAlone } from "../serve/conversation.ts";
import { signingSite } from "./site.ts";

vi.setConfig({ testTimeout: 120_000 });

test("valid, aligned and by which selector; and what is wrong where it is", async () => {
  const site = await signingSite();
  const { relay, names, zone } = site;
  await site.dkim("new");
  const [rsa = "", ed25519 = ""] = await site.publish();
  const port = await freePort();
  await relay.configure(
    `[dkim]\nfolder = "FOLDER/dkim"\n[delivery]\nrelay = "smtp://127.0.0.1:${port}"\nnameservers = ["${names.address}"]\nretry-first = "1s"`,
  );
  relay.signal("SIGHUP");
  await relay.logged(/passwords re-read/);

  const arrive = (...words: readonly string[]): Promise<Ended> =>
    run(program, [
      ...["probe", "-f", "user1@example.org", "-t", "x@example.net", "-s", `127.0.0.1:${relay.submission}`],
      ...["-tls", "-au", relay.login, "-ap", relay.password, "--arrive", `smtp://127.0.0.1:${port}`],
      ...["--arrive-nameserver", names.address, "--arrive-timeout", "60s", ...words],
    ]);
  const unsigned = await arrive();
  expect(unsigned.stdout).toMatch(/=== Changed on the way: nothing\n=== It has no DKIM signature\n/);

  expect((await site.dkim("rotate")).status).toBe(0);
  const signed = await arrive();
  expect(signed.stdout).toContain(
    `=== DKIM signature of example.org by ${rsa} (rsa-sha256, 2048 bits): valid; aligned with From\n` +
      `=== DKIM signature of example.org by ${ed25519} (ed25519-sha256): valid; aligned with From\n`,
  );
  zone.delete(`${rsa}._domainkey.example.org`);
  const json = await arrive("--json");
  const { arrival } = JSON.parse(json.stdout) as { arrival: { signatures: readonly object[] } };
  expect(arrival.signatures).toEqual([
    expect.objectContaining({ selector: rsa, result: "permerror", alignment: "strict" }),
    expect.objectContaining({ selector: ed25519, result: "pass", alignment: "strict" }),
  ]);
  const wrong = await arrive("--arrive-nameserver", "nowhere");
  expect(wrong.stderr).toMatch(/--arrive-nameserver: expected an IP address/);
});

test("probe checkup looks at a message that was kept, and asks the lists that are named", async () => {
  const site = await signingSite();
  const { relay, names, zone } = site;
  await site.dkim("new");
  await site.publish();
  relay.signal("SIGHUP");
  await relay.logged(/passwords re-read/);
  expect((await site.dkim("rotate")).status).toBe(0);
  await submitAlone(relay, note("kept"));
  const file = join(relay.folder, "kept.eml");
  await writeFile(file, await site.hop.arrived("kept"), "latin1");
  zone.set("2.0.0.127.bl.example.net", { a: ["127.0.0.2"] });
  zone.set("1.0.0.127.bl.example.net", { a: ["127.0.0.3"] });
  zone.set("_dmarc.example.org", { txt: ["v=DMARC1; p=quarantine"] });

  const checkup = (...words: readonly string[]): Promise<Ended> =>
    run(program, [
      ...["probe", "checkup", "127.0.0.1", "--domain", "example.org", "--ca", relay.certificate],
      ...["--nameserver", names.address, "--submission", String(relay.submission)],
      ...["--submissions", String(relay.submissions), ...words],
    ]);
  const { stdout, status } = await checkup("--message", file, "--blocklist", "bl.example.net");
  expect(status).toBe(1);
  expect(stdout).toMatch(/ok {7}DMARC counts the signature of example\.org for example\.org\n/);
  expect(stdout).toMatch(/FAILED {3}bl\.example\.net lists 127\.0\.0\.1 \(127\.0\.0\.3\)\n/);
  expect(stdout).toMatch(/ok {7}the DMARC policy of example\.org is quarantine: /);
  expect(stdout).toMatch(/warning {2}DMARC reports are not asked for \(rua=\)\n/);
  expect(stdout).toMatch(/ok {7}example\.org publishes no MTA-STS policy, which it need not\n/);

  await writeFile(file, (await readFile(file, "latin1")).replace("Hello", "Hallo"), "latin1");
  const changed = await checkup("--message", file);
  expect(changed.stdout).toMatch(
    /FAILED {3}signature of example\.org by \S+ \(rsa-sha256, 2048 bits\): fail, the body is another;/,
  );
  expect(changed.stdout).not.toContain("bl.example.net");

  const asked = names.asked.filter((name) => name.includes("spamhaus"));
  expect(asked).toEqual([]); // not named
  const unknown = await checkup("--blocklist", "spamhouse");
  expect([unknown.status, unknown.stderr]).toEqual([
    64,
    expect.stringMatching(/--blocklist: expected one of spamhaus, .*, or a zone, found "spamhouse"; see /),
  ]);
  const missing = await checkup("--message", join(relay.folder, "none"));
  expect([missing.status, missing.stderr]).toEqual([66, expect.stringMatching(/--message: \S+: ENOENT/)]);
});
