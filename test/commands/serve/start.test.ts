/** What keeps the relay from starting: one clear line each, the right exit status, no stack. */
import { mkdir, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { prepareRelay, program, type Relay, startRelay } from "../../../demo/relay.mjs";
import { isRoot } from "../../interop/root.ts";
import { selfSigned } from "../../tools/certificate.ts";
import { type Ended, run } from "../../tools/child.mjs";
import { note, submitAlone } from "./conversation.ts";

let relay: Relay;
beforeEach(async () => {
  relay = await prepareRelay();
});
afterEach(() => relay.stop());

const serve = (...words: readonly string[]): Promise<Ended> =>
  run(process.execPath, [program, "serve", "--config", relay.config, ...words]);

interface Case {
  readonly name: string;
  /** Breaks what was prepared. */
  readonly fault: (relay: Relay) => Promise<unknown>;
  readonly status: number;
  /** One line of standard error, without the program's name before it. FOLDER stands for the folder. */
  readonly says: RegExp;
  /** What --check ends with, where it cannot see the fault or sees it otherwise. */
  readonly checked?: number;
}

const cases: readonly Case[] = [
  {
    name: "no configuration file",
    fault: ({ config }) => rm(config),
    status: 66,
    says: /^FOLDER\/tpa-submit\.toml: .*no such file/i,
  },
  {
    name: "a key with a typo",
    fault: (prepared) => prepared.configure('[deliver]\nrelay = "mx"'),
    status: 78,
    says: /^FOLDER\/tpa-submit\.toml:\d+: .*deliver.*did you mean \[delivery\]/,
  },
  {
    name: "a value of the wrong kind",
    fault: (prepared) => prepared.configure('[limits]\nrecipients = "many"'),
    status: 78,
    says: /^FOLDER\/tpa-submit\.toml:\d+: limits\.recipients: .*"many"/,
  },
  {
    name: "no certificate",
    fault: ({ certificate }) => rm(certificate),
    status: 78,
    says: /^FOLDER\/certificate\.pem: cannot be read \(there is no such file\); tls\.certificate /,
  },
  {
    name: "a certificate that is none",
    fault: ({ certificate }) => writeFile(certificate, "hello\n"),
    status: 78,
    says: /^FOLDER\/certificate\.pem: expected a certificate in PEM form/,
  },
  {
    name: "a key of another certificate",
    fault: ({ folder }) => writeFile(join(folder, "key.pem"), selfSigned().key),
    status: 78,
    says: /^FOLDER\/key\.pem: is not the private key of the certificate in FOLDER\/certificate\.pem$/,
  },
  {
    name: "a spool whose parent folder is missing",
    fault: (prepared) => prepared.configure('[spool]\ndirectory = "FOLDER/no/spool"'),
    status: 73,
    says: /^FOLDER\/no\/spool: .*make the folder above it first$/,
    checked: 78,
  },
  {
    name: "a spool that is a file",
    fault: ({ folder }) => writeFile(join(folder, "spool"), ""),
    status: 73,
    says: /^FOLDER\/spool: the spool cannot be opened/,
    checked: 78,
  },
  {
    name: "a control socket in a folder that is missing",
    fault: (prepared) => prepared.configure('[control]\nsocket = "FOLDER/no/control"'),
    status: 73,
    says: /^FOLDER\/no\/control: cannot listen for requests: .*; control\.socket names it, and its folder must be there$/,
    checked: 78,
  },
  {
    name: "no password for the smarthost",
    fault: (prepared) =>
      prepared.configure(
        '[delivery]\nrelay = "smtp://localhost:25"\nrelay-user = "relay1"\nrelay-password-file = "FOLDER/none"',
      ),
    status: 78,
    says: /^FOLDER\/none: cannot be read .*; relay-password-file of \[delivery\] names it$/,
  },
  {
    name: "no certificates for the relay of a route",
    fault: (prepared) =>
      prepared.configure(`[[route]]
to = "example.net"
[[route]]
to = "example.com"
relay = "smtp://localhost:25"
relay-ca = "FOLDER/none"`),
    status: 78,
    says: /^FOLDER\/none: cannot be read .*; relay-ca of \[\[route\]\] number 2 names it$/,
  },
  {
    name: "a source address that is another host's",
    fault: (prepared) =>
      prepared.configure('[[route]]\nto = "example.net"\nsource-addresses = ["192.0.2.99"]'),
    status: 78,
    says: /^192\.0\.2\.99: mail cannot be sent from there \(.*EADDRNOTAVAIL.*\); source-addresses of \[\[route\]\] number 1 names it$/,
  },
  {
    name: "aliases that cannot be understood",
    fault: async (prepared) => {
      await writeFile(join(prepared.folder, "aliases"), "press@example.org user1\n");
      await prepared.configure('[senders]\naliases = "FOLDER/aliases"');
    },
    status: 78,
    says: /^FOLDER\/aliases:1: expected "address: login, login"/,
  },
];

describe("does not start with", () => {
  test.each(cases)("$name", async ({ fault, status, says, checked }) => {
    await fault(relay);
    expectComplaint(await serve(), status, says);
    const check = await serve("--check");
    expect(check.status).toBe(checked ?? status);
    expectNoStack(check);
  });

  if (isRoot)
    process.stderr.write("\n*** SKIPPED, root may write everywhere: a spool of somebody else's ***\n");
  test.skipIf(isRoot)("a spool of somebody else's", async () => {
    await mkdir(join(relay.folder, "spool"), { mode: 0o500 });
    expectComplaint(await serve(), 77, /^FOLDER\/spool: the spool cannot be opened: EACCES/);
    expect((await serve("--check")).status).toBe(78);
  });

  test("a port that another program has", async () => {
    const { server, port } = await occupied();
    await relay.configure(`[listen]\nsubmission = ["127.0.0.1:${port}"]\nsubmissions = []\nhttp = ""`);
    expectComplaint(
      await serve(),
      69,
      new RegExp(
        `^cannot listen on 127\\.0\\.0\\.1:${port}: another program has this port; .*listen\\.submission`,
      ),
    );
    server.close();
  });

  test("a spool that another relay has, which goes on undisturbed", async () => {
    await relay.start();
    expectComplaint(await serve(), 75, /^FOLDER\/spool: .*process/);
    const id = await submitAlone(relay, note("undisturbed"));
    await relay.logged(new RegExp(`${id}: removed`));
  });

  test("a file of passwords that nobody may read, but lets nobody in either", async () => {
    await rm(join(relay.folder, "mail-passwords"));
    const check = await serve("--check");
    expect(check.status).toBe(78);
    expect(check.stderr).toMatch(/mail-passwords: nobody could log in \(there is no such file\)/);
    await relay.start(); // the file may come any time
    expect(relay.log()).toMatch(/nobody can log in/);
  });
});

test("a relay that could not start leaves the spool as it was, for the next start", async () => {
  const { server, port } = await occupied();
  const waiting = await startRelay('[delivery]\nrelay = "smtp://127.0.0.1:9"\nretry-first = "1s"');
  try {
    const id = await submitAlone(waiting, note("patient"));
    waiting.signal("SIGTERM");
    await waiting.ended;
    await waiting.configure(`[listen]\nsubmission = ["127.0.0.1:${port}"]`);
    const failed = await run(process.execPath, [program, "serve", "--config", waiting.config]);
    expect(failed.status).toBe(69);
    await waiting.configure("");
    await waiting.start();
    await waiting.logged(new RegExp(`${id}: removed`));
  } finally {
    server.close();
    await waiting.stop();
  }
});

async function occupied(): Promise<{ server: Server; port: number }> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  return { server, port: typeof address === "object" && address !== null ? address.port : 0 };
}

function expectComplaint(ended: Ended, status: number, says: RegExp): void {
  const lines = ended.stderr.trimEnd().split("\n");
  const said = lines.map((line) =>
    line.replace(/^tpa-submit serve: /, "").replaceAll(relay.folder, "FOLDER"),
  );
  expect(said).toEqual([expect.stringMatching(says)]);
  expect(ended.stderr).toMatch(/^tpa-submit serve: /);
  expect(ended.status).toBe(status);
  expectNoStack(ended);
}

function expectNoStack({ stdout, stderr }: Ended): void {
  expect(stdout + stderr).not.toMatch(/^ +at |node:internal|\bbug\b/m);
}
