/** Messages that an operator redirected: with the login of a relay that the configuration knows, and with none elsewhere. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSecureContext } from "node:tls";
import { describe, expect, onTestFinished, test } from "vitest";
import { carrierFor } from "../../../src/commands/serve/delivery.ts";
import { readConfig } from "../../../src/config/config-file.ts";
import { newSessionPool } from "../../../src/server/delivery/session-pool.ts";
import type { Transport } from "../../../src/server/delivery/transport.ts";
import { outgoing, replies } from "../../server/delivery/fixtures.ts";
import { selfSigned } from "../../tools/certificate.ts";
import { type FakeServer, fakeServer, type Options } from "../../tools/fakeserver.ts";

const hello = "250-fake\n250-AUTH PLAIN\n250 STARTTLS";
const secret = crypto.randomUUID();

async function open(options: Options): Promise<FakeServer> {
  const server = await fakeServer({ EHLO: hello }, options);
  onTestFinished(() => server.close());
  return server;
}

/** The carrier of a configuration with `settings`; FOLDER has the password and the certificate `ca`. */
async function carrierWith(settings: string, ca: string): Promise<Transport> {
  const folder = await mkdtemp(join(tmpdir(), "tpa-submit-redirected-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, "password"), `${secret}\n`);
  await writeFile(join(folder, "ca.pem"), ca);
  const whole = `hostname = "submission.example.org"\ndomain = "example.org"\nspool.directory = "FOLDER/spool"\n${settings}`;
  await writeFile(join(folder, "tpa-submit.toml"), whole.replaceAll("FOLDER", folder));
  const sessions = newSessionPool(Date.now);
  onTestFinished(() => sessions.close());
  return carrierFor(await readConfig(join(folder, "tpa-submit.toml")), sessions);
}

describe("a message that was redirected", () => {
  const pair = selfSigned(["localhost"]);
  const tls = { tls: createSecureContext(pair) };
  const send = async (carrier: Transport, relay: string) =>
    replies(await carrier.deliver(outgoing({ relay }), new AbortController().signal));

  test("to a relay of a route goes there with its login, and to another one without", async () => {
    const [ours, theirs, usual] = [await open(tls), await open(tls), await open(tls)];
    const carrier = await carrierWith(
      `[delivery]
relay = "smtp://localhost:${usual.port}"
[[route]]
from = "press@example.org"
relay = ["smtp://localhost:1", "smtp://localhost:${ours.port}"]
relay-user = "relay1"
relay-password-file = "FOLDER/password"
relay-ca = "FOLDER/ca.pem"`,
      pair.cert,
    );
    for (const { port } of [ours, theirs]) {
      expect(await send(carrier, `smtp://localhost:${port}`)).toEqual(["250 2.0.0 queued as F00"]);
    }
    const logins = ({ commands }: FakeServer) => commands.filter((command) => command.startsWith("AUTH"));
    expect([logins(ours).length, logins(theirs).length]).toEqual([1, 0]);
    expect(usual.connections()).toBe(0);
  });

  test("to an smtps relay wants its name proven, whatever [delivery] is content with", async () => {
    const relay = await open({ ...tls, implicit: true });
    const carrier = await carrierWith('[delivery]\nrelay = "mx"\ntls = "opportunistic"', pair.cert);
    expect(await send(carrier, `smtps://localhost:${relay.port}`)).toEqual([
      expect.stringMatching(/^451 4\.7\.5 .*self-signed certificate/),
    ]);
  });

  test("to what is no relay stays", async () => {
    const carrier = await carrierWith('[delivery]\nrelay = "mx"', pair.cert);
    expect(await send(carrier, "localhost")).toEqual([
      expect.stringMatching(/^451 4\.4\.4 .*which is no relay$/),
    ]);
  });
});

describe('with tls = "auto"', () => {
  test("a list asks of smtps relays to prove their names, and of smtp relays for nothing", async () => {
    const tls = { tls: createSecureContext(selfSigned(["localhost"])) };
    const [strict, lenient] = [await open({ ...tls, implicit: true }), await open(tls)];
    const carrier = await carrierWith(
      `[delivery]\nrelay = ["smtps://localhost:${strict.port}", "smtp://localhost:${lenient.port}"]`,
      "",
    );
    const outcomes = await carrier.deliver(outgoing(), new AbortController().signal);
    expect(replies(outcomes)).toEqual(["250 2.0.0 queued as F00"]);
    expect([strict.received.length, lenient.received.length]).toEqual([0, 1]);
  });
});
