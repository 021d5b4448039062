import { createHash, X509Certificate } from "node:crypto";
import { createSecureContext } from "node:tls";
import { afterEach, describe, expect, test } from "vitest";
import type { TlsaRecord } from "../../../src/server/delivery/dns/message.ts";
import type { NextHop } from "../../../src/server/delivery/next-hop.ts";
import type { TransportSettings } from "../../../src/server/delivery/transport-settings.ts";
import { type LogEntry, logTo } from "../../../src/server/log/log.ts";
import { selfSigned } from "../../tools/certificate.ts";
import { close, type Options, type Script, silence } from "../../tools/fakeserver.ts";
import { outgoing, replies } from "./fixtures.ts";
import { deliver, impatient, server } from "./hosts.ts";

afterEach(() => logTo(() => undefined));

/** `3 0 1`: exactly this certificate. */
function recordOf(pem: string): TlsaRecord {
  const data = createHash("sha256").update(new X509Certificate(pem).raw).digest();
  return { usage: 3, selector: 0, matching: 1, data };
}

describe("TLS", () => {
  const pair = selfSigned(["localhost"]);
  const other = selfSigned(["other.example.net"]);
  const tls = createSecureContext(pair);
  const starttls = { EHLO: "250-fake\n250-AUTH PLAIN LOGIN\n250 STARTTLS" };
  const verified = { tls: "verified", ca: pair.cert } as const;
  const mend = "delivery.relay-user and delivery.relay-password-file";
  const credentials = { user: "relay", password: "s3cr\u00e9t", setIn: mend };
  const secret = Buffer.from(`\0${credentials.user}\0${credentials.password}`).toString("base64");

  const cases: readonly {
    readonly name: string;
    readonly script?: Script;
    readonly options?: Options;
    readonly terms?: Partial<TransportSettings>;
    readonly hop?: Partial<NextHop>;
    readonly reply: RegExp;
    readonly secure?: boolean;
    /** Whether the host gets to see the password. */
    readonly login?: boolean;
    readonly log?: RegExp;
  }[] = [
    {
      name: "is used where it is offered, whatever the certificate",
      script: starttls,
      reply: /^250/,
      secure: true,
      log: /^Untrusted TLS connection established to localhost\[127.0.0.1\]:\d+: TLSv1.3 with cipher TLS_\w+ \(\d+\/\d+ bits\)$/,
    },
    {
      name: "that is refused is done without",
      script: { ...starttls, STARTTLS: "454 4.7.0 not now" },
      reply: /^250/,
      secure: false,
      log: /^Cleartext connection established to localhost\[127.0.0.1\]:\d+$/,
    },
    {
      name: "that speaks nonsense is done without, on a new connection",
      script: { ...starttls, handshake: "hello?" },
      reply: /^250/,
      secure: false,
      log: /^Cannot start TLS with localhost\[127.0.0.1\]:\d+: .*; going on without$/,
    },
    {
      name: "that hangs up is done without",
      script: { ...starttls, handshake: close },
      reply: /^250/,
      secure: false,
      log: /going on without$/,
    },
    {
      name: "that falls silent is done without",
      script: { ...starttls, handshake: silence },
      terms: { timeouts: impatient },
      reply: /^250/,
      secure: false,
      log: /going on without$/,
    },
    {
      name: "must be offered where it must be verified",
      script: { STARTTLS: "502 5.5.1 what?" },
      terms: verified,
      reply: /^451 4\.7\.4 TLS is required, but was not offered by host localhost/,
    },
    {
      name: "must not fail where it must be verified",
      script: { ...starttls, handshake: close },
      terms: verified,
      reply: /^451 4\.7\.5 Cannot start TLS with localhost/,
    },
    {
      name: "is verified by the given authority",
      script: starttls,
      terms: verified,
      reply: /^250/,
      secure: true,
      log: /^Verified TLS/,
    },
    {
      name: "is not verified by others",
      script: starttls,
      terms: { tls: "verified" },
      reply: /^451 4\.7\.5 .*self-signed certificate/,
    },
    {
      name: "is not verified for another name",
      script: starttls,
      options: { tls: createSecureContext(other) },
      terms: { tls: "verified", ca: other.cert },
      reply: /^451 4\.7\.5 .*does not match certificate/,
    },
    {
      name: "from the first byte is used where it is asked for",
      options: { tls, implicit: true },
      terms: verified,
      hop: { implicit: true },
      reply: /^250/,
      secure: true,
      log: /^Verified TLS/,
    },
    {
      name: "from the first byte is verified",
      options: { tls, implicit: true },
      terms: { tls: "verified" },
      hop: { implicit: true },
      reply: /^451 4\.7\.5 .*self-signed certificate/,
    },
    {
      name: "from the first byte is never done without",
      script: { greeting: "220 plain" },
      hop: { implicit: true },
      reply: /^451 4\.7\.5 Cannot start TLS/,
    },
    {
      name: "that must be there may have any certificate",
      script: starttls,
      terms: { tls: "encrypted" },
      reply: /^250/,
      secure: true,
      log: /^Untrusted TLS/,
    },
    {
      name: "that must be there is not done without when it is not offered",
      script: { STARTTLS: "502 5.5.1 what?" },
      terms: { tls: "encrypted" },
      reply: /^451 4\.7\.4 TLS is required/,
      log: /^TLS policy "encrypted" not met by localhost\[127.0.0.1\]:\d+: TLS is required/,
    },
    {
      name: "that must be there is not done without when STARTTLS is unknown even to EHLO",
      script: { EHLO: "502 5.5.1 what?" },
      terms: { tls: "encrypted" },
      reply: /^451 4\.5\.1 host localhost\[127.0.0.1\] refused to talk to me/,
    },
    {
      name: "that must be there is not done without when the handshake fails",
      script: { ...starttls, handshake: close },
      hop: { tls: { kind: "encrypted" } },
      reply: /^451 4\.7\.5 Cannot start TLS/,
    },
    {
      name: "is verified for any of the names that a policy has",
      script: starttls,
      options: { tls: createSecureContext(other) },
      terms: { ca: other.cert },
      hop: { tls: { kind: "verified", names: ["mx.example.net", "other.example.net"] } },
      reply: /^250/,
      secure: true,
      log: /^Verified TLS/,
    },
    {
      name: "is not verified for a name that the policy has not, though it is the host's",
      script: starttls,
      terms: { ca: pair.cert },
      hop: { tls: { kind: "verified", names: ["mx.example.net"] } },
      reply: /^451 4\.7\.5 .*does not match certificate/,
    },
    {
      name: "is proven by a TLSA record, whoever signed the certificate",
      script: starttls,
      hop: { tls: { kind: "dane", names: ["mx.example.net"], records: [recordOf(pair.cert)] } },
      reply: /^250/,
      secure: true,
      log: /^Verified TLS/,
    },
    {
      name: "is proven by a TLSA record even where the operator wants a known authority",
      script: starttls,
      terms: { tls: "verified" },
      hop: { tls: { kind: "dane", names: ["localhost"], records: [recordOf(pair.cert)] } },
      reply: /^250/,
      secure: true,
      log: /^Verified TLS/,
    },
    {
      name: "is refused by a TLSA record of another certificate, whatever authority is known",
      script: starttls,
      terms: verified,
      hop: { tls: { kind: "dane", names: ["localhost"], records: [recordOf(other.cert)] } },
      reply: /^451 4\.7\.5 the certificate of localhost\[127.0.0.1\] is not the one .* \(DANE\)$/,
      log: /^TLS policy "dane" not met by localhost/,
    },
    {
      name: "must be offered where there are TLSA records",
      script: { STARTTLS: "454 4.7.0 not now" },
      hop: { tls: { kind: "dane", names: ["localhost"], records: [recordOf(pair.cert)] } },
      reply: /^451 4\.7\.4 TLS is required/,
    },
    {
      name: "carries a login",
      script: starttls,
      terms: { ...verified, credentials },
      login: true,
      reply: /^250/,
      secure: true,
    },
    {
      name: "must be there for a login",
      script: { STARTTLS: "502 5.5.1 what?" },
      terms: { credentials },
      reply: /^451 4\.7\.4 TLS is required/,
    },
    {
      name: "that fails keeps the password at home",
      script: { ...starttls, handshake: close },
      terms: { credentials },
      reply: /^451 4\.7\.5 /,
    },
    {
      name: "with a login refused keeps the mail here",
      script: { ...starttls, AUTH: "535 5.7.8 wrong" },
      login: true,
      terms: { ...verified, credentials },
      reply:
        /^451 4\.7\.0 host localhost\[127.0.0.1\] refused our login: 535 5\.7\.8 wrong; check delivery\.relay-user and delivery\.relay-password-file$/,
    },
    {
      name: "with no login on offer keeps the mail here",
      script: { EHLO: "250-fake\n250 STARTTLS" },
      terms: { ...verified, credentials },
      reply: /^451 4\.7\.0 host localhost\[127.0.0.1\] does not offer AUTH/,
    },
    {
      name: "with a host that hangs up at the login keeps the mail here",
      script: { ...starttls, AUTH: close },
      login: true,
      terms: { ...verified, credentials },
      reply: /^451 4\.4\.2 lost connection with localhost\[127.0.0.1\] while performing the AUTH exchange/,
    },
  ];

  test.each(cases)(
    "$name",
    async ({
      script = {},
      options = { tls },
      terms: more = {},
      hop,
      reply,
      secure,
      login = false,
      log: line,
    }) => {
      const lines: string[] = [];
      logTo(({ text }: LogEntry) => lines.push(text));
      const at = await server(script, options);
      const outcomes = await deliver([at], outgoing(), more, undefined, hop);
      expect(replies(outcomes)).toEqual([expect.stringMatching(reply)]);
      expect(at.received.map((one) => one.secure)).toEqual(secure === undefined ? [] : [secure]);
      if (line) expect(lines).toContainEqual(expect.stringMatching(line));
      const word = lines.map((text) => /^(\w+) TLS connection established/.exec(text)?.[1]).find(Boolean);
      const taken = secure === true && word !== undefined;
      expect(outcomes[0]?.tls).toEqual(taken ? expect.stringMatching(`^${word} TLSv1\\.[23]$`) : undefined);
      expect(at.inClear.join()).not.toContain("AUTH");
      expect(at.commands.some((command) => command.includes(secret))).toBe(login);
      expect(JSON.stringify([lines, outcomes])).not.toContain(secret);
      expect(JSON.stringify([lines, outcomes])).not.toContain(credentials.password);
    },
  );
});
