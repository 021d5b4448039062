/** The probe and Debian's swaks side by side, against real mail servers: the same transcript; and the service page's command. */
import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { program, type Relay, startRelay } from "../../demo/relay.mjs";
import { masked } from "../probe/cases.ts";
import { pathOf, real } from "../tools/real.ts";
import { type Dovecot, startDovecot } from "./dovecot.mjs";
import { exim, openSmtpd, postfix, type Receiver, realExim, realOpenSmtpd } from "./receivers.ts";
import { realPostfix } from "./root.ts";

const hasSwaks = real("swaks");

interface Ran {
  readonly status: number | null;
  readonly shown: string;
  readonly errors: string;
}

/** Runs a probe; without what differs from session to session. */
async function ran(command: readonly string[], argv: readonly string[]): Promise<Ran> {
  const [file = "", ...first] = command;
  const child = spawn(file, [...first, ...argv], {
    env: { PATH: process.env["PATH"], HOME: "/nonexistent", LC_ALL: "C" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let shown = "";
  let errors = "";
  child.stdout.on("data", (octets: Buffer) => (shown += octets.toString()));
  child.stderr.on("data", (octets: Buffer) => (errors += octets.toString()));
  const status = await new Promise<number | null>((resolve) => child.once("close", resolve));
  return { status, shown: withoutSession(masked(shown, {})), errors };
}

/** TLS is told in other words since 20240103; identifiers and times are the servers'. */
function withoutSession(text: string): string {
  return text
    .split("\n")
    .filter((line) => !/^=== (?:TLS| {5})/.test(line))
    .join("\n")
    .replace(/(queued as|\bid=) ?[\w.\-/+]+/g, "$1 ID")
    .replace(/^(<[-~] {2}220 .*?ESMTP).*/gm, "$1 GREETING")
    .replace(/\S+ Saved$/gm, "ID Saved")
    .replace(/(250 2\.0\.0 )[0-9a-f]{8} Message/g, "$1ID Message")
    .replace(/^(<[-~] {2}334 )\S+|^( [-~]> )(?=[A-Za-z0-9+/]{20,}={0,2}$)\S+/gm, "$1$2CHALLENGE");
}

async function compare(argv: readonly string[], status: number): Promise<void> {
  const usual = ["-h", "client.example.org", "-f", "user1@example.org", ...argv];
  const ours = await ran([program, "probe"], usual);
  expect(ours.shown).toContain("Connected to ");
  expect(ours.status).toBe(status);
  expect(ours).toEqual(await ran([pathOf("swaks") ?? "swaks"], usual));
}

describe.skipIf(!hasSwaks)("side by side with swaks against our own relay", () => {
  let relay: Relay;

  beforeAll(async () => {
    relay = await startRelay(`[delivery]\nrelay = "file:FOLDER/delivered"`);
  });
  afterAll(() => relay?.stop());

  const login = (): readonly string[] => ["-au", relay.login, "-ap", relay.password];
  const at = (port: "submission" | "submissions"): readonly string[] => [
    "-s",
    "localhost",
    "-p",
    String(relay[port]),
  ];

  test.each([
    ["nobody who is not logged in may send", () => ["-tls"], 23],
    ["STARTTLS and PLAIN", () => ["-tls", "-a", "PLAIN", "-ahp", ...login()], 0],
    ["STARTTLS and LOGIN", () => ["-tls", "-a", "LOGIN", "-ahp", ...login()], 0],
    ["a wrong password", () => ["-tls", "-a", "PLAIN", "-au", relay.login, "-ap", "wrong"], 28],
    ["several commands at once", () => ["-tls", "-a", "PLAIN", "-ahp", ...login(), "--pipeline", "-n"], 0],
  ] as const)("%s", async (_, argv, status) => {
    await compare([...at("submission"), "-t", "x@example.net", ...argv()], status);
  });

  test("TLS from the beginning", async () => {
    await compare(
      [...at("submissions"), "-t", "x@example.net", "-tlsc", "-a", "PLAIN", "-ahp", ...login()],
      0,
    );
  });
});

describe.each([
  ["Postfix", realPostfix(), postfix],
  ["Exim", realExim(), exim],
  ["OpenSMTPD", realOpenSmtpd(), openSmtpd],
] as const)("side by side with swaks against %s", (_, isThere, start) => {
  let server: Receiver;

  beforeAll(async () => {
    if (isThere && hasSwaks) server = await start();
  });
  afterAll(() => server?.stop());

  test.skipIf(!isThere || !hasSwaks).each([
    ["a message", ["-t", "x@example.net"], 0],
    ["one recipient of two", ["-t", "x@example.net,nobody@example.net", "-n"], 0],
    ["no recipient", ["-t", "nobody@example.net"], 24],
    ["as far as EHLO", ["-q", "helo"], 0],
    ["TLS that is not offered", ["-t", "x@example.net", "-tls"], 29],
  ] as const)("%s", async (_what, argv, status) => {
    await compare(["-s", "127.0.0.1", "-p", String(server.port), ...argv], status);
  });
});

describe.skipIf(!hasSwaks || !realPostfix("dovecot lmtp"))(
  "side by side with swaks against Dovecot over LMTP",
  () => {
    let dovecot: Dovecot;

    beforeAll(async () => {
      dovecot = await startDovecot({ x: "{PLAIN}unused", y: "{PLAIN}unused" });
    });
    afterAll(() => dovecot?.stop());

    test("a message for two, and for nobody", async () => {
      const to = ["-t", "x@example.net,y@example.net,nobody@example.net"];
      await compare(["-s", "127.0.0.1", "-p", String(dovecot.lmtp), "--protocol", "LMTP", ...to], 0);
    });
  },
);

interface Seen {
  readonly status: number | null;
  readonly shown: string;
}

/** On a terminal of its own, made by script(1): what is typed when `question` stands there. Gives all that was seen. */
function onTerminal(argv: readonly string[], question: string, keys: string): Promise<Seen> {
  const words = [process.execPath, program, "probe", ...argv].map((word) => `'${word}'`).join(" ");
  const child = spawn("script", ["-qec", words, "/dev/null"], {
    stdio: ["pipe", "pipe", "inherit"],
    env: { PATH: process.env["PATH"], HOME: "/nonexistent", SHELL: "/bin/sh", TERM: "xterm" },
  });
  let shown = "";
  child.stdout.on("data", (octets: Buffer) => {
    const before = shown.includes(question);
    shown += octets.toString();
    if (!before && shown.includes(question)) child.stdin.write(keys);
  });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (status) => resolve({ status, shown: shown.replaceAll("\r\n", "\n") }));
  });
}

describe.skipIf(!real("script"))("the service page's command", () => {
  let relay: Relay;

  beforeAll(async () => {
    relay = await startRelay(`[delivery]\nrelay = "file:FOLDER/delivered"`);
  });
  afterAll(() => relay?.stop());

  test("asks for the password, hides what it must, delivers, and says so", async () => {
    const { login, password, submission } = relay;
    const argv = ["-f", `${login}@example.org`, "-t", `${login}@example.org`, "-s", "localhost", "-tls"];
    const { status, shown } = await onTerminal(
      [...argv, "-p", String(submission), "-au", login, "-ap", "-pp"],
      "Password: ",
      `${password}\r`,
    );
    expect(shown).toMatch(/^Password: .*\n=== Trying localhost:\d+\.\.\.\n=== Connected to localhost\.\n/);
    expect(shown).not.toContain(password);
    expect(shown).toMatch(/\n ~> AUTH [A-Z0-9-]+/);
    expect(shown).toMatch(
      /\n<~ {2}250 2\.0\.0 .*\n ~> QUIT\n<~ {2}221 .*\n=== Connection closed with remote host\.\n/,
    );
    expect(shown).toMatch(
      /\ndelivered \(250 2\.0\.0 .*\): localhost:\d+, TLSv1\.3, [A-Z0-9-]+, \d+\.\d\d s\n$/,
    );
    expect(status).toBe(0);
    await relay.logged(/status=sent/);
    expect(readdirSync(relay.delivered).filter((name) => name.endsWith(".eml"))).toHaveLength(1);
  });
});
