/** Proxies in front of the listeners, which name their clients by the PROXY protocol; and who else speaks first. */
import { once } from "node:events";
import { connect as connectTls } from "node:tls";
import { describe, expect, test, vi } from "vitest";
import { inNetworks, readProxyHeader } from "../../../src/server/submission/proxy-protocol.ts";
import { ask, connected, noBug, opened, texts } from "./test-clients.ts";
import { testTimeouts } from "./test-listener.ts";

const isProxy = inNetworks([{ address: "127.0.0.0", prefix: 8 }]);
const line = "PROXY TCP4 192.0.2.7 198.51.100.1 56324 587\r\n";

/** Version 2: command, family and protocol, addresses and what follows them. */
function second(command: number, family: number, rest: Buffer): Buffer {
  const beginning = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");
  const length = Buffer.alloc(2);
  length.writeUInt16BE(rest.length);
  return Buffer.concat([beginning, Buffer.of(command, family), length, rest]);
}

const inV4 = Buffer.of(192, 0, 2, 7, 198, 51, 100, 1, 220, 4, 2, 75);
const inV6 = Buffer.concat([
  Buffer.from("20010db8000000000000000000000007", "hex"),
  Buffer.from("20010db8000000000000000000000001", "hex"),
  Buffer.of(220, 4, 2, 75),
]);
const more = Buffer.of(4, 0, 3, 1, 2, 3); // a field that nobody here reads

const headers: readonly (readonly [what: string, header: Buffer, client: string | undefined])[] = [
  ["version 1, IPv4", Buffer.from(line), "192.0.2.7"],
  ["version 1, IPv6", Buffer.from("PROXY TCP6 2001:DB8:0::7 2001:db8::1 1 65535\r\n"), "2001:db8::7"],
  ["version 1, unknown", Buffer.from("PROXY UNKNOWN\r\n"), undefined],
  ["version 1, unknown with words", Buffer.from("PROXY UNKNOWN a b c\r\n"), undefined],
  ["version 2, IPv4", second(0x21, 0x11, inV4), "192.0.2.7"],
  ["version 2, IPv6", second(0x21, 0x21, inV6), "2001:db8::7"],
  ["version 2 with further fields", second(0x21, 0x11, Buffer.concat([inV4, more])), "192.0.2.7"],
  ["version 2, local", second(0x20, 0x00, Buffer.alloc(0)), undefined],
  ["version 2, local with addresses", second(0x20, 0x11, inV4), undefined],
  ["version 2, unspecified", second(0x21, 0x00, more), undefined],
];

const noHeaders: readonly (readonly [what: string, octets: Buffer])[] = [
  ["a command", Buffer.from("EHLO client.example\r\n")],
  ["a handshake", Buffer.of(0x16, 3, 1, 0, 5)],
  ["small letters", Buffer.from("proxy TCP4 192.0.2.7 198.51.100.1 1 2\r\n")],
  ["two blanks", Buffer.from("PROXY  TCP4 192.0.2.7 198.51.100.1 1 2\r\n")],
  ["a host name", Buffer.from("PROXY TCP4 client.example 198.51.100.1 1 2\r\n")],
  ["the wrong family", Buffer.from("PROXY TCP4 2001:db8::7 2001:db8::1 1 2\r\n")],
  ["an address with a zone", Buffer.from("PROXY TCP6 fe80::1%eth0 2001:db8::1 1 2\r\n")],
  ["an octet beyond 255", Buffer.from("PROXY TCP4 192.0.2.256 198.51.100.1 1 2\r\n")],
  ["no port", Buffer.from("PROXY TCP4 192.0.2.7 198.51.100.1 1\r\n")],
  ["a port beyond 65535", Buffer.from("PROXY TCP4 192.0.2.7 198.51.100.1 1 65536\r\n")],
  ["a port with a zero before it", Buffer.from("PROXY TCP4 192.0.2.7 198.51.100.1 01 2\r\n")],
  ["a fifth word", Buffer.from("PROXY TCP4 192.0.2.7 198.51.100.1 1 2 3\r\n")],
  ["LF alone", Buffer.from(`PROXY TCP4 192.0.2.7 198.51.100.1 1 2\n${"x".repeat(107)}`)],
  ["another control character", Buffer.from("PROXY TCP4 192.0.2.7 198.51.100.1 1 2\0\r\n")],
  ["a line too long", Buffer.from(`PROXY UNKNOWN ${"x".repeat(100)}\r\n`)],
  ["version 2 with another version", second(0x31, 0x11, inV4)],
  ["version 2 with another command", second(0x22, 0x11, inV4)],
  ["version 2 over UDP", second(0x21, 0x12, inV4)],
  ["version 2 of a Unix socket", second(0x21, 0x31, Buffer.alloc(216))],
  ["version 2, too short for IPv4", second(0x21, 0x11, inV4.subarray(1))],
  ["version 2, too short for IPv6", second(0x21, 0x21, inV6.subarray(1))],
  ["version 2, too long", second(0x21, 0x11, Buffer.alloc(2_033))],
];

describe("readProxyHeader()", () => {
  test.each(headers)("reads %s, and waits for all of it", (_, header, client) => {
    const found = { kind: "header", length: header.length, ...(client === undefined ? {} : { client }) };
    expect(readProxyHeader(Buffer.concat([header, Buffer.from("EHLO")]))).toEqual(found);
    for (let length = 0; length < header.length; length++) {
      expect(readProxyHeader(header.subarray(0, length))).toEqual({ kind: "unfinished" });
    }
  });

  test.each(noHeaders)("takes %s for none", (_, octets) => {
    expect(readProxyHeader(octets)).toMatchObject({ kind: "wrong" });
  });
});

test("within() knows the addresses of a network", () => {
  const isListed = inNetworks([
    { address: "192.0.2.0", prefix: 24 },
    { address: "2001:db8::7", prefix: 128 },
  ]);
  const asked = ["192.0.2.255", "192.0.3.0", "2001:db8::7", "2001:db8::8"];
  expect(asked.filter(isListed)).toEqual(["192.0.2.255", "2001:db8::7"]);
});

describe("a proxy that is listed", () => {
  test.each(headers)("names its client before STARTTLS: %s", async (_, header, client = "127.0.0.1") => {
    const server = await opened("submission", { isProxy });
    const proxy = await connected(server, false);
    for (const octet of header) await proxy.send(Buffer.of(octet));
    expect(await proxy.line()).toMatch(/^220 /);
    expect(await ask(proxy, "EHLO client.example")).toMatch(/^250 /);
    expect(await ask(proxy, "STARTTLS")).toMatch(/^220 /);
    await proxy.startTls();
    expect(await ask(proxy, "EHLO client.example")).toMatch(/^250 /);
    expect(texts(server)).toContain(`connect from unknown[${client}]`);
    noBug(server);
  });

  test.each([false, true])(
    "names its client before TLS, together with the handshake: %s",
    async (together) => {
      const server = await opened("smtps", { isProxy });
      const proxy = await connected(server, false);
      const socket = proxy.socket();
      if (together) socket.cork();
      const sent = proxy.send(line);
      const secured = proxy.startTls();
      process.nextTick(() => socket.uncork());
      await Promise.all([sent, secured]);
      expect(await proxy.line()).toMatch(/^220 /);
      await ask(proxy, "EHLO client.example");
      expect(await ask(proxy, `AUTH PLAIN ${Buffer.from("\0user1\0wrong").toString("base64")}`)).toMatch(
        /^535 /,
      );
      expect(texts(server).join("\n")).toMatch(/unknown\[192\.0\.2\.7\]: SASL PLAIN authentication failed/);
      noBug(server);
    },
  );

  test("brings clients whose connections are counted by their own address", async () => {
    const server = await opened("submission", { isProxy, connectionsPerAddress: 1 });
    const greetings: unknown[] = [];
    for (const header of [line, line.replace("192.0.2.7", "192.0.2.8"), line]) {
      const proxy = await connected(server, false);
      await proxy.send(header);
      greetings.push((await proxy.line())?.slice(0, 3));
    }
    expect(greetings).toEqual(["220", "220", "421"]);
  });

  test.each(["submission", "smtps"] as const)(
    "and says something else first is cut off: %s",
    async (name) => {
      const server = await opened(name, { isProxy });
      const proxy = await connected(server, false);
      await proxy.send("EHLO client.example\r\n");
      expect(await proxy.line()).toBeUndefined();
      expect(texts(server)).toEqual([
        "no usable PROXY header from unknown[127.0.0.1]: neither version 1 nor 2",
      ]);
      expect(server.listener.sessions()).toBe(0);
    },
  );

  test("and says nothing, or goes amid the header, holds nothing up", async () => {
    const server = await opened("smtps", { isProxy, timeouts: { ...testTimeouts, proxy: 50 } });
    const silent = await connected(server, false);
    expect(await silent.line()).toBeUndefined();
    const gone = await connected(server, false);
    await gone.send("PROXY ");
    gone.end();
    expect(await gone.line()).toBeUndefined();
    const check = await connected(server, false);
    check.destroy();
    await vi.waitFor(
      () =>
        expect(texts(server)).toEqual([
          "no usable PROXY header from unknown[127.0.0.1]: it did not come in time",
          "no usable PROXY header from unknown[127.0.0.1]: an end amid it",
        ]),
      60_000,
    );
    noBug(server);
  });

  test("and waits when the relay stops is cut off", async () => {
    const server = await opened("submission", { isProxy });
    const waiting = await connected(server, false);
    await waiting.send("PROXY ");
    await vi.waitFor(() => expect(waiting.socket().bytesWritten).toBe(6), 60_000);
    await server.close();
    expect(await waiting.line()).toBeUndefined();
  });

  test("and speaks for a client that does not wait for the greeting gets it turned away", async () => {
    const server = await opened("submission", { isProxy });
    const proxy = await connected(server, false);
    await proxy.send(`${line}EHLO client.example\r\n`);
    expect(await proxy.line()).toBe("521 5.5.1 Protocol error: the server speaks first");
    expect(texts(server)).toContain("PREGREET 21 after 0 from unknown[192.0.2.7]");
  });
});

describe("a client that speaks before the greeting (RFC 5321 section 4.3.1)", () => {
  const early = "521 5.5.1 Protocol error: the server speaks first";

  test("is turned away, a proxy that is not listed as well", async () => {
    const server = await opened("submission");
    const client = await connected(server, false);
    await client.send(line);
    expect(await client.line()).toBe(early);
    expect(await client.line()).toBeUndefined();
    await vi.waitFor(
      () =>
        expect(texts(server)).toEqual([
          "connect from unknown[127.0.0.1]",
          `PREGREET ${line.length} after 0 from unknown[127.0.0.1]`,
          "disconnect from unknown[127.0.0.1] commands=0",
        ]),
      60_000,
    );
  });

  test("is turned away inside TLS", async () => {
    const server = await opened("smtps");
    const socket = connectTls({ port: server.port, host: "127.0.0.1", rejectUnauthorized: false });
    socket.write("EHLO client.example\r\n"); // goes out with the end of the handshake
    const [said] = await once(socket, "data");
    socket.destroy();
    expect(String(said)).toBe(`${early}\r\n`);
    noBug(server);
  });
});

test("a PROXY header behind the greeting is no command, whoever sends it", async () => {
  const server = await opened("submission");
  const client = await connected(server, false);
  expect(await client.line()).toMatch(/^220 /);
  expect(await ask(client, line.trimEnd())).toBe("500 5.5.2 Command not recognised");
});

test("commands behind one whose answer had to be waited for are told once", async () => {
  const server = await opened("submission");
  const client = await connected(server, false);
  await client.line();
  await client.send("NOOP\r\nNOOP\r\nEHLO client.example\r\nNOOP\r\nNOOP\r\n");
  await vi.waitFor(() => expect(texts(server)).toContainEqual(expect.stringMatching(/^improper/)), 60_000);
  expect(await ask(client, "QUIT")).toMatch(/^250 /);
  expect(texts(server).filter((text) => text.startsWith("improper"))).toEqual([
    "improper command pipelining after NOOP from unknown[127.0.0.1]",
  ]);
});
