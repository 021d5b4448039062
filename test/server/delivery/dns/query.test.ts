import { createSocket, type RemoteInfo } from "node:dgram";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { setImmediate as nextTurn } from "node:timers/promises";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { errorCode } from "../../../../src/failure.ts";
import { messageReader, nameServer } from "../../../../src/server/delivery/dns/query.ts";
import { type Resolver, validatingResolver } from "../../../../src/server/delivery/dns/resolver.ts";

const quick = { timeout: 150, tries: 3 };

/** A server over UDP, and TCP where `stream` is given; each says what to send in answer to a question. */
async function serverThat(
  reply: (query: Buffer, time: number, from: RemoteInfo) => readonly Buffer[],
  stream?: (query: Buffer, socket: Socket) => void,
  patience = quick,
): Promise<Resolver> {
  let times = 0;
  for (let tries = 1; ; tries += 1) {
    const socket = createSocket("udp4");
    socket.on("message", (query, from) => {
      for (const answer of reply(query, times++, from)) socket.send(answer, from.port, from.address);
    });
    socket.bind(0, "127.0.0.1");
    await once(socket, "listening");
    const { port } = socket.address();
    onTestFinished(() => void socket.close());
    try {
      if (stream) await listenAt(port, stream);
      return validatingResolver(nameServer({ host: "127.0.0.1", port }, patience));
    } catch (error) {
      // What is free for UDP may be taken for TCP.
      if (errorCode(error) !== "EADDRINUSE" || tries === 20) throw error;
    }
  }
}

async function listenAt(port: number, stream: (query: Buffer, socket: Socket) => void): Promise<void> {
  const server = createServer((client) => {
    client.on("error", () => undefined).once("data", (data: Buffer) => stream(data.subarray(2), client));
    onTestFinished(() => void client.destroy());
  }).listen(port, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
}

/** A response to `query` with one address, with none, or with the same so many times. */
function answer(query: Buffer, { flags = 0x81a0, last = 1, records = 1, id = 0 } = {}): Buffer {
  const header = Buffer.from(query.subarray(0, 12));
  header.writeUInt16BE(query.readUInt16BE(0) ^ id, 0);
  header.writeUInt16BE(flags, 2);
  header.writeUInt16BE(records, 6);
  header.writeUInt16BE(0, 10);
  const data = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, last]);
  return Buffer.concat([header, query.subarray(12, query.length - 11), ...Array<Buffer>(records).fill(data)]);
}

const framed = (message: Buffer): Buffer =>
  Buffer.concat([Buffer.of(message.length >> 8, message.length & 0xff), message]);

const found = (last: number): object => ({ kind: "found", values: [`192.0.2.${last}`] });

describe("a name server that", () => {
  test("answers is believed, and its word on signatures", async () => {
    const resolver = await serverThat((query) => [answer(query)]);
    expect(await resolver.ipv4("mx.example.net")).toEqual({ ...found(1), authentic: true, ttl: 60 });
  });

  test("says nothing of signatures proves nothing", async () => {
    const resolver = await serverThat((query) => [answer(query, { flags: 0x8180 })]);
    expect(await resolver.ipv4("mx.example.net")).toMatchObject({ ...found(1), authentic: false });
  });

  test("is preceded by a forger who does not know the number is heard all the same", async () => {
    const resolver = await serverThat((query) => [
      answer(query, { id: 1, last: 66 }),
      Buffer.from("nonsense"),
      answer(query, { last: 2 }),
    ]);
    expect(await resolver.ipv4("mx.example.net")).toMatchObject(found(2));
  });

  test("is asked with a number and a port of its own each time", async () => {
    const seen: string[] = [];
    const resolver = await serverThat((query, _, { port }) => {
      seen.push(`${query.readUInt16BE(0)} ${port}`);
      return [answer(query)];
    });
    for (let times = 0; times < 8; times++) await resolver.ipv4("mx.example.net");
    expect(new Set(seen.map((one) => one.split(" ")[0])).size).toBeGreaterThan(6);
    expect(new Set(seen.map((one) => one.split(" ")[1])).size).toBeGreaterThan(2);
  });

  test("loses a question is asked again", async () => {
    const resolver = await serverThat((query, time) => (time === 0 ? [] : [answer(query)]));
    expect(await resolver.ipv4("mx.example.net")).toMatchObject(found(1));
  });

  test("never answers is given up", async () => {
    let asked = 0;
    const resolver = await serverThat(() => {
      asked++;
      return [];
    });
    expect(await resolver.ipv4("mx.example.net")).toEqual({ kind: "trouble", reason: "ETIMEOUT" });
    expect(asked).toBe(3);
  });

  test("is not there is trouble at once", async () => {
    const resolver = validatingResolver(
      nameServer({ host: "127.0.0.1", port: 9 }, { timeout: 20_000, tries: 3 }),
    );
    expect(await resolver.ipv4("mx.example.net")).toEqual({ kind: "trouble", reason: "ECONNREFUSED" });
  });

  test("cannot fit its answer into a datagram is asked over TCP", async () => {
    const resolver = await serverThat(
      (query) => [answer(query, { flags: 0x8380, records: 0 })],
      (query, socket) => {
        const whole = framed(answer(query, { last: 7 }));
        socket.write(whole.subarray(0, 1));
        setImmediate(() => socket.end(whole.subarray(1)));
      },
    );
    expect(await resolver.ipv4("mx.example.net")).toMatchObject(found(7));
  });

  test("brings an answer over TCP octet by octet is heard to its end", async () => {
    const records = 100;
    const resolver = await serverThat(
      (query) => [answer(query, { flags: 0x8380, records: 0 })],
      (query, socket) =>
        void (async () => {
          socket.setNoDelay(true);
          const more = Buffer.from("what nobody asked for");
          for (const octet of Buffer.concat([framed(answer(query, { last: 7, records })), more])) {
            socket.write(Buffer.of(octet));
            await nextTurn();
          }
        })(),
      { timeout: 20_000, tries: 1 },
    );
    const values = Array<string>(records).fill("192.0.2.7");
    expect(await resolver.ipv4("mx.example.net")).toMatchObject({ kind: "found", values });
  });

  test.each<[string, (query: Buffer, socket: Socket) => void, string]>([
    ["hangs up on TCP", (_, socket) => void socket.end(), "ECONNRESET"],
    [
      "truncates on TCP, too,",
      (query, socket) => void socket.end(framed(answer(query, { flags: 0x8380 }))),
      "EBADRESP",
    ],
    ["answers nonsense on TCP", (_, socket) => void socket.end(framed(Buffer.from("nonsense"))), "EBADRESP"],
    ["falls silent on TCP", () => undefined, "ETIMEOUT"],
  ])("%s is trouble", async (_, stream, reason) => {
    const resolver = await serverThat((query) => [answer(query, { flags: 0x8380, records: 0 })], stream);
    expect(await resolver.ipv4("mx.example.net")).toEqual({ kind: "trouble", reason });
  });

  test.each([
    [0, { kind: "nothing", authentic: true }],
    [3, { kind: "unknown", authentic: true }],
    [2, { kind: "trouble", reason: "ESERVFAIL" }],
    [5, { kind: "trouble", reason: "EREFUSED" }],
    [9, { kind: "trouble", reason: "RCODE 9" }],
  ])("answers with the code %i", async (code, expected) => {
    const resolver = await serverThat((query) => [answer(query, { flags: 0x81a0 | code, records: 0 })]);
    expect(await resolver.ipv4("mx.example.net")).toEqual(expected);
  });

  test("cannot be asked about a name that is too long", async () => {
    const resolver = await serverThat((query) => [answer(query)]);
    expect(await resolver.ipv4(`${"a".repeat(64)}.example.net`)).toEqual({ kind: "unknown" });
  });
});

test("an answer that comes octet by octet over TCP is put together once, however long it is", () => {
  const message = Buffer.alloc(0xffff, "x");
  const join = vi.spyOn(Buffer, "concat");
  onTestFinished(() => {
    join.mockRestore();
  });
  const whole = messageReader();
  const found: (Buffer | undefined)[] = [];
  for (const octet of [0xff, 0xff, ...message]) found.push(whole(Buffer.of(octet)));
  const joined = join.mock.results.reduce((sum, { value }) => sum + (value as Buffer).length, 0);
  expect(joined).toBe(2 + 2 + message.length);
  expect(found.findIndex((one) => one !== undefined)).toBe(found.length - 1);
  expect(found.at(-1)?.equals(message)).toBe(true);
});
