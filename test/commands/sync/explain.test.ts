import { describe, expect, test } from "vitest";
import { explain, explanationText } from "../../../src/commands/sync/explain.ts";
import { parseConfig } from "../../../src/config/config-file.ts";
import { otherReasons, rules } from "../../../src/ldap/account.ts";
import type { LdapEntry } from "../../../src/ldap/directory.ts";
import { hashes } from "../../ldap/cases.ts";

const reading = parseConfig('hostname = "mail.example.org"\ndomain = "example.org"\n', "standard");
if (!("config" in reading)) throw new Error("no defaults");
const terms = { ...reading.config.ldap, ...reading.config.sync };
const now = Date.UTC(2026, 10, 22);
const base = "ou=users,dc=example,dc=org";
const { md5 = "", other = "" } = hashes;

function entry(attributes: Readonly<Record<string, readonly string[]>>): LdapEntry {
  const all = { uid: ["user1"], userpassword: ["{crypt}$1$x"], mailpassword: [md5], ...attributes };
  const values = Object.entries(all).map(
    ([name, texts]) => [name, texts.map((text) => Buffer.from(text))] as const,
  );
  return { dn: `uid=user1,${base}`, values: new Map(values) };
}

interface Situation {
  readonly entries?: readonly LdapEntry[];
  readonly wanted?: boolean;
  readonly inFile?: readonly string[];
  readonly modified?: number;
}

function explained({ entries = [entry({})], wanted = true, inFile, modified = now }: Situation) {
  const file = { path: "/mail-passwords", modified, hashes: inFile };
  const found = entries.map((one) => ({ entry: one, wanted }));
  return explain({ login: "user1", base, entries: found, file }, terms, now);
}

describe("explain()", () => {
  const situations: [string, Situation, RegExp][] = [
    ["there is no entry", { entries: [] }, /^There is no entry with uid user1 below ou=users/],
    [
      "there is no entry but a line",
      { entries: [], inFile: [md5] },
      /; the next sync takes the login out of the file\.$/,
    ],
    ["there are two entries", { entries: [entry({}), entry({})] }, /^2 entries have this login/],
    ["the filter does not want the entry", { wanted: false }, /^Left out \(filtered\)/],
    [
      "the person has left",
      { entries: [entry({ accountstatus: ["inactive"] })] },
      /^Left out \(retired\): the status is inactive\./,
    ],
    [
      "the main password is locked",
      { entries: [entry({ userpassword: ["{crypt}*LK*"] })] },
      /^Left out \(locked\)/,
    ],
    ["there is no mail password", { entries: [entry({ mailpassword: [] })] }, /^Left out \(no-password\)/],
    [
      "the mail password is damaged",
      { entries: [entry({ mailpassword: ["$1$x"] })] },
      /^Left out \(password-damaged\)/,
    ],
    ["the account is new", {}, /^The account is good but not in the file/],
    ["the password is new", { inFile: [other] }, /^The directory has another password than the file/],
    [
      "there is a second password",
      { entries: [entry({ mailpassword: [md5, other] })], inFile: [md5] },
      /another password/,
    ],
    [
      "all is as it should be",
      { inFile: [md5] },
      /^The file has the directory's password\. If it does not work/,
    ],
    ["the line lets nobody in", { inFile: [] }, /another password than the file/],
  ];
  test.each(situations)("says what to do when %s", (_, situation, conclusion) => {
    expect(explained(situation).conclusion).toMatch(conclusion);
  });

  test("tells every rule's outcome", () => {
    const [one] = explained({ entries: [entry({ accountstatus: ["memorial"] })] }).entries;
    expect(one?.verdicts.map(({ rule }) => rule)).toEqual(["filtered", ...rules.map(({ reason }) => reason)]);
    expect(one?.verdicts.filter(({ objection }) => objection !== "").map(({ rule }) => rule)).toEqual([
      "retired",
    ]);
  });

  test("tells when the entry changed, which scheme each password has and whether the file has it", () => {
    const changed = entry({ modifytimestamp: ["20261122101112Z"], mailpassword: [md5, other, "*LK*"] });
    const { entries, file } = explained({ entries: [changed], inFile: [md5] });
    expect(entries[0]?.changed).toBe(Date.UTC(2026, 10, 22, 10, 11, 12));
    expect(entries[0]?.passwords).toEqual([
      { what: "MD5-CRYPT", inFile: true },
      { what: "MD5-CRYPT", inFile: false },
      { what: "locked", inFile: false },
    ]);
    expect(file).toMatchObject({ modified: now, listed: true, schemes: ["MD5-CRYPT"] });
  });

  test("tells which SSH keys count and whether the file of keys has them", () => {
    const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDRxvKHUEwykdfDRDmTZCi6mCeWN+hdobISc06ENngq6";
    const name = "ssh-ed25519 SHA256:tWErJ46W31b7pFoDDQueDzaHh6bpN62yBmL7EPN3bmo";
    const withKeys = (attributes: Readonly<Record<string, readonly string[]>>, names: readonly string[]) => {
      const entries = [
        { entry: entry({ sshrsaauthkey: [key, "ssh-dss AAAA"], ...attributes }), wanted: true },
      ];
      const file = { path: "/mail-passwords", modified: now, hashes: undefined };
      const given = { login: "user1", base, entries, file, keys: { path: "/ssh-keys", names } };
      return explain(given, { ...terms, "ssh-key-attribute": "sshRSAAuthKey" }, now);
    };
    const good = withKeys({ mailpassword: [] }, [name]);
    expect(good.entries[0]?.keys).toEqual([
      { what: name, inFile: true },
      { what: 'the key is of the type "ssh-dss", which is not known', inFile: false },
    ]);
    expect(explanationText(good)).toContain(`  key: ${name}, in the file of keys\n`);
    const locked = withKeys({ userpassword: ["{crypt}*LK*"] }, []);
    expect(explanationText(locked)).toContain(
      `  key: ${name}, not in the file of keys\n  key: the key is of the type "ssh-dss", which is not known, not in the file of keys\n  its keys do not count (locked)\n`,
    );
  });

  test("never has a hash in it", () => {
    const told = JSON.stringify(
      explained({ entries: [entry({ mailpassword: [md5, other, "$1$broken"] })], inFile: [md5] }),
    );
    expect(told).not.toMatch(/\$1\$/);
  });
});

test("every reason has a name of its own", () => {
  const names = [...rules.map(({ reason }) => reason), ...Object.keys(otherReasons)];
  expect(new Set(names).size).toBe(names.length);
});
