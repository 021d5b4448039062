/**
 * What src/server/submission assumes of smtp-server's insides. They are no promise of the library: when a new version
 * changes one, this fails, names the function, and says what to look at before the digest is brought up to date.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { SMTPConnection } from "smtp-server/lib/smtp-connection.js";
import { SMTPServer } from "smtp-server/lib/smtp-server.js";
import { SMTPStream } from "smtp-server/lib/smtp-stream.js";
import { describe, expect, test } from "vitest";

type Row = readonly [of: object, name: string, assumption: string, digest: string];

const connection = SMTPConnection.prototype;
const stream = SMTPStream.prototype;
const server = SMTPServer.prototype;

const replaced: readonly Row[] = [
  [connection, "init", "only sets listeners and leads to the greeting", "67b68fcaf9a0"],
  [connection, "_createParser", "makes the parser, in the constructor and again for TLS", "969851c58da1"],
  [stream, "_write", "is all that reads a client's octets", "320ae0c4e718"],
  [stream, "_feedDataStream", "reads what is a message's", "f8d36018f7c4"],
  [connection, "_armTimeout", "only arms the idle timeout", "b5bf382e684e"],
  [connection, "_onError", "hears of socket errors and failed handshakes", "e8f6b8a6a96f"],
  [server, "_handleProxy", "is called once for every socket, its options reach connect()", "95b040fae0e7"],
  [server, "_expectsProxyHeader", "tells _acceptSocket() to guard a socket", "19b909b66bd3"],
  [server, "_resolveSNI", "finds the context of a name, or the first one", "bf613c3aeac4"],
  [server, "connect", "makes the connection and calls init()", "760cd6611cf5"],
];

const leantOn: readonly Row[] = [
  [connection, "_setListeners", "pipes the socket into the parser, then calls back", "cbf83a7bef4c"],
  [connection, "_onCloseEvent", "leads to _onClose()", "bdd86ac20aaf"],
  [connection, "_onClose", "sets _closed, destroys an unfinished _dataStream", "4980a7a5f4c3"],
  [connection, "close", "ends the socket, stops the parser, destroys what stays half open", "037caa361bbc"],
  [
    connection,
    "upgrade",
    "retires the parser, resumes on _socket inside TLS, sets _upgrading meanwhile",
    "d9470b13d9d8",
  ],
  [stream, "startDataMode", "gives a stream of the message with its dots unstuffed", "38ea172d03e0"],
  [stream, "continue", "goes on with what came behind the message", "d5a929d9939d"],
  [stream, "_endDataMode", "hands what came behind the message to _write()", "cf295c69c1b4"],
  [stream, "_flushData", "does nothing where _remainder is empty", "7cc58b96b5bd"],
  [server, "_acceptSocket", "guards a socket until connect()", "f37460a82eb1"],
  [server, "_upgrade", "calls back once, with a TLS socket or an error that has meta", "252f1aa1e421"],
  [server, "_onError", "emits the error", "902a959fc19b"],
  [server, "_normalizeHostname", "gives names one form, as updateSecureContext() does", "786ded0d2c23"],
  [server, "updateSecureContext", "makes new contexts out of the options", "b5d71077c3e2"],
];

describe("smtp-server", () => {
  test("is the version that was read", () => {
    const file = createRequire(import.meta.url).resolve("smtp-server/package.json");
    expect(JSON.parse(readFileSync(file, "utf8"))).toMatchObject({ version: "3.21.6" });
  });

  test.each([...replaced, ...leantOn])("%o %s: %s", (of, name, assumption, digest) => {
    const member: unknown = Reflect.get(of, name);
    if (typeof member !== "function") throw new Error(`smtp-server has no ${name} any more: ${assumption}`);
    expect(
      digestOf(member),
      `smtp-server's ${name} changed. Assumed: it ${assumption}. Read the new one.`,
    ).toBe(digest);
  });
});

function digestOf(member: { toString(): string }): string {
  return createHash("sha256").update(member.toString().replace(/\s+/g, " ")).digest("hex").slice(0, 12);
}
