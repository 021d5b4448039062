/** The probe's ways to log in, against Dovecot's password service: its own protocol, one exchange a connection. */

import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect } from "node:net";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { mechanismNamed } from "../../src/probe/mechanisms.ts";
import type { SaslExchange } from "../../src/smtp/sasl/mechanism.ts";
import { type Dovecot, startDovecot } from "./dovecot.mjs";
import { realAsRoot } from "./root.ts";

const mechanisms = ["PLAIN", "LOGIN", "CRAM-MD5", "DIGEST-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"];
const password = "corr\u00e9ct horse, battery";

describe.skipIf(!realAsRoot("dovecot lmtp"))("with Dovecot", () => {
  let dovecot: Dovecot;

  beforeAll(async () => {
    dovecot = await startDovecot({ jane: `{PLAIN}${password}` }, undefined, mechanisms.join(" "));
  }, 60_000);

  afterAll(() => dovecot.stop());

  /** Whether Dovecot says OK, and what the exchange has against that. */
  async function logIn(
    name: string,
    secret: string,
  ): Promise<{ ok: boolean; objection: string | undefined }> {
    const exchange = mechanismNamed(name)?.begin({
      user: "jane",
      password: secret,
      extra: new Map(),
      host: "localhost",
      random: randomBytes,
    });
    if (exchange === undefined) throw new Error(`no ${name}`);
    const socket = connect(dovecot.auth, "127.0.0.1");
    try {
      await once(socket, "connect");
      socket.write(`VERSION\t1\t2\nCPID\t${process.pid}\n`);
      const ok = await converse(socket, name, exchange);
      return { ok, objection: exchange.objection?.() };
    } finally {
      socket.destroy();
    }
  }

  test.each(mechanisms)(
    "%s: the right password is right, the wrong one wrong",
    async (name) => {
      expect(await logIn(name, password)).toEqual({ ok: true, objection: undefined });
      expect((await logIn(name, "wrong")).ok).toBe(false);
    },
    60_000,
  );
});

async function converse(
  socket: ReturnType<typeof connect>,
  name: string,
  exchange: SaslExchange,
): Promise<boolean> {
  const base64 = (octets: Uint8Array): string => Buffer.from(octets).toString("base64");
  const first = exchange.initial === undefined ? "" : `\tresp=${base64(exchange.initial)}`;
  for await (const line of createInterface({ input: socket })) {
    const [verb, , challenge = ""] = line.split("\t");
    if (verb === "DONE") socket.write(`AUTH\t1\t${name}\tservice=smtp\tsecured${first}\n`);
    if (verb === "OK") return true;
    if (verb === "FAIL") return false;
    if (verb !== "CONT") continue;
    const answer = await exchange.answer(Buffer.from(challenge, "base64"));
    if (answer === undefined) return false;
    socket.write(`CONT\t1\t${base64(answer)}\n`);
  }
  throw new Error("Dovecot hung up");
}
