/** Real Exim, OpenSMTPD, Postfix and Dovecot as next hops: DSN, SMTPUTF8, 8-bit text, and recipients of whom one is refused. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Relay, startRelay } from "../../demo/relay.mjs";
import { enter } from "../commands/serve/conversation.ts";
import { replies } from "../server/delivery/fixtures.ts";
import { postman, to } from "../server/delivery/in-a-row.ts";
import { until } from "../tools/until.ts";
import { startDovecot } from "./dovecot.mjs";
import { exim, openSmtpd, postfix, type Receiver, realExim, realOpenSmtpd } from "./receivers.ts";
import { realPostfix } from "./root.ts";

interface Server {
  readonly name: string;
  readonly start: () => Promise<Receiver>;
  readonly usable: () => boolean;
  readonly protocol: "smtp" | "lmtp";
  /** What it says of nobody@example.net. */
  readonly refusal: RegExp;
  readonly utf8: boolean;
  /**
   * OpenSMTPD 6.8 takes the NOTIFY of one recipient for that of the next as well, and then refuses NEVER. Its report of a
   * success leaves ENVID and ORCPT out.
   */
  readonly sloppy?: true;
  /** Without PIPELINING. */
  readonly stepwise?: true;
  /** Who tells of a delivery that was to be told of. */
  readonly teller: string;
}

const servers: readonly Server[] = [
  {
    name: "Exim",
    start: exim,
    usable: realExim,
    protocol: "smtp",
    refusal: /550 5\.1\.1 No such user here/,
    utf8: true,
    teller: "exim.example.net",
  },
  {
    name: "OpenSMTPD",
    start: openSmtpd,
    usable: realOpenSmtpd,
    protocol: "smtp",
    refusal: /5\d\d 5\.\d\.\d .*<nobody@example\.net>/,
    utf8: false,
    sloppy: true,
    stepwise: true,
    teller: "opensmtpd.example.net",
  },
  {
    name: "Postfix",
    start: postfix,
    usable: realPostfix,
    protocol: "smtp",
    refusal: /554 5\.7\.1 <nobody@example\.net>: Recipient address rejected/,
    utf8: true,
    teller: "postfix.example.net",
  },
  {
    name: "Dovecot",
    start: async () => {
      const dovecot = await startDovecot({ x: "{PLAIN}-", y: "{PLAIN}-", user1: "{PLAIN}-" });
      const { lmtp: port, stop } = dovecot;
      return { port, mail: join(dovecot.maildir("user1"), ".."), log: async () => "", stop };
    },
    usable: () => realPostfix("dovecot lmtp"),
    protocol: "lmtp",
    refusal: /550 5\.1\.1 <nobody@example\.net> User doesn't exist/,
    utf8: false,
    teller: "relay.example.org",
  },
];

const patience = { reply: 60_000, final: 60_000, transaction: 120_000 };

describe.each(servers)(
  "$name",
  ({ start, usable, protocol, refusal, utf8, sloppy = false, stepwise = false, teller }) => {
    describe.skipIf(!usable())("takes mail from us", () => {
      let receiver: Receiver;
      let relay: Relay;

      beforeAll(async () => {
        receiver = await start();
        relay = await startRelay(`[delivery]\nrelay = "${protocol}://127.0.0.1:${receiver.port}"`);
      });
      afterAll(async () => {
        await relay?.stop();
        await receiver?.stop();
      });

      /** Hands `message` over with these parameters; gives its ID. */
      async function send(mail: string, recipients: readonly string[], message: string): Promise<string> {
        const talk = await enter(relay, "submissions");
        expect(await talk.say(`MAIL FROM:<user1@example.org> ${mail}`)).toMatch(/^250/);
        for (const recipient of recipients) expect(await talk.say(`RCPT TO:${recipient}`)).toMatch(/^250/);
        await talk.say("DATA");
        const said = await talk.say(`${message.replaceAll("\n", "\r\n")}\r\n.`);
        await talk.say("QUIT");
        talk.close();
        return /queued as (\w+)/.exec(said)?.[1] ?? said;
      }

      const fate = async (id: string, to: string): Promise<string> =>
        (await relay.logged(new RegExp(`${id}: to=<${to}>, .* status=(.*)`)))[1] ?? "";

      /** Waits for a message that has all of `words`, and gives it with LF line ends. */
      const kept = (...words: readonly string[]): Promise<string> =>
        until(`a message with ${words.join(" and ")}`, async () => {
          const names = await readdir(receiver.mail, { recursive: true }).catch(() => []);
          for (const name of names) {
            const text = await readFile(join(receiver.mail, name), "utf8").catch(() => "");
            if (words.every((word) => text.includes(word))) return text.replaceAll("\r\n", "\n");
          }
          return undefined;
        });

      test("and MAIL behind the end of another message, of which some are refused", async () => {
        const more = { protocol, tls: "opportunistic", timeouts: { ...patience, connect: 30_000 } } as const;
        const { deliverAll, activities } = postman(receiver, 50, more);
        const good = to("x@example.net");
        const bad = to("nobody@example.net");
        const mixed = to("nobody@example.net", "x@example.net");
        const postings = [good, good, bad, good, mixed, good, good];
        const said = (await deliverAll(...postings)).map(replies);
        const fine = expect.stringMatching(/^250 /);
        const no = expect.stringMatching(refusal);
        expect(said).toEqual([[fine], [fine], [no], [fine], [no, fine], [fine], [fine]]);
        const handedOn = activities.filter((activity) => activity === "yields");
        expect(handedOn).toHaveLength(stepwise ? 0 : 6); // all with a message to send
      });

      test("with 8-bit text, for those whom it knows, and tells what became of it as it was asked to", async () => {
        const token = crypto.randomUUID();
        const id = await send(
          `BODY=8BITMIME RET=HDRS ENVID=env-${token}`,
          [
            "<x@example.net> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;first@example.com",
            `<y@example.net>${sloppy ? "" : " NOTIFY=NEVER"}`,
            "<nobody@example.net>",
          ],
          `From: user1@example.org\nSubject: ${token}\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nGr\u00fc\u00dfe\n`,
        );
        expect(await fate(id, "x@example.net")).toMatch(/^sent \(250 /);
        expect(await fate(id, "y@example.net")).toMatch(/^sent \(250 /);
        expect(await fate(id, "nobody@example.net")).toMatch(/^bounced /);
        expect(await fate(id, "nobody@example.net")).toMatch(refusal);
        expect(await kept(`Subject: ${token}`, "Gr\u00fc\u00dfe\n")).not.toContain("multipart/report");

        const failure = await kept(
          "multipart/report",
          `env-${token}`,
          "Final-Recipient: rfc822; nobody@example.net",
        );
        expect(failure).toMatch(/^Reporting-MTA: dns; relay\.example\.org$/m);
        expect(failure).toMatch(/^Action: failed$/m);
        expect(failure).not.toMatch(/Gr\u00fc\u00dfe|Gr=C3/); // RET=HDRS
        const success = await kept("Action: delivered", sloppy ? token : `env-${token}`);
        expect(success).toMatch(new RegExp(`^Reporting-MTA: dns; ?${teller.replaceAll(".", "\\.")}$`, "m"));
        if (sloppy) return;
        expect(success).toMatch(/^Original-Recipient: rfc822; ?first@example\.com$/im);
        expect(success).not.toContain("y@example.net");
      });

      test(`with an address in UTF-8: ${utf8 ? "it does" : "it cannot, and the sender reads so"}`, async () => {
        const token = crypto.randomUUID();
        const id = await send(
          "SMTPUTF8 BODY=8BITMIME",
          ["<j\u00f6rg@example.net>"],
          `From: user1@example.org\nTo: <j\u00f6rg@example.net>\nSubject: gr\u00fc\u00dfe ${token}\n\nhi\n`,
        );
        if (utf8) {
          expect(await fate(id, "j\u00f6rg@example.net")).toMatch(/^sent \(250 /);
          expect(await kept(`gr\u00fc\u00dfe ${token}`)).toContain("To: <j\u00f6rg@example.net>\n");
        } else {
          expect(await fate(id, "j\u00f6rg@example.net")).toMatch(/^bounced \(.*no SMTPUTF8/);
        }
      });
    });
  },
);
