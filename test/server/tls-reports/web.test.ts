/** Reports to web servers: whoever names one must not lead us to where we would not go. */
import { once } from "node:events";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { DnsAnswer } from "../../../src/server/delivery/dns/resolver.ts";
import { reportPoster } from "../../../src/server/tls-reports/web.ts";
import { selfSigned } from "../../tools/certificate.ts";

let web: Server;
let port = 0;
const asked: string[] = [];

beforeAll(async () => {
  web = createServer(selfSigned(["elsewhere.example.net"]), (request, response) => {
    asked.push(`${request.method} ${request.url}`);
    if (request.url === "/moved") response.writeHead(302, { location: "/other" });
    else response.writeHead(request.url === "/endless" ? 500 : 200);
    response.end("x".repeat(1_000_000));
  }).listen(0, "127.0.0.1");
  await once(web, "listening");
  port = (web.address() as AddressInfo).port;
});
afterAll(() => void web.close());

const resolver = {
  ipv6: async (): Promise<DnsAnswer<string>> => ({ kind: "nothing" }),
  ipv4: async (host: string): Promise<DnsAnswer<string>> =>
    host === "web.example.net" ? { kind: "found", values: ["127.0.0.1"] } : { kind: "unknown" },
};
const post = (url: string, privateAddresses = true): Promise<string | undefined> =>
  reportPoster({ resolver, privateAddresses })(url, Buffer.from("packed"));

test("a report is taken, though the certificate is for another name", async () => {
  expect(await post(`https://web.example.net:${port}/tls?x=1`)).toBeUndefined();
  expect(asked).toEqual(["POST /tls?x=1"]);
});

test("no redirection is followed, and a refusal is told", async () => {
  expect(await post(`https://web.example.net:${port}/moved`)).toBe("the web server answers 302");
  expect(await post(`https://web.example.net:${port}/endless`)).toBe("the web server answers 500");
  expect(asked).not.toContain("POST /other");
});

test.each([
  ["https://web.example.net/", "web.example.net has no address that is reachable from outside"],
  ["https://127.0.0.1/", "127.0.0.1 has no address that is reachable from outside"],
  ["https://[::1]/", "::1 has no address that is reachable from outside"],
  ["https://nowhere.example.net/", "nowhere.example.net has no address that is reachable from outside"],
])("%s is not asked", async (url, why) => {
  expect(await post(url, false)).toBe(why);
});

test("a server that is away is told of in one line", async () => {
  expect(await post("https://web.example.net:1/")).toMatch(/^connect ECONNREFUSED [^\n]*$/);
});
