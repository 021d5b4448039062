/** Several passwords of one login, each with a name: as an operator makes them, and as the relay tells them apart. */
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { program, type Relay, startRelay } from "../../../demo/relay.mjs";
import { hashDigest, parseNames } from "../../../src/passwd/password-names.ts";
import { passwd } from "../../passwd/program.ts";
import { run } from "../../tools/child.mjs";
import { authPlain, type Conversation, expecting, greet } from "../serve/conversation.ts";

// Each call starts the program anew, and a busy machine takes its time for that.
vi.setConfig({ testTimeout: 120_000 });

const md5 = "$1$o8vJpPVD$ZADWRpY5krq2l8aA3AK2R/"; // correct horse

describe("the password file, changed by name", () => {
  let folder = "";
  let file = "";
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "tpa-submit-names-"));
    file = join(folder, "mail-passwords");
  });
  afterAll(() => rm(folder, { recursive: true }));

  const edit = async (...words: readonly string[]) => {
    const { status, stderr } = await passwd([...words, "--file", file]);
    return { status, stderr, text: await readFile(file, "utf8") };
  };
  const set = (name: string, password: string) =>
    edit("--set", "User1", "--name", name, "-s", "PLAIN", "-p", password);
  const names = async () => parseNames(await readFile(`${file}.names`, "utf8"));

  test("one comes, changes, is locked, opened and goes; the others stay to the octet", async () => {
    const others = `# ours\nuser1:${md5}:1000::::\r\nuser2:${md5}\n`;
    await writeFile(file, others);
    await chmod(file, 0o600);

    expect(await set("phone", "one")).toMatchObject({ status: 0, text: `${others}User1:{PLAIN}one\n` });
    expect(await names()).toEqual([
      { login: "user1", digest: hashDigest("{PLAIN}one"), name: "phone", made: expect.any(Number) },
    ]);
    expect((await stat(`${file}.names`)).mode & 0o777).toBe(0o600);
    await set("laptop", "two");
    const changed = await set("phone", "three");
    expect(changed.text).toBe(`${others}User1:{PLAIN}three\nUser1:{PLAIN}two\n`);
    expect(changed.stderr).toMatch(/User1: phone replaced \(line 4\) in /);
    expect((await names()).map(({ name }) => name)).toEqual(["laptop", "phone"]);

    const frozen = await edit("--freeze", "user1", "--name", "phone");
    expect(frozen).toMatchObject({ status: 0, text: `${others}User1:!{PLAIN}three\nUser1:{PLAIN}two\n` });
    expect(await edit("--freeze", "user1", "--name", "phone")).toMatchObject({
      status: 75,
      stderr: expect.stringContaining("phone of user1 is frozen already"),
    });
    expect(await edit("--thaw", "user1", "--name", "phone")).toMatchObject({ text: changed.text });
    expect((await edit("--delete", "user1", "--name", "laptop")).text).toBe(`${others}User1:{PLAIN}three\n`);
    expect((await names()).map(({ name }) => name)).toEqual(["phone"]);
    expect(await edit("--delete", "user1", "--name", "laptop")).toMatchObject({
      status: 75,
      stderr: expect.stringContaining("there is no password laptop of user1"),
    });
    expect((await passwd(["--verify", "user1", "-p", "three", "--file", file])).stdout).toContain(
      "let in (line 4, phone, ",
    );
    // Without a name it is all of them, as ever.
    expect((await edit("--delete", "user1")).text).toBe(`# ours\nuser2:${md5}\n`);
    expect(await names()).toEqual([]);
  });

  test.each([
    [
      ["--freeze", "user1"],
      /--freeze is for one password, with --name; tpa-submit login freeze is for a login/,
    ],
    [["--verify", "user1", "--name", "x"], /--name goes with --set, --delete, --freeze or --thaw/],
    [["--set", "user1", "--name", "my phone"], /--name: expected letters, .*, found "my phone"/],
    [["--set", "user1", "--name", ""], /--name: expected letters/],
  ])("%j is refused, and nothing is asked", async (words, why) => {
    expect(await passwd([...words, "--file", file])).toMatchObject({
      status: 64,
      stderr: expect.stringMatching(why),
    });
  });
});

describe("a relay and the passwords of a login", () => {
  let relay: Relay;
  beforeAll(async () => {
    relay = await startRelay();
  });
  afterAll(() => relay?.stop());

  const tpa = async (...words: readonly string[]): Promise<string> => {
    const { status, stdout, stderr } = await run(process.execPath, [
      program,
      ...words,
      "--config",
      relay.config,
    ]);
    expect({ status, stderr: status === 0 ? "" : stderr }).toEqual({ status: 0, stderr: "" });
    return stdout;
  };
  const setName = (name: string, password: string, scheme: string) =>
    tpa("passwd", "--set", "user1", "--name", name, "-s", scheme, "-p", password);

  async function logIn(password: string, code = "235"): Promise<Conversation> {
    const talk = await greet(relay);
    await expecting(code, talk.say(authPlain("user1", password)));
    return talk;
  }

  test("log, history and login show tell which was used, and one that is frozen ends", async () => {
    await setName("phone", "of the phone", "SHA256-CRYPT");
    await setName("laptop", "of the laptop", "SHA256-CRYPT");
    const phone = await logIn("of the phone");
    await relay.logged(/SASL PLAIN authentication succeeded, sasl_username=user1, password=phone\n/);
    (await logIn("of the laptop")).close();
    await relay.logged(/sasl_username=user1, password=laptop\n/);
    (await logIn("of the laptop")).close(); // from memory this time
    (await logIn(relay.password)).close();
    await relay.logged(/sasl_username=user1\n/);
    expect(relay.log().match(/password=laptop/g)).toHaveLength(2);
    await expect
      .poll(() => tpa("trace", "user1"), { timeout: 30_000 })
      .toMatch(/logged in from unknown\[127\.0\.0\.1\] \(PLAIN, password phone\)/);

    await tpa("passwd", "--freeze", "user1", "--name", "phone");
    await logIn("of the phone", "535");
    await expecting("421", phone.say("MAIL FROM:<user1@example.org>"));
    (await logIn("of the laptop")).close();
    phone.close();

    relay.signal("SIGTERM"); // what it knows is written down by then
    await relay.ended;
    const { passwords } = JSON.parse(await tpa("login", "show", "user1", "--json")) as {
      readonly passwords: { readonly lines: readonly unknown[] };
    };
    const time = expect.any(Number);
    expect(passwords.lines).toEqual([
      { number: 1, letsIn: true, text: expect.any(String), used: time, network: "127.0.0.0/24" },
      {
        ...{ number: 2, letsIn: false, text: "locked", name: "phone" },
        ...{ made: time, used: time, network: "127.0.0.0/24" },
      },
      {
        ...{ number: 3, letsIn: true, text: expect.stringContaining("SHA256-CRYPT"), name: "laptop" },
        ...{ made: time, used: time, network: "127.0.0.0/24" },
      },
    ]);
    expect(await tpa("login", "show", "user1")).toMatch(
      /line 3: laptop, SHA256-CRYPT.*; made \d{4}-.*; last used \d{4}-.* from 127\.0\.0\.0\/24\n/,
    );
    const uses = await readFile(join(relay.folder, "spool/passwords-used"), "utf8");
    expect(uses).toMatch(/^tpa-submit passwords-used 1\n\[\d+,"user1","[\w-]{22}","127\.0\.0\.0\/24"\]\n/);
    expect(await tpa("queue", "verify")).toBe("");
  });
});
