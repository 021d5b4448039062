/**
 * A configuration that names none of the tables for signing, filters, domains, providers, reports and this host's programs:
 * start, dialogue, reload and end are word for word as before there were any. The words are those of the version before.
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { startRelay } from "../../../demo/relay.mjs";
import { authPlain, greet, note } from "./conversation.ts";

const start = [
  "postfix/master: FOLDER/mail-passwords: 1 logins",
  "postfix/master: listening for submission on 127.0.0.1:PORT",
  "postfix/master: listening for submissions on 127.0.0.1:PORT",
  "postfix/master: FOLDER/certificate.pem: certificate for localhost, 127.0.0.1, valid until STAMP",
  "postfix/master: listening for control on FOLDER/spool/control",
  "postfix/master: tpa-submit started as relay.example.org, 0 messages waiting",
];

const dialogue = [
  "250-relay.example.org\n250-PIPELINING\n250-SIZE 52428800\n250-AUTH PLAIN LOGIN\n250-ENHANCEDSTATUSCODES\n250-8BITMIME\n250-CHUNKING\n250-DSN\n250-REQUIRETLS\n250-LIMITS RCPTMAX=200\n250 SMTPUTF8",
  "235 2.7.0 Authentication successful",
  "500 5.5.2 Command not recognised",
  "250 2.1.0 Sender ok",
  "250 2.1.5 Recipient ok",
  "354 End data with <CR><LF>.<CR><LF>",
  "250 2.0.0 Ok: queued as QID",
  "221 2.0.0 Bye",
];

const fields = ["Received", "Date", "Message-ID", "From", "To", "Subject"];

/** Some are written in one turn or the other: their order is not looked at. */
const afterwards = [
  "postfix/smtps/smtpd: connect from unknown[127.0.0.1]",
  "postfix/smtps/smtpd: Anonymous TLS connection established from unknown[127.0.0.1]: TLSv1.3 with cipher",
  "postfix/smtps/smtpd: unknown[127.0.0.1]: SASL PLAIN authentication succeeded, sasl_username=user1",
  "postfix/smtps/smtpd: QID: client=unknown[127.0.0.1], sasl_method=PLAIN, sasl_username=user1",
  "postfix/cleanup: QID: message-id=<QID@relay.example.org>",
  "postfix/qmgr: QID: from=<user1@example.org>, size, nrcpt=1 (queue active)",
  "postfix/smtps/smtpd: disconnect from unknown[127.0.0.1] ehlo=2 auth=1 mail=1 rcpt=1 data=1 quit=1 unknown=0/1 commands=7/8",
  "postfix/smtp: QID: to=<x@example.net>, relay=none, delay, delay, dsn=2.0.0, status=sent (250 2.0.0 written to QID.eml)",
  "postfix/qmgr: QID: removed",
  "postfix/master: configuration, certificate and passwords re-read",
  "postfix/master: FOLDER/certificate.pem: certificate for localhost, 127.0.0.1, valid until STAMP",
  "postfix/master: FOLDER/mail-passwords: 1 logins",
  "postfix/master: stopping: no new connections, 0 sessions may end",
  "postfix/master: stopped, 0 messages stay in the spool",
];

test("an old configuration logs, says and sends what it always did", async () => {
  const relay = await startRelay();
  /** Without what differs each time. */
  const plain = (text: string): string =>
    text
      .replaceAll(relay.folder, "FOLDER")
      .replaceAll(/^\w+ +\d+ [\d:]+ relay\.example\.org /gm, "")
      .replaceAll(/\[\d+\]/g, "")
      .replaceAll(/127\.0\.0\.1:\d+/g, "127.0.0.1:PORT")
      .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "STAMP")
      .replaceAll(/\d{14}\.(?=[0-9A-F]{10})/g, "")
      .replaceAll(/\b[0-9A-F]{10,12}\b/g, "QID")
      .replaceAll(/tpa-submit [\d.]+ started/g, "tpa-submit started")
      .replaceAll(/with cipher .*/g, "with cipher")
      .replaceAll(/size=\d+/g, "size")
      .replaceAll(/delays?=[\d./]+/g, "delay");
  try {
    expect(plain(relay.log()).trim().split("\n")).toEqual(start);
    const talk = await greet(relay, "submissions");
    const said: string[] = [];
    const message = `${note("unchanged")}.`;
    for (const line of [
      ...["EHLO client.example.org", authPlain(relay.login, relay.password), "XCLIENT ADDR=192.0.2.1"],
      ...["MAIL FROM:<user1@example.org>", "RCPT TO:<x@example.net>", "DATA", message, "QUIT"],
    ]) {
      said.push(plain(await talk.say(line)));
    }
    expect(said).toEqual(dialogue);
    await relay.logged(/: removed/);
    const before = relay.log().length;
    relay.signal("SIGHUP");
    await relay.logged(/re-read[\s\S]*logins/, before);
    const [file = ""] = await readdir(relay.delivered);
    const delivered = await readFile(join(relay.delivered, file), "utf8");
    expect([...delivered.matchAll(/^([\w-]+): /gm)].map(([, name]) => name)).toEqual(fields);
    relay.signal("SIGTERM");
    expect((await relay.ended).status).toBe(0);
    const lines = plain(relay.log()).trim().split("\n").slice(start.length);
    expect(lines.toSorted()).toEqual(afterwards.toSorted());
  } finally {
    await relay.stop();
  }
});
