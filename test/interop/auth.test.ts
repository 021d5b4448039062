/**
 * Mail programs that log in without saying a password: by CRAM-MD5, SCRAM and client certificates, with the logins
 * whose stored passwords allow it.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { prepareRelay, program, type Relay } from "../../demo/relay.mjs";
import { createStored, formatStored, readSchemeName } from "../../src/passwd/stored.ts";
import { selfSigned } from "../tools/certificate.ts";
import { runWell } from "../tools/child.mjs";
import { clientCertificate } from "../tools/client-certificate.ts";
import { real } from "../tools/real.ts";

const to = "x@example.net";
const letter = "From: someone@example.org\nSubject: hi\n\nhello\n";

/** The scheme of each login's stored password. */
const schemeOf = {
  cleartext: "PLAIN",
  cram: "CRAM-MD5",
  scram1: "SCRAM-SHA-1",
  scram256: "SCRAM-SHA-256",
  bcrypt: "BLF-CRYPT",
} as const;

type Login = keyof typeof schemeOf;

let relay: Relay;

beforeAll(async () => {
  relay = await prepareRelay(
    '[senders]\npolicy = "any"\n[tls]\ncertificate = "FOLDER/certificate.pem"\nkey = "FOLDER/key.pem"\nclient-ca = "FOLDER/ca.pem"',
  );
  const lines: string[] = [];
  for (const [login, name] of Object.entries(schemeOf)) {
    const named = readSchemeName(name);
    if (!named) throw new Error(`no scheme ${name}`);
    const attempt = { password: relay.password, names: [`${login}@example.org`] };
    const { value } = await createStored(named.scheme, name === "BLF-CRYPT" ? 5 : 0, attempt);
    lines.push(`${login}:${formatStored(named, value)}\n`);
  }
  const put = (name: string, text: string) => writeFile(join(relay.folder, name), text, { mode: 0o600 });
  await put("mail-passwords", lines.join(""));
  const ca = selfSigned(["ca.example.org"]);
  const client = clientCertificate(ca, ["email:bcrypt@example.org"]);
  await put("ca.pem", ca.cert);
  await put("client.pem", client.cert);
  await put("client-key.pem", client.key);
  await relay.start();
});
afterAll(() => relay?.stop());

/** Runs `send`, then looks up how and as whom the message came in. */
async function sentBy(send: () => Promise<unknown>): Promise<string> {
  const before = relay.log().length;
  await send();
  const [, found = ""] = await relay.logged(/sasl_method=(\S+, sasl_username=\S+)/, before);
  return found;
}

function swaks(...words: readonly string[]): Promise<unknown> {
  const from = ["-s", "127.0.0.1", "-f", "someone@example.org", "-t", to];
  return runWell("swaks", [...from, "--data", "-", ...words], letter);
}

async function msmtp(settings: string): Promise<unknown> {
  const file = join(relay.folder, "msmtprc");
  await writeFile(
    file,
    `account default\nhost localhost\nfrom someone@example.org\ntls on\ntls_trust_file ${relay.certificate}\n${settings}\n`,
    { mode: 0o600 },
  );
  return runWell("msmtp", ["-C", file, to], letter);
}

/** Settings of msmtp for a login by `mechanism`, after STARTTLS. */
const byMechanism = (mechanism: string, login: Login): string =>
  `port ${relay.submission}\nauth ${mechanism}\nuser ${login}\npasswordeval cat ${relay.folder}/password`;

async function curl(settings: string, port: number, ...words: readonly string[]): Promise<unknown> {
  const message = join(relay.folder, "letter");
  await writeFile(message, letter.replaceAll("\n", "\r\n"));
  const scheme = port === relay.submissions ? "smtps" : "smtp";
  const path = ["--mail-from", "someone@example.org", "--mail-rcpt", to, "--upload-file", message];
  const all = ["-sS", "--ssl-reqd", "--config", "-", ...path, ...words, `${scheme}://localhost:${port}`];
  return runWell("curl", all, `cacert = "${relay.certificate}"\n${settings}\n`);
}

describe("CRAM-MD5", () => {
  test.skipIf(!real("swaks")).each<Login>(["cleartext", "cram"])(
    "by swaks, for the login %s",
    async (login) => {
      const words = ["-a", "CRAM-MD5", "-au", login, "-ap", relay.password];
      const found = await sentBy(() => swaks("-p", `${relay.submission}`, "-tls", ...words));
      expect(found).toBe(`CRAM-MD5, sasl_username=${login}`);
    },
  );

  test.skipIf(!real("msmtp"))("by msmtp", async () => {
    expect(await sentBy(() => msmtp(byMechanism("cram-md5", "cram")))).toBe("CRAM-MD5, sasl_username=cram");
  });

  test.skipIf(!real("curl"))("by curl", async () => {
    const settings = `user = "cram:${relay.password}"\nlogin-options = "AUTH=CRAM-MD5"`;
    const found = await sentBy(() => curl(settings, relay.submission));
    expect(found).toBe("CRAM-MD5, sasl_username=cram");
  });
});

describe("SCRAM", () => {
  test.skipIf(!real("msmtp")).each<[string, Login]>([
    ["scram-sha-1", "scram1"],
    ["scram-sha-1", "cleartext"],
    ["scram-sha-256", "scram256"],
    ["scram-sha-256", "cleartext"],
  ])("by msmtp with %s, for the login %s", async (mechanism, login) => {
    const found = await sentBy(() => msmtp(byMechanism(mechanism, login)));
    expect(found).toBe(`${mechanism.toUpperCase()}, sasl_username=${login}`);
  });

  const plus = ["SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS"] as const;
  test.skipIf(!real("gsasl")).each(plus)("by gsasl with %s, bound to the TLS session", async (mechanism) => {
    const before = relay.log().length;
    const login = mechanism === "SCRAM-SHA-1-PLUS" ? "scram1" : "scram256";
    const words = ["--smtp", "--connect", `localhost:${relay.submission}`, "--starttls", "-m", mechanism];
    const names = ["-a", login, "-z", login, "-p", relay.password, "--x509-ca-file", relay.certificate];
    await runWell("gsasl", [...words, ...names, "--no-client-first"]);
    await relay.logged(
      new RegExp(`SASL ${mechanism} authentication succeeded, sasl_username=${login}`),
      before,
    );
  });

  test.skipIf(!real("msmtp"))("is refused like a wrong password to a login that keeps no keys", async () => {
    const before = relay.log().length;
    await expect(msmtp(byMechanism("scram-sha-256", "bcrypt"))).rejects.toThrow(/535/);
    await relay.logged(
      /SASL SCRAM-SHA-256 authentication not possible: the stored password does not allow SCRAM-SHA-256, sasl_username=bcrypt/,
      before,
    );
  });
});

describe("a login whose stored password allows no more than PLAIN and LOGIN", () => {
  test.skipIf(!real("msmtp"))("gets in by msmtp, which prefers PLAIN inside TLS", async () => {
    const found = await sentBy(() => msmtp(byMechanism("on", "bcrypt")));
    expect(found).toBe("PLAIN, sasl_username=bcrypt");
  });

  test.skipIf(!real("python3"))("gets in by Python, which tries CRAM-MD5 first and then PLAIN", async () => {
    const { submission, certificate, folder } = relay;
    const script = `import smtplib, ssl
client = smtplib.SMTP("localhost", ${submission})
client.starttls(context=ssl.create_default_context(cafile="${certificate}"))
client.login("bcrypt", open("${folder}/password").read().strip())
client.sendmail("someone@example.org", ["${to}"], ${JSON.stringify(letter)})
client.quit()
`;
    expect(await sentBy(() => runWell("python3", ["-"], script))).toBe("PLAIN, sasl_username=bcrypt");
  });
});

describe("EXTERNAL", () => {
  const isExternal = "EXTERNAL, sasl_username=bcrypt";

  test.skipIf(!real("msmtp"))("by msmtp", async () => {
    const { folder, submissions } = relay;
    const certificate = `tls_cert_file ${folder}/client.pem\ntls_key_file ${folder}/client-key.pem`;
    const settings = `port ${submissions}\ntls_starttls off\nauth external\nuser bcrypt\n${certificate}`;
    expect(await sentBy(() => msmtp(settings))).toBe(isExternal);
  });

  test.skipIf(!real("curl"))("by curl", async () => {
    const { folder, submissions } = relay;
    const files = `cert = "${folder}/client.pem"\nkey = "${folder}/client-key.pem"`;
    const settings = `user = "bcrypt:"\nlogin-options = "AUTH=EXTERNAL"\n${files}`;
    expect(await sentBy(() => curl(settings, submissions))).toBe(isExternal);
  });
});

describe("our own probe", () => {
  test.each<[string, Login]>([
    ["PLAIN", "bcrypt"],
    ["LOGIN", "bcrypt"],
    ["LOGIN-INITIAL", "bcrypt"],
    ["CRAM-MD5", "cram"],
    ["SCRAM-SHA-1", "scram1"],
    ["SCRAM-SHA-1-PLUS", "scram1"],
    ["SCRAM-SHA-256", "scram256"],
    ["SCRAM-SHA-256-PLUS", "scram256"],
  ])("with %s, for the login %s", async (mechanism, login) => {
    const found = await sentBy(() => probe("-tls", "-a", mechanism, "-au", login, "-ap", relay.password));
    expect(found).toBe(`${mechanism.replace("-INITIAL", "")}, sasl_username=${login}`);
  });

  test("with EXTERNAL, by its certificate", async () => {
    const certificate = [
      "--tls-cert",
      join(relay.folder, "client.pem"),
      "--tls-key",
      join(relay.folder, "client-key.pem"),
    ];
    const found = await sentBy(() =>
      probe("-tlsc", "-p", `${relay.submissions}`, "-a", "EXTERNAL", "-au", "<>", ...certificate),
    );
    expect(found).toBe("EXTERNAL, sasl_username=bcrypt");
  });

  function probe(...words: readonly string[]): Promise<unknown> {
    const port = String(relay.submission);
    const from = ["probe", "--config", "-s", "localhost", "-p", port, "-f", "someone@example.org", "-t", to];
    return runWell(process.execPath, [program, ...from, ...words]);
  }
});
