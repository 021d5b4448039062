/** The probe's eyes: a real Dovecot, into which mail comes by LMTP and out of which it is read by IMAP. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ImapAccount, openImap } from "../../src/probe/arrival/imap.ts";
import type { FoundMessage, Mailbox, SearchCriteria } from "../../src/probe/arrival/mailbox.ts";
import { connect as connectClient } from "../server/submission/client.ts";
import { selfSigned } from "../tools/certificate.ts";
import { type Dovecot, startDovecot } from "./dovecot.mjs";
import { realAsRoot } from "./root.ts";

const { signal } = new AbortController();
const everything: SearchCriteria = { mark: () => true, report: () => true };

describe.skipIf(!realAsRoot("dovecot imap", "dovecot sieve"))("a mailbox by IMAP", () => {
  let dovecot: Dovecot;
  let account: ImapAccount;
  const certificate = selfSigned(["localhost"]);

  beforeAll(async () => {
    dovecot = await startDovecot({ probe: "{PLAIN}secret" }, certificate);
    account = {
      host: "localhost",
      port: dovecot.imaps,
      implicitTls: true,
      user: "probe",
      password: "secret",
      folder: "INBOX",
      ca: certificate.cert,
    };
  });
  afterAll(() => dovecot?.stop());

  async function deliver(...messages: readonly string[]): Promise<void> {
    const client = await connectClient(dovecot.lmtp, false);
    await client.send("LHLO client.example.org\r\n");
    for (const message of messages) {
      await client.send(
        `MAIL FROM:<a@example.org>\r\nRCPT TO:<probe@example.org>\r\nDATA\r\n${message}\r\n.\r\n`,
      );
    }
    await client.send("QUIT\r\n");
    const said: string[] = [];
    for (let line = await client.line(); line !== undefined; line = await client.line()) said.push(line);
    expect(said.filter((line) => /^250 2\.0\.0.*Saved/.test(line))).toHaveLength(messages.length);
  }

  const subjects = (letters: readonly FoundMessage[]): readonly (readonly string[])[] =>
    letters.map(({ place, folder, octets }) => [
      place,
      folder,
      /^Subject: (.*)\r$/m.exec(octets.toString())?.[1] ?? "",
    ]);

  const marked = (subject: string, mark = "ours", body = "hello"): string =>
    `Subject: ${subject}\r\nX-Tpa-Submit-Probe: ${mark}\r\n\r\n${body}`;
  const report = "Subject: returned\r\nContent-Type: multipart/report; boundary=b\r\n\r\n--b--";

  test("shows marked mail and reports, in the inbox and in spam, once", async () => {
    const mailbox: Mailbox = await openImap(account, signal);
    const start = Date.now();
    expect(await mailbox.look(start, everything, signal)).toEqual([]);
    await deliver(marked("one"), marked("[spam] two"), "Subject: other\r\n\r\nhello", report);
    const letters = await mailbox.look(start, everything, signal);
    expect(subjects(letters)).toEqual([
      ["inbox", "INBOX", "one"],
      ["inbox", "INBOX", "returned"],
      ["spam", "Junk", "[spam] two"],
    ]);
    for (const { at, size, octets } of letters) {
      expect(Math.abs(at - start)).toBeLessThan(60_000);
      expect(size).toBe(octets.length);
    }
    expect(await mailbox.look(start, everything, signal)).toEqual([]);
    await deliver(marked("three"));
    expect(subjects(await mailbox.look(start, everything, signal))).toEqual([["inbox", "INBOX", "three"]]);
    await mailbox.close();
  });

  test("with a huge message costs little", async () => {
    const mailbox = await openImap({ ...account, port: dovecot.imap, implicitTls: false }, signal);
    const start = Date.now();
    await mailbox.look(start, everything, signal);
    await deliver(marked("huge", "ours", "x".repeat(900).concat("\r\n").repeat(3000)));
    const [letter] = await mailbox.look(start, everything, signal);
    expect(letter?.octets.length).toBe(128 * 1024);
    expect(letter?.size).toBeGreaterThan(2_700_000);
    await mailbox.close();
  });

  test("is looked at again after the connection broke", async () => {
    const mailbox = await openImap(account, signal);
    await mailbox.look(Date.now(), everything, signal);
    await mailbox.close();
    await deliver(marked("after"));
    expect(subjects(await mailbox.look(Date.now(), everything, signal))).toEqual([
      ["inbox", "INBOX", "after"],
    ]);
    await mailbox.close();
  });

  test("is tidied of our own old mail, and of nothing else", async () => {
    const mailbox = await openImap(account, signal);
    await deliver(marked("kept", "theirs"));
    const later = Date.now() + 3 * 86_400_000;
    expect(await mailbox.tidy(Date.now() - 86_400_000, () => true, signal)).toBe(0);
    expect(await mailbox.tidy(later, (mark) => mark === "ours", signal)).toBeGreaterThan(0);
    expect(await mailbox.tidy(later, (mark) => mark === "ours", signal)).toBe(0);
    const fresh = await openImap(account, signal);
    expect(subjects(await fresh.look(Date.now(), everything, signal))).toEqual([
      ["inbox", "INBOX", "returned"],
      ["inbox", "INBOX", "kept"],
    ]);
    await Promise.all([mailbox.close(), fresh.close()]);
  });

  test.each([
    [
      "with a wrong password",
      { password: "wrong" },
      /the mailbox of probe at localhost:\d+ cannot be looked at: the login was refused \(.*\)$/,
    ],
    [
      "with a certificate that nobody vouches for",
      { ca: selfSigned(["other.example.org"]).cert },
      /cannot be looked at: .*certificate/,
    ],
    ["where nobody listens", { port: 1 }, /cannot be looked at: .*ECONNREFUSED/],
    ["with a folder that is not there", { folder: "Nowhere" }, /cannot be looked at: .*Nowhere/],
  ])("says why it cannot be looked at %s", async (_, wrong, words) => {
    const look = async (): Promise<unknown> =>
      (await openImap({ ...account, ...wrong }, signal)).look(Date.now(), everything, signal);
    const { message } = await look().then(
      () => new Error("it was looked at"),
      (error: Error) => error,
    );
    expect(message).toMatch(words);
    expect(message).not.toMatch(/secret|wrong/);
  });
});

test("a server that never answers is waited for no longer than allowed", async () => {
  const { createServer } = await import("node:net");
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const address = server.address();
  const port = typeof address === "object" && address ? address.port : 0;
  const enough = AbortSignal.timeout(200);
  const opening = openImap(
    { host: "127.0.0.1", port, implicitTls: false, user: "u", password: "secret", folder: "INBOX" },
    enough,
  );
  await expect(opening).rejects.toThrow(
    /the mailbox of u at 127\.0\.0\.1:\d+ cannot be looked at: interrupted$/,
  );
  server.close();
});
