/** A domain's MTA-STS policy, as the checkup fetches it: from a real web server, with a name server. */
import { once } from "node:events";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { stsBy } from "../../../src/commands/probe/sts.ts";
import { selfSigned } from "../../tools/certificate.ts";
import { type NameServer, nameServer, type Records } from "../../tools/dns.ts";

const pair = selfSigned(
  ["good", "testing", "none", "short", "away", "twice"].map((one) => `mta-sts.${one}.example`),
);
const policy = (mode: string): string =>
  `version: STSv1\nmode: ${mode}\nmx: mx.example\nmx: *.hosts.example\nmax_age: 604800\n`;
const pages: Readonly<Record<string, string>> = {
  good: policy("enforce"),
  testing: policy("testing"),
  none: "version: STSv1\nmode: none\nmax_age: 86400\n",
  short: "version: STSv1\nmode: enforce\n",
  other: policy("enforce"),
};

let web: Server;
let names: NameServer;
let sts: ReturnType<typeof stsBy>;
beforeAll(async () => {
  web = createServer(pair, ({ headers: { host = "" }, url }, response) => {
    const page = url === "/.well-known/mta-sts.txt" ? pages[host.split(".")[1] ?? ""] : undefined;
    response.writeHead(page === undefined ? 404 : 200, { "content-type": "text/plain" }).end(page);
  }).listen(0, "127.0.0.1");
  await once(web, "listening");
  const record = "v=STSv1; id=1;";
  const zone = new Map<string, Records>(
    [...Object.keys(pages), "away", "twice"].flatMap((one) => [
      [`_mta-sts.${one}.example`, { txt: one === "twice" ? [record, record] : [record] }],
      [`mta-sts.${one}.example`, { a: ["127.0.0.1"] }],
    ]),
  );
  names = await nameServer(zone);
  const { port } = web.address() as AddressInfo;
  sts = stsBy(names.address, { privateAddresses: true, port, ca: pair.cert });
});
afterAll(async () => {
  web?.close();
  await names?.close();
});

const mx = ["mx.example", "a.hosts.example"];
const wrong = (words: RegExp) => ({ kind: "wrong", words: expect.stringMatching(words) as unknown });

test.each([
  ["nothing", mx, { kind: "none" }],
  ["good", mx, { kind: "policy", mode: "enforce", days: 7, unlisted: [] }],
  ["good", [...mx, "new.example"], { kind: "policy", mode: "enforce", days: 7, unlisted: ["new.example"] }],
  ["testing", ["new.example"], { kind: "policy", mode: "testing", days: 7, unlisted: ["new.example"] }],
  ["none", ["new.example"], { kind: "policy", mode: "none", days: 1, unlisted: [] }],
  ["short", mx, wrong(/^its policy is none: /)],
  ["away", mx, wrong(/^its policy cannot be fetched: .*404/)],
  ["twice", mx, wrong(/^its TXT record is none, or there are two$/)],
  ["other", mx, wrong(/^its policy cannot be fetched: .*(?:altnames|certificate)/)],
] as const)("of %s, with %j", async (domain, exchangers, found) => {
  expect(await sts(`${domain}.example`, exchangers)).toEqual(found);
});
