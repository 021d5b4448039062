/** A certificate that is of little or no use at the start: no mail waits for a person, and none for a restart. */
import { once } from "node:events";
import { copyFile, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { generate } from "selfsigned";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { prepareRelay, program, type Relay } from "../../../demo/relay.mjs";
import { selfSigned } from "../../tools/certificate.ts";
import { run } from "../../tools/child.mjs";
import { until } from "../../tools/until.ts";
import { knock, note, submitAlone } from "./conversation.ts";

const doors = '[listen]\nsubmission = ["127.0.0.1:0"]\nsubmissions = ["127.0.0.1:0"]\nhttp = "127.0.0.1:0"\n';

let relay: Relay;
beforeEach(async () => {
  relay = await prepareRelay(doors);
});
afterEach(() => relay.stop());

const inFolder = (name: string): string => join(relay.folder, name);

async function use({ key, cert }: { readonly key: string; readonly cert: string }): Promise<void> {
  await writeFile(inFolder("key.pem"), key);
  await writeFile(relay.certificate, cert);
}

async function health(): Promise<{ readonly status: number; readonly said: string }> {
  const [, port] = await relay.logged(/listening for http on \S+:(\d+)/);
  const answer = await fetch(`http://127.0.0.1:${port}/healthz`);
  return { status: answer.status, said: await answer.text() };
}

async function shown(port: number): Promise<unknown> {
  const socket = connectTls({ port, host: "127.0.0.1", rejectUnauthorized: false });
  await once(socket, "secureConnect");
  const { subject } = socket.getPeerCertificate();
  socket.destroy();
  return subject.CN;
}

describe("a certificate that has expired", () => {
  beforeEach(async () => {
    const day = 86_400_000;
    const { cert, private: key } = await generate([{ name: "commonName", value: "expired.example.org" }], {
      keyType: "ec",
      curve: "P-256",
      notBeforeDate: new Date(Date.now() - 2 * day),
      notAfterDate: new Date(Date.now() - day),
    });
    await use({ key, cert });
  });

  test("is shown to clients, who judge, and told of; its renewal is taken without a person", async () => {
    await relay.start();
    expect(relay.log()).toMatch(/certificate\.pem: certificate for .* expired on .*, clients may refuse it/);
    expect(await shown(relay.submissions)).toBe("expired.example.org");
    expect(await health()).toEqual({ status: 503, said: "the certificate has expired\n" });
    await relay.logged(new RegExp(`${await submitAlone(relay, note("all the same"))}: removed`));

    const before = relay.log().length;
    await use(selfSigned(["renewed.example.org"]));
    await relay.logged(/certificate for renewed\.example\.org, valid until/, before);
    expect(await shown(relay.submissions)).toBe("renewed.example.org");
    await until("well again", async () => ((await health()).status === 200 ? true : undefined));

    const { status, stderr } = await run(process.execPath, [
      program,
      "serve",
      "--config",
      relay.config,
      "--check",
    ]);
    expect([status, stderr]).toEqual([0, ""]);
  });

  test("is an error to --check", async () => {
    const ended = await run(process.execPath, [program, "serve", "--config", relay.config, "--check"]);
    expect(ended.status).toBe(78);
    expect(ended.stderr).toMatch(
      /^tpa-submit serve: \S+certificate\.pem: expired on \S+; clients would refuse it\n$/,
    );
  });

  test("does not take the place of one that is valid", async () => {
    const expired = {
      key: await readFile(inFolder("key.pem"), "utf8"),
      cert: await readFile(relay.certificate, "utf8"),
    };
    await use(selfSigned(["valid.example.org"]));
    await relay.start();
    await use(expired);
    relay.signal("SIGHUP");
    await relay.logged(/has expired; the old certificate stays in use/);
    expect(await shown(relay.submissions)).toBe("valid.example.org");
  });
});

describe("with mail in the queue and a certificate that cannot be used", () => {
  let id: string;
  beforeEach(async () => {
    await relay.configure(`${doors}[delivery]\nrelay = "smtp://127.0.0.1:9"\nretry-first = "1s"`);
    await relay.start();
    id = await submitAlone(relay, note("waiting"));
    await relay.logged(new RegExp(`${id}: to=.* status=deferred`));
    relay.signal("SIGTERM");
    await relay.ended;
    await relay.configure(`${doors}[delivery]\nrelay = "file:FOLDER/delivered"`);
    await copyFile(relay.certificate, inFolder("aside.pem"));
  });

  test.each([
    ["missing", () => rm(relay.certificate), /cannot be read \(there is no such file\)/],
    ["another key's", () => writeFile(relay.certificate, selfSigned().cert), /is not the private key of/],
  ])("(%s) the relay delivers, listens to nobody, and does when it can be used", async (_, spoil, reason) => {
    await spoil();
    const starting = relay.start();
    await relay.logged(reason);
    await relay.logged(/: tpa-submit \S+ started as/);
    await relay.logged(new RegExp(`${id}: removed`));
    expect(await readdir(relay.delivered)).toContain(`${id}.eml`);
    expect(relay.log()).not.toContain("listening for submission");
    expect(await health()).toMatchObject({
      status: 503,
      said: expect.stringMatching(/no certificate can be used/),
    });

    await copyFile(inFolder("aside.pem"), relay.certificate);
    await starting;
    expect((await knock(relay.submission, false)).greeting).toMatch(/^220 /);
    await relay.logged(new RegExp(`${await submitAlone(relay, note("again"))}: removed`));
    expect(relay.log().match(/not listening until this is fixed/g)).toHaveLength(1);
  });
});
