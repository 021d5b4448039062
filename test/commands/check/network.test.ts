/** What `tpa-submit check` finds outside: the DNS, an MX, relays, a directory; all of them on loopback. */
import { writeFile } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { prepareRelay, type Relay } from "../../../demo/relay.mjs";
import { people, reader, slapdPrograms, startSlapd } from "../../ldap/slapd.ts";
import { type NameServer, nameServer, type Records } from "../../tools/dns.ts";
import { type FakeServer, fakeServer } from "../../tools/fakeserver.ts";
import { freePort } from "../../tools/port.mjs";
import { real } from "../../tools/real.ts";
import { type Checked, check, complaints, expectFinding, inFolder } from "./checked.ts";

let relay: Relay;
let server: FakeServer;
let nobody: NameServer;
beforeEach(async () => {
  nobody = await nameServer(new Map());
  relay = await prepareRelay();
  server = await fakeServer({ greeting: "220 mx.example.net ESMTP" });
});
afterEach(async () => {
  await relay.stop();
  await server.close();
  await nobody.close();
});

const submission = { port: 587, host: "relay.example.org" };

/** A domain with all that it should have. */
const complete: ReadonlyMap<string, Records> = new Map([
  ["relay.example.org", { a: ["192.0.2.7"] }],
  ["example.org", { mx: [[10, "mail.example.org"]], txt: ["v=spf1 ip4:192.0.2.7 -all"] }],
  ["_dmarc.example.org", { txt: ["v=DMARC1; p=none"] }],
  ["_submission._tcp.example.org", { srv: [submission] }],
  ["_submissions._tcp.example.org", { srv: [{ ...submission, port: 465 }] }],
  ["example.net", { mx: [[10, "mx.example.net"]] }],
  ["mx.example.net", { a: ["127.0.0.1"] }],
]);

/** Runs the check with these records, mail going out by MX at `port`. */
async function checkWith(records: ReadonlyMap<string, Records>, port = server.port): Promise<Checked> {
  const names = await nameServer(new Map(records));
  onTestFinished(() => names.close());
  await relay.configure(
    `[delivery]\nrelay = "mx"\nnameservers = ["${names.address}"]\nport = ${port}\nprivate-addresses = true`,
  );
  return check(relay, ["--mx", "example.net"]);
}

/** Mail goes to a folder, and the DNS knows nothing. */
const toNobody = (): string =>
  `[delivery]\nrelay = "file:FOLDER/delivered"\nnameservers = ["${nobody.address}"]\n`;

const without = (name: string, records: Records = {}): ReadonlyMap<string, Records> =>
  new Map([...complete, [name, records]]);

describe("check asks the DNS", () => {
  test("and finds a domain that has everything", async () => {
    const checked = await checkWith(complete);
    for (const says of [
      /relay\.example\.org has 192\.0\.2\.7/,
      /_submission\._tcp\.example\.org leads to relay\.example\.org:587/,
      /_submissions\._tcp\.example\.org leads to relay\.example\.org:465/,
      /SPF of example\.org for 192\.0\.2\.7: pass/,
      /DMARC: v=DMARC1; p=none/,
      /the MX of example\.org: mail\.example\.org/,
    ]) {
      expectFinding(checked, ["dns", "ok", says], relay);
    }
  });

  test.each([
    ["no address", without("relay.example.org"), "failed", /relay\.example\.org has no address/, 69],
    [
      "no SRV record",
      without("_submission._tcp.example.org"),
      "warning",
      /there is no SRV record _submission\._tcp/,
      0,
    ],
    [
      "no MX",
      without("example.org", { txt: ["v=spf1 -all"] }),
      "warning",
      /example\.org has no MX record/,
      0,
    ],
    [
      "no SPF for us",
      without("example.org", { txt: ["v=spf1 -all"] }),
      "warning",
      /SPF of example\.org for 192\.0\.2\.7: fail/,
      0,
    ],
    ["no name of our address", complete, "warning", /192\.0\.2\.7 has no name/, 0],
    [
      "no answer",
      without("relay.example.org", { fault: "servfail" }),
      "unknown",
      /the DNS does not answer for relay/,
      0,
    ],
  ] as const)("and finds %s", async (_, records, state, says, status) => {
    const checked = await checkWith(records);
    expectFinding(checked, ["dns", state, says], relay);
    expect(checked.status).toBe(status);
  });
});

describe("check tries the way out", () => {
  test("to an MX that greets", async () => {
    const checked = await checkWith(complete);
    expectFinding(
      checked,
      ["reach", "ok", /mx\.example\.net: an MX of example\.net, greets: 220 mx\.example\.net ESMTP/],
      relay,
    );
  });

  test("to an MX that nobody answers for", async () => {
    const checked = await checkWith(complete, await freePort());
    expectFinding(
      checked,
      ["reach", "failed", /mx\.example\.net: .*cannot be reached at port \d+ \(127\.0\.0\.1: /],
      relay,
    );
    expect(checked.status).toBe(69);
  });

  test("to a domain without MX, which says nothing about the way", async () => {
    const checked = await checkWith(without("example.net"));
    expectFinding(checked, ["reach", "unknown", /example\.net: has no MX/], relay);
    expect(checked.status).toBe(0);
  });

  test("to each relay that is named, and to no MX then", async () => {
    const closed = await freePort();
    await relay.configure(
      `[delivery]\nrelay = ["smtp://127.0.0.1:${server.port}", "smtp://127.0.0.1:${closed}"]\nnameservers = ["${nobody.address}"]`,
    );
    const checked = await check(relay, ["--mx", "example.net"]);
    expectFinding(
      checked,
      ["reach", "ok", new RegExp(`smtp://127\\.0\\.0\\.1:${server.port}: greets: 220 `)],
      relay,
    );
    expectFinding(checked, ["reach", "failed", new RegExp(`:${closed}: cannot be reached: `)], relay);
    expect(checked.findings.filter(({ check: id, words }) => id === "reach" && /MX/.test(words))).toEqual([]);
  });
});

test("check --offline asks nobody", async () => {
  const names = await nameServer(new Map(complete));
  onTestFinished(() => names.close());
  await relay.configure(
    `[delivery]\nrelay = "mx"\nnameservers = ["${names.address}"]\n[ldap]\nurl = "ldap://127.0.0.1:9"\nbase = "dc=x"`,
  );
  const { findings } = await check(relay);
  expect(names.asked).toEqual([]);
  await relay.configure(
    `[delivery]\nrelay = "smtp://no.such.host.invalid:25"\nnameservers = ["${nobody.address}"]`,
  );
  expect(complaints(await check(relay, [])).join("\n")).toMatch(/routes: warning: it has no address/);
  expect(complaints(await check(relay)).join("\n")).not.toMatch(/routes/);
  expect(findings.filter(({ check: id }) => ["dns", "reach", "ldap", "resolver"].includes(id))).toEqual([]);
});

test("check finds a directory that does not answer", async () => {
  await relay.configure(
    `${toNobody()}[ldap]\nurl = "ldap://127.0.0.1:${await freePort()}"\nbase = "dc=example,dc=org"`,
  );
  const checked = await check(relay, []);
  expectFinding(checked, ["ldap", "failed", /connection refused/], relay);
});

describe.skipIf(!real(...slapdPrograms))("check and a directory", () => {
  test("hears that a sync would empty the password file, and changes nothing", async () => {
    const slapd = await startSlapd();
    onTestFinished(() => slapd.remove());
    await writeFile(inFolder(relay, "bind"), reader.password, { mode: 0o600 });
    await relay.configure(
      `${toNobody()}[ldap]\nurl = "${slapd.ldap}"\nca = "${slapd.ca}"\nbase = "${people}"\nbind-dn = "${reader.dn}"\nbind-password-file = "FOLDER/bind"`,
    );
    const checked = await check(relay, []);
    expectFinding(checked, ["ldap", "ok", /\d+ entries, 0 of them with a login/], relay);
    expectFinding(checked, ["ldap", "failed", /FOLDER\/mail-passwords: no logins at all/], relay);
    expectFinding(checked, ["passwords", "ok", /1 logins/], relay);
  });
});
