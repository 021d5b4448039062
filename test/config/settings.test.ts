import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { checksFor } from "../../src/config/checks.ts";
import { parseConfig, readConfig } from "../../src/config/config-file.ts";
import { domainNames, forLogin } from "../../src/config/domains.ts";
import { isSetting, isTables, type SettingRows } from "../../src/config/schema.ts";
import { settings } from "../../src/config/settings.ts";
import { Failure } from "../../src/failure.ts";

const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "tpa-submit-config-"));
afterAll(() => rmSync(folder, { recursive: true }));

const smallest = 'hostname = "submission.example.org"\ndomain = "example.org"\n';

function configOf(source: string) {
  const reading = parseConfig(source, "tpa-submit.toml");
  if ("mistakes" in reading) throw new Error(reading.mistakes.join("\n"));
  return reading.config;
}

describe("a file with mistakes: every one is told, in one line with file, line and key", () => {
  test.each(readdirSync(here("mistakes")))("%s", (name) => {
    const source = readFileSync(here(`mistakes/${name}/bad.toml`), "utf8");
    const reading = parseConfig(source, "bad.toml");
    const mistakes = "mistakes" in reading ? reading.mistakes : [];
    expect(`${mistakes.join("\n")}\n`).toBe(readFileSync(here(`mistakes/${name}/expected`), "utf8"));
    expect(mistakes.join("")).not.toMatch(/[\u0000-\u001f]|secret/);
  });
});

describe("a file without", () => {
  test("may be as short as two lines; all else has its default, read", () => {
    const config = configOf(smallest);
    expect(config.listen.submission).toEqual([
      { host: "0.0.0.0", port: 587 },
      { host: "::", port: 587 },
    ]);
    expect(config.limits["message-size"]).toBe(50 * 1024 * 1024);
    expect(config.spool).toMatchObject({
      directory: "/var/spool/tpa-submit",
      lifetime: 432_000_000,
      "warn-after": 14_400_000,
    });
    expect(config.delivery.relay).toEqual([{ kind: "mx" }]);
    expect(config.route).toEqual([]);
    expect(config.passwords.workers).toBe(0);
  });

  test("is read with its own values in place of the defaults", () => {
    const config = configOf(`${smallest}
      listen.http = ""
      [spool]
      warn-after = ""
      [delivery]
      relay = "smtps://[2001:db8::25]:465"
      nameservers = ["192.0.2.53:53"]
      [log]
      target = "syslog:localhost:514"
      [senders]
      aliases = "/etc/tpa-submit/aliases"`);
    expect(config.listen.http).toBeNull();
    expect(config.spool["warn-after"]).toBeNull();
    expect(config.delivery.relay).toEqual([{ kind: "smtps", host: "2001:db8::25", port: 465 }]);
    expect(config.delivery.nameservers).toEqual([{ host: "192.0.2.53", port: 53 }]);
    expect(config.log.target).toEqual({ kind: "syslog", host: "localhost", port: 514 });
    expect(config.senders.aliases).toBe("/etc/tpa-submit/aliases");
  });

  test("has routes in the order of the file, each with the defaults of its own", () => {
    const { route } = configOf(`${smallest}
      [[route]]
      from = ["Press@Example.ORG", "<>"]
      relay = ["smtp://[192.0.2.1]:25", "smtps://[2001:db8::1]:465"]
      [[route]]
      to = ["example.net", ".Example.NET"]
      tls = "verified"`);
    expect(route.map(({ to, from, relay, tls }) => ({ to, from, relay, tls }))).toEqual([
      {
        to: [],
        from: ["press@example.org", "<>"],
        relay: [
          { kind: "smtp", host: "192.0.2.1", port: 25 },
          { kind: "smtps", host: "2001:db8::1", port: 465 },
        ],
        tls: "auto",
      },
      { to: ["example.net", ".example.net"], from: [], relay: [{ kind: "mx" }], tls: "verified" },
    ]);
  });

  test("has a host name in small letters whatever the file says", () => {
    expect(configOf('hostname = "Submission.EXAMPLE.org"\ndomain = "Example.Org"\n')).toMatchObject({
      hostname: "submission.example.org",
      domain: "example.org",
    });
  });
});

/** Every setting, `listen.http`. */
const names = (rows: SettingRows, prefix = ""): readonly string[] =>
  Object.entries(rows).flatMap(([key, row]) =>
    isSetting(row)
      ? [`${prefix}${key}`]
      : isTables(row)
        ? names(row.each, `${prefix}${key}.`)
        : names(row, `${prefix}${key}.`),
  );

test("the checks that look at several settings name settings that exist", () => {
  const config = configOf(`${smallest}[[route]]\nto = "*"`);
  const named = checksFor(config).flatMap(({ settings: concerned }) => concerned);
  expect(named).toContain("route.0.relay");
  expect(names(settings)).toEqual(expect.arrayContaining(named.map((name) => name.replace(".0.", "."))));
});

describe("the example that is installed", () => {
  const example = readFileSync(here("../../etc/tpa-submit.example.toml"), "utf8");

  test("says nothing but the defaults", () => {
    expect(configOf(example)).toEqual(configOf(smallest));
  });

  test("has every setting", () => {
    let table = "";
    const written = example.split("\n").flatMap((line) => {
      table = /^(?:# )?\[{1,2}([a-z-]+)\]/.exec(line)?.[1]?.concat(".") ?? table;
      const key = /^(?:# )?([a-z-]+) *=/.exec(line)?.[1];
      return key === undefined ? [] : [`${table}${key}`];
    });
    expect(written).toEqual(names(settings));
  });
});

test("the agreed core of the configuration is read as it stands", () => {
  const config = configOf(readFileSync(here("agreed-core.toml"), "utf8"));
  expect(config.ldap["bind-dn"]).toBe("uid=sshdist,ou=users,dc=example,dc=org");
});

describe("readConfig()", () => {
  test("reads a file", async () => {
    const path = join(folder, "good.toml");
    writeFileSync(path, smallest);
    expect((await readConfig(path)).hostname).toBe("submission.example.org");
  });

  test("throws all mistakes as one Failure with status 78", async () => {
    const path = join(folder, "bad.toml");
    writeFileSync(path, "\nhostname = 1\n");
    await expect(readConfig(path)).rejects.toMatchObject({
      status: 78,
      message: expect.stringMatching(
        new RegExp(`^${path}:1: domain: .*, found nothing\n${path}:2: hostname: .*, found 1$`),
      ),
    });
  });

  test("tells where to begin when there is no file, status 66", async () => {
    const path = join(folder, "none.toml");
    const failure = await readConfig(path).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(Failure);
    expect(failure).toMatchObject({
      status: 66,
      message: expect.stringMatching(/none\.toml: .*--config FILE/),
    });
  });

  test("tells why a file cannot be read, status 66", async () => {
    await expect(readConfig(folder)).rejects.toMatchObject({
      status: 66,
      message: expect.stringContaining("EISDIR"),
    });
  });
});

describe("the configuration as a domain has it", () => {
  const config = configOf(`${smallest}
    [passwords]
    wrong-text = "Wrong."
    [dkim]
    folder = "/keys"
    [ldap]
    url = "ldaps://db.example.org"
    base = "dc=org"
    [senders]
    aliases = "/aliases"
    [[domains]]
    name = "Example.net"
    password-file = "/net"
    ldap-base = "dc=net"
    [[domains]]
    name = "example.com"
    password-file = "/com"
    wrong-text = "Falsch."
    dkim-folder = "off"`);

  test("is the file's own for the main one, and for whoever is of none", () => {
    for (const login of ["user1", "user1@example.org", "user1@example.edu", ""])
      expect(forLogin(config, login)).toBe(config);
    expect(domainNames(config)).toEqual(["example.org", "example.net", "example.com"]);
  });

  test("has its files and rules in the place of the main one's", () => {
    expect(forLogin(config, "user1@EXAMPLE.net")).toMatchObject({
      domain: "example.net",
      passwords: { file: "/net", "wrong-text": "Wrong." },
      senders: { policy: "own", aliases: "" },
      dkim: { folder: "/keys" },
      ldap: { url: ["ldaps://db.example.org"], base: "dc=net" },
    });
    expect(forLogin(config, "user1@example.com")).toMatchObject({
      passwords: { file: "/com", "wrong-text": "Falsch." },
      dkim: { folder: "" },
      ldap: { url: [] },
    });
  });
});
