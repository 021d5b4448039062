/** The keys of a relay at work: made, published, rotated under mail, killed in the middle, retired. */
import { spawn } from "node:child_process";
import { readFile, rename, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { expect, test, vi } from "vitest";
import { program } from "../../../demo/relay.mjs";
import { recordOf, verified } from "../../server/delivery/dkim/site.ts";
import type { Records } from "../../tools/dns.ts";
import { check, expectFinding } from "../check/checked.ts";
import { note, submitAlone } from "../serve/conversation.ts";
import { type Site, signingSite } from "./site.ts";

// Each call starts the program anew, and a busy machine takes its time for that.
vi.setConfig({ testTimeout: 300_000 });

/** What the DNS has at this moment, by selector. */
const published = ({ zone }: Site): Readonly<Record<string, string>> =>
  Object.fromEntries([...zone].map(([name, { txt }]) => [name.split(".")[0] ?? "", txt?.[0] ?? ""]));

/** A message, as it arrives: what mailauth finds of its signatures by the DNS as it is then. */
async function sent(site: Site): Promise<readonly string[]> {
  const token = crypto.randomUUID();
  await submitAlone(site.relay, note(token));
  return verified(await site.hop.arrived(token), published(site));
}

/** As in the names of files. */
const yesterday = (): string =>
  new Date(Date.now() - 86_400_000).toISOString().replace(/\.\d+/, "").replaceAll(/[-:]/g, "");

async function privateKey(site: Site): Promise<string> {
  const name = (await site.files()).find((one) => one.endsWith("rsa.pem")) ?? "";
  return readFile(join(site.folder, name), "utf8");
}

/** From nothing to mail that is signed. */
async function switchOn(site: Site): Promise<readonly string[]> {
  expect((await site.dkim("new")).stderr).toBe("");
  const selectors = await site.publish();
  site.relay.signal("SIGHUP"); // dkim.folder is new
  await site.relay.logged(/passwords re-read/);
  const { stderr, stdout, status } = await site.dkim("rotate");
  expect([status, stderr]).toEqual([0, ""]);
  expect(stdout).toBe(`example.org: ${selectors.join(" and ")} sign\n`);
  return selectors;
}

test("the first keys sign when the DNS has them, and not before", async () => {
  const site = await signingSite();
  expect(await sent(site)).toEqual(["undefined none"]); // as mailauth says of what is not signed
  const made = await site.dkim("new");
  expect([made.status, made.stderr]).toEqual([0, ""]);
  expect(made.stdout).toContain(`dkim.folder is now ${site.relay.folder}/dkim\n`);
  expect(made.stdout).toContain("systemctl reload tpa-submit\n");
  expect(await site.files()).toEqual([
    expect.stringMatching(/^\d{8}-ed25519\.ed25519\.pem\.new$/),
    expect.stringMatching(/^\d{8}-rsa\.rsa\.pem\.new$/),
  ]);
  for (const name of await site.files())
    expect((await stat(join(site.folder, name))).mode & 0o777).toBe(0o640);
  site.relay.signal("SIGHUP");
  await site.relay.logged(/passwords re-read/);
  const again = await site.dkim("new");
  expect([again.status, again.stderr]).toEqual([
    73,
    expect.stringMatching(
      /^tpa-submit dkim: example\.org has new keys that wait for their records, [^\n]*\n$/,
    ),
  ]);
  const early = await site.dkim("rotate");
  expect(early.status).toBe(69);
  expect(early.stderr).toMatch(
    /^tpa-submit dkim: example\.org: not rotated, nothing is signed; publish what "tpa-submit dkim publish example\.org --config \S+" prints: \d{8}-rsa\._domainkey\.example\.org is missing; \d{8}-ed25519\._domainkey\.example\.org is missing\n$/,
  );
  expect(await sent(site)).toEqual(["undefined none"]);

  const zone = (await site.dkim("publish")).stdout;
  expect(zone).toMatch(
    /^\d{8}-rsa\._domainkey\.example\.org\. 3600 IN TXT \( "v=DKIM1; k=rsa; p=[^"]{1,255}" "[^"]{1,255}" \)$/m,
  );
  expect(zone).toMatch(
    /^\d{8}-ed25519\._domainkey\.example\.org\. 3600 IN TXT "v=DKIM1; k=ed25519; p=[^"]{44}"$/m,
  );
  const [rsa = "", ed25519 = ""] = await site.publish();
  expect((await site.dkim("rotate")).stdout).toBe(`example.org: ${rsa} and ${ed25519} sign\n`);
  expect(await sent(site)).toEqual([`${rsa} pass`, `${ed25519} pass`]);
  await site.relay.logged(
    new RegExp(`DKIM-Signature field added \\(s=${rsa}, d=example\\.org, a=rsa-sha256\\)`),
  );
  expect((await site.dkim("rotate")).stderr).toMatch(/example\.org has no new keys: tpa-submit dkim new/);
  const listed = (await site.dkim("list")).stdout;
  expect(listed).toMatch(/^DOMAIN +SELECTOR +KEY +STATE +AGE +DNS\n/);
  expect(listed).toMatch(/^example\.org +\d{8}-rsa +rsa 2048 +active +\d+s +published$/m);
});

test("a rotation with mail in flight: each message has two signatures that the DNS knows", async () => {
  const site = await signingSite();
  const old = await switchOn(site);
  const found: (readonly string[])[] = [];
  let over = false;
  const flow = async (): Promise<void> => {
    while (!over) found.push(await sent(site));
  };
  const flows = [flow(), flow(), flow()];
  await site.dkim("new");
  expect((await site.dkim("rotate")).status).toBe(69); // not published: nothing changes
  await pause(500);
  const next = await site.publish();
  const { stdout } = await site.dkim("rotate");
  expect(stdout).toMatch(new RegExp(`^example\\.org: ${next.join(" and ")} sign\n`));
  for (const selector of old)
    expect(stdout).toMatch(
      new RegExp(`leave ${selector}\\._domainkey\\.example\\.org in the DNS until \\d{4}-\\d\\d-\\d\\d:`),
    );
  await pause(1_000);
  over = true;
  await Promise.all(flows);
  expect(found.length).toBeGreaterThan(10);
  // Of one generation, or, where the relay looked between two renames, of both; all valid.
  for (const one of found) {
    expect(one.filter((text) => !text.endsWith(" pass"))).toEqual([]);
    expect(one.length).toBeGreaterThanOrEqual(2);
  }
  expect(found[0]).toEqual(old.map((selector) => `${selector} pass`));
  expect(found.at(-1)).toEqual(next.map((selector) => `${selector} pass`));

  const early = await site.dkim("retire");
  expect([early.status, early.stderr]).toEqual([
    75,
    expect.stringMatching(
      /mail that \d{8}-\w+ signed may be under way until \d{4}-\d\d-\d\d; --now does not wait\n$/,
    ),
  ]);
  // A week later; one of the day before is not touched.
  await writeFile(join(site.folder, `x.rsa.pem.retired-${yesterday()}`), await privateKey(site), {
    mode: 0o640,
  });
  for (const name of (await site.files()).filter((one) => !one.startsWith("x."))) {
    const aged = name.replace(/(?<=retired-).*/, "20260101T000000Z");
    await rename(join(site.folder, name), join(site.folder, aged));
  }
  const retired = await site.dkim("retire");
  expect([retired.status, retired.stderr]).toEqual([0, ""]);
  for (const selector of old) {
    expect(retired.stdout).toContain(`remove ${selector}._domainkey.example.org from the DNS\n`);
    site.zone.delete(`${selector}._domainkey.example.org`);
  }
  expect((await site.files()).filter((name) => name.includes("retired"))).toEqual([
    expect.stringMatching(/^x\.rsa\.pem/),
  ]);
  expect(await sent(site)).toEqual(next.map((selector) => `${selector} pass`));
});

test("whenever a rotation is killed, what signs is in the DNS; the next one completes it", async () => {
  const site = await signingSite();
  await switchOn(site);
  await site.dkim("new");
  await site.publish();
  for (const delay of [150, 250, 300, 350, 400, 450, 500, 600]) {
    const child = spawn(process.execPath, [program, "dkim", "rotate", "--config", site.relay.config]);
    await pause(delay);
    child.kill("SIGKILL");
    await pause(100);
    const found = await sent(site);
    expect(found.length).toBeGreaterThanOrEqual(2);
    expect(found.filter((text) => !text.endsWith(" pass"))).toEqual([]);
  }
  await site.dkim("rotate");
  const isActive = (name: string): boolean => name.endsWith(".pem");
  const active = (await site.files()).filter(isActive);
  expect(active).toEqual([
    expect.stringMatching(/^\d{8}b-ed25519\.ed25519\.pem$/),
    expect.stringMatching(/^\d{8}b-rsa\.rsa\.pem$/),
  ]);
  await site.relay.logged(/is signed by \d{8}b-rsa, \d{8}b-ed25519\n/); // the one that was killed last may have done it
  expect(await sent(site)).toHaveLength(2);

  // As if it had been killed between two renames.
  await site.dkim("new");
  await site.publish();
  const [waiting = ""] = (await site.files()).filter((name) => name.endsWith("rsa.pem.new"));
  await rename(join(site.folder, waiting), join(site.folder, waiting.replace(/\.new$/, "")));
  await site.relay.logged(/is signed by \S+b-rsa, \S+c-rsa, \S+b-ed25519/);
  expect(await sent(site)).toEqual(Array<unknown>(3).fill(expect.stringMatching(/ pass$/)));
  expect((await site.dkim("rotate")).status).toBe(0);
  expect((await site.files()).filter(isActive)).toEqual([
    expect.stringMatching(/^\d{8}c-ed25519/),
    expect.stringMatching(/^\d{8}c-rsa/),
  ]);
});

test("a record that is not as it should be keeps the old keys signing; list and check tell", async () => {
  const site = await signingSite();
  const old = await switchOn(site);
  await site.dkim("new");
  const [rsa = ""] = await site.publish();
  const name = `${rsa}._domainkey.example.org`;
  const right = published(site)[rsa] ?? "";
  const cases: readonly (readonly [Records, RegExp])[] = [
    [{ txt: [recordOf("rsa")] }, /has another key/],
    [{ txt: ["v=DKIM1; p="] }, /says that the key is revoked/],
    [{ txt: [right.replace("k=", "t=y; k=")] }, /is in test mode \(t=y\)/],
    [{ txt: [right.replace("k=", "s=tlsrpt; k=")] }, /is not for mail/],
    [{ txt: [right, "v=DKIM1; p="] }, /is there more than once/],
    [{ fault: "servfail" }, /cannot be asked for: the DNS does not answer/],
  ];
  for (const [records, words] of cases) {
    site.zone.set(name, records);
    const refused = await site.dkim("rotate");
    expect([refused.status, refused.stdout]).toEqual([69, ""]);
    expect(refused.stderr).toMatch(words);
    expect(refused.stderr).toContain("not rotated, the old keys sign on;");
    expect(refused.stderr.split("\n")).toHaveLength(2);
  }
  expect(await sent(site)).toEqual(old.map((selector) => `${selector} pass`));

  site.zone.set(name, { txt: [right] });
  site.zone.set(`${old[0]}._domainkey.example.org`, { txt: ["v=DKIM1; p="] });
  const { stdout } = await site.dkim("list", "--json");
  expect(stdout).toMatch(new RegExp(`"selector":"${old[0]}".*"state":"active".*"dns":"revoked"`));
  expect(stdout).toMatch(new RegExp(`"selector":"${rsa}".*"state":"new".*"dns":"published"`));
  const checked = await check(site.relay, []);
  expectFinding(checked, ["dkim", "ok", /example\.org: signed by \d+-rsa \(rsa, 0 days old\)/], site.relay);
  expectFinding(
    checked,
    ["selectors", "failed", /the record says that the key is revoked .* mail is signed with this key/],
    site.relay,
  );
  expectFinding(checked, ["selectors", "ok", /the DNS has the key: tpa-submit dkim rotate/], site.relay);
});

test("a key that cannot be read is told of, and the old ones sign on", async () => {
  const site = await signingSite();
  const old = await switchOn(site);
  await writeFile(join(site.folder, "x.rsa.pem"), "none", { mode: 0o640 });
  await site.relay.logged(/the DKIM keys were not taken over, .*x\.rsa\.pem: expected a private key in PEM/);
  expect(await sent(site)).toEqual(old.map((selector) => `${selector} pass`));
});

test("a key that was stolen signs no more at once", async () => {
  const site = await signingSite();
  const [rsa = "", ed25519 = ""] = await switchOn(site);
  const kept = await site.dkim("retire", "example.org", rsa);
  expect([kept.status, kept.stderr]).toEqual([69, expect.stringContaining(`${rsa} signs; `)]);
  const { stdout, status } = await site.dkim("retire", "--now", "example.org", rsa);
  expect([status, stdout]).toEqual([
    0,
    `${rsa} signs no more; if it was stolen, publish ${rsa}._domainkey.example.org TXT "v=DKIM1; p=" at once\n`,
  ]);
  expect(await sent(site)).toEqual([`${ed25519} pass`]);
  const last = await site.dkim("retire", "--now", "example.org", ed25519);
  expect(last.stdout).toMatch(/\nno key of example\.org signs: its mail leaves without a signature\n$/);
  expect(await sent(site)).toEqual(["undefined none"]);
});

test("mistakes are told in one line", async () => {
  const site = await signingSite();
  const lines: readonly (readonly [readonly string[], number, RegExp])[] = [
    [
      ["publish"],
      78,
      /dkim\.folder is not set, so nothing is signed; tpa-submit dkim new makes the first keys/,
    ],
    [["new", "not a domain"], 64, /expected a domain such as example\.org, found "not a domain"/],
    [["rotat"], 64, /there is no "dkim rotat"; did you mean "rotate"\?/],
    [["new", "--sized"], 64, /unknown option '--sized'/],
  ];
  for (const [[command = "", ...words], status, says] of lines) {
    const ended = await site.dkim(command, ...words);
    expect([ended.status, ended.stdout]).toEqual([status, ""]);
    expect(ended.stderr).toMatch(says);
    expect(ended.stderr.split("\n")).toHaveLength(2);
  }
});
