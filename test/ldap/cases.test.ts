import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseConfig } from "../../src/config/config-file.ts";
import { readAccess } from "../../src/ldap/access.ts";
import { withDirectory } from "../../src/ldap/connection.ts";
import { type LdapDirectory, LdapResultError } from "../../src/ldap/directory.ts";
import { type GuardFlag, lossGuards, searchGuards } from "../../src/ldap/guard.ts";
import { type SyncReport, type SyncTask, synchronise } from "../../src/ldap/sync.ts";
import { real } from "../tools/real.ts";
import { type Case, type Person, readCases } from "./cases.ts";
import { reader, type Slapd, slapdPrograms, startSlapd, suffix } from "./slapd.ts";

const cases = readCases();
const folder = await mkdtemp(join(tmpdir(), "cases-"));
afterAll(() => rm(folder, { recursive: true }));

const reading = parseConfig('hostname = "mail.example.org"\ndomain = "example.org"\n', "standard");
if (!("config" in reading)) throw new Error("no defaults");
const { ldap, sync } = reading.config;

test("there are cases for all that decides", () => {
  expect(cases.length).toBeGreaterThan(60);
  const spoken = new Set(cases.flatMap(({ report }) => report.map((line) => line.split(" ")[1])));
  for (const { name } of [...searchGuards, ...lossGuards]) expect(spoken).toContain(name);
});

/** Runs a case on `directory` below `base`, twice: the second time there is nothing left to do. */
async function check(one: Case, directory: LdapDirectory, base: string): Promise<void> {
  const passwords = join(folder, "mail-passwords");
  const aliases = join(folder, "aliases");
  await put(passwords, one.present?.replaceAll("\\0", "\0"));
  const keys = join(folder, "ssh-keys");
  await put(aliases, one.aliases);
  await put(keys, one.keys);
  const terms = { ...ldap, ...sync, ...one.settings };
  const task: SyncTask = {
    search: { ...terms, base, "page-size": 2 },
    rules: terms,
    loggedIn: true,
    passwords,
    aliases: terms["sender-attribute"] === "" ? "" : aliases,
    ...(terms["ssh-key-attribute"] !== "" && { keys: { path: keys, owner: { domain: "", others: [] } } }),
    ownership: { mode: 0o640 },
    largestLoss: terms["largest-loss"],
    allowed: one.allowed as readonly GuardFlag[],
    write: true,
  };
  const pending = await synchronise(directory, { ...task, write: false }, one.now);
  expect(await content(passwords)).toBe(one.present?.replaceAll("\\0", "\0"));

  const report = await synchronise(directory, task, one.now);
  expect(lines(report).map((line, index) => shorten(line, one.report[index]))).toEqual(one.report);
  expect(lines(pending)).toEqual(lines(report));
  expect(await content(passwords)).toBe(one.file ?? one.present);
  expect(await content(aliases)).toBe(one.aliasesFile ?? one.aliases);
  expect(await content(keys)).toBe(one.keysFile ?? one.keys);
  if (report.keys?.result === "replaced") expect((await stat(keys)).mode & 0o777).toBe(0o640);
  if (report.passwords.result !== "replaced") return;

  const { mtimeMs, mode } = await stat(passwords);
  expect(mode & 0o777).toBe(0o640);
  const again = await synchronise(
    directory,
    { ...task, allowed: [...task.allowed, "--allow-empty"] },
    one.now,
  );
  expect(again.passwords.result).toBe("unchanged");
  expect((await stat(passwords)).mtimeMs).toBe(mtimeMs);
}

const put = (path: string, text: string | undefined) =>
  text === undefined ? rm(path, { force: true }) : writeFile(path, text);

const content = (path: string) => readFile(path, "utf8").catch(() => undefined);

/** Everything a report says, one sorted line for each thing. */
function lines(report: SyncReport): readonly string[] {
  const { passwords, aliases, keys, exclusions, remarks } = report;
  const { added, changed, removed } = passwords.difference;
  return [
    ...added.map(({ name }) => `added ${name}`),
    ...changed.map(({ name, why }) => `changed ${name}: ${why}`),
    ...removed.map(({ name, reason }) => `removed ${name} ${reason}`),
    ...exclusions.map(({ login, reason, detail }) => `left out ${login} ${reason}: ${detail}`),
    ...remarks.map((remark) => `passed over ${remark}`),
    ...[passwords, ...(aliases ? [aliases] : []), ...(keys ? [keys] : [])]
      .flatMap(({ alarms }) => alarms)
      .map(({ guard, flag }) => `refused ${guard} ${flag}`),
    ...(aliases?.difference.added ?? []).map(({ name, why }) => `alias added ${name}: ${why}`),
    ...(aliases?.difference.removed ?? []).map(({ name }) => `alias removed ${name}`),
    ...(keys?.difference.added ?? []).map(({ name, why }) => `key added ${name}: ${why}`),
    ...(keys?.difference.changed ?? []).map(({ name, why }) => `key changed ${name}: ${why}`),
    ...(keys?.difference.removed ?? []).map(({ name }) => `key removed ${name}`),
  ].toSorted();
}

/** A case may leave a detail open with "…". */
function shorten(line: string, expected = ""): string {
  return expected.endsWith("…") ? `${line.slice(0, expected.length - 1)}…` : line;
}

describe("LDIF in, password file out, with a made-up directory", () => {
  test.each(cases.filter(({ only }) => only !== "slapd"))("$name", async (one) => {
    await check(one, fakeDirectory(one), `ou=case,${suffix}`);
  });
});

/** Serves the case's people, page by page, and misbehaves as the case says. */
function fakeDirectory({ people, fake }: Case): LdapDirectory {
  const entries = people.map(({ name, attributes }) => {
    const values = new Map<string, Buffer[]>();
    for (const [attribute, value] of attributes) {
      const key = attribute.toLowerCase();
      values.set(key, [...(values.get(key) ?? []), value]);
    }
    return { dn: `cn=${name},${suffix}`, values };
  });
  const none = { entries: [], referrals: [] };
  return {
    url: "ldap://fake",
    whoami: () => Promise.resolve(fake === "nobody" ? "" : "dn:somebody"),
    async *pages({ filter }) {
      await Promise.resolve();
      if (filter.startsWith("(|")) return;
      for (const entry of entries) yield { entries: [entry], referrals: [] };
      if (fake === "empty-page") yield none;
      if (fake === "referral") yield { ...none, referrals: ["ldap://elsewhere"] };
      if (fake === "limit") throw new LdapResultError("ldap://fake", 4, "searching", "");
    },
    read: () => Promise.resolve(undefined),
    replace: () => Promise.resolve(),
    change: () => Promise.resolve(),
  };
}

describe.skipIf(!real(...slapdPrograms))("LDIF in, password file out, with the real slapd", () => {
  const runnable = cases.filter(({ only }) => only !== "fake");
  const baseOf = (one: Case): string => `ou=case${cases.indexOf(one)},${suffix}`;
  let slapd: Slapd;

  beforeAll(async () => {
    const trees = runnable.map((one) => tree(baseOf(one), one.people));
    slapd = await startSlapd({ entries: trees.join(""), database: "maxsize 1073741824" });
  });
  afterAll(() => slapd?.remove());

  test.each(runnable)("$name", async (one) => {
    const settings = { ...ldap, url: [slapd.ldapi], timeout: 20_000 };
    const login = { kind: "simple", ...reader } as const;
    const access = await readAccess(settings, login);
    await withDirectory(access, new AbortController().signal, (directory) =>
      check(one, directory, baseOf(one)),
    );
  });
});

/** The people below `base`, as LDIF. */
function tree(base: string, people: readonly Person[]): string {
  const entries = people.map(({ name, attributes }) => {
    const own = attributes.some(([attribute, value]) => attribute === "uid" && value.toString() === name);
    const lines = attributes.map(([attribute, value]) => `${attribute}:: ${value.toString("base64")}\n`);
    return `dn: ${own ? "uid" : "cn"}=${name},${base}
objectClass: inetOrgPerson
objectClass: testAccount
objectClass: shadowAccount
cn: ${name}
sn: ${name}
uidNumber: 1000
gidNumber: 1000
${lines.join("")}
`;
  });
  return `dn: ${base}
objectClass: organizationalUnit
ou: ${base.replace(/^ou=|,.*/g, "")}

${entries.join("")}`;
}
