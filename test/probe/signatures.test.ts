/** What signatures of an arrived message are worth to DMARC. */
import { getDomain } from "tldts";
import { describe, expect, test } from "vitest";
import { judgeSignatures } from "../../src/probe/checkup/signatures.ts";
import { alignmentOf, arrivedSignatures, signatureText } from "../../src/probe/signatures.ts";
import { recordOf, signedBy } from "../server/delivery/dkim/site.ts";
import { accepted, message } from "../server/delivery/fixtures.ts";

const organisation = (name: string): string | undefined =>
  getDomain(name, { allowPrivateDomains: true }) ?? undefined;

const lookUp = async (name: string): Promise<readonly string[]> =>
  name.startsWith("a.") ? [recordOf("rsa")] : name.startsWith("b.") ? [recordOf("ed25519")] : [];

const judged = async (text: string) => {
  const found = await arrivedSignatures(Buffer.from(text, "latin1"), { lookUp, organisation }, accepted);
  return judgeSignatures(found).map(([state, words]) => `${state}: ${words}`);
};

test.each([
  ["example.org", "example.org", "strict"],
  ["lists.example.org", "example.org", "relaxed"],
  ["example.org", "mail.example.org", "relaxed"],
  ["example.co.uk", "example2.co.uk", "none"],
  ["one.github.io", "two.github.io", "none"],
  ["example.org", "example.net", "none"],
  ["", "example.org", "none"],
  ["localhost", "local", "none"],
])("From %s and d=%s: %s", (author, domain, expected) => {
  expect(alignmentOf(author, domain, organisation)).toBe(expected);
});

describe("a message", () => {
  test("with both signatures of ours", async () => {
    expect(await judged((await signedBy(message)) + message)).toEqual([
      "ok: signature of example.org by a (rsa-sha256, 2048 bits): valid; aligned with From",
      "ok: signature of example.org by b (ed25519-sha256): valid; aligned with From",
      "ok: DMARC counts the signature of example.org for example.org",
    ]);
  });

  test("that somebody changed", async () => {
    const changed = ((await signedBy(message)) + message).replace("Subject: hi", "Subject: [list] hi");
    expect(await judged(changed)).toEqual([
      expect.stringMatching(
        /^failed: signature of example\.org by a .*: fail, a field that it covers is another/,
      ),
      expect.stringMatching(/^failed: signature of example\.org by b /),
      "failed: no signature is valid and aligned with example.org, so DMARC counts none",
    ]);
  });

  test("that somebody else signed", async () => {
    const foreign = message.replace(/^From: .*$/m, "From: user1@example.net");
    const text =
      (await signedBy(foreign, { keys: new Map([["example.net", [await foreignKey()]]]) })) + foreign;
    expect(await judged(text)).toEqual([
      "ok: signature of example.org by a (rsa-sha256, 2048 bits): valid; not aligned with From",
      "failed: no signature is valid and aligned with example.net, so DMARC counts none",
    ]);
  });

  test("without one", async () => {
    expect(await judged(message)).toEqual(["warning: the message has no DKIM signature"]);
  });
});

const foreignKey = async () =>
  (await import("../server/delivery/dkim/site.ts")).key("a", "rsa", "example.org");

test("words of strangers are shown on one line", async () => {
  const text = `DKIM-Signature: v=1; a=rsa-\x1b[1m; d=x\u00a0y; s=z; b=x; bh=x; h=from\r\n${message}`;
  const { signatures } = await arrivedSignatures(
    Buffer.from(text, "latin1"),
    { lookUp, organisation },
    accepted,
  );
  for (const one of signatures) expect(signatureText(one)).toMatch(/^[\x20-\x7e]+$/);
});
