/** The parts of `tpa-submit check` that need no process: units, sockets in the kernel's table, renewal hooks. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { judgeRenewal, renewalFacts } from "../../../src/commands/check/certificate.ts";
import { isInTheWay, listeningSockets } from "../../../src/commands/check/host.ts";
import { findUnit, hiddenBy, readOnlyBy, readUnit } from "../../../src/commands/check/unit.ts";
import { selfSigned } from "../../tools/certificate.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "tpa-submit-check-"));
});
afterEach(() => rm(folder, { recursive: true }));

describe("the shipped unit", () => {
  test("is understood", async () => {
    const unit = await findUnit(new URL("../../../etc/systemd/tpa-submit.service", import.meta.url).pathname);
    expect(unit).toMatchObject({
      user: "tpa-submit",
      config: "/etc/tpa-submit/tpa-submit.toml",
      hasSockets: true,
      descriptors: 65_536,
      sandbox: { protectSystem: "strict", protectHome: true, privateTmp: true },
    });
    if (!unit) throw new Error("there is none");
    const { sandbox } = unit;
    expect(readOnlyBy(sandbox, "/var/spool/tpa-submit")).toBeUndefined();
    expect(readOnlyBy(sandbox, "/var/lib/tpa-submit/mail-passwords")).toBeUndefined();
    expect(readOnlyBy(sandbox, "/var/log/tpa-submit.log")).toBe("ProtectSystem=strict");
    expect(readOnlyBy(sandbox, "/var/spool/tpa-submit2")).toBe("ProtectSystem=strict");
    expect(hiddenBy(sandbox, "/root/key.pem")).toBe("ProtectHome=");
    expect(hiddenBy(sandbox, "/tmp/key.pem")).toBe("PrivateTmp=");
    expect(hiddenBy(sandbox, "/etc/tpa-submit/key.pem")).toBeUndefined();
  });
});

describe("a unit", () => {
  const read = (...texts: readonly string[]) => readUnit("x.service", texts);

  test("is changed by what stands behind it, and an empty setting takes back what was before", () => {
    const unit = read(
      "[Service]\nUser=one\nReadWritePaths=/a /b\n# User=three\n[Install]\nUser=four\n",
      "[Service]\nUser = two\nReadWritePaths=\nReadWritePaths=-/c \\\n  +/d\n",
    );
    expect(unit.user).toBe("two");
    expect(unit.sandbox.writable).toEqual(["/c", "/d"]);
  });

  test("finds its drop-ins", async () => {
    await writeFile(join(folder, "x.service"), "[Service]\nUser=one\n");
    await mkdir(join(folder, "x.service.d"));
    await writeFile(join(folder, "x.service.d/20.conf"), "[Service]\nUser=two\n");
    await writeFile(join(folder, "x.service.d/10.conf"), "[Service]\nUser=three\n");
    await writeFile(join(folder, "x.service.d/30.conf.off"), "[Service]\nUser=four\n");
    expect((await findUnit(join(folder, "x.service")))?.user).toBe("two");
    expect(await findUnit(join(folder, "y.service"))).toBeUndefined();
  });

  test.each([
    ["", "/etc/x", undefined],
    ["ProtectSystem=true", "/usr/x", "ProtectSystem=yes"],
    ["ProtectSystem=true", "/etc/x", undefined],
    ["ProtectSystem=full", "/etc/x", "ProtectSystem=full"],
    ["ProtectSystem=full", "/var/x", undefined],
    ["ProtectSystem=strict", "/var/x", "ProtectSystem=strict"],
    ["ProtectSystem=strict\nLogsDirectory=x", "/var/log/x/y", undefined],
    ["ProtectSystem=strict\nReadWritePaths=/var", "/var/x", undefined],
    ["ReadOnlyPaths=/var\nReadWritePaths=/var/x", "/var/x/y", undefined],
    ["ReadOnlyPaths=/var/x\nReadWritePaths=/var", "/var/x/y", "ReadOnlyPaths="],
    ["InaccessiblePaths=/var/x", "/var/x/y", "InaccessiblePaths="],
    ["ProtectHome=read-only", "/home/x", "ProtectHome="],
    ["ProtectHome=no", "/home/x", undefined],
  ])("with %j: who keeps %s from being written", (lines, path, by) => {
    expect(readOnlyBy(read(`[Service]\n${lines}\n`).sandbox, path)).toBe(by);
  });
});

test("a listening socket is in the way of the addresses that it takes", () => {
  const table = [
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode",
    "   0: 0100007F:024B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1061 1 x",
    "   1: 00000000:01D1 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1062 1 x",
    "   2: 0100007F:0277 0100007F:AD27 06 00000000:00000000 03:00000C94 00000000     0        0 0 3 x",
    "   0: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 1063 1 x",
    "   1: 00000000000000000000000000000000:1F91 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 1064 1 x",
  ].join("\n");
  const sockets = listeningSockets(table);
  expect(sockets.map(({ port, inode }) => [port, inode])).toEqual([
    [587, "1061"],
    [465, "1062"],
    [8080, "1063"],
    [8081, "1064"],
  ]);
  const taken = (host: string, port: number): boolean =>
    sockets.some((socket) => isInTheWay(socket, { host, port }));
  expect(taken("127.0.0.1", 587)).toBe(true);
  expect(taken("127.0.0.2", 587)).toBe(false);
  expect(taken("0.0.0.0", 587)).toBe(true);
  expect(taken("192.0.2.1", 465)).toBe(true);
  expect(taken("localhost", 587)).toBe(true);
  expect(taken("::1", 8080)).toBe(true);
  expect(taken("2001:db8::1", 8080)).toBe(false);
  expect(taken("::", 465)).toBe(false);
  expect(taken("::1", 465)).toBe(false);
  expect(taken("127.0.0.1", 8081)).toBe(true);
  expect(taken("127.0.0.1", 588)).toBe(false);
});

describe("renewal", () => {
  const path = "/etc/tpa-submit/tls/fullchain.pem";
  const facts = { paths: [path], lifetime: 90, clients: [], hooks: [] };

  test.each([
    [
      "a hook that names us",
      { ...facts, clients: ["certbot"], hooks: [{ path: "/h", text: "systemctl reload tpa-submit" }] },
      "ok",
    ],
    ["a hook that names the file", { ...facts, hooks: [{ path: "/h", text: `cp x ${path}` }] }, "ok"],
    [
      "a client, but no such hook",
      { ...facts, clients: ["certbot"], hooks: [{ path: "/h", text: "true" }] },
      "warning",
    ],
    ["nobody, for a short time", facts, "warning"],
    ["nobody, for a year", { ...facts, lifetime: 365 }, "ok"],
    ["certbot's own folder", { ...facts, paths: [path, "/etc/letsencrypt/archive/x/fullchain1.pem"] }, "ok"],
  ] as const)("by %s", (_, known, state) => {
    expect(judgeRenewal(known).state).toBe(state);
  });

  test("finds the hooks of certbot, dehydrated and lego", async () => {
    const put = async (name: string, text: string): Promise<void> => {
      await mkdir(join(folder, name, ".."), { recursive: true });
      await writeFile(join(folder, name), text);
    };
    await put("chain.pem", selfSigned(["relay.example.org"], 90).cert);
    expect(await renewalFacts(join(folder, "chain.pem"), folder)).toMatchObject({
      lifetime: 90,
      clients: [],
      hooks: [],
    });
    await put("etc/letsencrypt/renewal/relay.example.org.conf", "renew_hook = /usr/lib/tpa-submit/deploy\n");
    await put("etc/letsencrypt/renewal-hooks/deploy/tpa-submit", "#!/bin/sh\n");
    await put("etc/dehydrated/config", 'HOOK="/etc/dehydrated/hook.sh"\n');
    await put("etc/dehydrated/hook.sh", "#!/bin/sh\n");
    await put("etc/cron.d/lego", "lego renew --renew-hook /bin/true\n");
    const found = await renewalFacts(join(folder, "chain.pem"), folder);
    expect(found?.clients).toEqual(["certbot", "dehydrated", "lego"]);
    expect(found?.hooks.map((hook) => hook.path.slice(folder.length))).toEqual([
      "/etc/letsencrypt/renewal-hooks/deploy/tpa-submit",
      "/etc/letsencrypt/renewal/relay.example.org.conf",
      "/etc/dehydrated/hook.sh",
      "/etc/cron.d/lego",
    ]);
  });
});
