/** Next hops, ours and real ones, that keep what they are sent. */
import { chmod, mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSecureContext } from "node:tls";
import { selfSigned } from "../tools/certificate.ts";
import { runWell, start } from "../tools/child.mjs";
import { fakeServer } from "../tools/fakeserver.ts";
import { freePort, untilListening } from "../tools/port.mjs";
import { until } from "../tools/until.ts";
import { startDovecot } from "./dovecot.mjs";
import { startPostfix } from "./postfix.mjs";
import { isRoot } from "./root.ts";

export interface Hop {
  /** The [delivery] table that leads to it. */
  readonly delivery: string;
  /** Waits for the message with `token` in it: CRLF lines, "latin1", without what the hop itself put on top. */
  arrived(token: string): Promise<string>;
  stop(): Promise<void>;
}

/** Our own, which keeps what was on the wire, octet by octet. */
export async function capturingHop(): Promise<Hop> {
  const server = await fakeServer({}, { tls: createSecureContext(selfSigned()) });
  return {
    delivery: `relay = "smtp://127.0.0.1:${server.port}"`,
    arrived: (token) =>
      until(
        `the message ${token}`,
        () => server.received.find(({ message }) => message.includes(token))?.message,
      ),
    stop: () => server.close(),
  };
}

export interface Sink {
  readonly port: number;
  /** Where it keeps what it was sent, one file a message. */
  readonly folder: string;
  arrived(token: string): Promise<string>;
  /** The names of these files. */
  stored(): Promise<readonly string[]>;
  stop(): Promise<void>;
}

/** Postfix's smtp-sink, with its switches. */
export async function smtpSink(...switches: readonly string[]): Promise<Sink> {
  return sinkAt(await freePort(), ...switches);
}

/** The same, on a port that is known already. */
export async function sinkAt(port: number, ...switches: readonly string[]): Promise<Sink> {
  const folder = await mkdtemp(join(tmpdir(), "tpa-submit-sink-"));
  await chmod(folder, 0o777); // smtp-sink writes as somebody else when it is started by root
  const user = isRoot ? ["-u", "nobody"] : [];
  const words = [...user, "-d", join(folder, "m."), ...switches, `127.0.0.1:${port}`, "100"];
  const sink = start("smtp-sink", words);
  await untilListening(port);
  return {
    port,
    folder,
    stored: () => readdir(folder),
    // It writes lines without CR, and an empty one at the end.
    arrived: async (token) =>
      withCrlf(
        (await fileWith(folder, token))
          .replace(/^(?:X-.*\n)+Received: .*\n(?:\t.*\n){2}/, "")
          .replace(/\n$/, ""),
      ),
    async stop() {
      await sink.stop();
      await rm(folder, { recursive: true });
    },
  };
}

export async function smtpSinkHop(): Promise<Hop> {
  const sink = await smtpSink();
  return { ...sink, delivery: `relay = "smtp://127.0.0.1:${sink.port}"` };
}

export const smarthost = { user: "relay1", password: crypto.randomUUID() };

/** A real Postfix that wants STARTTLS and a login, which a real Dovecot checks; it keeps mail in a maildir. */
export async function postfixHop(): Promise<Hop> {
  const dovecot = await startDovecot({ [smarthost.user]: `{PLAIN}${smarthost.password}` });
  const { cert, key } = selfSigned(["localhost"]);
  const postfix = await startPostfix(
    `smtpd_tls_security_level = encrypt
smtpd_tls_cert_file = FOLDER/cert.pem
smtpd_tls_key_file = FOLDER/key.pem
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:127.0.0.1:${dovecot.auth}
smtpd_relay_restrictions = permit_sasl_authenticated, reject
virtual_mailbox_domains = example.net
virtual_mailbox_maps = static:box/
virtual_mailbox_base = FOLDER/mail
virtual_minimum_uid = 1
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
`,
    { files: { "cert.pem": cert, "key.pem": key, password: `${smarthost.password}\n` } },
  );
  await mkdir(join(postfix.folder, "mail"));
  await runWell("chown", ["65534:65534", join(postfix.folder, "mail")]);
  const box = join(postfix.folder, "mail/box/new");
  return {
    delivery: `relay = "smtp://localhost:${postfix.port}"
relay-user = "${smarthost.user}"
relay-password-file = "${postfix.folder}/password"
relay-ca = "${postfix.folder}/cert.pem"`,
    // Four fields of Postfix's own, the last with three lines.
    arrived: async (token) =>
      withCrlf(
        (await fileWith(box, token)).replace(
          /^Return-Path: .*\nX-Original-To: .*\nDelivered-To: .*\nReceived: .*\n(?:\t.*\n)+/,
          "",
        ),
      ),
    async stop() {
      await postfix.stop();
      await dovecot.stop();
    },
  };
}

/** Waits for a file in `folder` with `token` in it and a whole message, and reads it as "latin1". */
export function fileWith(folder: string, token: string): Promise<string> {
  return until(`a message ${token} in ${folder}`, async () => {
    for (const name of await readdir(folder).catch(() => [])) {
      const text = await readFile(join(folder, name), "latin1");
      if (text.includes(token) && text.includes("the end\n")) return text;
    }
    return undefined;
  });
}

export const withCrlf = (text: string): string => text.replaceAll("\n", "\r\n");
