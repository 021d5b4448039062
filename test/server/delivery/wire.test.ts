/**
 * What we use of nodemailer's undeclared insides: a new version that changes one of these has to fail here.
 */
import SmtpConnection from "nodemailer/lib/smtp-connection";
import { describe, expect, test } from "vitest";
import { WireConnection } from "../../../src/server/delivery/hop/wire.ts";
import { deliver, server } from "./hosts.ts";
import { letter, recipient, replies } from "./letters.ts";

describe("nodemailer", () => {
  test.each([
    "_sendCommand",
    "_onData",
    "_onResponseTooLarge",
    "_processResponse",
    "_onError",
    "_actionDATA",
    "_actionLMTPStream",
  ])("still has %s to be overridden", (method) => {
    expect(SmtpConnection.prototype).toHaveProperty(method, expect.any(Function));
  });

  test("still has the fields that are read", () => {
    expect(new WireConnection({})).toMatchObject({
      _supportedExtensions: [],
      _maxAllowedSize: 0,
      _responseQueue: [],
      _responsePartial: false,
      destroyed: false,
      secure: false,
      allowsAuth: false,
    });
  });

  test("sends each command through the method that puts ours in its place", async () => {
    const at = await server();
    const recipients = [recipient("a@example.net"), recipient("b@example.net")];
    await deliver([at], letter({ sender: "user1@example.org", recipients }));
    const envelope = at.commands.filter((command) => /^(?:MAIL|RCPT)/.test(command));
    expect(envelope).toEqual([
      expect.stringMatching(/^MAIL FROM:<user1@example\.org> SIZE=\d+$/),
      "RCPT TO:<a@example.net>",
      "RCPT TO:<b@example.net>",
    ]);
  });

  test("says what the server announces, and nothing that it does not", async () => {
    const at = await server({ EHLO: "250-fake\n250-SIZE 2000\n250 8BITMIME" });
    const wire = new WireConnection({ host: "127.0.0.1", port: at.port, name: "client.example.org" });
    expect(wire.largest).toBe(Number.POSITIVE_INFINITY);
    await new Promise<void>((resolve) => wire.connect(() => resolve()));
    expect(wire.largest).toBe(2000);
    expect(
      ["8BITMIME", "SIZE", "DSN", "SMTPUTF8", "PIPELINING"].map((name) => wire.offers(name as "DSN")),
    ).toEqual([true, true, false, false, false]);
    wire.leave();
  });
});

describe("a next hop that talks without being asked", () => {
  test("is hung up on before that fills the memory", async () => {
    const at = await server({ MAIL: { say: "\n".repeat(100_000), fault: "silence" } });
    const [said] = replies(await deliver([at], letter()));
    expect(said).toMatch(/^451 4\.4\.2 lost connection with localhost\[127\.0\.0\.1\] while sending /);
  });

  test("ends its session, however much is left unread", async () => {
    const at = await server({ EHLO: "250 fake\n250 one\n250 two\n250 three" });
    const wire = new WireConnection({ host: "127.0.0.1", port: at.port, name: "client.example.org" });
    const trouble = new Promise<Error>((resolve) => wire.once("error", resolve));
    wire.connect(() => undefined);
    expect((await trouble).message).toBe("Unexpected Response: 250 one");
    wire.close();
  });
});
