/**
 * A real Exim that sends its mail through us. Debian lets nobody install it beside Postfix: .ci/run only unpacks it.
 */
import { spawnSync } from "node:child_process";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Relay, startRelay } from "../../demo/relay.mjs";
import { run } from "../tools/child.mjs";
import { pathOf, real } from "../tools/real.ts";
import { capturingHop, type Hop } from "./hops.ts";
import { newLetter } from "./letter.ts";
import { isRoot } from "./root.ts";

/** In place of the routers, transports and authenticators of a Debian smarthost: they do the same. */
const configuration = `primary_hostname = exim.example.net
exim_path = PROGRAM
spool_directory = FOLDER/spool
log_file_path = FOLDER/%slog
keep_environment =
begin routers
smarthost:
  driver = manualroute
  transport = smarthost
  route_list = * 127.0.0.1::PORT byname
  self = send
begin transports
smarthost:
  driver = smtp
  protocol = PROTOCOL
  hosts_require_auth = *
  hosts_require_tls = *
  tls_verify_certificates = CERTIFICATE
  tls_verify_hosts = *
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  client_send = ^user1^\${readfile{FOLDER/password}{}}
begin retry
* * F,1h,1s
`;

describe.skipIf(!usable())("a real Exim sends through us", () => {
  let hop: Hop;
  let relay: Relay;

  beforeAll(async () => {
    hop = await capturingHop();
    relay = await startRelay(`[delivery]\n${hop.delivery}`);
  });
  afterAll(async () => {
    await relay?.stop();
    await hop?.stop();
  });

  test.each(["smtp", "smtps"] as const)("by %s", async (protocol) => {
    const { token, octets } = newLetter();
    const log = await send(protocol, relay.password, "user1@example.org", octets);
    // K: in chunks (BDAT).
    expect(log).toMatch(
      /=> x@example\.net R=smarthost T=smarthost .* A=plain K C="250 2\.0\.0 Ok: queued as /,
    );
    const arrived = await hop.arrived(token);
    expect(arrived).toMatch(
      /^Received: from authenticated-user by relay\.example\.org\r\n\twith ESMTPSA [\s\S]*?\r\nReceived: from /,
    );
    expect(arrived.endsWith(`\r\n${octets.toString("latin1")}\r\n`)).toBe(true);
  });

  test("and keeps the message where the password is wrong", async () => {
    const log = await send("smtp", "wrong", "user1@example.org", newLetter().octets);
    expect(log).toMatch(/plain authenticator failed .* 535 5\.7\.8 .*e-mail password/);
    expect(log).toMatch(/ == x@example\.net .* defer /);
  });

  test("and hears whose addresses may be used", async () => {
    const log = await send("smtp", relay.password, "boss@example.org", newLetter().octets);
    expect(log).toMatch(/\*\* x@example\.net .* 550 5\.7\.1 .*user1@example\.org/);
  });

  /** Hands it a message as sendmail(8) takes them; gives its log when it has tried to deliver that. */
  async function send(protocol: string, password: string, from: string, octets: Buffer): Promise<string> {
    const folder = await mkdtemp(join(tmpdir(), "tpa-submit-exim-"));
    await chmod(folder, 0o777); // Exim's own user writes there
    const filled = configuration
      .replaceAll("FOLDER", folder)
      .replace("PROGRAM", pathOf("exim4") ?? "")
      .replace("PORT", String(protocol === "smtps" ? relay.submissions : relay.submission))
      .replace("PROTOCOL", protocol)
      .replace("CERTIFICATE", join(folder, "certificate.pem"));
    try {
      await writeFile(join(folder, "exim.conf"), filled);
      await writeFile(join(folder, "password"), password);
      await writeFile(join(folder, "certificate.pem"), await readFile(relay.certificate));
      const lines = octets.toString("latin1").replaceAll("\r\n", "\n");
      const words = ["-C", join(folder, "exim.conf"), "-odf", "-oi", "-f", from, "x@example.net"];
      const { stdout, stderr } = await run("exim4", words, Buffer.from(`${lines}\n`, "latin1"));
      return `${stdout}${stderr}${await readFile(join(folder, "mainlog"), "utf8").catch(() => "")}`;
    } finally {
      await rm(folder, { recursive: true });
    }
  }
});

/** It drops root's rights for a user whose name is built in. */
function usable(): boolean {
  if (!real("exim4")) return false;
  const can = isRoot && spawnSync("id", ["Debian-exim"]).status === 0;
  if (!can) process.stderr.write("\n*** SKIPPED: Exim wants root and a user Debian-exim ***\n");
  return can;
}
