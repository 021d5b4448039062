/** What `tpa-submit serve --check` says; the mistakes that it finds as a start does are in start.test.ts. */
import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { prepareRelay, program, type Relay } from "../../../demo/relay.mjs";
import { selfSigned } from "../../tools/certificate.ts";
import { type Ended, run } from "../../tools/child.mjs";
import { clientCertificate } from "../../tools/client-certificate.ts";
import { nameServer, type Records } from "../../tools/dns.ts";

let relay: Relay;
beforeEach(async () => {
  relay = await prepareRelay();
});
afterEach(() => relay.stop());

const serve = (...words: readonly string[]): Promise<Ended> =>
  run(process.execPath, [program, "serve", "--config", relay.config, ...words]);

describe("serve --check", () => {
  test("finds nothing wrong where nothing is, says what it looked at, and starts nothing", async () => {
    const { status, stdout, stderr } = await serve("--check");
    expect(stderr).toBe("");
    expect(status).toBe(0);
    expect(stdout).toMatch(/tpa-submit\.toml: every setting is understood\n/);
    expect(stdout).toMatch(
      /certificate\.pem: certificate for localhost, 127\.0\.0\.1, valid until .*Z, 29 days from now\n/,
    );
    expect(stdout).toMatch(/mail-passwords: 1 logins\n/);
    expect(stdout).toMatch(/spool: will be made at the first start\n/);
    expect(stdout).toMatch(/^\[delivery\]: mail goes to the folder \S+delivered$/m);
    expect(stdout).toMatch(/spool\/control: will be the control socket\n/);
  });

  test("tells how mail leaves, and warns of a relay that has no address", async () => {
    await writeFile(join(relay.folder, "secret"), "relay password\n");
    await relay.configure(`[delivery]
relay = ["smtps://127.0.0.1:25", "smtp://no.such.host.invalid:25"]
[[route]]
to = ["example.net", ".example.net"]
from = "user1@example.org"
[[route]]
to = "example.com"
relay = ["smtp://127.0.0.1:587", "smtps://127.0.0.1:465"]
relay-user = "relay1"
relay-password-file = "FOLDER/secret"`);
    const { status, stdout, stderr } = await serve("--check");
    expect(stderr).toBe("");
    expect(status).toBe(0);
    const lines = stdout.split("\n").filter((line) => /route|delivery|invalid/.test(line));
    expect(lines).toEqual([
      "[[route]] number 1: for example.net, .example.net from user1@example.org goes to the MX of each domain (TLS opportunistic)",
      "[[route]] number 2: for example.com goes to smtp://127.0.0.1:587 (TLS verified), else to smtps://127.0.0.1:465 (TLS verified), logged in as relay1",
      "[delivery]: all else goes to smtps://127.0.0.1:25 (TLS verified), else to smtp://no.such.host.invalid:25 (TLS opportunistic)",
      expect.stringMatching(
        /^no\.such\.host\.invalid: warning: it has no address \(E\w+\), mail for it would wait here$/,
      ),
    ]);
    expect(stdout).not.toContain("relay password");
  });

  test("tells every mistake of the configuration at once", async () => {
    await relay.configure('[limits]\nrecipients = "many"\nmessage-size = "huge"\n[spol]\n');
    const { status, stderr } = await serve("--check");
    expect(status).toBe(78);
    expect(stderr.trimEnd().split("\n").length).toBe(3);
  });

  test("warns of a certificate that lacks those who signed it", async () => {
    const { cert, key } = clientCertificate(selfSigned(["ca.example.org"]), ["DNS:localhost"], "serverAuth");
    await writeFile(relay.certificate, cert);
    await writeFile(join(relay.folder, "key.pem"), key);
    const { status, stdout } = await serve("--check");
    expect(status).toBe(0);
    expect(stdout).toMatch(/certificate\.pem: warning: it lacks the certificate of CN=ca\.example\.org, /);
  });

  test.each([
    ["checks signatures", { authentic: true }, 0, /^127\.0\.0\.1:\d+: resolves and checks signatures$/m],
    ["checks none", {}, 78, /127\.0\.0\.1:\d+: checks no signatures, there would be no DANE: /],
    ["does not work", { fault: "servfail" }, 78, /: does not tell about the domain org \(ESERVFAIL\); /],
  ] as const)("says of a validating resolver that it %s", async (_, answer, status, says) => {
    const names = await nameServer(new Map<string, Records>([["org", answer]]));
    onTestFinished(() => names.close());
    await relay.configure(`[delivery]\ndnssec-resolver = "${names.address}"`);
    const check = await serve("--check");
    expect(check.status).toBe(status);
    expect(check.stdout + check.stderr).toMatch(says);
  });

  test("refuses files that everybody can change, and warns of secrets that everybody can read", async () => {
    const passwords = join(relay.folder, "mail-passwords");
    await chmod(passwords, 0o600);
    await chmod(join(relay.folder, "key.pem"), 0o644);
    const fine = await serve("--check");
    expect(fine.status).toBe(0);
    expect(fine.stdout).toMatch(/mail-passwords: the password file can be changed by nobody else\n/);
    expect(fine.stdout).toMatch(/tpa-submit\.toml: the settings can be changed by nobody else\n/);
    expect(fine.stdout).toMatch(/key\.pem: warning: everybody can read it \(mode 0644\)\n/);
    await chmod(passwords, 0o666);
    const { status, stderr } = await serve("--check");
    expect(status).toBe(78);
    expect(stderr).toMatch(
      /mail-passwords: the password file can be changed by everybody \(mode 0666\); chmod o-w it/,
    );
  });

  test("may be used while the relay runs", async () => {
    await relay.start();
    expect((await serve("--check")).status).toBe(0);
  });
});
