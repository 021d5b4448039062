/** What the program signs is valid to others: mailauth, and dkimpy where it is installed. */
import { spawnSync } from "node:child_process";
import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Relay, startRelay } from "../../demo/relay.mjs";
import { authPlain, expecting, greet, note, submit } from "../commands/serve/conversation.ts";
import { odd } from "../server/delivery/dkim/odd.ts";
import { pairs, recordOf, signedBy, verified } from "../server/delivery/dkim/site.ts";
import { real } from "../tools/real.ts";
import { capturingHop, type Hop } from "./hops.ts";

const dns = { a: recordOf("rsa"), b: recordOf("ed25519"), c: recordOf("rsa") };
const python = real("python3 dkim");

/** What dkimpy finds, as mailauth's `verified`. */
function foundByPython(message: string): readonly string[] {
  const script = fileURLToPath(new URL("dkim-verify.py", import.meta.url));
  const input = Buffer.from(message, "latin1");
  const { stdout, stderr } = spawnSync("/usr/bin/python3", [script, JSON.stringify(dns)], { input });
  expect(stderr.toString()).toBe("");
  return stdout.toString().trim().split("\n");
}

describe("a message that the relay sends", () => {
  let hop: Hop;
  let relay: Relay;
  let keys = "";

  beforeAll(async () => {
    keys = await mkdtemp(join(tmpdir(), "tpa-submit-dkim-"));
    await mkdir(join(keys, "example.org"));
    await put("a.rsa.pem", "rsa");
    await put("b.ed25519.pem", "ed25519");
    hop = await capturingHop();
    relay = await startRelay(`[dkim]\nfolder = "${keys}"\n[delivery]\n${hop.delivery}\nretry-first = "1s"`);
  });
  afterAll(async () => {
    await relay?.stop();
    await hop?.stop();
    await rm(keys, { recursive: true, force: true });
  });

  async function put(name: string, kind: "rsa" | "ed25519"): Promise<void> {
    const pem = pairs[kind].privateKey.export({ type: "pkcs8", format: "pem" });
    await writeFile(join(keys, "example.org", name), pem, { mode: 0o640 });
  }

  async function sent(): Promise<string> {
    const token = crypto.randomUUID();
    const talk = await greet(relay);
    await expecting("235", talk.say(authPlain("user1", relay.password)));
    await submit(talk, note(token));
    talk.close();
    return hop.arrived(token);
  }

  test("has a valid signature by each key", async () => {
    const message = await sent();
    expect(await verified(message, dns)).toEqual(["a pass", "b pass"]);
    if (python) expect(foundByPython(message)).toEqual(["a pass", "b pass"]);
  });

  test("has that of the new key after a change of keys and SIGHUP", async () => {
    await put("c.rsa.pem", "rsa");
    await rename(join(keys, "example.org", "a.rsa.pem"), join(keys, "example.org", "a.rsa.pem.old"));
    relay.signal("SIGHUP");
    await relay.logged(/passwords re-read/);
    expect(await verified(await sent(), dns)).toEqual(["c pass", "b pass"]);
  });

  test("keeps its old keys where the new ones are wrong", async () => {
    await writeFile(join(keys, "example.org", "d.rsa.pem"), "none", { mode: 0o640 });
    relay.signal("SIGHUP");
    await relay.logged(/d\.rsa\.pem: expected a private key in PEM/);
    expect(await verified(await sent(), dns)).toEqual(["c pass", "b pass"]);
  });
});

describe.skipIf(!python)("dkimpy finds both signatures valid:", () => {
  // It refuses a name with its colon on a line of their own, and the empty rest of one.
  const readable = odd.filter(([name]) => name !== "fields folded in every way");
  test.each(readable)("%s", async (_, text) => {
    const wire = text.endsWith("\r\n") ? text : `${text}\r\n`; // as SMTP has it
    expect(foundByPython((await signedBy(text)) + wire).slice(0, 2)).toEqual(["a pass", "b pass"]);
  });
});
