import { createServer } from "node:net";
import { createSecureContext, TLSSocket } from "node:tls";
import { expect, onTestFinished, test } from "vitest";
import type { ProbePlan } from "../../src/probe/plan.ts";
import { probe } from "../../src/probe/probe.ts";
import type { ProbeDependencies } from "../../src/probe/transaction/session.ts";
import { selfSigned } from "../tools/certificate.ts";

const certificate = selfSigned(["localhost"], 30);

/** What a run against a server with TLS from the beginning shows. */
async function shown(changes: Partial<ProbePlan["output"]>): Promise<string> {
  const server = createServer((raw) => {
    const socket = new TLSSocket(raw, { isServer: true, secureContext: createSecureContext(certificate) });
    socket.on("error", () => undefined);
    socket.write("220 localhost\r\n250-localhost\r\n250-SIZE 0\r\n250 LIMITS RCPTMAX=5\r\n221 bye\r\n");
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "localhost", resolve);
  });
  onTestFinished(() => void server.close());
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const dependencies: ProbeDependencies = {
    clock: () => 0,
    now: () => Date.now(),
    random: (count) => new Uint8Array(count),
    systemCa: () => certificate.cert,
    route: async (domain) => [domain],
    dane: async (host, at, chain) => ({
      records: host === "localhost" && at === port ? chain.length + 1 : 0,
      authentic: true,
      matches: false,
    }),
    save: () => undefined,
  };
  const plan: ProbePlan = {
    transport: { kind: "inet", server: "localhost", port },
    protocol: {
      core: "esmtp",
      helo: "client.example.org",
      from: "",
      to: [],
      pipeline: false,
      prdr: false,
      mailParameters: [],
      rcptParameters: [],
      rawLines: [],
      messages: 1,
      timeout: 10_000,
      quitAfter: "HELO",
    },
    tls: { kind: "on-connect", need: "required", verifyCa: true, verifyHost: true },
    output: {
      suppressData: false,
      hints: { send: true, receive: true, info: true },
      hide: { send: false, receive: false, info: false, all: false },
      silent: 0,
      raw: false,
      stdout: "&STDOUT",
      stderr: "&STDERR",
      explain: false,
      json: false,
      ...changes,
    },
  };
  let text = "";
  const write = (octets: Uint8Array): void => {
    text += Buffer.from(octets).toString();
  };
  expect(
    await probe(
      plan,
      { stdout: { write, terminal: false }, stderr: { write, terminal: true } },
      dependencies,
    ),
  ).toBe(0);
  return text;
}

test("--explain tells what TLS came to, and what the keywords of EHLO mean", async () => {
  const lines = (await shown({ explain: true })).split("\n").filter((line) => line.startsWith("  # "));
  expect(lines).toEqual([
    "  # TLSv1.3, TLS_AES_256_GCM_SHA384 (256 bits)",
    expect.stringMatching(/^ {2}# certificate 0: (29|30) days left, issued by CN=localhost$/),
    "  # the chain ends in a CA that is trusted here",
    "  # the certificate is for localhost",
    "  # DANE: 2 TLSA records, signed; the certificate is not one of theirs (RFC 7672)",
    "  # SIZE 0: wants to know a message's size before (RFC 1870)",
    "  # LIMITS RCPTMAX=5: bounds what a session may hold: RCPTMAX=5 (RFC 9422)",
  ]);
});

test("--json tells the same to programs, and nothing else", async () => {
  const told: unknown = JSON.parse(await shown({ json: true }));
  expect(told).toMatchObject({
    status: 0,
    tls: {
      version: "TLSv1.3",
      trusted: true,
      hostMatches: true,
      dane: { records: 2, authentic: true, matches: false },
    },
    steps: [
      { at: "CONNECT", reply: ["220 localhost"], expected: true, secure: true },
      { at: "FIRST-HELO", sent: "EHLO client.example.org" },
      { at: "QUIT", sent: "QUIT", reply: ["221 bye"] },
    ],
    errors: [],
  });
});

test("a terminal has one line about it all at the end", async () => {
  const last = (await shown({})).trimEnd().split("\n").at(-1);
  expect(last).toMatch(/^done: localhost:\d+, TLSv1\.3, 0\.00 s$/);
});
