/**
 * Postfix's smtp-sink with each of its faults at each stage, all at once: one relay, one message for each sink. The
 * table says what becomes of the recipients; what waits then gets through, once, when the hosts are mended.
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Relay, startRelay } from "../../demo/relay.mjs";
import { enter, note, submit } from "../commands/serve/conversation.ts";
import { start } from "../tools/child.mjs";
import { type NameServer, nameServer, type Records } from "../tools/dns.ts";
import { freePort, untilListening } from "../tools/port.mjs";
import { real } from "../tools/real.ts";
import { until } from "../tools/until.ts";
import { type Sink, sinkAt } from "./hops.ts";
import { isRoot } from "./root.ts";

/** What becomes of both recipients in the first attempt, as the log's status has it. */
type Fate = "sent" | "deferred" | "bounced";

/** The sink's switches, what it does to the mail, and words of the log that say so; HOST is its name and address. */
const cases: readonly (readonly [switches: string, fate: Fate, words: string])[] = [
  // -r: refuses for now
  ["-r CONNECT", "deferred", "host HOST refused to talk to me: 450 4.3.0 Error: command failed"],
  ["-r EHLO", "sent", "250 2.0.0 Ok"],
  ["-r EHLO,HELO", "deferred", "host HOST refused to talk to me: 450 4.3.0 Error: command failed"],
  ["-r HELO", "sent", "250 2.0.0 Ok"],
  ["-r MAIL", "deferred", "host HOST said: 450 4.3.0 Error: command failed (in reply to MAIL FROM command)"],
  ["-r RCPT", "deferred", "host HOST said: 450 4.3.0 Error: command failed (in reply to RCPT TO command)"],
  ["-r DATA", "deferred", "host HOST said: 450 4.3.0 Error: command failed (in reply to DATA command)"],
  ["-r .", "deferred", "host HOST said: 450 4.3.0 Error: command failed (in reply to end of DATA command)"],
  ["-r RSET", "sent", "250 2.0.0 Ok"],
  ["-r QUIT", "sent", "250 2.0.0 Ok"],
  // -f: refuses for good
  ["-f CONNECT", "deferred", "host HOST refused to talk to me: 500 5.3.0 Error: command failed"],
  ["-f EHLO", "sent", "250 2.0.0 Ok"],
  ["-f EHLO,HELO", "deferred", "host HOST refused to talk to me: 500 5.3.0 Error: command failed"],
  ["-f MAIL", "bounced", "host HOST said: 500 5.3.0 Error: command failed (in reply to MAIL FROM command)"],
  ["-f RCPT", "bounced", "host HOST said: 500 5.3.0 Error: command failed (in reply to RCPT TO command)"],
  ["-f DATA", "bounced", "host HOST said: 500 5.3.0 Error: command failed (in reply to DATA command)"],
  ["-f .", "bounced", "host HOST said: 500 5.3.0 Error: command failed (in reply to end of DATA command)"],
  ["-f RSET", "sent", "250 2.0.0 Ok"],
  ["-f QUIT", "sent", "250 2.0.0 Ok"],
  // -q: hangs up
  ["-q CONNECT", "deferred", "lost connection with HOST while receiving the initial server greeting"],
  ["-q EHLO", "deferred", "lost connection with HOST while performing the EHLO handshake"],
  ["-q HELO -e", "deferred", "lost connection with HOST while performing the HELO handshake"],
  ["-q MAIL", "deferred", "lost connection with HOST while sending DATA"],
  ["-q RCPT", "deferred", "lost connection with HOST while sending DATA"],
  ["-q DATA", "deferred", "lost connection with HOST while sending DATA"],
  [
    "-q .",
    "deferred",
    "lost connection with HOST while sending end of data -- message may be sent more than once",
  ],
  ["-q QUIT", "sent", "250 2.0.0 Ok"],
  ["-q MAIL -p", "deferred", "lost connection with HOST while sending MAIL FROM"],
  ["-q RCPT -p", "deferred", "lost connection with HOST while sending RCPT TO"],
  ["-q DATA -p", "deferred", "lost connection with HOST while sending DATA"],
  // -Q: says 421 and hangs up
  ["-Q CONNECT", "deferred", "host HOST refused to talk to me: 421 4.0.0 Server closing connection"],
  ["-Q EHLO", "deferred", "host HOST refused to talk to me: 421 4.0.0 Server closing connection"],
  [
    "-Q MAIL",
    "deferred",
    "host HOST said: 421 4.0.0 Server closing connection (in reply to MAIL FROM command)",
  ],
  [
    "-Q RCPT",
    "deferred",
    "host HOST said: 421 4.0.0 Server closing connection (in reply to RCPT TO command)",
  ],
  ["-Q DATA", "deferred", "host HOST said: 421 4.0.0 Server closing connection (in reply to DATA command)"],
  [
    "-Q .",
    "deferred",
    "host HOST said: 421 4.0.0 Server closing connection (in reply to end of DATA command)",
  ],
  ["-Q QUIT", "sent", "250 2.0.0 Ok"],
  [
    "-Q MAIL -p",
    "deferred",
    "host HOST said: 421 4.0.0 Server closing connection (in reply to MAIL FROM command)",
  ],
  [
    "-Q RCPT -p",
    "deferred",
    "host HOST said: 421 4.0.0 Server closing connection (in reply to RCPT TO command)",
  ],
  [
    "-Q DATA -p",
    "deferred",
    "host HOST said: 421 4.0.0 Server closing connection (in reply to DATA command)",
  ],
  // other words
  [
    "-r RCPT -b|452 4.2.2 mailbox full",
    "deferred",
    "host HOST said: 452 4.2.2 mailbox full (in reply to RCPT TO command)",
  ],
  [
    "-r . -b|421 4.3.2 shutting down",
    "deferred",
    "host HOST said: 421 4.3.2 shutting down (in reply to end of DATA command)",
  ],
  [
    "-r MAIL -b|451 greylisted",
    "deferred",
    "host HOST said: 451 4.0.0 greylisted (in reply to MAIL FROM command)",
  ],
  [
    "-f RCPT -B|550 5.1.1 no such user",
    "bounced",
    "host HOST said: 550 5.1.1 no such user (in reply to RCPT TO command)",
  ],
  [
    "-f RCPT -B|552 5.2.2 mailbox full",
    "bounced",
    "host HOST said: 552 5.2.2 mailbox full (in reply to RCPT TO command)",
  ],
  ["-f RCPT -B|550 no", "bounced", "host HOST said: 550 5.0.0 no (in reply to RCPT TO command)"],
  ["-f DATA -B|554 5.7.1 spam", "bounced", "host HOST said: 554 5.7.1 spam (in reply to DATA command)"],
  [
    "-f . -B|554 5.6.0 not like that",
    "bounced",
    "host HOST said: 554 5.6.0 not like that (in reply to end of DATA command)",
  ],
  ["-f CONNECT -B|554 5.7.1 blocked", "deferred", "host HOST refused to talk to me: 554 5.7.1 blocked"],
  // what it does not offer
  ["-8", "sent", "250 2.0.0 Ok"],
  ["-e", "sent", "250 2.0.0 Ok"],
  ["-E", "sent", "250 2.0.0 Ok"],
  ["-N", "sent", "250 2.0.0 Ok"],
  ["-p", "sent", "250 2.0.0 Ok"],
  ["-P", "sent", "250 2.0.0 Ok"],
  // slow, or impatient
  ["-w 1", "sent", "250 2.0.0 Ok"],
  ["-W RCPT:1 -p", "sent", "250 2.0.0 Ok"],
  ["-W .:1", "sent", "250 2.0.0 Ok"],
  ["-H 1 -T 1024", "sent", "250 2.0.0 Ok"],
  ["-A 0", "bounced", "host HOST said: 550 5.0.0 This violates SMTP (in reply to end of DATA command)"],
  ["-A 1", "bounced", "host HOST said: 550 5.0.0 This violates SMTP (in reply to end of DATA command)"],
  [
    "-M 1",
    "deferred",
    "lost connection with HOST while sending end of data -- message may be sent more than once",
  ],
  // LMTP
  ["-L", "sent", "250 2.2.0 Ok"],
  ["-L -r LHLO", "deferred", "host HOST refused to talk to me: 450 4.3.0 Error: command failed"],
  ["-L -q LHLO", "deferred", "lost connection with HOST while performing the LHLO handshake"],
  ["-L -f RCPT", "bounced", "host HOST said: 500 5.3.0 Error: command failed (in reply to RCPT TO command)"],
  [
    "-L -r .",
    "deferred",
    "host HOST said: 450 4.3.0 Error: command failed (in reply to end of DATA command)",
  ],
  ["-L -f .", "bounced", "host HOST said: 500 5.3.0 Error: command failed (in reply to end of DATA command)"],
  [
    "-L -q .",
    "deferred",
    "lost connection with HOST while sending end of data -- message may be sent more than once",
  ],
];

interface Tried {
  readonly host: string;
  readonly id: string;
  readonly token: string;
}

describe.skipIf(!real("smtp-sink"))("an smtp-sink with", () => {
  const zone = new Map<string, Records>();
  const sinks: { stop(): Promise<void> }[] = [];
  const tried: Tried[] = [];
  let names: NameServer;
  let relay: Relay;
  let home: Sink;
  let settings = "";

  const domainOf = (at: number): string => `case${at}.example.net`;

  beforeAll(async () => {
    const addresses = cases.map((_, at) => `127.0.1.${at + 1}`);
    const isLmtp = (at: number): boolean => cases[at]?.[0].startsWith("-L") === true;
    const nameOf = (at: number): string => (isLmtp(at) ? (addresses[at] ?? "") : domainOf(at));
    const port = await freePort("127.0.0.1", ...addresses);
    home = await sinkAt(port);
    const user = isRoot ? ["-u", "nobody"] : [];
    for (const [at, [switches]] of cases.entries()) {
      const words = switches.split(/ (?=-)/).flatMap((word) => word.split(/[ |](.*)/).filter(Boolean));
      sinks.push(start("smtp-sink", [...user, ...words, `${addresses[at]}:${port}`, "100"]));
      zone.set(domainOf(at), { a: [addresses[at] ?? ""] });
    }
    zone.set("example.org", { a: ["127.0.0.1"] });
    names = await nameServer(zone);
    settings = `[delivery]
nameservers = ["${names.address}"]
port = ${port}
private-addresses = true
concurrency = 100
retry-first = "1s"
retry-longest = "2s"
`;
    const routes = cases.flatMap((_, at) =>
      isLmtp(at) ? [`[[route]]\nto = ["${domainOf(at)}"]\nrelay = "lmtp://${addresses[at]}:${port}"\n`] : [],
    );
    relay = await startRelay(settings + routes.join(""));
    await Promise.all(addresses.map((address) => untilListening(port, address)));
    const talk = await enter(relay, "submissions");
    for (const at of cases.keys()) {
      const token = crypto.randomUUID();
      const to = ["x", "y"].map((name) => `${name}@${domainOf(at)}`);
      const id = await submit(talk, note(token, "the end"), { to });
      tried.push({ id, token, host: `${nameOf(at)}[${addresses[at]}]` });
    }
    talk.close();
  });
  afterAll(async () => {
    await relay?.stop();
    await names?.close();
    await Promise.all([home?.stop(), ...sinks.map((sink) => sink.stop())]);
  });

  test.each(cases.map(([switches, fate, words], at) => ({ switches, fate, words, at })))(
    "$switches: $fate",
    async ({ fate, words, at }) => {
      const { id, host } = tried[at] ?? { id: "", host: "" };
      for (const name of ["x", "y"]) {
        const to = `${name}@${domainOf(at)}`;
        const [, said = ""] = await relay.logged(new RegExp(`${id}: to=<${to}>, .* (status=.*)`));
        expect(said).toBe(`status=${fate} (${words.replace("HOST", host)})`);
      }
      if (fate === "deferred") await staysAndIsRetried(id, domainOf(at));
      else await relay.logged(new RegExp(`${id}: removed`));
      if (fate === "bounced") await isReported(id, domainOf(at), words);
    },
  );

  /** The spool still has it, and there is another attempt. */
  async function staysAndIsRetried(id: string, domain: string): Promise<void> {
    const envelope = await readFile(join(relay.folder, "spool/queue", id), "utf8");
    const { recipients } = JSON.parse(envelope) as { recipients: readonly { state: string }[] };
    expect(recipients.map(({ state }) => state)).toEqual(["waiting", "waiting"]);
    await relay.logged(new RegExp(`${id}: to=<x@${domain}>, (?:.*\n)+?.*${id}: to=<x@${domain}>, `));
  }

  /** The sender has read of both recipients what the host said. */
  async function isReported(id: string, domain: string, words: string): Promise<void> {
    const [, report = ""] = await relay.logged(new RegExp(`${id}: sender non-delivery notification: (\\w+)`));
    await relay.logged(new RegExp(`${report}: to=<user1@example.org>, .* status=sent `));
    const text = (await home.arrived(`X-Queue-ID: ${id}`)).replaceAll(/\r\n[ \t]+/g, " ");
    const [, said = "", status = ""] = /said: (\d+ ([\d.]+) .*?) \(in reply/.exec(words) ?? [];
    for (const name of ["x", "y"]) {
      expect(text).toContain(
        `Final-Recipient: rfc822; ${name}@${domain}\r\nAction: failed\r\nStatus: ${status}\r\n`,
      );
    }
    expect(text.split(`Diagnostic-Code: smtp; ${said}\r\n`)).toHaveLength(3);
  }

  test("when all hosts are mended, what waits gets through, once", async () => {
    for (const at of cases.keys()) zone.set(domainOf(at), { a: ["127.0.0.1"] });
    await relay.configure(settings); // no LMTP any more
    const from = relay.log().length;
    relay.signal("SIGHUP"); // what is known of the DNS is forgotten
    await relay.logged(/certificate and passwords re-read/, from);
    const folder = join(relay.folder, "spool/queue");
    await until("an empty queue", async () => ((await readdir(folder)).length === 0 ? true : undefined));
    const waited = tried.filter((_, at) => cases[at]?.[1] === "deferred");
    const stored = await Promise.all(
      (await home.stored()).map((name) => readFile(join(home.folder, name), "utf8")),
    );
    for (const { token } of waited) {
      expect(
        stored.filter((text) => text.includes(token) && !text.includes("multipart/report")),
      ).toHaveLength(1);
    }
  });
});
