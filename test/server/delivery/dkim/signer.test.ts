import { Readable } from "node:stream";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { newSigner } from "../../../../src/server/delivery/dkim/signer.ts";
import { signingTransport, type Transport } from "../../../../src/server/delivery/transport.ts";
import { type LogEntry, logTo } from "../../../../src/server/log/log.ts";
import { type GaugeReadings, gauges, openMetrics } from "../../../../src/server/log/metrics.ts";
import { accepted, envelope, message, outgoing, replies } from "../fixtures.ts";
import { deliver, server } from "../hosts.ts";
import { head, odd } from "./odd.ts";
import { both, key, never, recordOf, signedBy, verified } from "./site.ts";

const pass = ["a pass", "b pass"];

const noReadings = Object.fromEntries(
  Object.keys(gauges).map((name) => [name, () => []]),
) as unknown as GaugeReadings;

describe("another implementation finds both signatures valid:", () => {
  test.each(odd)("%s", async (_, text) => {
    const made = await signedBy(text);
    expect((await verified(made + text)).slice(0, 2)).toEqual(pass);
    // However it comes from the disk, the same.
    expect(await signedBy(text, { size: 7 })).toBe(made);
    expect(await signedBy(text, { size: 1 })).toBe(made);
  });

  test("500 messages by chance", async () => {
    const piece = fc.constantFrom(" ", "\t", "\r\n", "\r\n\r\n", "x", ".", "\xe9", "word", ";", "=");
    const folded = fc.array(fc.constantFrom(" ", "\t", "x", "\r\n ", "\r\n\ty", ":", ";", "\xc3\xbc"));
    await fc.assert(
      fc.asyncProperty(
        fc.array(piece),
        folded,
        fc.integer({ min: 1, max: 9 }),
        async (body, subject, size) => {
          const text = `${head.replace("hi", `s${subject.join("")}`)}\r\n${body.join("")}`;
          expect(await verified((await signedBy(text, { size })) + text)).toEqual(pass);
        },
      ),
      { numRuns: 500 },
    );
  }, 60_000);
});

describe("a signature", () => {
  test("covers what receivers ask for; what must not be added is named once more than it is there", async () => {
    const [first = ""] = (await signedBy(message)).split(/(?=DKIM-Signature)/);
    const names = (/h=([^;]*)/.exec(first)?.[1] ?? "").replace(/\s/g, "").split(":");
    const twice = ["From", "Subject", "Message-ID"];
    for (const name of twice) expect(names.filter((one) => one === name)).toHaveLength(2);
    for (const name of ["Date", "To", "Cc", "Reply-To", "In-Reply-To", "References", "MIME-Version"]) {
      expect(names.filter((one) => one === name)).toHaveLength(1);
    }
    for (const name of ["Sender", "List-Id", "Received", "Bcc", "Return-Path"])
      expect(names).not.toContain(name);
    expect(first).toContain(`s=a; t=${accepted / 1000};`);
    for (const line of first.split("\r\n")) expect(line.length).toBeLessThanOrEqual(78);
  });

  test.each([
    ["another From", (text: string) => `From: x@example.com\r\n${text}`],
    ["a To where none was", (text: string) => `To: x@example.com\r\n${text}`],
    ["another subject", (text: string) => text.replace("hi", "ho")],
    ["one more line", (text: string) => `${text}x\r\n`],
  ])("breaks with %s", async (_, changed) => {
    const found = await verified((await signedBy(message)) + changed(message));
    expect(found.filter((one) => one.endsWith("pass"))).toEqual([]);
  });

  test("is made by every key: two in the middle of a rotation are both valid", async () => {
    const keys = new Map([["example.org", [key("a", "rsa"), key("c", "rsa")]]]);
    const text = (await signedBy(message, { keys })) + message;
    expect(await verified(text, { a: recordOf("rsa"), c: recordOf("rsa") })).toEqual(["a pass", "c pass"]);
  });

  test("is not made again while it is valid, and is when it is not", async () => {
    const made = await signedBy(message);
    expect(await signedBy(made + message)).toBe("");
    const changed = `${made}${message.replace("hi", "ho")}`;
    expect(await verified((await signedBy(changed)) + changed)).toEqual([...pass, "a fail", "b fail"]);
    const claimed = made.replaceAll(/b=[^;]{9}$/gm, "b=AAAAAAAAA") + message;
    expect((await verified((await signedBy(claimed)) + claimed)).slice(0, 2)).toEqual(pass);
    // A key that has come since signs still.
    const keys = new Map([["example.org", [key("c", "rsa")]]]);
    expect(await signedBy(made + message, { keys })).toContain("s=c;");
  });
});

describe("nothing is signed", () => {
  const text = (from: string): string => `From: ${from}\r\nSubject: hi\r\n\r\nx\r\n`;

  test.each([
    ["for a domain without a key", text("user1@example.net")],
    ["for one below a domain with a key", text("user1@sub.example.org")],
    ["for two From fields", `From: user1@example.org\r\n${text("user1@example.org")}`],
    ["for a From that cannot be understood", text("user1@example.org <user1@example.net>")],
    ["without From", "Subject: hi\r\n\r\nx\r\n"],
    ["for a path in place of a domain", text("user1@[192.0.2.1]")],
    ["for a header without end", `From: user1@example.org\r\n${"X: y\r\n".repeat(200_000)}\r\n`],
  ])("%s", async (_, unsigned) => {
    expect(await signedBy(unsigned)).toBe("");
    expect(await signedBy(unsigned, { size: 60_000 })).toBe("");
  });

  test("for a From that the login may not use", async () => {
    const mayUse = (login: string, address: string): boolean => address === `${login}@example.org`;
    expect(
      await verified((await signedBy(text("user1@example.org"), { mayUse })) + text("user1@example.org")),
    ).toEqual(pass);
    expect(await signedBy(text("user2@example.org"), { mayUse })).toBe("");
    expect(await signedBy(text("user1@example.org, user2@example.org"), { mayUse })).toBe("");
  });
});

describe("the log and the metrics tell", () => {
  let seen: LogEntry[] = [];
  let metrics = openMetrics(noReadings);
  beforeEach(() => {
    seen = [];
    metrics = openMetrics(noReadings);
    logTo((entry) => {
      seen.push(entry);
      metrics.count(entry);
    });
  });
  afterEach(() => logTo(() => undefined));

  test("each signature, with its domain, selector and algorithm", async () => {
    await signedBy(message);
    const { id } = envelope();
    expect(seen.map(({ text }) => text)).toEqual([
      `${id}: DKIM-Signature field added (s=a, d=example.org, a=rsa-sha256)`,
      `${id}: DKIM-Signature field added (s=b, d=example.org, a=ed25519-sha256)`,
    ]);
    expect(metrics.text()).toContain(
      'tpa_submit_dkim_signatures_total{domain="example.org",algorithm="rsa-sha256"} 1\n',
    );
  });

  test.each([
    ["no-key", "From: user1@example.net\r\n\r\nx\r\n", true],
    ["not-allowed", "From: user1@example.org\r\n\r\nx\r\n", false],
    ["unclear-from", "Subject: hi\r\n\r\nx\r\n", true],
    ["unclear-from", "From: user1@example.org\r\nFrom: user2@example.org\r\n\r\nx\r\n", true],
    ["long-header", `From: user1@example.org\r\n${"X: y\r\n".repeat(200_000)}`, true],
  ])("%s, where there is none", async (reason, text, allowed) => {
    expect(await signedBy(text, { mayUse: () => allowed })).toBe("");
    expect(seen.map(({ text: line }) => line)).toEqual([
      `${envelope().id}: no DKIM-Signature field added (${reason})`,
    ]);
    expect(metrics.text()).toMatch(
      new RegExp(`^tpa_submit_dkim_unsigned_total\\{reason="${reason}"\\} 1$`, "m"),
    );
  });

  test("nothing where there are no keys at all", async () => {
    expect(await signedBy(message, { keys: new Map() })).toBe("");
    expect(seen).toEqual([]);
  });
});

describe("a report of the relay", () => {
  const report = (from: string): string => `From: ${from}\r\nSubject: hi\r\n\r\nx\r\n`;
  const ours = report("MAILER-DAEMON@submission.example.org");
  const own = { envelope: { login: null, sender: "" }, mayUse: () => false };

  test("is signed by the domain above the host", async () => {
    expect(await verified((await signedBy(ours, own)) + ours)).toEqual(pass);
  });

  test("is signed by the host's own key where there is one", async () => {
    const keys = new Map([
      ["example.org", both],
      ["submission.example.org", [key("host", "rsa", "submission.example.org")]],
    ]);
    expect(await signedBy(ours, { ...own, keys })).toContain("d=submission.example.org;\r\n\ts=host;");
  });

  test("in another name is not signed", async () => {
    expect(await signedBy(report("user1@example.org"), own)).toBe("");
  });
});

describe("on the way", () => {
  const sign = newSigner({
    keys: new Map([["example.org", both]]),
    hostname: "submission.example.org",
    mayUse: () => true,
    now: () => accepted,
  });
  const eightBit =
    "From: user1@example.org\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n" +
    "Content-Transfer-Encoding: 8bit\r\n\r\ncaf\xc3\xa9\r\n";
  const without8bit = { EHLO: "250-fake.example.net\n250 SIZE 1000000" };

  test("the message goes out with the signatures before it, and SIZE counts them", async () => {
    const at = await server();
    for (const octets of [undefined, Buffer.from(message)]) {
      const signed = { ...outgoing(), sign, ...(octets && { octets }) };
      expect(replies(await deliver([at], signed))).toEqual(["250 2.0.0 queued as F00"]);
      const text = at.received.at(-1)?.message ?? "";
      expect(await verified(text)).toEqual(pass);
      expect(text.endsWith(message)).toBe(true);
      expect(at.received.at(-1)?.mail).toContain(`SIZE=${text.length}`);
    }
  });

  test("it is signed as the next hop gets it: after the conversion to 7 bits", async () => {
    const at = await server(without8bit);
    await deliver([at], { ...outgoing({ eightBit: true, size: eightBit.length }, eightBit), sign });
    const text = at.received[0]?.message ?? "";
    expect(text).toContain("Content-Transfer-Encoding: base64\r\n");
    expect(await verified(text)).toEqual(pass);
  });

  test("a message that the signatures make too large is refused", async () => {
    const at = await server({ EHLO: `250-fake.example.net\n250 SIZE ${message.length + 100}` });
    expect(replies(await deliver([at], { ...outgoing(), sign }))).toEqual([
      expect.stringMatching(/^552 5\.3\.4 the message has \d+ octets/),
    ]);
    expect(at.received).toEqual([]);
  });

  test("a message that cannot be read stays, and no signature is sent without it", async () => {
    const at = await server();
    const body = (): Readable =>
      new Readable({
        read() {
          this.destroy(Object.assign(new Error("EIO: i/o error, read"), { code: "EIO" }));
        },
      });
    expect(replies(await deliver([at], { ...outgoing(), body, sign }))).toEqual([
      "451 4.3.0 the message cannot be read: EIO: i/o error, read",
    ]);
  });

  test("a signer that is told to stop says nothing", async () => {
    const stop = new AbortController();
    stop.abort();
    const body = (): Readable => Readable.from([Buffer.from(message)]);
    expect(await sign({ envelope: envelope(), body }, stop.signal)).toBeUndefined();
    expect(await sign({ envelope: envelope(), body }, never)).toContain("s=a;");
  });

  test("each attempt has the signer that is in use then", async () => {
    const seen: (string | undefined)[] = [];
    const carrier: Transport = {
      destination: () => "",
      deliver: async ({ sign: by, envelope: whole }) => {
        const made = await by?.(
          { envelope: whole, body: () => Readable.from([Buffer.from(message)]) },
          never,
        );
        seen.push(/s=\w+/.exec(JSON.stringify(made))?.[0]);
        return [];
      },
    };
    for (const selector of ["old", "new"]) {
      const keys = new Map([["example.org", [key(selector, "rsa")]]]);
      const by = newSigner({ keys, hostname: "h.example.org", mayUse: () => true, now: () => accepted });
      await signingTransport(carrier, by).deliver(outgoing(), never);
    }
    expect(seen).toEqual(["s=old", "s=new"]);
  });
});

test("50 MB are hashed in turns, none of them long", async () => {
  const chunk = Buffer.from("word  word\t\r\n\r\n".repeat(4_680));
  const body = (): Readable =>
    Readable.from(
      (function* () {
        yield Buffer.from(`${head}\r\n`);
        for (let at = 0; at < 800; at++) yield chunk;
      })(),
    );
  let turns = 0;
  const ticking = setInterval(() => turns++, 1);
  const sign = newSigner({
    keys: new Map([["example.org", both]]),
    hostname: "submission.example.org",
    mayUse: () => true,
    now: () => accepted,
  });
  const made = await sign({ envelope: envelope(), body }, never);
  clearInterval(ticking);
  expect(made).toContain("s=b;");
  expect(turns).toBeGreaterThan(20);
});
