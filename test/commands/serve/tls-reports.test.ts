/** TLS reports of the running relay: what it meets by day is told the next one, signed, once, to whoever asks. */
import { once } from "node:events";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { createSecureContext } from "node:tls";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { prepareRelay, type Relay } from "../../../demo/relay.mjs";
import { pairs, recordOf, verified } from "../../server/delivery/dkim/site.ts";
import { selfSigned } from "../../tools/certificate.ts";
import { type NameServer, nameServer, type Records } from "../../tools/dns.ts";
import { type FakeServer, fakeServer } from "../../tools/fakeserver.ts";
import { until } from "../../tools/until.ts";
import { note, submitAlone } from "./conversation.ts";

/** Each has an MTA-STS policy that lists its own host; the certificate of all hosts is for mx.good alone. */
const domains = ["good", "bad"] as const;

describe("the relay with [tls-reports]", () => {
  const pair = selfSigned(["mx.good.example.net", ...domains.map((name) => `mta-sts.${name}.example.net`)]);
  const posted: { readonly type: string; readonly body: Buffer }[] = [];
  let names: NameServer;
  let web: Server;
  let hop: FakeServer;
  let relay: Relay;
  let file = "";

  beforeAll(async () => {
    hop = await fakeServer({ EHLO: "250-mx.example.net\n250 STARTTLS" }, { tls: createSecureContext(pair) });
    web = createServer(pair, (request, response) => {
      if (request.method === "POST") {
        const parts: Buffer[] = [];
        request.on("data", (part: Buffer) => parts.push(part));
        request.on("end", () => {
          posted.push({ type: `${request.headers["content-type"]}`, body: Buffer.concat(parts) });
          response.writeHead(201).end();
        });
        return;
      }
      const name = request.headers.host?.split(".")[1] ?? "";
      response.writeHead(200, { "content-type": "text/plain" });
      response.end(`version: STSv1\nmode: enforce\nmx: mx.${name}.example.net\nmax_age: 86400\n`);
    }).listen(0, "127.0.0.1");
    await once(web, "listening");
    const { port } = web.address() as AddressInfo;
    const at = { a: ["127.0.0.1"] };
    names = await nameServer(
      new Map<string, Records>([
        ...domains.flatMap((name): (readonly [string, Records])[] => [
          [`${name}.example.net`, { mx: [[10, `mx.${name}.example.net`]] }],
          [`mx.${name}.example.net`, at],
          [`mta-sts.${name}.example.net`, at],
          [`_mta-sts.${name}.example.net`, { txt: ["v=STSv1; id=1;"] }],
          [
            `_smtp._tls.${name}.example.net`,
            {
              txt: [
                `v=TLSRPTv1; rua=mailto:${name}@reports.example.net,https://web.example.net:${port}/${name}`,
              ],
            },
          ],
        ]),
        ["plain.example.net", at],
        ["reports.example.net", at],
        ["web.example.net", at],
      ]),
    );
    relay = await prepareRelay(`[delivery]
relay = "mx"
nameservers = ["${names.address}"]
port = ${hop.port}
mta-sts-port = ${port}
private-addresses = true
[dkim]
folder = "FOLDER/keys"
[tls-reports]
send = true
organization = "Example"
delay = "0s"`);
    await mkdir(join(relay.folder, "keys/example.org"), { recursive: true });
    const pem = pairs.rsa.privateKey.export({ type: "pkcs8", format: "pem" });
    await writeFile(join(relay.folder, "keys/example.org/a.rsa.pem"), pem, { mode: 0o640 });
    await writeFile(join(relay.folder, "ca.pem"), pair.cert);
    relay.environment["NODE_EXTRA_CA_CERTS"] = join(relay.folder, "ca.pem");
    file = join(relay.folder, "spool/tls-reports");
    await relay.start();
  });
  afterAll(async () => {
    await relay?.stop();
    await names?.close();
    await hop?.close();
    web?.close();
  });

  async function end(signal: NodeJS.Signals): Promise<void> {
    relay.signal(signal);
    await relay.ended;
  }

  const reports = () => hop.received.filter(({ message }) => message.includes("TLS-Report-Domain"));

  test("writes down at its end how TLS with each domain went", async () => {
    for (const [domain, status] of [
      ["good", "sent"],
      ["bad", "deferred"],
      ["plain", "sent"],
    ]) {
      const from = relay.log().length;
      const to = `x@${domain}.example.net`;
      await submitAlone(relay, note(crypto.randomUUID()), { from: "user1@example.org", to: [to] });
      await relay.logged(new RegExp(`to=<${to}>.*status=${status}`), from);
    }
    await end("SIGTERM");
    const { domains: counted } = JSON.parse(await readFile(file, "utf8")) as { domains: readonly object[] };
    expect(counted).toMatchObject([
      { domain: "good.example.net", policies: [{ demanded: { type: "sts" }, good: 1, bad: 0 }] },
      {
        domain: "bad.example.net",
        policies: [
          {
            demanded: { type: "sts" },
            good: 0,
            bad: 1,
            failures: [{ type: "certificate-host-mismatch", host: "mx.bad.example.net", count: 1 }],
          },
        ],
      },
      { domain: "plain.example.net", policies: [{ demanded: { type: "no-policy-found" }, good: 1, bad: 0 }] },
    ]);
  });

  test("tells those who ask the next day, by mail and by the web", async () => {
    const text = await readFile(file, "utf8");
    const yesterday = new Date(Date.now() - 86_400_000).toISOString().slice(0, 10);
    await writeFile(file, text.replaceAll(/"day":"[\d-]+"/g, `"day":"${yesterday}"`));
    await relay.start();
    await until(
      "two reports by mail and two by the web",
      () => (reports().length === 2 && posted.length === 2) || undefined,
    );
    const [good, bad] = reports().sort((one, other) =>
      (one.recipients[0] ?? "") > (other.recipients[0] ?? "") ? -1 : 1,
    );
    expect([good?.recipients, good?.mail]).toEqual([["TO:<good@reports.example.net>"], "FROM:<>"]);
    expect(bad?.recipients).toEqual(["TO:<bad@reports.example.net>"]);
    expect(bad?.message).toContain("TLS-Report-Submitter: example.org\r\n");
    const packed = Buffer.from(
      /gz"\r\n\r\n([A-Za-z0-9+/=\r\n]+)\r\n--/.exec(bad?.message ?? "")?.[1] ?? "",
      "base64",
    );
    const json = JSON.parse(gunzipSync(packed).toString()) as object;
    expect(json).toMatchObject({
      "organization-name": "Example",
      "contact-info": "postmaster@example.org",
      "date-range": { "start-datetime": `${yesterday}T00:00:00Z` },
      policies: [
        {
          policy: {
            "policy-type": "sts",
            "policy-domain": "bad.example.net",
            "mx-host": ["mx.bad.example.net"],
          },
          summary: { "total-successful-session-count": 0, "total-failure-session-count": 1 },
          "failure-details": [{ "result-type": "certificate-host-mismatch" }],
        },
      ],
    });
    expect(posted.map(({ type }) => type)).toEqual(["application/tlsrpt+gzip", "application/tlsrpt+gzip"]);
    expect(posted.map(({ body }) => JSON.parse(gunzipSync(body).toString()) as unknown)).toContainEqual(json);
    expect(await verified(bad?.message ?? "", { a: recordOf("rsa") })).toEqual(["a pass"]);
  });

  test("tells nobody twice, though it is killed", async () => {
    await end("SIGKILL");
    await relay.start();
    await end("SIGTERM");
    expect(reports()).toHaveLength(2);
    expect(relay.log()).not.toMatch(/TLS report of/);
    expect(await readFile(file, "utf8")).not.toMatch(/good|plain/);
  });
});
