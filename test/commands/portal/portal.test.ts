/** The portal with a real directory: signing in and out, the password, and what everybody may fetch. */
import { stat } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { people, slapdPrograms } from "../../ldap/slapd.ts";
import { passwd } from "../../passwd/program.ts";
import { real } from "../../tools/real.ts";
import { accounts, sessionCookie, startWorld, type World } from "./world.ts";

describe.skipIf(!real(...slapdPrograms))("tpa-submit portal", { timeout: 60_000 }, () => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld({ more: '[[domains]]\nname = "example.net"\npassword-file = "FOLDER/net"\n' });
  }, 60_000);
  afterAll(() => world?.close());

  test("signs in by the password of the account, shows who that is, and out again", async () => {
    const browser = world.browser();
    const first = await browser.get("/");
    expect(first.status).toBe(200);
    expect(first.body).toContain("Sign in");
    expect(await browser.signIn("user1@example.org", accounts.user1)).toMatchObject({
      status: 303,
      headers: { location: "/" },
    });
    const page = await browser.get("/");
    expect(page.body).toContain("Signed in as <b>user1</b>");
    expect((await browser.submit("/", "/sign-out", {})).status).toBe(303);
    expect((await browser.get("/")).body).not.toContain("Signed in as");
    expect((await browser.get("/password")).headers.location).toBe("/");
  });

  test("makes its key at the first start, for itself alone", async () => {
    const { mode, size } = await stat(join(world.relay.folder, "portal/key"));
    expect([mode & 0o777, size]).toEqual([0o600, 32]);
  });

  test("makes a password, shows it once, and writes its hash as the person", async () => {
    const browser = world.browser();
    await browser.signIn("user2", accounts.user2);
    const made = await browser.submit("/password", "/password", { how: "make", account: accounts.user2 });
    expect(made.status).toBe(200);
    const [, password = ""] = /id="made">([^<]+)</.exec(made.body) ?? [];
    expect(password).toMatch(/^[a-z0-9-]{20,}$/);
    expect(made.headers["cache-control"]).toBe("no-store");
    const hash = await storedHash("user2");
    expect(hash).toMatch(/^\$2y\$/);
    expect((await passwd(["-t", hash, "-p", password])).status).toBe(0);
    for (const path of ["/", "/password", "/password/state"])
      expect((await browser.get(path)).body).not.toContain(password);
    expect(world.portal.log()).not.toContain(password);
    expect(world.portal.log()).not.toContain(accounts.user2);
    expect(world.portal.log()).not.toContain(hash);
  });

  test("sets a chosen one, and says why another is not taken", async () => {
    const browser = world.browser();
    await browser.signIn("user1", accounts.user1);
    const set = (fields: Readonly<Record<string, string>>) =>
      browser.submit("/password", "/password", { how: "choose", account: accounts.user1, ...fields });
    expect((await set({ new: "short", again: "short" })).body).toContain("at least");
    expect((await set({ new: "long enough 1", again: "long enough 2" })).body).toContain("not the same");
    expect((await set({ new: accounts.user1, again: accounts.user1 })).body).toContain("must not be");
    const long = await set({ new: "x".repeat(100), again: "x".repeat(100) }); // bcrypt takes 72 octets
    expect([long.status, long.body.includes("too long")]).toEqual([400, true]);
    expect(await storedHash("user1")).toBe("");
    const done = await set({ new: "long enough", again: "long enough" });
    expect(done.status).toBe(400);
    const right = await set({ new: "long enough <&> ü", again: "long enough <&> ü" });
    expect(right.body).toContain("Your password is set");
    expect((await passwd(["-t", await storedHash("user1"), "-p", "long enough <&> ü"])).status).toBe(0);
    const wrong = await set({ account: "not it", new: "long enough two", again: "long enough two" });
    expect([wrong.status, wrong.body.includes("not the password of your account")]).toEqual([401, true]);
  });

  async function storedHash(uid: string): Promise<string> {
    const { execFile } = await import("node:child_process");
    const { promisify } = await import("node:util");
    const { manager } = await import("../../ldap/slapd.ts");
    const { stdout } = await promisify(execFile)("ldapsearch", [
      ...[
        "-x",
        "-LLL",
        "-o",
        "ldif-wrap=no",
        "-H",
        world.slapd.ldapi,
        "-D",
        manager.dn,
        "-w",
        manager.password,
      ],
      ...["-b", `uid=${uid},${people}`, "mailPassword"],
    ]);
    const [, colon, value = ""] = /^mailPassword:(:?) (.*)$/m.exec(stdout) ?? [];
    return colon === ":" ? Buffer.from(value, "base64").toString() : value;
  }

  test("signs out everywhere", async () => {
    const [here, there] = [world.browser(), world.browser()];
    await here.signIn("user1", accounts.user1);
    await there.signIn("user1", accounts.user1);
    await here.submit("/", "/sign-out-everywhere", {});
    for (const browser of [here, there]) expect((await browser.get("/")).body).not.toContain("Signed in as");
    await there.signIn("user1", accounts.user1);
    expect((await there.get("/")).body).toContain("Signed in as");
  });

  test("remembers across a restart who is signed in and who is not", async () => {
    const [stays, left] = [world.browser(), world.browser()];
    await stays.signIn("user1", accounts.user1);
    await left.signIn("user2", accounts.user2);
    const old = left.jar.get(sessionCookie) ?? "";
    await left.submit("/", "/sign-out", {});
    await world.portal.stop();
    const { run } = await import("./world.ts");
    const again = run(["portal", "-c", world.relay.config]);
    try {
      await again.logged(/listening on/);
      expect((await stays.get("/")).body).toContain("Signed in as <b>user1</b>");
      left.jar.set(sessionCookie, old);
      expect((await left.get("/")).body).not.toContain("Signed in as");
    } finally {
      await again.stop();
    }
    Object.assign(world, { portal: run(["portal", "-c", world.relay.config]) });
    await world.portal.logged(/listening on/);
  });

  test("answers automatic configuration the same for everybody", async () => {
    const browser = world.browser();
    const elsewhere = async (host: string) => (await browser.get("/mail/config-v1.1.xml", { host })).status;
    expect([await elsewhere("autoconfig.example.net"), await elsewhere("autoconfig.example.com")]).toEqual([
      200, 421,
    ]);
    const of = async (path: string) => (await browser.get(path)).body;
    const config = await of("/mail/config-v1.1.xml?emailaddress=user1@example.org");
    expect(config).toContain('<clientConfig version="1.1">');
    expect(await of("/.well-known/autoconfig/mail/config-v1.1.xml?emailaddress=nobody@example.org")).toBe(
      config,
    );
    const ask = (address: string) =>
      browser.post(
        "/autodiscover/autodiscover.xml",
        `<Autodiscover><Request><EMailAddress>${address}</EMailAddress></Request></Autodiscover>`,
        { "content-type": "text/xml" },
      );
    const answer = await ask("user1@example.org");
    expect([answer.status, answer.body.includes("<Type>SMTP</Type>")]).toEqual([200, true]);
    expect((await ask("nobody@example.net")).body).toBe(answer.body);
    expect(browser.jar.size).toBe(0); // no cookie for programs
    expect((await browser.get("/mail.mobileconfig")).status).toBe(404); // no mailboxes here
    expect(await of("/help/thunderbird")).toContain("Thunderbird");
  });

  test("fills in the login of who is signed in", async () => {
    const browser = world.browser();
    await browser.signIn("user1", accounts.user1);
    expect((await browser.get("/client/msmtp")).body).toContain("user user1");
    const file = await browser.get("/client/file/msmtprc");
    expect(file.headers["content-disposition"]).toBe('attachment; filename="msmtprc"');
    expect(file.body).toContain("user user1");
    expect((await browser.get("/client/file/constructor")).status).toBe(404);
    expect((await browser.get("/client/nothing")).status).toBe(404);
  });

  test("says in words that the relay is away, and loses nothing", async () => {
    const browser = world.browser();
    await browser.signIn("user1", accounts.user1);
    for (const path of ["/", "/messages", "/limits"])
      expect((await browser.get(path)).body).toContain("The mail server cannot be asked at the moment");
    expect((await browser.submit("/client", "/client/test", {})).body).toContain("cannot be asked");
    expect((await browser.get("/")).body).toContain("Signed in as");
    expect(world.portal.log().match(/the relay does not answer: .*portal\.socket: ENOENT/g)).toHaveLength(1);
  });

  test("says in words that the directory is away, and keeps who is signed in", async () => {
    const browser = world.browser();
    await browser.signIn("user1", accounts.user1);
    await world.slapd.kill();
    try {
      const change = await browser.submit("/password", "/password", { how: "make", account: accounts.user1 });
      expect([change.status, change.body.includes("cannot be asked at the moment")]).toEqual([503, true]);
      expect(change.body).not.toContain('id="made"');
      expect((await world.browser().signIn("user1", accounts.user1)).status).toBe(503);
      expect((await browser.get("/")).body).toContain("Signed in as <b>user1</b>");
    } finally {
      await world.slapd.start();
    }
    expect((await world.browser().signIn("user1", accounts.user1)).status).toBe(303);
  });

  test("tells in words what became of a message, what that means and what to do", async () => {
    const full = { code: 452, status: "4.2.2", text: "Quota exceeded (mailbox for user is full)" };
    const unknown = { code: 550, status: "5.1.1", text: "No such user here" };
    const of = (address: string, result: string, reply: object, times = 1) => ({
      ...{ address, at: 0, result, reply, times, relay: "mx.example.net[192.0.2.1]:25" },
    });
    const plain = { accepted: 0, held: false, expired: false, done: false };
    const answers: Readonly<Record<string, object>> = {
      state: { known: true, limits: [], blocks: [], remembered: 604_800_000 },
      messages: {
        uses: [],
        busy: false,
        messages: [
          { ...plain, id: "A1", total: 3, recipients: [of("a@example.net", "deferred", full, 4)] },
          { ...plain, id: "B2", total: 1, recipients: [of("b@example.net", "bounced", unknown)], done: true },
          {
            ...plain,
            id: "C3",
            total: 1,
            recipients: [of("c@example.net", "deferred", full)],
            expired: true,
            done: true,
          },
          { ...plain, id: "D4", total: 1, recipients: [], held: true },
        ],
      },
    };
    const relay = createServer((request, response) => {
      request.setEncoding("utf8").on("data", (text: string) => {
        response.end(JSON.stringify(answers[(JSON.parse(text) as { ask: string }).ask]));
      });
    });
    await new Promise<void>((resolve) => relay.listen(join(world.relay.folder, "portal.socket"), resolve));
    try {
      const browser = world.browser();
      await browser.signIn("user1", accounts.user1);
      const { body } = await browser.get("/messages");
      const [, a = "", b = "", c = "", d = ""] = body
        .split("<article")
        .map((one) => one.replace(/<[^>]*>/g, " "));
      expect(a).toMatch(
        /Waits.*mx\.example\.net.*452 4\.2\.2 Quota exceeded.*The mailbox is full.*tried again by itself, after 4 tries.*2 more recipients/s,
      );
      expect(b).toMatch(
        /Refused.*550 5\.1\.1 No such user here.*There is no such mailbox.*Check the address.*A report/s,
      );
      expect(c).toMatch(/given up; you got a report.*Given up.*The mailbox is full/s);
      expect(d).toMatch(/It is held.*1 recipient, not tried yet/s);
      expect(world.portal.log()).toContain("the relay answers again");
    } finally {
      relay.close();
    }
  });
});
