/**
 * The steps of docs/migrate-from-postfix.md, in their order, on a real Postfix whose logins a real Dovecot checks: side by
 * side with one password file, the ports change hands, and back.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { prepareRelay, program, type Relay } from "../../demo/relay.mjs";
import { selfSigned } from "../tools/certificate.ts";
import { type Ended, run, runWell } from "../tools/child.mjs";
import { freePort, untilListening } from "../tools/port.mjs";
import { until } from "../tools/until.ts";
import { startDovecot } from "./dovecot.mjs";
import { type Sink, smtpSink } from "./hops.ts";
import { type Postfix, startPostfix } from "./postfix.mjs";
import { realPostfix } from "./root.ts";

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

describe.skipIf(!realPostfix("dovecot lmtp", "smtp-sink"))("from Postfix, Dovecot and ud-replicate", () => {
  const password = crypto.randomUUID();
  let port = 0;
  let world: Sink;
  let dovecot: Awaited<ReturnType<typeof startDovecot>>;
  let postfix: Postfix;
  let relay: Relay;

  /** Listens at `submission`; hands everything to the Postfix of the host, as the page begins. */
  const settings = (submission: string, delivery: string): string => `[listen]
submission = ["127.0.0.1:${submission}"]
submissions = ["127.0.0.1:0"]
http = ""

[passwords]
file = "${dovecot.folder}/passwords"

[delivery]
relay = "${delivery}"
retry-first = "1h"
`;
  const probe = (at: number, token: string): Promise<Ended> =>
    run(process.execPath, [
      program,
      ...[
        "probe",
        "-s",
        "127.0.0.1",
        "-p",
        String(at),
        "-tls",
        "-f",
        "anna@example.org",
        "-t",
        "x@example.net",
      ],
      ...["-au", "anna", "-ap", password, "--header", `X-Token: ${token}`, "--body", "the end"],
    ]);
  /** Sends by whoever listens at `at`, and waits until it is out in the world. */
  async function sendsBy(at: number): Promise<void> {
    const token = crypto.randomUUID();
    const sent = await probe(at, token);
    expect(sent.status, sent.stdout + sent.stderr).toBe(0);
    await arrived(token);
  }
  const arrived = (token: string): Promise<string> =>
    until(`the message ${token} in the world`, async () => {
      for (const file of await world.stored()) {
        if ((await readFile(join(world.folder, file), "utf8")).includes(token)) return file;
      }
      return undefined;
    });
  const greets = async (at: number): Promise<string> =>
    (await run(process.execPath, [program, "probe", "-s", "127.0.0.1", "-p", String(at), "-q", "CONNECT"]))
      .stdout;
  const postconf = (...words: readonly string[]): Promise<string> =>
    runWell("postconf", ["-c", postfix.folder, ...words]);
  const reload = (): Promise<string> => runWell("postfix", ["-c", postfix.folder, "reload"]);
  async function restart(configuration: string): Promise<void> {
    relay.signal("SIGTERM");
    await relay.ended;
    await relay.configure(configuration);
    await relay.start();
  }

  beforeAll(async () => {
    port = await freePort();
    world = await smtpSink();
    dovecot = await startDovecot({ anna: `{PLAIN}${password}` });
    const { cert, key } = selfSigned(["localhost"]);
    postfix = await startPostfix(
      `relayhost = [127.0.0.1]:${world.port}\nsmtpd_sasl_type = dovecot\nmaillog_file = FOLDER/mail.log`,
      {
        services: `127.0.0.1:${port} inet n - n - - smtpd
  -o syslog_name=postfix/submission -o smtpd_tls_security_level=encrypt -o smtpd_tls_cert_file=FOLDER/cert.pem
  -o smtpd_tls_key_file=FOLDER/key.pem -o smtpd_sasl_auth_enable=yes -o smtpd_sasl_path=inet:127.0.0.1:${dovecot.auth}
  -o smtpd_relay_restrictions=permit_sasl_authenticated,reject`,
        files: { "cert.pem": cert, "key.pem": key },
      },
    );
    await untilListening(port);
    relay = await prepareRelay();
  });
  afterAll(async () => {
    await relay?.stop();
    await postfix?.stop();
    await dovecot?.stop();
    await world?.stop();
  });

  test("1. before: people send by Postfix", async () => {
    await sendsBy(port);
  });

  test("2. side by side: the same login at other ports, and Postfix carries the mail out", async () => {
    await relay.configure(settings("0", `smtp://127.0.0.1:${postfix.port}`));
    await relay.start();
    const checked = await run(process.execPath, [program, "check", "--offline", "--config", relay.config]);
    expect(checked.stdout).not.toMatch(/^FAILED +(?:config|passwords|certificate|routes|spool)/m);
    await sendsBy(relay.submission);
    await sendsBy(port);
  });

  test("3. the port changes hands", async () => {
    await postconf("-M#", `127.0.0.1:${port}/inet`);
    await reload();
    await until("Postfix to leave the port", async () =>
      (await greets(port)).includes("ESMTP Postfix") ? undefined : true,
    );
    await restart(settings(String(port), `smtp://127.0.0.1:${postfix.port}`));
    expect(relay.submission).toBe(port);
    expect(await greets(port)).toContain("ESMTP tpa-submit");
    await sendsBy(port);
  });

  test("4. mail leaves without Postfix", async () => {
    await restart(settings(String(port), `smtp://127.0.0.1:${world.port}`));
    const before = (await postfix.log()).length;
    await sendsBy(port);
    expect((await postfix.log()).slice(before)).not.toMatch(/status=sent/);
  });

  test("5. the way back: Postfix has the port again, and the queue", async () => {
    await restart(settings(String(port), `smtp://127.0.0.1:${await freePort()}`));
    const token = crypto.randomUUID();
    expect((await probe(port, token)).status).toBe(0);
    await relay.logged(/status=deferred/);
    await restart(settings("0", `smtp://127.0.0.1:${await freePort()}`));
    const moved = await run(process.execPath, [
      program,
      ...["queue", "redirect", "--all", "--relay", `smtp://127.0.0.1:${postfix.port}`, "--yes"],
      ...["--config", relay.config],
    ]);
    expect(moved.stdout + moved.stderr).toContain("1 message redirected");
    await arrived(token);
    await relay.logged(/: removed/);
    relay.signal("SIGTERM");
    await relay.ended;
    // What `postconf -M#` put a "#" in front of, the entry and its options.
    const services = await readFile(join(postfix.folder, "master.cf"), "utf8");
    expect(services).toContain(`\n#127.0.0.1:${port}`);
    await writeFile(join(postfix.folder, "master.cf"), services.replaceAll(/^#/gm, ""));
    await reload();
    await until("Postfix at the port", async () =>
      (await greets(port)).includes("ESMTP Postfix") ? true : undefined,
    );
    await sendsBy(port);
  });
});
