import { once } from "node:events";
import { request } from "node:http";
import { connect } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import {
  type Health,
  type HttpListener,
  type MonitoringPages,
  startHttp,
} from "../../../src/server/log/http.ts";
import { namesOfHost } from "../../../src/server/log/http-host.ts";
import { type LogEntry, logTo } from "../../../src/server/log/log.ts";

let http: HttpListener | undefined;
afterEach(async () => {
  await http?.close();
  http = undefined;
  logTo(() => undefined);
});

async function started(pages: Partial<MonitoringPages> = {}, names?: readonly string[]) {
  const well: Health = { ok: true };
  http = await startHttp(
    { host: "127.0.0.1", port: 0 },
    { metrics: () => "up 1\n", health: () => well, ...pages },
    names === undefined ? {} : { names },
  );
  return http;
}

/** Asks for `path` and returns the answer. */
async function ask(path: string, method = "GET", headers: Readonly<Record<string, string>> = {}) {
  const port = http?.address.port;
  const asked = request({ host: "127.0.0.1", port, path, method, agent: false, headers });
  asked.end();
  const [answer] = await once(asked, "response");
  let body = "";
  for await (const chunk of answer) body += String(chunk);
  return { status: answer.statusCode as number, headers: answer.headers as Record<string, string>, body };
}

describe("the HTTP listener", () => {
  test("gives the metrics, in Prometheus' content type", async () => {
    await started();
    const { status, headers, body } = await ask("/metrics?x=1");
    expect([status, body]).toEqual([200, "up 1\n"]);
    expect(headers["content-type"]).toBe("text/plain; version=0.0.4; charset=utf-8");
    expect(headers["cache-control"]).toBe("no-store");
  });

  test("says ok while all is well, and 503 with the reason when it is not", async () => {
    let state: Health = { ok: true };
    await started({ health: () => state });
    expect(await ask("/healthz")).toMatchObject({ status: 200, body: "ok\n" });
    state = { ok: false, reason: "the spool cannot be written" };
    expect(await ask("/healthz")).toMatchObject({ status: 503, body: "the spool cannot be written\n" });
  });

  test("answers HEAD without a body and with its length", async () => {
    await started();
    expect(await ask("/metrics", "HEAD")).toMatchObject({
      status: 200,
      body: "",
      headers: { "content-length": "5" },
    });
  });

  test.each(["/", "/metrics/", "/__proto__", "/constructor", "//metrics", "/../etc/passwd"])(
    "has nothing at %s",
    async (path) => {
      await started();
      expect((await ask(path)).status).toBe(404);
    },
  );

  test("gives the status page where there is one, which may load nothing but its own style", async () => {
    await started({ status: async () => ({ body: "<!doctype html>", styleHash: "sha256-AAAA" }) });
    const { status, headers, body } = await ask("/");
    expect([status, body, headers["content-type"]]).toEqual([
      200,
      "<!doctype html>",
      "text/html; charset=utf-8",
    ]);
    expect(headers["content-security-policy"]).toBe(
      "default-src 'none'; style-src 'sha256-AAAA'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    );
    expect((await ask("/", "POST")).status).toBe(405);
  });

  test.each([
    "127.0.0.1:9587",
    "192.0.2.7",
    "[::1]:9587",
    "localhost:9587",
    "relay.localhost",
    "host1.example.org:9587",
    "HOST1.example.org.",
    "host1",
    "submission",
  ])("answers to the name %s", async (host) => {
    await started({}, namesOfHost("submission.example.org", "host1"));
    for (const path of ["/metrics", "/healthz"]) expect((await ask(path, "GET", { host })).status).toBe(200);
  });

  test.each([
    "attacker.example.net:9587",
    "127.0.0.1.example.net",
    "localhost.example.net",
    "host1.example.org.example.net",
    "[attacker.example.net]:9587",
    ":9587",
  ])("tells nothing to a page that calls us %j", async (host) => {
    await started({ status: async () => ({ body: "secret", styleHash: "" }) }, ["host1.example.org"]);
    for (const path of ["/", "/metrics", "/healthz", "/none"]) {
      const { status, body } = await ask(path, "GET", { host });
      expect(status).toBe(421);
      expect(body).not.toMatch(/secret|up 1|ok/);
    }
  });

  test("knows a host without a domain by its name alone", () => {
    expect(namesOfHost("monitor", "monitor")).toEqual(["monitor"]);
  });

  test("answers a health check by HTTP/1.0, which may name no host", async () => {
    const { address } = await started({}, []);
    const socket = connect(address.port, "127.0.0.1");
    socket.end("GET /healthz HTTP/1.0\r\n\r\n");
    let said = "";
    for await (const chunk of socket) said += String(chunk);
    expect(said).toMatch(/^HTTP\/1\.1 200 /);
  });

  test.each(["POST", "PUT", "DELETE", "OPTIONS"])("refuses %s, and says what it takes", async (method) => {
    await started();
    expect(await ask("/metrics", method)).toMatchObject({ status: 405, headers: { allow: "GET, HEAD" } });
  });

  test("logs a fault of a page and answers 500", async () => {
    const seen: LogEntry[] = [];
    logTo((entry) => seen.push(entry));
    await started({
      metrics: () => {
        throw new Error("broken");
      },
    });
    const { status, body } = await ask("/metrics");
    expect(status).toBe(500);
    expect(body).not.toContain("broken");
    expect(seen[0]?.text).toContain("bug in /metrics: Error: broken");
  });

  test("closes though somebody keeps a connection open", async () => {
    const { address, close } = await started();
    const idle = connect(address.port, "127.0.0.1");
    idle.on("error", () => undefined);
    await once(idle, "connect");
    const ended = once(idle, "close");
    await close();
    await ended;
    http = undefined;
  });

  test("refuses a header that has no end", async () => {
    const { address } = await started();
    const socket = connect(address.port, "127.0.0.1");
    socket.write(`GET /metrics HTTP/1.1\r\nHost: x\r\nX: ${"y".repeat(20_000)}`);
    let said = "";
    socket.on("data", (chunk) => {
      said += String(chunk);
    });
    await once(socket, "close");
    expect(said).toMatch(/^HTTP\/1\.1 431 /);
  });

  test("names the setting and the address when the port is taken", async () => {
    const { address } = await started();
    const second = startHttp(
      { host: "127.0.0.1", port: address.port },
      { metrics: () => "", health: () => ({ ok: true }) },
    );
    await expect(second).rejects.toMatchObject({
      name: "Failure",
      status: 69,
      message: expect.stringMatching(/^listen\.http: cannot listen on 127\.0\.0\.1:\d+: .*EADDRINUSE/),
    });
  });
});
