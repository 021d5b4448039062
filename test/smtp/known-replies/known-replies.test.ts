import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { explainReply, hostOf, knownReplies, replyClassOf } from "../../../src/smtp/known-replies/explain.ts";
import { meaningText, operatorText, senderText } from "../../../src/smtp/known-replies/row.ts";
import { providerOf, providers, type ReplyWording } from "../../../src/smtp/providers.ts";
import { parseReply, reply } from "../../../src/smtp/reply.ts";

/** A reply for each row of the table, in its order, and a host that says it. */
const samples = JSON.parse(readFileSync(new URL("samples.json", import.meta.url), "utf8")) as Readonly<
  Record<ReplyWording | "anywhere", { readonly host: string; readonly replies: readonly string[] }>
>;
const wordings = Object.keys(knownReplies) as (keyof typeof knownReplies)[];

describe.each(wordings)("the replies of %s", (wording) => {
  const rows = knownReplies[wording];
  const { host, replies } = samples[wording];

  test("have a sample each", () => {
    expect(replies).toHaveLength(rows.length);
  });

  test.each([...replies.entries()])("%i: %s", (index, said) => {
    expect(explainReply(parseReply(said), `${host}[192.0.2.1]:25`)).toBe(rows[index]);
  });

  test.each([...replies.entries()])("%i is known as well where it stands in words of ours", (index, said) => {
    const words = reply(451, "4.3.0", `host ${host}[192.0.2.1] refused to talk to me: ${said}`);
    expect(explainReply(words, "none")).toBe(rows[index]);
  });
});

const known = wordings.flatMap((wording) => [...knownReplies[wording]]);

test("there is a word for the operator wherever an act is named, and a sentence for the sender", () => {
  for (const one of known) {
    expect(operatorText(one) === "").toBe(one.operator.length === 0);
    expect(meaningText(one, 450)).toMatch(/; waiting (?:helps|does not help)/);
    expect(meaningText(one, 550)).toMatch(/; (?:waiting does not help|final for this message)/);
    for (const failed of [true, false]) expect(senderText(one, failed)).toMatch(/^[A-Z].*\.$/);
  }
});

test("meanings are parts of a sentence that a line of 80 columns nearly holds", () => {
  for (const { meaning } of known) expect(meaning).toMatch(/^[A-Z].{5,100}[^.]$/);
});

describe("a reply is not explained", () => {
  test("where it is none of a refusal", () => {
    expect(explainReply(reply(250, "2.0.0", "User unknown"), "mx.example.net[192.0.2.1]:25")).toBeUndefined();
  });

  test("where no host said it", () => {
    const ours = reply(451, "4.4.1", "connect to mx.example.net[192.0.2.1]:25: User unknown");
    expect(explainReply(ours, "none")).toBeUndefined();
    expect(replyClassOf(ours, "none")).toBe("no-answer");
  });

  test("where nobody knows it", () => {
    const said = reply(550, "5.7.1", "the moon is in the wrong house");
    expect(explainReply(said, "mx.example.net[192.0.2.1]:25")).toBeUndefined();
    expect(replyClassOf(said, "mx.example.net[192.0.2.1]:25")).toBe("unknown");
  });

  test("where it is another provider's words", () => {
    const said = reply(421, "4.7.28", "an unusual rate of unsolicited mail");
    expect(explainReply(said, "gmail-smtp-in.l.google.com[192.0.2.1]:25")?.class).toBe("rate");
    expect(explainReply(said, "mx.example.net[192.0.2.1]:25")).toBeUndefined();
  });
});

describe("what a host said in words of ours", () => {
  const greeting =
    "host mx00.t-online.de[192.0.2.1] refused to talk to me: 554-IP=192.0.2.9 - None/bad reputation / 554 ask. (NOWL)";

  test("is told with its host", () => {
    expect(hostOf(reply(451, "4.0.0", greeting), "none")).toBe("mx00.t-online.de");
    expect(replyClassOf(reply(451, "4.0.0", greeting), "none")).toBe("reputation");
  });

  test("is told when a pause repeats it", () => {
    const paused = reply(451, "4.0.0", `delivery temporarily suspended: ${greeting}`);
    expect(replyClassOf(paused, "none")).toBe("reputation");
  });

  test("is not there where it did not answer, but its name is", () => {
    const silent = reply(451, "4.4.1", "connect to mx1.riseup.net[192.0.2.1]:25: Connection refused");
    expect(hostOf(silent, "none")).toBe("mx1.riseup.net");
    expect(replyClassOf(silent, "none")).toBe("no-answer");
    expect(hostOf(reply(550, "5.1.2", "there is no such domain"), "none")).toBe("");
  });

  test.each([
    ["mx.example.net[192.0.2.1]:25", "mx.example.net"],
    ["2001:db8::1[2001:db8::1]:25", "2001:db8::1"],
    ["mx.example.net", "mx.example.net"],
  ])("%s is %s", (relay, host) => {
    expect(hostOf(reply(250, "2.0.0", "ok"), relay)).toBe(host);
  });

  test("is that of a closed session, too", () => {
    const closed =
      "host mta5.am0.yahoodns.net[192.0.2.1] said: 421 4.7.0 [TSS04] Messages from 192.0.2.9 temporarily deferred due to user complaints (in reply to MAIL FROM command)";
    expect(explainReply(reply(421, "4.7.0", closed), "none")?.class).toBe("rate");
  });
});

test("a long reply costs little", () => {
  const long = reply(550, "5.7.1", "host x[y] said: 5.7.26 ".repeat(100_000));
  const before = process.cpuUsage();
  for (let times = 0; times < 100; times++) {
    explainReply(long, "mx.google.com[192.0.2.1]:25");
    explainReply(long, "none");
  }
  expect(process.cpuUsage(before).user / 1000).toBeLessThan(1_000);
});

describe("the provider of a host", () => {
  test.each([
    ["gmail-smtp-in.l.google.com", "Gmail"],
    ["alt1.gmail-smtp-in.l.google.com", "Gmail"],
    ["aspmx.l.google.com", "Google Workspace"],
    ["example-net.mail.protection.outlook.com", "Microsoft 365"],
    ["outlook-com.olc.protection.outlook.com", "Outlook.com"],
    ["MTA5.am0.yahoodns.net.", "Yahoo"],
    ["mx00.emig.gmx.net", "GMX and web.de"],
    ["mx1.riseup.net", "Riseup"],
  ])("%s is %s", (host, name) => {
    expect(providerOf(host)?.name).toBe(name);
  });

  test.each(["mx.example.net", "notgoogle.com", "google.com.example.net", "", "[192.0.2.1]", "none"])(
    "%s is none that has a name",
    (host) => {
      expect(providerOf(host)).toBeUndefined();
    },
  );

  test("is one only: no two have the same end", () => {
    const ends = providers.flatMap(({ hosts }) => hosts);
    expect(new Set(ends).size).toBe(ends.length);
    expect(ends.filter((end) => end !== end.toLowerCase())).toEqual([]);
  });
});
