/**
 * Does mail arrive? The whole way: the probe hands its message to our relay, the relay to a real Postfix, Postfix to a real
 * Dovecot, and the probe finds it by IMAP, or hears that it came back; with everything that goes wrong on such ways.
 */
import { readdir, readFile, writeFile } from "node:fs/promises";
import type { Server } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { program, type Relay, startRelay } from "../../demo/relay.mjs";
import { connect as connectClient } from "../server/submission/client.ts";
import { selfSigned } from "../tools/certificate.ts";
import { type Ended, run } from "../tools/child.mjs";
import { type FakeServer, fakeServer } from "../tools/fakeserver.ts";
import { freePort } from "../tools/port.mjs";
import { until } from "../tools/until.ts";
import { configuration, greylisting, scenarios, secrets } from "./arrival-scenarios.ts";
import { type Dovecot, startDovecot } from "./dovecot.mjs";
import { type Postfix, startPostfix } from "./postfix.mjs";
import { realPostfix } from "./root.ts";

describe.skipIf(!realPostfix("dovecot imap", "dovecot sieve"))(
  "mail through our relay, Postfix and Dovecot",
  () => {
    let relay: Relay;
    let postfix: Postfix;
    let dovecot: Dovecot;
    let middleman: FakeServer;
    let fullBox: FakeServer;
    let policy: Server;
    let closed: number;
    let listener: number;
    let certificate: ReturnType<typeof selfSigned>;
    const outputs: string[] = [];
    /** All at the same time, as most of them do nothing but wait. */
    const runs = new Map<string, Promise<Ended>>();
    /** Recipients to whom the policy says no, and how often it still will. */
    const greylisted = new Map([
      ["held@example.net", Number.POSITIVE_INFINITY],
      ["late@example.net", 3],
      ["late+overdue@example.net", 5],
    ]);

    beforeAll(async () => {
      certificate = selfSigned(["localhost", "127.0.0.1"]);
      const boxes = Object.entries(secrets).filter(([name]) => name !== "wrong");
      dovecot = await startDovecot(
        Object.fromEntries(boxes.map(([name, password]) => [name, `{PLAIN}${password}`])),
        certificate,
      );
      policy = greylisting(greylisted);
      middleman = await fakeServer();
      fullBox = await fakeServer({ message: "552 5.2.2 Mailbox is full" }, { lmtp: true });
      closed = await freePort();
      listener = await freePort();
      const policyPort = (policy.address() as { readonly port: number }).port;
      postfix = await startPostfix(
        `default_transport = lmtp:inet:127.0.0.1:${dovecot.lmtp}
transport_maps = inline:{discard@example.net=discard:, forged@example.net=smtp:[127.0.0.1]:${middleman.port}, full@example.net=lmtp:inet:127.0.0.1:${fullBox.port}, listener@example.net=lmtp:inet:127.0.0.1:${listener}}
smtpd_recipient_restrictions = check_recipient_access inline:{nobody@example.net=REJECT}, check_policy_service inet:127.0.0.1:${policyPort}
header_checks = regexp:FOLDER/header_checks
`,
        {
          files: { header_checks: "/^Subject: (Probe .* of spam)$/ REPLACE Subject: [spam] $1\n" },
        },
      );
      relay = await startRelay(
        `[delivery]\nrelay = "smtp://127.0.0.1:${postfix.port}"\nretry-first = "1s"\nretry-longest = "1s"`,
      );
      for (const [name, password] of Object.entries(secrets))
        await writeFile(join(relay.folder, name), `${password}\n`, { mode: 0o600 });
      await writeFile(join(relay.folder, "imap.pem"), certificate.cert);
      await writeFile(
        join(relay.folder, "probes.toml"),
        filled(configuration(relay.submission, relay.certificate)),
      );
      for (const { name, wait } of scenarios)
        runs.set(name, monitor("--nagios", "-r", name, ...(wait === undefined ? [] : ["--wait", wait])));
    });
    afterAll(async () => {
      policy?.close();
      await Promise.all(runs.values());
      await Promise.all([relay?.stop(), middleman?.close(), fullBox?.close()]);
      await postfix?.stop();
      await dovecot?.stop();
    });

    const filled = (text: string): string =>
      text
        .replaceAll("FOLDER", relay.folder)
        .replaceAll("CLOSED", String(closed))
        .replaceAll("IMAPS", String(dovecot.imaps))
        .replaceAll("LISTENER", String(listener));

    async function monitor(...words: readonly string[]): Promise<Ended> {
      const ended = await run(process.execPath, [
        program,
        "probe",
        "monitor",
        ...words,
        join(relay.folder, "probes.toml"),
      ]);
      outputs.push(ended.stdout, ended.stderr);
      return ended;
    }

    /** With times masked, which no run has like another. */
    const masked = (text: string): string =>
      text
        .replace(/(?<=after |for )\d+(?:\.\d)? s/g, "N s")
        .replace(/(?<=(?:arrival|submission)=)\d+\.\d{3}s/g, "N");

    test.each(scenarios)("$name: status $status", async ({ name, status, line }) => {
      if (name === "forged") await forge();
      const ended = (await runs.get(name)) ?? raise(name);
      expect({ status: ended.status, stdout: masked(ended.stdout), stderr: ended.stderr }).toEqual({
        status,
        stdout: `${filled(line)}\n`,
        stderr: "",
      });
    });

    /** What the middleman gets is put into the mailbox with another signature, as if it had arrived. */
    async function forge(): Promise<void> {
      const [letter] = await until("the middleman's letter", () =>
        middleman.received.length > 0 ? middleman.received : undefined,
      );
      const message = (letter?.message ?? "").replace(
        /(X-Tpa-Submit-Probe: \w+\.\d+\.)[\w-]{43}/,
        `$1${"A".repeat(43)}`,
      );
      expect(message).toContain("AAAAAAA");
      const client = await connectClient(dovecot.lmtp, false);
      await client.send(
        `LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<forged@example.net>\r\nDATA\r\n${message}\r\n.\r\nQUIT\r\n`,
      );
      const said: string[] = [];
      for (let line = await client.line(); line !== undefined; line = await client.line()) said.push(line);
      expect(said.join("\n")).toMatch(/^250 2\.0\.0 .*Saved$/m);
    }

    test("what is pending is found by the next run, and told once", async () => {
      const first = await monitor("--nagios", "-r", "held", "--wait", "1s");
      expect([first.status, masked(first.stdout)]).toEqual([
        0,
        "PROBE OK - on its way for N s | submission=N;;;0\n",
      ]);
      greylisted.delete("held@example.net");
      await relay.logged(/to=<held@example\.net>, .* status=sent/);
      const second = await monitor("--nagios", "-r", "held");
      expect([second.status, masked(second.stdout)]).toEqual([
        0,
        "PROBE OK - in INBOX after N s | arrival=N;30.000;60.000;0 submission=N;;;0\n",
      ]);
      const told = (await history()).filter(({ route }) => route === "held");
      expect(told.map(({ outcome }) => outcome)).toEqual(["inbox", "inbox"]);
    });

    const history = async (): Promise<readonly { readonly route: string; readonly outcome: string }[]> =>
      (await readFile(join(relay.folder, "probe/history"), "utf8"))
        .trimEnd()
        .split("\n")
        .map((text) => JSON.parse(text));

    test("JSON tells the way, what was changed on it, and of each hop", async () => {
      const { stdout } = await monitor("--json", "-r", "spam");
      const [{ arrival, outcome }] = JSON.parse(stdout);
      expect(outcome).toBe("spam");
      expect(arrival.hops.map(({ by }: { readonly by: string }) => by)).toEqual([
        "relay.example.org",
        "postfix.example.net",
        expect.any(String),
      ]);
      expect(arrival.changes).toEqual([{ kind: "field-changed", field: "Subject" }]);
    });

    /** One conversation and the wait for what comes of it. */
    async function arrive(to: string, place: string, ...words: readonly string[]): Promise<Ended> {
      const ended = await run(
        process.execPath,
        [
          ...[program, "probe", "-s", `127.0.0.1:${relay.submission}`, "-tls", "-f", "user1@example.org"],
          ...["-t", `${to}@example.net`, "-au", "user1", "-ahp"],
          ...["--auth-password-file", join(relay.folder, "password")],
          ...["--arrive", filled(place), "--arrive-ca", join(relay.folder, "imap.pem"), ...words],
        ],
        "",
        { TPA_SUBMIT_ARRIVE_PASSWORD: secrets.inbox },
      );
      outputs.push(ended.stdout, ended.stderr);
      return ended;
    }

    const inbox = "imaps://inbox@localhost:IMAPS";

    test("--arrive tells of the way behind the transcript", async () => {
      const { status, stdout, stderr } = await arrive(
        "inbox",
        inbox,
        "--arrive-key",
        join(relay.folder, "imap.pem"),
      );
      expect([status, stderr]).toEqual([0, ""]);
      const told = masked(stdout.slice(stdout.indexOf("=== The message")));
      expect(told.replace(/after -?\d+\.\d s/g, "after N s").split("\n")).toEqual([
        "=== The message arrived in INBOX after N s",
        expect.stringMatching(/^=== Hop 1: relay\.example\.org from \S+, after -?N s(; its clock .*)?$/),
        expect.stringMatching(/^=== Hop 2: postfix\.example\.net from \S+, after -?N s(; its clock .*)?$/),
        expect.stringMatching(/^=== Hop 3: \S+ from postfix\.example\.net, after -?N s(; its clock .*)?$/),
        "=== The receiving side says: SPF not told, DKIM not told, DMARC not told",
        "=== Changed on the way: nothing",
        "=== It has no DKIM signature",
        "",
      ]);
      expect(stdout).toMatch(/ENVID=[0-9a-f]{32}/);
    });

    test("--arrive has statuses of its own for what goes wrong behind the conversation", async () => {
      const [spam, late, lost, returned, blind] = await Promise.all([
        arrive(
          "spam",
          "imaps://spam@localhost:IMAPS",
          ...["--json", "--h-Subject", "[spam] at last"],
          "--arrive-password-file",
          join(relay.folder, "spam"),
        ),
        arrive("inbox", inbox, "--nagios", "--warn", "0s"),
        arrive("discard", inbox, "--arrive-timeout", "2s", "--silent", "2"),
        arrive(
          "nobody",
          "imaps://user1@localhost:IMAPS",
          "-ha",
          "--arrive-password-file",
          join(relay.folder, "user1"),
        ),
        arrive("inbox", inbox, "--arrive-password-file", join(relay.folder, "wrong")),
      ]);
      expect(JSON.parse(spam.stdout)).toMatchObject({
        status: 40,
        meaning: "The message arrived in the spam folder.",
        arrival: { outcome: "spam", place: "spam", folder: "Junk", hops: [{}, {}, {}] },
      });
      expect([late.status, masked(late.stdout)]).toEqual([
        1,
        "PROBE WARNING - in INBOX after N s, which is late | arrival=N;0.000;60.000;0 submission=N;;;0\n",
      ]);
      expect([lost.status, lost.stdout, masked(lost.stderr)]).toEqual([
        42,
        "",
        "*** The message did not arrive: lost: not there after N s\n",
      ]);
      expect([returned.status, returned.stdout, returned.stderr]).toEqual([43, "", ""]);
      expect([blind.status, blind.stdout]).toEqual([44, ""]);
      expect(blind.stderr).toMatch(/^\*\*\* .*cannot be looked at: the login was refused/);
    });

    test("--arrive can be the other end itself", async () => {
      const { status, stdout } = await arrive(
        "listener",
        "lmtp://127.0.0.1:LISTENER",
        "--arrive-timeout",
        "20s",
      );
      expect(stdout).toContain("=== The message arrived in lmtp://127.0.0.1:");
      expect(status).toBe(0);
    });

    test("no password is in an output, a figure, or a file that was written", async () => {
      await monitor("-r", "inbox", "-r", "unseen", "--prometheus", join(relay.folder, "probe/figures.prom"));
      const names = await readdir(join(relay.folder, "probe"), { recursive: true, withFileTypes: true });
      const files = names.filter((name) => name.isFile() && name.name !== "key");
      expect(files.length).toBeGreaterThan(2);
      const texts = await Promise.all(
        files.map((file) => readFile(join(file.parentPath, file.name), "utf8")),
      );
      const key = (await readFile(join(relay.folder, "probe/key"), "utf8")).trim();
      const all = [...outputs, ...texts, relay.log()].join("\n");
      const forms = [...Object.values(secrets), relay.password, key].flatMap((secret) => [
        secret,
        Buffer.from(secret).toString("base64"),
      ]);
      expect(forms.filter((form) => all.includes(form)).length).toBe(0);
    });
  },
);

const raise = (name: string): never => {
  throw new Error(`${name} was not started`);
};
