/** What the probe's own verifier makes of signatures: ours, mailauth's, changed ones and nonsense. */
import { generateKeyPairSync } from "node:crypto";
import fc from "fast-check";
import { dkimSign } from "mailauth/lib/dkim/sign.js";
import { describe, expect, test } from "vitest";
import { verifySignatures } from "../../../src/smtp/dkim/verify.ts";
import { odd } from "../../server/delivery/dkim/odd.ts";
import { pairs, recordOf, signedBy } from "../../server/delivery/dkim/site.ts";
import { accepted, message } from "../../server/delivery/fixtures.ts";

const dns: Readonly<Record<string, string>> = { a: recordOf("rsa"), b: recordOf("ed25519") };

const lookUpIn =
  (records: Readonly<Record<string, string>>) =>
  async (name: string): Promise<readonly string[] | "trouble"> => {
    const text = records[name.split(".")[0] ?? ""];
    return text === undefined ? [] : text === "" ? "trouble" : [text];
  };

async function found(text: string, records = dns, now = accepted): Promise<readonly string[]> {
  const whole = text.endsWith("\r\n") ? text : `${text}\r\n`;
  const findings = await verifySignatures(Buffer.from(whole, "latin1"), lookUpIn(records), now);
  return findings.map(({ selector, result, words }) => `${selector} ${result}${words && `: ${words}`}`);
}

describe("finds our own signatures valid:", () => {
  test.each(odd)("%s", async (_, text) => {
    expect((await found((await signedBy(text)) + text)).slice(0, 2)).toEqual(["a pass", "b pass"]);
  });
});

describe("finds mailauth's valid, in each form:", () => {
  test.each(["simple/simple", "simple/relaxed", "relaxed/simple", "relaxed/relaxed"])("%s", async (form) => {
    for (const [name, text] of odd) {
      if (!text.includes("\r\n\r\n")) continue; // no end of the header
      const wire = text.endsWith("\r\n") ? text : `${text}\r\n`;
      const { signatures } = (await dkimSign(Buffer.from(wire, "latin1"), {
        canonicalization: form,
        signTime: new Date(accepted),
        signatureData: [
          {
            signingDomain: "example.org",
            selector: "a",
            privateKey: pairs.rsa.privateKey.export({ type: "pkcs8", format: "pem" }),
          },
        ],
      })) as { readonly signatures: string };
      expect([name, (await found(signatures + wire))[0]]).toEqual([name, "a pass"]);
    }
  });
});

describe("does not let pass", () => {
  test.each([
    ["another subject", (text: string) => text.replace("Subject: hi", "Subject: ho"), /fail: a field/],
    ["another body", (text: string) => `${text}more\r\n`, /fail: the body is another/],
    ["a second From", (text: string) => `From: x@example.net\r\n${text}`, /fail: a field/],
    ["another domain", (text: string) => text.replaceAll("d=example.org", "d=example.net"), /fail: a field/],
    ["a part of the body", (text: string) => text.replaceAll(/(?<=t=\d+;)/g, " l=1;"), /neutral: .*\(l=\)/],
    ["what has expired", (text: string) => text.replaceAll(/(?<=t=\d+;)/g, " x=1;"), /fail: it has expired/],
    ["SHA-1", (text: string) => text.replaceAll(/a=\S+-sha256/g, "a=rsa-sha1"), /permerror: rsa-sha1/],
    ["no h=", (text: string) => text.replaceAll("\th=", "\tz="), /permerror: it lacks the tag h=/],
    [
      "From not covered",
      (text: string) => text.replaceAll("h=From:From:", "h="),
      /permerror: it does not cover From/,
    ],
    [
      "a foreign i=",
      (text: string) => text.replaceAll(/(?<=t=\d+;)/g, " i=x@example.net;"),
      /permerror: its i=/,
    ],
    [
      "a path as a selector",
      (text: string) => text.replaceAll(/s=[ab];/g, "s=../a;"),
      /permerror: its d= or s= is no name/,
    ],
  ])("%s", async (_, change, says) => {
    const text = change((await signedBy(message)) + message);
    expect(await found(text, { ...dns, "": recordOf("rsa") })).toContainEqual(expect.stringMatching(says));
    expect((await found(text)).filter((one) => one.endsWith("pass"))).toEqual([]);
  });

  test.each([
    ["a missing record", undefined, "a permerror: the record of its key is missing"],
    ["no answer", "", "a temperror: the DNS does not answer for its key"],
    [
      "a revoked key",
      "v=DKIM1; p=",
      "a permerror: the record of its key says that the key is revoked (p= is empty)",
    ],
    [
      "another key",
      recordOf("rsa", generateKeyPairSync("rsa", { modulusLength: 2048 })),
      "a fail: a field that it covers is another, or the key is",
    ],
    ["a key of another kind", recordOf("ed25519"), "a permerror: its key is of another kind, ed25519"],
    [
      "a short key",
      recordOf("rsa", generateKeyPairSync("rsa", { modulusLength: 512 })),
      "a permerror: the record of its key has a key of 512 bits, which counts as none: 2048 is right",
    ],
    [
      "a test",
      `t=y; ${recordOf("rsa").slice(11)}`,
      "a neutral: it is valid, but its key is in test mode (t=y)",
    ],
    [
      "a record without SHA-256",
      `${recordOf("rsa")}; h=sha1`,
      "a permerror: the record of its key allows no SHA-256 (h=sha1)",
    ],
    [
      "nonsense",
      "v=DKIM1; k=rsa; p=AAAA",
      "a permerror: the record of its key has a key (p=) that cannot be read",
    ],
  ])("%s", async (_, record, words) => {
    const records: Record<string, string> = record === undefined ? {} : { a: record };
    expect((await found((await signedBy(message)) + message, records))[0]).toBe(words);
  });
});

test("takes a key as it is found elsewhere: without v=, k=, as PKCS #1, in strings with blanks", async () => {
  const made = (await signedBy(message)) + message;
  const bare = pairs.rsa.publicKey.export({ type: "pkcs1", format: "der" }).toString("base64");
  for (const record of [`p=${bare}`, `v = DKIM1 ; n=a note; p=${bare.slice(0, 80)} \t${bare.slice(80)}`])
    expect((await found(made, { a: record }))[0]).toBe("a pass");
});

test("no message makes it throw, or say what does not fit on a line", async () => {
  const piece = fc.constantFrom(
    "v=1",
    "a=rsa-sha256",
    "b=",
    "bh=",
    "d=example.org",
    "s=a",
    "h=From",
    ";",
    "\r\n ",
    "\x1b[",
    "=",
    "l=1",
    "c=x/y/z",
  );
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { maxLength: 30 }), fc.string(), async (tags, body) => {
      const text = `DKIM-Signature: ${tags.join(";")}\r\nFrom: x@example.org\r\n\r\n${body}`;
      const findings = await verifySignatures(Buffer.from(text, "latin1"), lookUpIn(dns), accepted);
      for (const { domain, selector, algorithm, words, result } of findings) {
        expect(result).not.toBe("pass");
        expect(`${domain}${selector}${algorithm}${words}`).toMatch(/^[\x20-\x7e]*$/);
      }
    }),
    { numRuns: 300 },
  );
});
