/** Files of `tpa-submit settings` by programs that know their kind: HTML, XML and Apple's profiles. */
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { program } from "../../demo/relay.mjs";
import { run, runWell } from "../tools/child.mjs";
import { real } from "../tools/real.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tpa-submit-files-"));
  const doors = { both: "", submission: "submissions = []", submissions: "submission = []" };
  for (const [name, line] of Object.entries(doors))
    await writeFile(
      join(folder, `${name}.toml`),
      `hostname = "relay.example.org"\ndomain = "example.org"\n[listen]\n${line}\n`,
    );
});
afterAll(() => rm(folder, { recursive: true }));

const doors = ["both", "submission", "submissions"] as const;

const printed = (door: string, ...words: readonly string[]): Promise<string> =>
  runWell(process.execPath, [program, "settings", "-c", join(folder, `${door}.toml`), ...words]);

const people = [[], ["--login", "user1"]] as const;
const incoming = ["--incoming", "imap.example.net"] as const;

test.skipIf(!real("tidy"))("the site is HTML without a fault", async () => {
  for (const login of people) {
    const site = join(folder, "site");
    await printed("both", "--site", site, ...login);
    const pages = await readdir(site);
    expect(pages.length).toBeGreaterThan(20);
    const files = pages.map((name) => join(site, name));
    const { status, stderr } = await run("tidy", ["-quiet", "-errors", "-utf8", ...files]);
    expect([login, status, stderr]).toEqual([login, 0, ""]);
  }
});

/** What Thunderbird reads and its rules for it; draft-ietf-mailmaint-autoconfig. At least one server of each kind. */
const autoconfig =
  schema(`<element name="clientConfig"><attribute name="version"><value>1.1</value></attribute>
<element name="emailProvider"><attribute name="id"/>
  <oneOrMore><element name="domain"><ref name="host"/></element></oneOrMore>
  <element name="displayName">${shortText(60)}</element>
  <element name="displayShortName">${shortText(20)}</element>
  <oneOrMore><element name="incomingServer"><attribute name="type"><choice><value>imap</value><value>pop3</value></choice></attribute>
    <ref name="server"/></element></oneOrMore>
  <oneOrMore><element name="outgoingServer"><attribute name="type"><value>smtp</value></attribute>
    <ref name="server"/></element></oneOrMore>
</element></element>`);

/** [MS-OXDSCLI] section 2.2.4.1.1.2. Outlook takes no element twice. */
const autodiscover =
  schema(`<element name="Autodiscover" ns="http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006">
<element name="Response" ns="http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a">
<element name="Account">
  <element name="AccountType"><value>email</value></element>
  <element name="Action"><value>settings</value></element>
  <oneOrMore><element name="Protocol"><interleave>
    <element name="Type"><choice><value>IMAP</value><value>SMTP</value></choice></element>
    <element name="Server"><ref name="host"/></element>
    <element name="Port"><data type="unsignedShort"/></element>
    <optional><element name="LoginName"><data type="token"><param name="minLength">1</param></data></element></optional>
    ${["DomainRequired", "SPA", "SSL", "AuthRequired"].map((name) => `<element name="${name}"><ref name="switch"/></element>`).join("")}
    <element name="Encryption"><choice><value>SSL</value><value>TLS</value></choice></element>
    <optional><element name="UsePOPAuth"><ref name="switch"/></element></optional>
    <optional><element name="SMTPLast"><ref name="switch"/></element></optional>
  </interleave></element></oneOrMore>
</element></element></element>`);

function schema(start: string): string {
  return `<grammar xmlns="http://relaxng.org/ns/structure/1.0" datatypeLibrary="http://www.w3.org/2001/XMLSchema-datatypes">
<start>${start}</start>
<define name="host"><data type="token"><param name="pattern">[a-z0-9]([a-z0-9.\\-]*[a-z0-9])?</param></data></define>
<define name="switch"><choice><value>on</value><value>off</value></choice></define>
<define name="server">
  <element name="hostname"><ref name="host"/></element>
  <element name="port"><data type="unsignedShort"/></element>
  <element name="socketType"><choice><value>SSL</value><value>STARTTLS</value></choice></element>
  <element name="authentication"><value>password-cleartext</value></element>
  <element name="username"><data type="token"><param name="pattern">[^%\\s]+|%EMAILADDRESS%|%EMAILLOCALPART%</param></data></element>
</define>
</grammar>`;
}

function shortText(most: number): string {
  return `<data type="token"><param name="minLength">1</param><param name="maxLength">${most}</param></data>`;
}

describe.skipIf(!real("xmllint"))("xmllint finds no fault", () => {
  test.each([
    ["config-v1.1.xml", autoconfig],
    ["autodiscover", autodiscover],
  ])("in %s", async (format, rules) => {
    const file = join(folder, "rules.rng");
    await writeFile(file, rules);
    const check = (text: string) => run("xmllint", ["--nonet", "--noout", "--relaxng", file, "-"], text);
    for (const door of doors)
      for (const login of people) {
        const text = await printed(door, "--format", format, ...login, ...incoming);
        const { status, stderr } = await check(text);
        expect([door, login, status, stderr]).toEqual([door, login, 0, "- validates\n"]);
      }
    // The rules can tell: Outlook and Thunderbird take no such port.
    const text = await printed("both", "--format", format, ...incoming);
    expect((await check(text.replace(">465<", ">465 SSL<"))).status).not.toBe(0);
  });

  test("in the automatic configuration for people of several domains", async () => {
    const rules = join(folder, "rules.rng");
    await writeFile(rules, autoconfig);
    const both = await readFile(join(folder, "both.toml"), "utf8");
    await writeFile(
      join(folder, "several.toml"),
      `${both}\n[[domains]]\nname = "example.net"\npassword-file = "/net"\n`,
    );
    const text = await printed("several", "--format", "config-v1.1.xml", ...incoming);
    expect(text).toContain("%EMAILADDRESS%");
    await runWell("xmllint", ["--nonet", "--noout", "--relaxng", rules, "-"], text);
  });

  test("in mobileconfig", async () => {
    for (const door of doors) {
      const text = await printed(door, "--format", "mobileconfig", "--login", "user1", ...incoming);
      await runWell("xmllint", ["--nonet", "--noout", "-"], text);
    }
  });
});

test.skipIf(!real("openssl", "python3"))(
  "a profile is signed as the manual says, and stays what it is",
  async () => {
    const [certificate, key] = [join(folder, "certificate.pem"), join(folder, "key.pem")];
    const request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=relay.example.org"];
    await runWell("openssl", [...request, "-keyout", key, "-out", certificate]);
    const profile = await printed("both", "--format", "mobileconfig", "--login", "user1", ...incoming);
    const plain = join(folder, "mail.mobileconfig");
    await writeFile(plain, profile);
    const signed = join(folder, "signed.mobileconfig");
    const sign = ["smime", "-sign", "-nodetach", "-outform", "der", "-signer", certificate, "-inkey", key];
    await runWell("openssl", [...sign, "-in", plain, "-out", signed]);
    const verify = ["smime", "-verify", "-inform", "der", "-in", signed, "-CAfile", certificate];
    const script =
      "import json, plistlib, sys; print(json.dumps(plistlib.loads(sys.stdin.buffer.read(), fmt=plistlib.FMT_XML)))";
    const inside = await runWell("openssl", [...verify, "-purpose", "any"]);
    const read = async (text: string) => JSON.parse(await runWell("python3", ["-c", script], text)) as object;
    const whole = await read(profile);
    expect(await read(inside)).toEqual(whole);
    // What Apple's schema of com.apple.mail.managed demands, and an ID for each.
    expect(whole).toMatchObject({
      PayloadUUID: expect.stringMatching(/^[0-9a-f-]{36}$/),
      PayloadVersion: 1,
      PayloadContent: [
        {
          PayloadUUID: expect.stringMatching(/^[0-9a-f-]{36}$/),
          PayloadVersion: 1,
          EmailAccountType: "EmailTypeIMAP",
          IncomingMailServerAuthentication: "EmailAuthPassword",
          IncomingMailServerHostName: "imap.example.net",
          OutgoingMailServerAuthentication: "EmailAuthPassword",
          OutgoingMailServerHostName: "relay.example.org",
          OutgoingMailServerPortNumber: 465,
        },
      ],
    });
  },
);
