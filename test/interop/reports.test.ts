/** `probe reports` beside a real Dovecot: it only looks, reads each mail once, and moves what it is told to. */
import { execFile } from "node:child_process";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ImapFlow } from "imapflow";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { program } from "../../demo/program.mjs";
import { gzipOf, mailWith, sample, zipOf } from "../probe/reports/packed.ts";
import { connect as connectClient } from "../server/submission/client.ts";
import { selfSigned } from "../tools/certificate.ts";
import { type Dovecot, startDovecot } from "./dovecot.mjs";
import { realAsRoot } from "./root.ts";

describe.skipIf(!realAsRoot("dovecot imap", "dovecot sieve"))("reports in a mailbox", () => {
  let dovecot: Dovecot;
  let folder: string;
  const certificate = selfSigned(["localhost"]);

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "tpa-submit-reports-"));
    dovecot = await startDovecot({ reports: "{PLAIN}secret" }, certificate);
    await writeFile(join(folder, "ca.pem"), certificate.cert);
    await writeFile(join(folder, "password"), "secret\n", { mode: 0o600 });
  });
  afterAll(async () => {
    await dovecot?.stop();
    await rm(folder, { recursive: true });
  });

  async function deliver(...messages: readonly string[]): Promise<void> {
    const client = await connectClient(dovecot.lmtp, false);
    await client.send("LHLO client.example.org\r\n");
    for (const message of messages) {
      const mail = message.replace(/^\./gm, "..");
      await client.send(
        `MAIL FROM:<a@example.org>\r\nRCPT TO:<reports@example.org>\r\nDATA\r\n${mail}\r\n.\r\n`,
      );
    }
    await client.send("QUIT\r\n");
    const said: string[] = [];
    for (let line = await client.line(); line !== undefined; line = await client.line()) said.push(line);
    expect(said.filter((line) => /^250 2\.0\.0.*Saved/.test(line))).toHaveLength(messages.length);
  }

  const run = (words: readonly string[]): Promise<{ status: number; out: string; err: string }> =>
    new Promise((resolve) => {
      const mailbox = `imaps://reports@localhost:${dovecot.imaps}`;
      const shared = ["--store", join(folder, "store"), "--days", "400", "--keep", "3650d"];
      const access = ["--ca", join(folder, "ca.pem"), "--password-file", join(folder, "password")];
      execFile(
        process.execPath,
        [program, "probe", "reports", ...shared, ...access, ...words, mailbox],
        (error, out, err) => resolve({ status: error ? Number(error.code) : 0, out, err }),
      );
    });

  /** Files in the Maildir's folder; a mark of what was seen stands in their names. */
  const mails = async (name = ""): Promise<readonly string[]> => {
    const box = join(dovecot.maildir("reports"), name);
    return [...(await readdir(join(box, "new"))), ...(await readdir(join(box, "cur")))];
  };

  const imap = async <Value>(work: (client: ImapFlow) => Promise<Value>): Promise<Value> => {
    const tls = { ca: certificate.cert };
    const auth = { user: "reports", pass: "secret" };
    const port = dovecot.imaps;
    const client = new ImapFlow({ host: "localhost", port, secure: true, tls, auth, logger: false });
    await client.connect();
    try {
      return await work(client);
    } finally {
      await client.logout();
    }
  };

  test("are read once, and left as they were", async () => {
    await deliver(
      mailWith(zipOf(sample("google.xml")), "application/zip"),
      mailWith(gzipOf(sample("google-tls.json")), "application/tlsrpt+gzip"),
      "Subject: lunch\r\n\r\nat noon",
      mailWith(gzipOf(Buffer.concat([Buffer.from("<feedback>"), Buffer.alloc(30 * 1024 * 1024, 32)]))),
    );
    const first = await run([]);
    expect(first.err).toBe("");
    expect(first.out).toContain("Read: 2 new reports, 1 without any, 1 refused.");
    expect(first.out).toContain("refused: message 4 of INBOX: it unpacks to more than 20 MiB");
    expect((await mails()).filter((name) => /:2,[A-Z]*S/.test(name))).toEqual([]);
    expect((await run([])).out).toContain("Read: 0 new reports.");
    await deliver(mailWith(gzipOf(sample("yahoo.xml"))));
    expect((await run([])).out).toContain("Read: 1 new report.");
    expect((await run(["--again"])).out).toContain(
      "Read: 0 new reports, 3 that were known, 1 without any, 1 refused.",
    );
  });

  test("of hundreds of kilobytes are read in pieces", async () => {
    const record = /<record>[\s\S]*?<\/record>/.exec(sample("google.xml").toString())?.[0] ?? "";
    const many = Array.from({ length: 9000 }, (_, at) =>
      record.replace("192.0.2.10", `10.${Math.floor(at / 250)}.${at % 250}.1`).replace("412", "1"),
    );
    const large = sample("google.xml")
      .toString()
      .replace("10845523398216723412", "large")
      .replace("</feedback>", `${many.join("")}</feedback>`);
    await deliver(mailWith(zipOf(Buffer.from(large), { method: 0 }).subarray(0), "application/zip"));
    const { out } = await run([]);
    expect(out).toContain("Read: 1 new report.");
    expect(out).toMatch(/^google\.com +9830 /m); // 412 + 3 twice, and 9000
  });

  test("are moved and marked as seen where that is wanted, other mail is not", async () => {
    const nowhere = await run(["--move", "Nowhere", "--again"]);
    expect(nowhere.err).toContain("--move: there is no folder Nowhere; make it first");
    expect(nowhere.status).toBe(66);
    await imap((client) => client.mailboxCreate("Read"));
    const { out, status } = await run(["--again", "--seen", "--move", "Read"]);
    expect(out).toContain("Read: 0 new reports, 4 that were known");
    expect(status).toBe(0);
    expect(await mails()).toHaveLength(2);
    const moved = await mails(".Read");
    expect(moved).toHaveLength(4);
    expect(moved.filter((name) => /:2,[A-Z]*S/.test(name))).toHaveLength(4);
  });

  test("a refused login says so, without the password, and ends with 77", async () => {
    await writeFile(join(folder, "password"), "wrong\n");
    const { status, err } = await run([]);
    expect(status).toBe(77);
    expect(err).toMatch(/the mailbox of reports at localhost:\d+ cannot be looked at: the login was refused/);
    expect(err).not.toContain("wrong");
  });
});
