/** Several e-mail passwords side by side, from the page through a real directory, sync and serve. */
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { people, slapdPrograms } from "../../ldap/slapd.ts";
import { real } from "../../tools/real.ts";
import { authPlain, greet } from "../serve/conversation.ts";
import { accounts, type Browser, startWorld, type World } from "./world.ts";

const account = accounts.user1;

/** What is between the items of the list. */
const itemsIn = (page: string): readonly string[] => page.split("<article>").slice(1);

const item = (page: string, name: string): string =>
  itemsIn(page).find((one) => one.startsWith(`<h3>${name}</h3>`)) ?? "";

const digestIn = (text: string): string => /remove\?password=([A-Za-z0-9_-]{22})"/.exec(text)?.[1] ?? "";

describe.skipIf(!real(...slapdPrograms))("several passwords in the portal", { timeout: 120_000 }, () => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld({ portal: "most-passwords = 3", serve: true, sync: true });
  }, 60_000);
  afterAll(() => world?.close());

  /** Those that were made, by their names. */
  const passwords = new Map<string, string>();

  async function make(browser: Browser, name: string): Promise<string> {
    const made = await browser.submit("/password", "/password", { how: "make", name, account });
    expect([made.status, made.body.includes('id="made"')], made.body).toEqual([200, true]);
    const [, password = ""] = /id="made">([^<]+)</.exec(made.body) ?? [];
    passwords.set(name, password);
    return password;
  }

  const state = async (browser: Browser): Promise<string> =>
    /<h1>([^<]*)/.exec((await browser.get("/password/state")).body)?.[1] ?? "";

  const until = (browser: Browser, wanted: string) =>
    expect.poll(() => state(browser), { timeout: 60_000, interval: 300 }).toBe(wanted);

  async function logIn(password: string): Promise<string> {
    const talk = await greet(world.relay);
    const answer = await talk.say(authPlain("user1", password));
    await talk.say("QUIT");
    return answer.slice(0, 3);
  }

  async function signedIn(): Promise<Browser> {
    const browser = world.browser();
    await browser.signIn("user1", account);
    return browser;
  }

  test("makes two, tells which was used when and whence, and removes one", async () => {
    const browser = await signedIn();
    expect((await browser.get("/password")).body).toContain("password without a name");
    const phone = await make(browser, "phone");
    await until(browser, "Works now");
    const laptop = await make(browser, "work-laptop");
    await until(browser, "Works now");
    expect(await logIn(phone)).toBe("235");
    expect(await logIn(laptop)).toBe("235");

    const { body } = await browser.get("/password");
    expect(itemsIn(body)).toHaveLength(2);
    expect(item(body, "phone")).toMatch(
      /Last used<\/dt><dd><time [^>]*>[^<]*<\/time>, from 127\.0\.0\.0\/24/,
    );
    expect(item(body, "phone")).toMatch(/Made<\/dt><dd><time /);
    expect(body).not.toContain("$2y$");

    const { relay } = world;
    const file = join(relay.folder, "mail-passwords");
    const lines = (await readFile(file, "utf8")).trimEnd().split("\n");
    expect(lines).toHaveLength(2);
    for (const line of lines) expect(line).toMatch(/^user1:\$2y\$[^:]+$/);
    const names = await readFile(`${file}.names`, "utf8");
    expect(names).toMatch(/^user1 \S{22} phone \d{4}-\S+Z$/m);
    expect((await stat(`${file}.names`)).mode & 0o777).toBe((await stat(file)).mode & 0o777);
    await relay.logged(/password=phone|sasl_password=phone|phone/);

    const page = `/password/remove?password=${digestIn(item(body, "phone"))}`;
    const asked = await browser.get(page);
    expect(asked.body).toContain("<b>phone</b>");
    const fields = { password: digestIn(item(body, "phone")) };
    const wrong = await browser.submit(page, "/password/remove", { ...fields, account: "not it" });
    expect([wrong.status, wrong.body.includes("not the password of your account")]).toEqual([401, true]);
    expect(await logIn(phone)).toBe("235");
    const gone = await browser.submit(page, "/password/remove", { ...fields, account });
    expect(gone.body).toContain("The password is removed");
    await until(browser, "Gone");
    expect(await logIn(phone)).toBe("535");
    expect(await logIn(laptop)).toBe("235");
    expect(await readFile(`${file}.names`, "utf8")).not.toContain("phone");
    expect(world.portal.log()).not.toContain(phone);

    const last = itemsIn((await browser.get("/password")).body);
    expect(last).toHaveLength(1);
    const only = `/password/remove?password=${digestIn(last[0] ?? "")}`;
    expect((await browser.get(only)).body).toContain("your only one");
    const again = await browser.submit(only, "/password/remove", { ...fields, account });
    expect(again.body).toContain("nothing was changed");
  });

  test("says why it makes none", async () => {
    const browser = await signedIn();
    const set = async (name: string) =>
      (await browser.submit("/password", "/password", { how: "make", name, account })).body;
    for (const name of ["", "my phone", "-phone", "a:b", "<b>", "x".repeat(33)])
      expect(await set(name)).toContain("must be one word");
    expect(await set("work-laptop")).toContain("a password of this name");
    await make(browser, "third");
    await make(browser, "fourth");
    expect(await set("fifth")).toContain("as many passwords as you may have");
  });

  test("a mark in the directory locks one, and the others go on", async () => {
    const browser = await signedIn();
    await expect.poll(() => logIn(passwords.get("fourth") ?? ""), { timeout: 60_000 }).toBe("235");
    // As an operator does it in the directory: a mark before the value.
    const found = await valuesOf("user1");
    const value = found.find((one) => one.includes(":::fourth,")) ?? "";
    await world.slapd.modify(
      `dn: uid=user1,${people}\nchangetype: modify\ndelete: mailPassword\nmailPassword: ${value}\n-\nadd: mailPassword\nmailPassword: !${value}\n`,
    );
    await expect.poll(() => logIn(passwords.get("fourth") ?? ""), { timeout: 60_000 }).toBe("535");
    expect(await logIn(passwords.get("third") ?? "")).toBe("235");
    expect(itemsIn((await browser.get("/password")).body)).toHaveLength(2);
  });

  async function valuesOf(uid: string): Promise<readonly string[]> {
    const { execFile } = await import("node:child_process");
    const { promisify } = await import("node:util");
    const { manager } = await import("../../ldap/slapd.ts");
    const { stdout } = await promisify(execFile)("ldapsearch", [
      ...["-x", "-LLL", "-o", "ldif-wrap=no", "-H", world.slapd.ldapi],
      ...["-D", manager.dn, "-w", manager.password, "-b", `uid=${uid},${people}`, "mailPassword"],
    ]);
    return [...stdout.matchAll(/^mailPassword:(:?) (.*)$/gm)].map(([, colon, value = ""]) =>
      colon === ":" ? Buffer.from(value, "base64").toString() : value,
    );
  }

  test("is nobody else's, and no other site's form", async () => {
    const browser = await signedIn();
    const { body } = await browser.get("/password");
    const digest = digestIn(body);
    const other = world.browser();
    await other.signIn("user2", accounts.user2);
    const page = `/password/remove?password=${digest}`;
    expect((await other.get(page)).body).toContain("knows no such password");
    const tried = await other.submit("/password", "/password/remove", {
      password: digest,
      account: accounts.user2,
    });
    expect(tried.body).toContain("nothing was changed");
    const bare = new URLSearchParams({ password: digest, account }).toString();
    expect((await browser.post("/password/remove", bare)).status).toBe(403);
    expect((await world.browser().get(page)).headers.location).toBe("/");
    for (const odd of ["", "../..", "<script>", `${digest}x`])
      expect(
        (await browser.get(`/password/remove?password=${encodeURIComponent(odd)}`)).headers.location,
      ).toBe("/password");
    expect(await valuesOf("user1")).toHaveLength(3);
  });

  test("loses nothing while the relay or the directory is away", async () => {
    const browser = await signedIn();
    await world.slapd.kill();
    const digest = digestIn((await browser.get("/password")).body);
    const tried = await browser.submit("/password", "/password/remove", { password: digest, account });
    expect([tried.status, tried.body.includes("cannot be asked at the moment")]).toEqual([503, true]);
    await world.slapd.start();
    await world.relay.stop();
    const page = await browser.get("/password");
    expect(page.body).toContain("The mail server cannot be asked at the moment");
    expect(page.body).toContain("Make a password");
  });
});

describe.skipIf(!real(...slapdPrograms))("where the directory has room for one", { timeout: 60_000 }, () => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld({ portal: "most-passwords = 3", slapd: { mailPassword: "single" } });
  }, 60_000);
  afterAll(() => world?.close());

  test("the page says that there is one, and it takes the place of the old one", async () => {
    const browser = world.browser();
    await browser.signIn("user1", account);
    const { body } = await browser.get("/password");
    expect(body).toContain("There is one: a new one takes the place of the old one");
    expect(body).not.toContain('name="name"');
    for (const _ of [1, 2]) {
      const made = await browser.submit("/password", "/password", { how: "make", account });
      expect(made.body).toContain('id="made"');
    }
  });
});
