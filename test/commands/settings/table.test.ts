/** The table of clients: its page in docs/, the options in the manual, the records. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { formats } from "../../../src/commands/settings/formats.ts";
import { sitePages } from "../../../src/commands/settings/page.ts";
import { reverseName, zoneLines } from "../../../src/commands/settings/records.ts";
import { serviceOf } from "../../../src/commands/settings/service.ts";
import { clientNamed, clients } from "../../../src/commands/settings/table.ts";
import { clientsMarkdown } from "../../../src/commands/settings/text.ts";
import { settingsCommand } from "../../../src/commands/settings.ts";
import { parseConfig } from "../../../src/config/config-file.ts";

function configured(lines = "") {
  const result = parseConfig(
    `hostname = "submit-01.example.org"\ndomain = "example.org"\n${lines}`,
    "test.toml",
  );
  if (!("config" in result)) throw new Error(JSON.stringify(result));
  return result.config;
}

const config = configured();
const service = serviceOf(config, "user1", "submission.example.org");

test("docs/clients.md is the table", async () => {
  const page = fileURLToPath(new URL("../../../docs/clients.md", import.meta.url));
  await expect(clientsMarkdown(clients, service)).toMatchFileSnapshot(page);
});

test("each client has a name of its own, steps, pitfalls, and all that it shows explained", () => {
  const names = clients.flatMap(({ id, also = [] }) => [id, ...also]);
  expect(new Set(names).size).toBe(names.length);
  for (const { id, steps, pitfalls, errors } of clients) {
    expect([id, steps(service).length > 0, pitfalls.length > 0, errors.length > 0]).toEqual([
      id,
      true,
      true,
      true,
    ]);
    expect(id).toMatch(/^[a-z0-9-]+$/);
  }
});

test("a mistyped client is guessed, and one of another name found", () => {
  expect(clientNamed("NeoMutt").id).toBe("mutt");
  expect(() => clientNamed("thunderbrd")).toThrow('did you mean "thunderbird"?');
  expect(() => clientNamed("\u001b[2J")).toThrow(String.raw`"\u001b[2J"`);
});

test("a login with what means something in a file is refused", () => {
  for (const login of ["", "a b", 'a"', "a`id`", "a:b", "a\nb", "a@example.net", "a@example.org@example.org"])
    expect(() => serviceOf(config, login)).toThrow("--login: expected");
  expect(serviceOf(config, "user1@Example.org").address).toBe("user1@example.org");
});

test("what is the same for everybody has the whole address as login, where there are further domains", () => {
  const several = configured('[[domains]]\nname = "example.net"\npassword-file = "/net"\n');
  const write = (login?: string): string =>
    formats["config-v1.1.xml"].write(serviceOf(several, login), undefined);
  expect(write()).toContain("<domain>example.org</domain>\n    <domain>example.net</domain>\n");
  expect(write()).toContain("<username>%EMAILADDRESS%</username>");
  expect(write("user1")).toContain("<username>user1</username>");
  expect(write("user1")).not.toContain("example.net");
  expect(formats["config-v1.1.xml"].write(serviceOf(config, undefined), undefined)).toContain(
    "<username>%EMAILLOCALPART%</username>",
  );
});

test("with one door only, all say that one", () => {
  const one = serviceOf(configured("[listen]\nsubmissions = []\n"), "user1");
  expect([one.port, one.isImplicit]).toEqual([587, false]);
  expect(formats.muttrc.write(one, undefined)).toContain('"smtp://user1@submit-01.example.org:587"');
  expect(formats["config-v1.1.xml"].write(one, undefined)).toContain("<socketType>STARTTLS</socketType>");
});

describe("the DNS records", () => {
  test("name the host, not its alias, and the better door first", () => {
    const certificate = { missing: "none" };
    const lines = zoneLines({
      config,
      domains: ["example.org", "example.net"],
      service,
      addresses: ["192.0.2.7", "2001:db8::7"],
      certificate,
    });
    expect(lines).toContain("_submissions._tcp.example.org. IN SRV 0 1 465 submit-01.example.org.\n");
    expect(lines).toContain("_submission._tcp.example.org. IN SRV 10 1 587 submit-01.example.org.\n");
    expect(lines).toContain("_submissions._tcp.example.net. IN SRV 0 1 465 submit-01.example.org.\n");
    expect(lines).toContain('\nexample.net. IN TXT "v=spf1 ip4:');
    expect(lines).toContain("submission.example.org. IN CNAME submit-01.example.org.\n");
    expect(lines).toContain('"v=spf1 ip4:192.0.2.7 ip6:2001:db8::7 mx -all"');
    expect(lines).toContain("7.2.0.192.in-addr.arpa. IN PTR submit-01.example.org.\n");
    expect(lines).toContain("; no TLSA record: none\n");
  });

  test("turn an IPv6 address round", () => {
    expect(reverseName("2001:db8::7")).toBe(
      "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
    );
  });
});

test("the pages ask for nothing from elsewhere and have no script", () => {
  const pages = sitePages(clients, service);
  expect(pages.size).toBe(clients.length + 1);
  for (const [name, page] of pages) {
    expect([name, /<script|src=|url\(|@import|https?:/.exec(page)?.[0]]).toEqual([name, undefined]);
    for (const [, to = ""] of page.matchAll(/href="([^"]*)"/g)) expect(pages.has(to)).toBe(true);
  }
});

test("tpa-submit-settings(1) has every option and every format", () => {
  const page = readFileSync(new URL("../../../man/tpa-submit-settings.1", import.meta.url), "utf8");
  for (const { flags } of Object.values(settingsCommand.options)) {
    const long = flags.split(/[ ,]+/).find((word) => word.startsWith("--")) ?? "";
    expect(page).toMatch(new RegExp(`^\\.It Fl (?:. , )?-${long.slice(2)}\\b`, "m"));
  }
  for (const name of Object.keys(formats)) expect(page).toContain(`.It Cm ${name}\n`);
  expect(settingsCommand.options.format.words).toEqual(Object.keys(formats));
});
