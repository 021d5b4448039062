/** Real next hops: a slow smtp-sink, Dovecot over LMTP, a Postfix whose login is wrong. */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { type Relay, startRelay } from "../../demo/relay.mjs";
import { note, submitAlone } from "../commands/serve/conversation.ts";
import { real } from "../tools/real.ts";
import { type Dovecot, startDovecot } from "./dovecot.mjs";
import { fileWith, type Hop, postfixHop, type Sink, smtpSink } from "./hops.ts";
import { realPostfix } from "./root.ts";

describe.skipIf(!real("smtp-sink"))("an smtp-sink that", () => {
  async function sinkThat(...switches: readonly string[]): Promise<Sink> {
    const sink = await smtpSink(...switches);
    onTestFinished(() => sink.stop());
    return sink;
  }

  async function relayTo(to: string): Promise<Relay> {
    const relay = await startRelay(`[delivery]\nrelay = "${to}"`);
    onTestFinished(() => relay.stop());
    return relay;
  }

  test("is slow may take the message to its end while the relay stops", async () => {
    const sink = await sinkThat("-W", ".:2");
    const stopping = await relayTo(`smtp://127.0.0.1:${sink.port}`);
    const token = crypto.randomUUID();
    const id = await submitAlone(stopping, note(token, "the end"));
    await sink.arrived(token);
    stopping.signal("SIGTERM");
    expect(await stopping.ended).toEqual({ status: 0, signal: null });
    expect(stopping.log()).toMatch(new RegExp(`${id}: to=<x@example.net>, .* status=sent \\(250 `));
    expect(stopping.log()).toMatch(/stopped, 0 messages stay/);
  });

  test("speaks LMTP gets the message", async () => {
    const sink = await sinkThat("-L");
    const relay = await relayTo(`lmtp://127.0.0.1:${sink.port}`);
    const token = crypto.randomUUID();
    await submitAlone(relay, note(token, "the end"), { to: ["x@example.net", "y@example.net"] });
    expect(await sink.arrived(token)).toMatch(/\r\n\r\nthe end\r\n$/);
  });
});

describe.skipIf(!realPostfix("dovecot lmtp"))("a real Dovecot over LMTP", () => {
  let dovecot: Dovecot;
  let relay: Relay;

  beforeAll(async () => {
    dovecot = await startDovecot({ x: "{PLAIN}unused", user1: "{PLAIN}unused" });
    relay = await startRelay(`[delivery]\nrelay = "lmtp://127.0.0.1:${dovecot.lmtp}"`);
  });
  afterAll(async () => {
    await relay?.stop();
    await dovecot?.stop();
  });

  test("takes the message for one recipient, refuses it for the other, and the sender reads of the other", async () => {
    const token = crypto.randomUUID();
    const to = ["x@example.net", "nobody@example.net"];
    const id = await submitAlone(relay, note(token, "the end"), { to });
    await relay.logged(new RegExp(`${id}: to=<x@example.net>, .* status=sent \\(250 2\\.0\\.0 `));
    await relay.logged(
      new RegExp(`${id}: to=<nobody@example.net>, .* status=bounced \\(host .* 550 5\\.1\\.1 `),
    );
    await relay.logged(new RegExp(`${id}: removed`));
    expect(await fileWith(join(dovecot.maildir("x"), "new"), token)).toContain("\n\nthe end\n");
    const report = await fileWith(join(dovecot.maildir("user1"), "new"), "Final-Recipient");
    expect(report).toMatch(/^Content-Type: multipart\/report; report-type=delivery-status;/m);
    expect(report).toMatch(/^Final-Recipient: rfc822; ?nobody@example\.net$/m);
    expect(report).toMatch(/^Status: 5\.1\.1$/m);
    expect(report).not.toContain("Final-Recipient: rfc822; x@");
  });
});

describe.skipIf(!realPostfix("dovecot lmtp"))("a Postfix as smarthost", () => {
  let hop: Hop;

  beforeAll(async () => {
    hop = await postfixHop();
  });
  afterAll(() => hop?.stop());

  test.each([
    [
      "whose certificate is not trusted gets neither password nor message",
      /relay-ca = .*/,
      "",
      /certificate/i,
    ],
    ["that refuses our login gets no message", /relay-user = .*/, 'relay-user = "relay2"', /535 5\.7\.8/],
  ])("%s", async (_, pattern, replacement, reason) => {
    const relay = await startRelay(`[delivery]\n${hop.delivery.replace(pattern, replacement)}`);
    try {
      const id = await submitAlone(relay, note(crypto.randomUUID()));
      const [, said = ""] = await relay.logged(new RegExp(`${id}: to=<x@example.net>, .* status=(.*)`));
      expect(said).toMatch(/^deferred/);
      expect(said).toMatch(reason);
    } finally {
      await relay.stop();
    }
  });
});
