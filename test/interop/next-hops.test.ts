/** Next hops that refuse, hang up or dawdle: smtp-sink with its switches, LMTP, and a smarthost whose login is wrong. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { type Relay, startRelay } from "../../demo/relay.mjs";
import { note, submitAlone } from "../relay/conversation.ts";
import { real } from "../tools/real.ts";
import { until } from "../tools/until.ts";
import { type Dovecot, startDovecot } from "./dovecot.mjs";
import { fileWith, type Hop, postfixHop, type Sink, smtpSink } from "./hops.ts";
import { realPostfix } from "./root.ts";

/** Switches of smtp-sink, and what the log then says of a delivery to it. */
const temporary: readonly (readonly [string, readonly string[], string])[] = [
  ["refuses MAIL for now", ["-r", "MAIL"], "450 4.3.0 Error: command failed (in reply to MAIL FROM command)"],
  ["refuses RCPT for now", ["-r", "RCPT"], "450 4.3.0 Error: command failed (in reply to RCPT TO command)"],
  ["refuses DATA for now", ["-r", "DATA"], "450 4.3.0 Error: command failed (in reply to DATA command)"],
  [
    "refuses the message for now",
    ["-r", "."],
    "450 4.3.0 Error: command failed (in reply to end of DATA command)",
  ],
  ["greets with a temporary refusal", ["-r", "CONNECT"], "450 4.3.0 Error: command failed"],
  ["refuses EHLO and HELO for now", ["-r", "EHLO,HELO"], "450 4.3.0 Error: command failed"],
  ["hangs up on EHLO", ["-q", "EHLO"], "while "],
  ["hangs up on MAIL", ["-p", "-q", "MAIL"], "while sending MAIL FROM"],
  ["hangs up on RCPT", ["-p", "-q", "RCPT"], "while sending RCPT TO"],
  ["hangs up on DATA", ["-q", "DATA"], "while "],
  [
    "hangs up after the message",
    ["-q", "."],
    "while sending end of data -- message may be sent more than once",
  ],
  ["says 421 to MAIL and hangs up", ["-Q", "MAIL"], "421 "],
  ["says 421 to the message and hangs up", ["-Q", "."], "421 "],
];

const permanent: readonly (readonly [string, readonly string[], string])[] = [
  ["refuses MAIL", ["-f", "MAIL"], "500 5.3.0 Error: command failed (in reply to MAIL FROM command)"],
  ["refuses RCPT", ["-f", "RCPT"], "500 5.3.0 Error: command failed (in reply to RCPT TO command)"],
  ["refuses DATA", ["-f", "DATA"], "500 5.3.0 Error: command failed (in reply to DATA command)"],
  ["refuses the message", ["-f", "."], "500 5.3.0 Error: command failed (in reply to end of DATA command)"],
  ["takes no 8-bit text", ["-8"], "dsn=5.6.3, "],
];

const kind: readonly (readonly [string, readonly string[]])[] = [
  ["takes a second for DATA", ["-w", "1"]],
  ["takes a second for the message", ["-W", ".:1"]],
  ["knows no ESMTP", ["-e"]],
  ["knows no pipelining", ["-p"]],
  ["looks like a Cisco PIX", ["-P"]],
];

describe.skipIf(!real("smtp-sink"))("an smtp-sink that", () => {
  let relay: Relay;

  beforeAll(async () => {
    relay = await startRelay(
      '[delivery]\nrelay = "smtp://127.0.0.1:9"\nretry-first = "1s"\nretry-longest = "2s"',
    );
  });
  afterAll(() => relay?.stop());

  async function point(to: string): Promise<void> {
    const from = relay.log().length;
    await relay.configure(`[delivery]\nrelay = "${to}"\nretry-first = "1s"\nretry-longest = "2s"`);
    relay.signal("SIGHUP");
    await relay.logged(/certificate and passwords re-read/, from);
  }

  async function sinkThat(...switches: readonly string[]): Promise<Sink> {
    const sink = await smtpSink(...switches);
    onTestFinished(() => sink.stop());
    return sink;
  }

  test("refuses for now, whatever the moment, gets the message later and gets it once", async () => {
    const tokens: string[] = [];
    for (const [name, switches, expected] of temporary) {
      const sink = await sinkThat(...switches);
      await point(`smtp://127.0.0.1:${sink.port}`);
      tokens.push(crypto.randomUUID());
      const id = await submitAlone(relay, note(tokens.at(-1) ?? "", "the end"));
      const [, said = ""] = await relay.logged(new RegExp(`${id}: to=<x@example.net>, .* status=(.*)`));
      expect.soft(said, name).toContain("deferred (");
      expect.soft(said, name).toContain(expected);
    }
    const good = await sinkThat();
    await point(`smtp://127.0.0.1:${good.port}`);
    for (const token of tokens) await good.arrived(token);
    await relay.logged(/removed/);
    await until("an empty queue", async () =>
      (await readdir(join(relay.folder, "spool/queue"))).length === 0 ? true : undefined,
    );
    expect((await good.stored()).length).toBe(tokens.length);
  }, 60_000);

  test.each(permanent)("%s: the message is given up, and its report, too", async (_, switches, expected) => {
    const sink = await sinkThat(...switches);
    await point(`smtp://127.0.0.1:${sink.port}`);
    const id = await submitAlone(relay, note(crypto.randomUUID(), "Grüße, the end"));
    const [, said = ""] = await relay.logged(new RegExp(`${id}: to=<x@example.net>, (.*)`));
    expect(said).toContain("status=bounced (");
    expect(said).toContain(expected);
    const [, report = ""] = await relay.logged(new RegExp(`${id}: sender non-delivery notification: (\\w+)`));
    await relay.logged(new RegExp(`${id}: removed`));
    await relay.logged(new RegExp(`${report}: removed`)); // nobody is told about a report
  });

  test.each(kind)("%s gets the message", async (_, switches) => {
    const sink = await sinkThat(...switches);
    await point(`smtp://127.0.0.1:${sink.port}`);
    const token = crypto.randomUUID();
    const id = await submitAlone(relay, note(token, "the end"));
    expect(await sink.arrived(token)).toMatch(/\r\n\r\nthe end\r\n$/);
    await relay.logged(new RegExp(`${id}: to=<x@example.net>, .* status=sent \\(250 `));
  });

  test("is slow may take the message to its end while the relay stops", async () => {
    const sink = await sinkThat("-W", ".:2");
    const stopping = await startRelay(`[delivery]\nrelay = "smtp://127.0.0.1:${sink.port}"`);
    onTestFinished(() => stopping.stop());
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
    await point(`lmtp://127.0.0.1:${sink.port}`);
    const token = crypto.randomUUID();
    await submitAlone(relay, note(token, "the end"), { to: ["x@example.net", "y@example.net"] });
    expect(await sink.arrived(token)).toMatch(/\r\n\r\nthe end\r\n$/);
  });
});

describe.skipIf(!realPostfix("dovecot"))("a real Dovecot over LMTP", () => {
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

describe.skipIf(!realPostfix("dovecot"))("a Postfix as smarthost", () => {
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
