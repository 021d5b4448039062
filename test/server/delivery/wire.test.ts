/**
 * What we use of nodemailer's undeclared insides: a new version that changes one of these has to fail here.
 */
import SmtpConnection from "nodemailer/lib/smtp-connection";
import { describe, expect, test } from "vitest";
import { WireConnection } from "../../../src/server/delivery/hop/wire.ts";
import { deliver, server } from "./hosts.ts";
import { letter, recipient } from "./letters.ts";

describe("nodemailer", () => {
  test.each(["_sendCommand", "_processResponse", "_onError", "_actionDATA", "_actionLMTPStream"])(
    "still has %s to be overridden",
    (method) => {
      expect(SmtpConnection.prototype).toHaveProperty(method, expect.any(Function));
    },
  );

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
