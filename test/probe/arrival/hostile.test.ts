/** What a stranger may put into a message or a mailbox costs neither time nor memory, and misleads nobody. */
import { createServer, type Server, type Socket } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { changesIn } from "../../../src/probe/arrival/changes.ts";
import { deliveryReportIn } from "../../../src/probe/arrival/delivery-report.ts";
import { openImap } from "../../../src/probe/arrival/imap.ts";
import { meetsCriteria, mostOctets, type SearchCriteria } from "../../../src/probe/arrival/mailbox.ts";
import { type MarkBinding, newMark, writeMark, writeMessage } from "../../../src/probe/arrival/mark.ts";
import { fateIn } from "../../../src/probe/arrival/matching.ts";

const everything: SearchCriteria = { mark: () => true, report: () => true };
const bound: MarkBinding = { key: Buffer.alloc(32, 1), from: "probe@example.org", to: "x@example.net" };
const mark = newMark(Buffer.alloc(16, 2), 1_000_000);
const octets = writeMessage(mark, bound, "net");
const fateOf = (message: string | Buffer) =>
  fateIn(
    [
      {
        place: "inbox",
        folder: "INBOX",
        at: mark.at + 1000,
        octets: Buffer.from(message).subarray(0, mostOctets),
        size: message.length,
      },
    ],
    { mark, bound, octets },
    mark.at + 2000,
  );

/** As much as one look takes of a message. */
const full = (part: string): string => part.repeat(Math.ceil(mostOctets / part.length));

describe("a message that is written to annoy is dealt with at once", () => {
  const signed = `X-Tpa-Submit-Probe: ${writeMark(mark, bound)}\r\n`;
  const floods: Readonly<Record<string, string>> = {
    "one endless line": full("x"),
    "carriage returns": full("\rx"),
    "line feeds": `${full("\n").slice(1)}x`,
    "empty lines": `${signed}\r\n${full("\r\n").slice(400)}x`,
    "fields with one letter": `${signed}${full("a:\r\n")}`,
    "fields with many names": `${signed}${Array.from({ length: 20_000 }, (_, number) => `x${number}:\r\n`).join("")}`,
    "Received fields": `${full("Received: by x;\r\n").slice(200)}${signed}`,
    "Authentication-Results": `${full("Received: by mx.example.net;\r\nAuthentication-Results: mx.example.net; spf=pass\r\n").slice(200)}\r\n`,
    comments: `${signed}Received: ${full("((\\").slice(300)}\r\n\r\n`,
    blanks: `${signed}Received: by${full(" ").slice(300)};\r\n\r\n`,
    "folded lines": `${signed}Subject:${full("\r\n x").slice(300)}\r\n\r\n`,
    "parts of a report": `Content-Type: multipart/report\r\n\r\n${full("Content-Type:   \r\n")}`,
  };

  test.each(Object.entries(floods))("%s", (_, text) => {
    const begun = performance.now();
    const message = Buffer.from(text, "latin1");
    meetsCriteria(message, everything);
    fateOf(message);
    deliveryReportIn(message, mark.id);
    expect(changesIn(octets, message, false).length).toBeLessThan(100);
    expect(performance.now() - begun).toBeLessThan(1500);
  });
});

describe("a mark", () => {
  const message = octets.toString("latin1");

  test.each([
    ["with another signature", message.replace(/\.[\w-]{43}\r\n/, `.${"A".repeat(43)}\r\n`)],
    ["with another time", message.replace(".1000000.", ".1000001.")],
    ["of another route", writeMessage(mark, { ...bound, to: "y@example.net" }, "net").toString()],
    ["made with another key", writeMessage(mark, { ...bound, key: Buffer.alloc(32, 3) }, "net").toString()],
    [
      "in the body",
      `Subject: x\r\n\r\n${message.slice(message.indexOf("X-Tpa")).replace(/\r\nMIME[\s\S]*/, "")}\r\n`,
    ],
  ])("%s is none", (_, forged) => {
    expect(fateOf(forged)).toBeUndefined();
  });

  test("that is ours counts, among thousands that are not", () => {
    const forged = Array.from({ length: 5000 }, (_, number) => ({
      place: "spam" as const,
      folder: "Junk",
      at: mark.at,
      octets: Buffer.from(
        `X-Tpa-Submit-Probe: ${String(number).padStart(32, "0")}.1.${"A".repeat(43)}\r\n\r\n`,
      ),
      size: 100,
    }));
    const ours = {
      place: "inbox" as const,
      folder: "INBOX",
      at: mark.at + 1000,
      octets,
      size: octets.length,
    };
    expect(fateIn([...forged, ours], { mark, bound, octets }, mark.at + 2000)).toMatchObject({
      kind: "arrived",
      place: "inbox",
      changes: [],
    });
  });
});

describe("an IMAP server that is broken or hostile is told of in one line, and soon:", () => {
  const servers: Server[] = [];
  const sockets = new Set<Socket>();
  afterEach(() => {
    for (const socket of sockets) socket.destroy();
    for (const server of servers.splice(0)) server.close();
  });

  async function serving(converse: (socket: Socket) => void): Promise<number> {
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on("error", () => socket.destroy());
      converse(socket);
    });
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    return typeof address === "object" && address ? address.port : 0;
  }

  const pouring = (socket: Socket, text: string): void => {
    const pour = (): void => {
      while (socket.writable && socket.write(text));
    };
    socket.on("drain", pour);
    pour();
  };

  test.each<readonly [string, (socket: Socket) => void]>([
    ["it closes at once", (socket) => void socket.end()],
    ["it resets", (socket) => void socket.resetAndDestroy()],
    ["it talks garbage", (socket) => void socket.end(Buffer.alloc(4096, 0xf7))],
    ["it speaks another protocol", (socket) => void socket.end("220 smtp.example.net ESMTP\r\n")],
    ["it refuses", (socket) => void socket.end("* BYE too many connections\r\n")],
    ["its greeting has no end", (socket) => pouring(socket, "x".repeat(65_536))],
    ["it never stops talking", (socket) => pouring(socket, "* OK still here\r\n".repeat(1000))],
    ["it announces a literal of a gigabyte", (socket) => void socket.write("* OK {1073741824}\r\nxx")],
    [
      "it repeats the password",
      (socket) => {
        socket.write("* PREAUTH ready secret-word\r\n");
        socket.on("data", (said) => void socket.end(`${said.toString().split(" ")[0]} NO secret-word\r\n`));
      },
    ],
  ])("%s", { timeout: 20_000 }, async (_, converse) => {
    const port = await serving(converse);
    const account = {
      host: "127.0.0.1",
      port,
      implicitTls: false,
      user: "u",
      password: "secret-word",
      folder: "INBOX",
    };
    const held = process.memoryUsage().rss;
    const opening = openImap(account, AbortSignal.timeout(3000));
    const error = await opening.then(
      () => new Error("it was opened"),
      (reason: Error) => reason,
    );
    expect(error.message).toMatch(/^the mailbox of u at 127\.0\.0\.1:\d+ cannot be looked at: [^\n]+$/);
    expect(error.message).not.toContain("secret-word");
    expect(process.memoryUsage().rss - held).toBeLessThan(150 * 2 ** 20);
  });
});
