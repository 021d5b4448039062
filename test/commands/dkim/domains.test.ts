/** A domain whose keys are in a folder of its own, beside the main one: made, rotated, looked at and noticed there. */
import { copyFile, readdir, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { program } from "../../../demo/relay.mjs";
import { verified } from "../../server/delivery/dkim/site.ts";
import { run } from "../../tools/child.mjs";
import { check, expectFinding } from "../check/checked.ts";
import { authPlain, expecting, greet, note, submit } from "../serve/conversation.ts";
import { type Site, signingSite } from "./site.ts";

// Each call starts the program anew, and a busy machine takes its time for that.
vi.setConfig({ testTimeout: 300_000 });

const netDomain = (folder: string): string =>
  `[[domains]]\nname = "example.net"\npassword-file = "FOLDER/net-passwords"\ndkim-folder = "${folder}"`;

async function reload({ relay }: Site): Promise<void> {
  const before = relay.log().length;
  relay.signal("SIGHUP");
  await relay.logged(/passwords re-read/, before);
}

/** What mailauth finds of a message that user1@example.net wrote. */
async function sentFromNet({ relay, hop, zone }: Site): Promise<readonly string[]> {
  const token = crypto.randomUUID();
  const talk = await greet(relay, "submissions");
  await expecting("235", talk.say(authPlain("user1@example.net", relay.password)));
  const message = note(token).replace("user1@example.org", "user1@example.net");
  await submit(talk, message, { from: "user1@example.net" });
  talk.close();
  const records = [...zone].map(([name, { txt }]) => [name.split(".")[0] ?? "", txt?.[0] ?? ""]);
  return verified(await hop.arrived(token), Object.fromEntries(records) as Record<string, string>);
}

test("a domain's keys are made, published, rotated, seen and retired in its own folder", async () => {
  const site = await signingSite();
  const { relay } = site;
  const folder = join(relay.folder, "net-keys");
  const files = async (): Promise<readonly string[]> =>
    (await readdir(join(folder, "example.net"))).filter((name) => !name.startsWith(".")).toSorted();
  await copyFile(join(relay.folder, "mail-passwords"), join(relay.folder, "net-passwords"));
  await relay.configure(`${site.settings}\n${netDomain("FOLDER/net-keys")}`);

  const made = await site.dkim("new", "example.net");
  expect([made.status, made.stderr]).toEqual([0, ""]);
  expect(made.stdout).toContain(`made ${folder}/example.net/`);
  expect(made.stdout).toContain("systemctl reload tpa-submit\n");
  expect(await readFile(relay.config, "utf8")).not.toContain("[dkim]");
  await reload(site);
  const idle = await check(relay);
  expectFinding(idle, ["dkim", "warning", /FOLDER\/net-keys: no key signs yet/], relay);

  const names = await site.publish("example.net");
  expect([...site.zone.keys()]).toEqual(names.map((one) => `${one}._domainkey.example.net`));
  const before = relay.log().length;
  const rotated = await site.dkim("rotate", "example.net");
  expect([rotated.status, rotated.stdout, rotated.stderr]).toEqual([
    0,
    `example.net: ${names.join(" and ")} sign\n`,
    "",
  ]);
  expect(relay.log().slice(before)).toMatch(/mail of example\.net is signed by/); // without a reload
  expect(await sentFromNet(site)).toEqual(names.map((selector) => `${selector} pass`));

  // The main domain beside it, in the folder of [dkim].
  await site.dkim("new");
  await reload(site);
  const own = await site.publish();
  expect((await site.dkim("rotate")).stdout).toBe(`example.org: ${own.join(" and ")} sign\n`);
  const { stdout: listed } = await site.dkim("list", "--json");
  expect(
    listed
      .trim()
      .split("\n")
      .map((line) => (JSON.parse(line) as { domain: string }).domain),
  ).toEqual(["example.net", "example.net", "example.org", "example.org"]);
  const { stdout: status } = await run(process.execPath, [program, "status", "--config", relay.config]);
  expect(status).toMatch(/example\.net: \d{8}-rsa/);
  expect(status).toMatch(/example\.org: \d{8}-rsa/);

  site.zone.delete(`${names[0]}._domainkey.example.net`);
  const checked = await check(relay, []);
  expectFinding(checked, ["dkim", "ok", /example\.org: signed by /], relay);
  expectFinding(checked, ["dkim", "ok", /example\.net: signed by /], relay);
  expectFinding(
    checked,
    ["selectors", "failed", /_domainkey\.example\.net: the record is missing, and mail is signed/],
    relay,
  );
  expectFinding(checked, ["selectors", "ok", /_domainkey\.example\.org: the DNS has the key/], relay);

  // The relay notices by itself what changes there.
  const [ed25519 = ""] = (await files()).filter((name) => name.endsWith("ed25519.pem"));
  const later = relay.log().length;
  await rename(join(folder, "example.net", ed25519), join(folder, "example.net", `${ed25519}.new`));
  await relay.logged(/mail of example\.net is signed by \d{8}-rsa\n/, later);

  const retired = await site.dkim("retire", "--now", "example.net", names[0] ?? "");
  expect([retired.status, retired.stderr]).toEqual([0, ""]);
  expect(await files()).toEqual([`${ed25519}.new`, expect.stringMatching(/rsa\.pem\.retired-/)]);
});

test("a domain of which nothing is signed has no keys to make", async () => {
  const site = await signingSite();
  await copyFile(join(site.relay.folder, "mail-passwords"), join(site.relay.folder, "net-passwords"));
  await site.relay.configure(`${site.settings}\n${netDomain("off")}`);
  for (const word of ["new", "publish", "rotate", "retire"]) {
    const { status, stdout, stderr } = await site.dkim(word, "example.net");
    expect([status, stdout]).toEqual([78, ""]);
    expect(stderr).toMatch(/dkim-folder of example\.net is "off", so nothing of it is signed; [^\n]*\n$/);
  }
});
