/**
 * 500 messages of odd shapes, signed by the relay, carried by a real Postfix to a real Dovecot, and verified there by two
 * others, mailauth and dkimpy, and by our own verifier; the same through a Postfix that takes no 8-bit text.
 */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { type Relay, startRelay } from "../../demo/relay.mjs";
import { verifySignatures } from "../../src/smtp/dkim/verify.ts";
import { type Conversation, enter, expecting } from "../commands/serve/conversation.ts";
import { pairs, recordOf, verified } from "../server/delivery/dkim/site.ts";
import { runWell } from "../tools/child.mjs";
import { type Dovecot, startDovecot } from "./dovecot.mjs";
import { type OddMessage, oddMail } from "./odd-mail.ts";
import { type Postfix, startPostfix } from "./postfix.mjs";
import { realPostfix } from "./root.ts";

vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

const dns = { a: recordOf("rsa"), b: recordOf("ed25519") };

describe.skipIf(!realPostfix("dovecot lmtp", "python3 dkim")).each([
  ["as it is", "", false],
  ["through a host without 8BITMIME", "smtpd_discard_ehlo_keywords = 8bitmime, chunking\n", true],
])("odd mail %s", (_, settings, eightBit) => {
  let keys: string;
  let relay: Relay;
  let postfix: Postfix;
  let dovecot: Dovecot;
  const messages = oddMail(600, eightBit);
  /** By their number. */
  const taken = new Map<number, OddMessage>();

  beforeAll(async () => {
    keys = await mkdtemp(join(tmpdir(), "tpa-submit-dkim-"));
    await mkdir(join(keys, "example.org"));
    for (const [name, kind] of [
      ["a.rsa.pem", "rsa"],
      ["b.ed25519.pem", "ed25519"],
    ] as const) {
      const pem = pairs[kind].privateKey.export({ type: "pkcs8", format: "pem" });
      await writeFile(join(keys, "example.org", name), pem, { mode: 0o640 });
    }
    dovecot = await startDovecot({ x: "{PLAIN}unused" });
    // Lines of more than 998 octets would be broken (RFC 5321 section 4.5.3.1.6), and no signature survives that.
    postfix = await startPostfix(
      `default_transport = lmtp:inet:127.0.0.1:${dovecot.lmtp}\nlmtp_line_length_limit = 0\n${settings}`,
    );
    relay = await startRelay(
      `[dkim]\nfolder = "${keys}"\n[delivery]\nrelay = "smtp://127.0.0.1:${postfix.port}"\n[limits]\nmessages-per-hour = 10000\nrecipients-per-day = 10000`,
    );
    const talk = await enter(relay);
    for (const [number, message] of messages.entries())
      if (await submitted(talk, `X-Number: ${number}\r\n${message.text}`)) taken.set(number, message);
    talk.close();
  });
  afterAll(async () => {
    await relay?.stop();
    await postfix?.stop();
    await dovecot?.stop();
    await rm(keys, { recursive: true, force: true });
  });

  /** What arrived, by number, as SMTP has it. */
  async function arrived(): Promise<ReadonlyMap<number, string>> {
    const folder = join(dovecot.maildir("x"), "new");
    const found = new Map<number, string>();
    for (const name of await readdir(folder).catch(() => [])) {
      const text = (await readFile(join(folder, name), "latin1")).replaceAll(/\r?\n/g, "\r\n");
      found.set(Number(/^X-Number: (\d+)\r$/m.exec(text)?.[1]), text);
    }
    return found;
  }

  test("is valid to all who look", async () => {
    expect(taken.size).toBeGreaterThanOrEqual(500); // the others are no messages, or have no author of ours
    await vi.waitFor(async () => expect(waiting(relay)).toBe(0), { timeout: 240_000, interval: 500 });
    // Postfix has them; Dovecot, too, when Postfix's queue is empty.
    await vi.waitFor(async () => expect(await queued(postfix)).toBe(0), { timeout: 240_000, interval: 500 });
    const found = await arrived();
    const signed = [...found].filter(([, text]) => /^DKIM-Signature: [^\r]*d=example\.org/m.test(text));
    const wrong: string[] = [];
    for (const [number, text] of signed) {
      const name = taken.get(number)?.name ?? "";
      const [byMailauth, byUs] = [await verified(text, dns), await ownFindings(text)];
      if (byMailauth.slice(0, 2).join() !== "a pass,b pass")
        wrong.push(`${name}: mailauth: ${byMailauth.join()}`);
      if (byUs.slice(0, 2).join() !== "a pass,b pass") wrong.push(`${name}: ours: ${byUs.join()}`);
    }
    // It refuses a name with its colon on a line of their own, and the empty rest of one.
    const readable = signed.filter(([number]) => taken.get(number)?.name !== "fields folded in every way");
    for (const [name, lines] of await foundByPython(readable, keys)) {
      if (lines.slice(0, 2).join() !== "a pass,b pass")
        wrong.push(`${taken.get(Number(name))?.name ?? name}: dkimpy: ${lines.join()}`);
    }
    expect(wrong).toEqual([]);
    process.stderr.write(
      `\n*** ${messages.length} odd messages: ${taken.size} taken, ${found.size} arrived, ${signed.length} signed, ${converted(relay)} converted ***\n`,
    );
    expect(signed.length).toBeGreaterThanOrEqual(500);
    // What is signed by others, or no MIME, is not converted but returned.
    if (eightBit) expect(converted(relay)).toBeGreaterThanOrEqual(500);
    else expect(found.size).toBe(taken.size);
  });
});

const waiting = (relay: Relay): number => {
  const ends = new Set([...relay.log().matchAll(/qmgr\[\d+\]: ([0-9A-F]+): removed/g)].map(([, id]) => id));
  const begun = new Set([...relay.log().matchAll(/qmgr\[\d+\]: ([0-9A-F]+): from=/g)].map(([, id]) => id));
  return begun.size - ends.size;
};

const converted = (relay: Relay): number => relay.log().match(/: converted to 7-bit MIME/g)?.length ?? 0;

async function queued({ folder }: Postfix): Promise<number> {
  const text = await runWell("postqueue", ["-c", folder, "-j"]);
  return text.split("\n").filter((line) => line !== "").length;
}

async function ownFindings(text: string): Promise<readonly string[]> {
  const records: Readonly<Record<string, string>> = dns;
  const lookUp = async (name: string) => {
    const found = records[name.split(".")[0] ?? ""];
    return found === undefined ? [] : [found];
  };
  const found = await verifySignatures(Buffer.from(text, "latin1"), lookUp, Date.now());
  return found.map(({ selector, result }) => `${selector} ${result}`);
}

/** What dkimpy finds of each message: one process for all. */
async function foundByPython(
  messages: readonly (readonly [number, string])[],
  folder: string,
): Promise<readonly (readonly [string, readonly string[]])[]> {
  for (const [number, text] of messages) await writeFile(join(folder, `${number}.eml`), text, "latin1");
  const script = fileURLToPath(new URL("dkim-verify.py", import.meta.url));
  const files = messages.map(([number]) => join(folder, `${number}.eml`));
  const said = await runWell("/usr/bin/python3", [script, JSON.stringify(dns), ...files]);
  return said
    .trim()
    .split("\n")
    .map((line) => {
      const [file = "", ...lines] = line.split("\t");
      return [/(\d+)\.eml$/.exec(file)?.[1] ?? file, lines] as const;
    });
}

/** Whether the relay took it. */
async function submitted(talk: Conversation, text: string): Promise<boolean> {
  const body = /[\x80-\xff]/.test(text) ? " BODY=8BITMIME" : "";
  await expecting("250", talk.say(`MAIL FROM:<user1@example.org>${body}`));
  await expecting("250", talk.say("RCPT TO:<x@example.net>"));
  await expecting("354", talk.say("DATA"));
  await talk.send(Buffer.from(`${text.replace(/^\./gm, "..")}.\r\n`, "latin1"));
  return (await talk.reply()).startsWith("250");
}
