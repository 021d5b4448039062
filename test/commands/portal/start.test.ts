/** What an operator reads who starts it with something wrong, and what check says of it beforehand. */
import { mkdir, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { prepareRelay, program, type Relay } from "../../../demo/relay.mjs";
import { run } from "../../tools/child.mjs";
import { freePort } from "../../tools/port.mjs";
import { check, expectFinding } from "../check/checked.ts";

const portal = (
  lines: Readonly<Record<string, string>> = {},
  ldap = 'url = "ldaps://127.0.0.1:1"',
): string => {
  const rows = {
    url: '"https://mail.example.org"',
    listen: '"127.0.0.1:1"',
    state: '"FOLDER/portal"',
    ...lines,
  };
  return `[ldap]\n${ldap}\nbase = "ou=users,dc=example,dc=org"\n[portal]\n${Object.entries(rows)
    .filter(([, value]) => value !== "")
    .map(([name, value]) => `${name} = ${value}\n`)
    .join("")}`;
};

describe("starting tpa-submit portal", { timeout: 30_000 }, () => {
  let relay: Relay;
  beforeAll(async () => {
    relay = await prepareRelay();
    await mkdir(join(relay.folder, "portal"));
  }, 30_000);
  afterAll(() => relay?.stop());

  async function start(settings: string, ...more: readonly string[]) {
    await relay.configure(settings);
    const { status, stderr } = await run(process.execPath, [program, "portal", "-c", relay.config, ...more]);
    return [status, stderr.replaceAll(relay.folder, "FOLDER")] as const;
  }

  test.each([
    ["no portal", portal({ url: "" }), 78, "portal.url: expected a URL"],
    ["a URL without TLS", portal({ url: '"http://mail.example.org"' }), 78, "portal.url: expected"],
    ["a URL with a path", portal({ url: '"https://mail.example.org/portal"' }), 78, "portal.url: expected"],
    ["a setting that is misspelt", portal({ idel: '"30m"' }), 78, "portal.idel: no such setting"],
    ["no directory", portal({}, 'url = ""'), 78, "ldap.url: expected a directory"],
    [
      "passwords in the clear",
      portal({}, 'url = "ldap://127.0.0.1:1"\nstarttls = false'),
      78,
      "in the clear",
    ],
    ["a weak scheme", portal({ scheme: '"MD5-CRYPT"' }), 78, "portal.scheme: expected one that is not weak"],
    [
      "half a certificate",
      portal({ certificate: '"FOLDER/certificate.pem"' }),
      78,
      "both portal.certificate and portal.key",
    ],
    [
      "a certificate that is not there",
      portal({ certificate: '"FOLDER/no.pem"', key: '"FOLDER/key.pem"' }),
      66,
      "portal.certificate: FOLDER/no.pem",
    ],
    ["a header from anybody", portal({ "sign-in": '"header"' }), 78, "portal.proxies: expected the proxies"],
    ["no folder", portal({ state: '"FOLDER/none"' }), 73, "portal.state names a folder"],
  ])("with %s", async (_, settings, status, words) => {
    const [found, said] = await start(settings);
    expect([found, said.includes(words) || said]).toEqual([status, true]);
    expect(said).not.toMatch(/\n\s+at /);
  });

  test("with a port that somebody has", async () => {
    const port = await freePort();
    const other = createServer().listen(port, "127.0.0.1");
    const [status, said] = await start(portal({ listen: `"127.0.0.1:${port}"` }));
    other.close();
    expect([status, said]).toEqual([
      69,
      `tpa-submit portal: portal.listen: cannot listen on 127.0.0.1:${port}: listen EADDRINUSE: address already in use 127.0.0.1:${port}\n`,
    ]);
  });

  test("with an option that it does not have", async () => {
    const [status, said] = await start(portal(), "--port", "8443");
    expect([status, said.includes("--port")]).toEqual([64, true]);
  });

  test("check knows what is not well", async () => {
    const of = async (settings: string, state: string, says: RegExp) => {
      await relay.configure(settings);
      expectFinding(await check(relay), ["portal", state, says], relay);
    };
    await of(portal({ url: "" }), "ok", /no portal is configured/);
    await of(portal({ listen: '"0.0.0.0:9589"' }), "warning", /without TLS beyond this host/);
    await of(portal(), "warning", /takes all clients for one/);
    await of(portal(), "warning", /portal.socket names no socket/);
    await of(portal({ socket: '"FOLDER/door"' }), "warning", /the relay's own group/);
    await of(
      portal({ socket: '"FOLDER/door"', "socket-group": '"no-such-group"' }),
      "failed",
      /no group no-such-group/,
    );
    await of(portal({ scheme: '"CRAM"' }), "failed", /weak, or no scheme/);
    const well = { proxies: '["127.0.0.1"]', socket: '"FOLDER/door"', "socket-group": '"root"' };
    await of(portal(well), "ok", /listens on 127.0.0.1:1/);
  });

  test("serve without the folder of the socket says which setting names it", async () => {
    await relay.configure('[portal]\nsocket = "FOLDER/none/door"\n');
    const { status, stderr } = await run(process.execPath, [program, "serve", "-c", relay.config]);
    expect([status, stderr]).toEqual([73, expect.stringContaining("portal.socket names it")]);
    await rm(join(relay.folder, "portal"), { recursive: true });
  });
});
