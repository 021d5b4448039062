/** What strangers, thieves and neighbours try at the portal. */
import { createCipheriv, randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { connect as connectTcp } from "node:net";
import { join } from "node:path";
import { connect } from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { slapdPrograms } from "../../ldap/slapd.ts";
import { real } from "../../tools/real.ts";
import { accounts, type Browser, sessionCookie, startWorld, tokenIn, type World } from "./world.ts";

describe.skipIf(!real(...slapdPrograms))("attacks on the portal", { timeout: 90_000 }, () => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld();
  }, 60_000);
  afterAll(() => world?.close());

  /** Each from a network of its own, so that the tests do not block one another. */
  let networks = 0;
  function stranger(): Browser {
    networks += 1;
    return world.browser(`192.0.2.${networks}`);
  }

  async function signedIn(login: keyof typeof accounts = "user1"): Promise<Browser> {
    const browser = stranger();
    expect((await browser.signIn(login, accounts[login])).status).toBe(303);
    return browser;
  }

  const isIn = async (browser: Browser): Promise<boolean> =>
    (await browser.get("/")).body.includes("Signed in as");

  describe("a form of another site (CSRF)", () => {
    test.each([
      ["without a token", { token: "" }, {}],
      ["with a made-up token", { token: "AAAA" }, {}],
      ["from another origin", {}, { origin: "https://evil.example.net" }],
      ["from no origin that can be told", {}, { origin: "null" }],
      ["that a browser calls cross-site", {}, { "sec-fetch-site": "cross-site" }],
      ["that a browser calls same-site", {}, { "sec-fetch-site": "same-site" }],
      ["of another type", {}, { "content-type": "text/plain" }],
    ])("%s changes nothing", async (_, fields, headers) => {
      const browser = await signedIn();
      const token = tokenIn((await browser.get("/")).body);
      const body = new URLSearchParams({ token, ...fields }).toString();
      const { status } = await browser.post("/sign-out-everywhere", body, headers);
      expect([403, 415]).toContain(status);
      expect(await isIn(browser)).toBe(true);
    });

    test("with the token of another person, or of a browser without a session, changes nothing", async () => {
      const [one, two, none] = [await signedIn("user1"), await signedIn("user2"), stranger()];
      for (const other of [two, none]) {
        const token = tokenIn((await other.get("/")).body);
        const body = new URLSearchParams({ token }).toString();
        expect((await one.post("/sign-out", body)).status).toBe(403);
      }
      expect(await isIn(one)).toBe(true);
    });

    test("signs nobody in as the attacker", async () => {
      const victim = stranger();
      const token = tokenIn((await stranger().get("/")).body);
      const body = new URLSearchParams({ token, login: "user2", password: accounts.user2 }).toString();
      expect((await victim.post("/sign-in", body)).status).toBe(403);
      expect(await isIn(victim)).toBe(false);
    });

    test("nothing changes by GET", async () => {
      const browser = await signedIn();
      for (const path of ["/sign-out", "/sign-out-everywhere", "/client/test"])
        expect((await browser.get(path)).status).toBe(404);
      expect(await isIn(browser)).toBe(true);
    });
  });

  describe("sessions", () => {
    test("a new one begins at each sign-in (fixation)", async () => {
      const browser = await signedIn("user2");
      const planted = browser.jar.get(sessionCookie) ?? "";
      const token = tokenIn((await browser.get("/")).body);
      await browser.post(
        "/sign-in",
        new URLSearchParams({ token, login: "user1", password: accounts.user1 }).toString(),
      );
      expect((await browser.get("/")).body).toContain("Signed in as <b>user1</b>");
      const thief = stranger();
      thief.jar.set(sessionCookie, planted);
      expect((await thief.get("/")).body).not.toContain("user1");
    });

    test("a stolen cookie is worth nothing after the sign-out, and never changes a password", async () => {
      const [owner, thief] = [await signedIn(), stranger()];
      thief.jar.set(sessionCookie, owner.jar.get(sessionCookie) ?? "");
      const stolen = thief.jar.get(sessionCookie) ?? "";
      const made = await thief.submit("/password", "/password", { how: "make", account: "guess" });
      expect(made.status).toBe(401);
      await owner.submit("/", "/sign-out", {});
      thief.jar.set(sessionCookie, stolen);
      expect(await isIn(thief)).toBe(false);
    });

    test("a cookie that is changed, made up, or another of ours, opens nothing", async () => {
      const owner = await signedIn();
      const whole = Buffer.from(owner.jar.get(sessionCookie) ?? "", "base64url");
      const flipped = [...whole.keys()]
        .filter((at) => at % 7 === 0)
        .map((at) => {
          const copy = Buffer.from(whole);
          copy.writeUInt8(whole.readUInt8(at) ^ 1, at);
          return copy.toString("base64url");
        });
      const nobody = stranger();
      await nobody.get("/");
      const others = [
        ...nobody.jar.values(),
        "",
        "x",
        "A".repeat(4_000),
        forged(),
        whole.subarray(0, 40).toString("base64url"),
      ];
      for (const value of [...flipped, ...others]) {
        const thief = stranger();
        thief.jar.set(sessionCookie, value);
        expect(await isIn(thief)).toBe(false);
      }
    });

    test("cookies are for this host alone, out of reach of scripts, and sent by TLS only", async () => {
      const browser = stranger();
      const first = await browser.get("/");
      const signed = await browser.signIn("user1", accounts.user1);
      for (const cookie of [...first.cookies, ...signed.cookies]) {
        expect(cookie).toMatch(/^__Host-/);
        for (const word of ["Path=/", "Secure", "HttpOnly", "SameSite="]) expect(cookie).toContain(word);
        expect(cookie).not.toContain("Domain");
      }
    });
  });

  /** As one of ours, by a key of one's own. */
  function forged(): string {
    const nonce = randomBytes(12);
    const cipher = createCipheriv("aes-256-gcm", randomBytes(32), nonce).setAAD(Buffer.from(sessionCookie));
    const session = { id: "x", login: "user1", born: Date.now(), seen: Date.now(), generation: 0 };
    const sealed = Buffer.concat([cipher.update(JSON.stringify(session)), cipher.final()]);
    return Buffer.concat([nonce, sealed, cipher.getAuthTag()]).toString("base64url");
  }

  test("no page goes into a frame of another site, runs a script or fetches from elsewhere", async () => {
    const browser = await signedIn();
    for (const path of [
      "/",
      "/password",
      "/client",
      "/client/thunderbird",
      "/messages",
      "/limits",
      "/help",
      "/nothing",
    ]) {
      const { headers, body } = await browser.get(path);
      const policy = String(headers["content-security-policy"]);
      expect(policy).toContain("default-src 'none'");
      expect(policy).toContain("frame-ancestors 'none'");
      expect(policy).not.toMatch(/script|unsafe|\*/);
      expect(headers["x-frame-options"]).toBe("DENY");
      expect(headers["x-content-type-options"]).toBe("nosniff");
      expect(headers["strict-transport-security"]).toBeDefined();
      expect(headers["cache-control"]).toBe("no-store");
      expect(body).not.toMatch(/<script|\son[a-z]+=|javascript:|(?:src|href)="(?:https?:)?\/\//i);
    }
    const framed = await browser.get("/password/state");
    expect(framed.headers["content-security-policy"]).toContain("frame-ancestors 'self'");
    expect(framed.body).not.toMatch(/<form|<button|<a /);
  });

  test.each([
    "evil.example.net",
    "localhost.evil.example.net",
    "127.0.0.1",
    "user@localhost",
    "",
    "localhost:1:2",
    "[::1]",
  ])("the host %j is none of ours", async (host) => {
    const { status, body, cookies } = await stranger().get("/", { host });
    expect([400, 421]).toContain(status);
    expect([body.includes("Sign in"), cookies]).toEqual([false, []]);
  });

  test.each([
    "//evil.example.net/",
    "/\\evil.example.net/",
    "https://evil.example.net/",
    "/../etc/passwd",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/help/..%2f..%2fetc%2fpasswd",
    "/help/%00",
    "/help/%ff",
    "/help/%E0%A4%A",
    "/client/file/..%2fkey",
    "/client/file/__proto__",
    "/help/__proto__",
    "/style.css/..",
    "*",
    "/;/",
  ])("the path %j leads nowhere", async (path) => {
    const browser = await signedIn();
    const { status, headers, body } = await browser.get(path);
    expect([200, 303, 400, 404, 421]).toContain(status);
    expect(body).not.toMatch(/root:|constructor/);
    if (headers.location !== undefined) expect(headers.location).toBe("/");
    if (status === 200) expect(body).toMatch(/Mail at example.org/); // what "/.." is, after all
  });

  test("no redirect goes where a request says", async () => {
    const browser = stranger();
    const { headers } = await browser.get("/password?next=https://evil.example.net/", {
      "x-forwarded-host": "evil.example.net",
    });
    expect(headers.location).toBe("/");
  });

  test("a request that does not come, or comes without end, is cut", async () => {
    const began = Date.now();
    const [slow, long, large] = await Promise.all([
      raw("GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: "),
      raw(`GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: ${"x".repeat(20_000)}\r\n\r\n`),
      raw(
        "POST /sign-in HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 99999\r\n\r\ntoken=",
      ),
    ]);
    expect(slow).toMatch(/^HTTP\/1\.1 408 |^$/);
    expect(Date.now() - began).toBeLessThan(45_000);
    expect(long).toMatch(/^HTTP\/1\.1 431 /);
    expect(large).toMatch(/^HTTP\/1\.1 413 /);
    expect((await stranger().get("/")).status).toBe(200);
  });

  /** What comes back until the portal hangs up. */
  function raw(octets: string): Promise<string> {
    return new Promise((resolve) => {
      const socket = connect({ host: "127.0.0.1", port: world.port, rejectUnauthorized: false });
      let said = "";
      socket.on("data", (piece: Buffer) => {
        said += piece.toString();
      });
      socket.on("error", () => undefined).on("close", () => resolve(said));
      socket.write(octets);
    });
  }

  test.each([
    "*",
    "user1)(uid=*",
    "user1,ou=users",
    "uid=user1",
    "user1\\2a",
    "user1\0",
    "cn=admin,dc=example,dc=org",
    "user1+cn=x",
    " ",
    "user1@example.net",
    "user1@example.org@example.org",
  ])("the login %j is nobody (LDAP injection)", async (login) => {
    const { status, body } = await stranger().signIn(login, accounts.user1);
    expect([status, body.includes("do not belong together")]).toEqual([401, true]);
  });

  test("an empty password is no sign-in (RFC 4513 section 5.1.2)", async () => {
    expect((await stranger().signIn("user1", "")).status).toBe(401);
  });

  test("who exists is told neither by text nor by time", async () => {
    const ask = async (login: string) => {
      const began = performance.now();
      const browser = stranger();
      const { status, body, headers } = await browser.signIn(login, "not it");
      const text = body.replace(/value="[^"]*"/g, "");
      return { time: performance.now() - began, seen: { status, text, names: Object.keys(headers).sort() } };
    };
    const [there, nobody, odd] = [await ask("user1"), await ask("nobody"), await ask("*)(uid=*")];
    expect(nobody.seen).toEqual(there.seen);
    expect(odd.seen).toEqual(there.seen);
    for (const { time } of [there, nobody, odd]) expect(time).toBeGreaterThan(990); // the floor hides what lies below
  });

  test("guessing is slowed down and blocked where it comes from, and locks nobody out", {
    timeout: 240_000,
  }, async () => {
    const [guesser, unknown] = [stranger(), stranger()];
    // On a busy machine too many wait (503), which is no answer to a guess.
    const guess = async (browser: Browser, login: string, password: string): Promise<number> => {
      for (;;) {
        const { status } = await browser.signIn(login, password);
        if (status !== 503) return status;
      }
    };
    const guesses = async (browser: Browser, login: string) => {
      const tried = Array.from({ length: 16 }, (_, number) => guess(browser, login, `guess ${number}`));
      return (await Promise.all(tried)).sort((one, other) => one - other);
    };
    const [statuses, others] = await Promise.all([guesses(guesser, "user2"), guesses(unknown, "nobody")]);
    expect(statuses.filter((status) => status === 401)).toHaveLength(10);
    expect(others).toEqual(statuses);
    const blocked = await guesser.signIn("user2", accounts.user2);
    expect([blocked.status, blocked.body.includes("too many wrong passwords")]).toEqual([429, true]);
    expect(Number(blocked.headers["retry-after"])).toBeGreaterThan(0);
    expect(await isIn(await signedIn("user2"))).toBe(true); // the owner, elsewhere
  });

  test("what a client writes into X-Forwarded-For does not hide it", async () => {
    const browser = world.browser("203.0.113.9, 198.51.100.77");
    await browser.signIn("nobody", "wrong");
    expect(world.portal.log()).toContain("wrong password for nobody from 198.51.100.77");
  });

  test("nothing that is typed gets into a page or a line of the log as it is", async () => {
    const browser = stranger();
    const odd = '"><script>alert(1)</script>\u001b[2J\n';
    const { body } = await browser.signIn(odd, odd);
    expect(body).not.toContain("<script>");
    expect(world.portal.log()).not.toContain("\u001b");
    expect(
      (await browser.get(`/help/${encodeURIComponent(odd)}?${encodeURIComponent(odd)}`)).body,
    ).not.toContain("<script>");
  });

  test("no secret is in the log", () => {
    for (const secret of [...Object.values(accounts), "guess 1", "not it"])
      expect(world.portal.log()).not.toContain(secret);
  });
});

describe.skipIf(!real(...slapdPrograms))("connections that do nothing", { timeout: 60_000 }, () => {
  test("take no more than a network's share", async () => {
    const world = await startWorld({ proxies: [] });
    const idle = Array.from({ length: 80 }, () =>
      connectTcp({ host: "127.0.0.1", port: world.port, localAddress: "127.0.0.2" }),
    );
    try {
      const cut = idle.map(
        (socket) => new Promise((resolve) => socket.on("error", resolve).on("close", resolve)),
      );
      await Promise.all(cut.slice(60));
      expect(idle.filter(({ destroyed }) => !destroyed).length).toBeLessThanOrEqual(50);
      expect((await world.browser().get("/")).status).toBe(200);
    } finally {
      for (const socket of idle) socket.destroy();
      await world.close();
    }
  });
});

describe.skipIf(!real(...slapdPrograms))("accounts anywhere below the base", { timeout: 60_000 }, () => {
  test("are found, and those that are not there look like a wrong password", async () => {
    const world = await startWorld({ ldap: 'scope = "sub"' });
    try {
      const browser = world.browser("192.0.2.1");
      const refused = [
        await browser.signIn("user1", "not it"),
        await browser.signIn("nobody", "not it"),
        await browser.signIn("sshdist", "not it"),
      ].map(({ status, body }) => [status, body.replace(/value="[^"]*"/g, "")]);
      expect(refused[0]?.[0]).toBe(401);
      expect([refused[1], refused[2]]).toEqual([refused[0], refused[0]]);
      expect((await browser.signIn("user1", accounts.user1)).status).toBe(303);
      const made = await browser.submit("/password", "/password", { how: "make", account: accounts.user1 });
      expect(made.body).toContain('id="made"');
      await writeFile(join(world.relay.folder, "reader"), "no longer right");
      expect((await world.browser().signIn("user1", accounts.user1)).status).toBe(503); // not the person's fault
    } finally {
      await world.close();
    }
  });
});

describe.skipIf(!real(...slapdPrograms))("a trusted header", { timeout: 60_000 }, () => {
  test("signs in who the proxies name, and nobody whom others name", async () => {
    const header = 'sign-in = "header"\n';
    const [trusted, untrusted] = [
      await startWorld({ portal: header }),
      await startWorld({ portal: header, proxies: ["192.0.2.1"] }),
    ];
    try {
      const browser = trusted.browser();
      const as = (login: string) => browser.get("/", { "x-remote-user": login });
      expect((await as("user1")).body).toContain("Signed in as <b>user1</b>");
      expect((await as("user2@example.org")).body).toContain("Signed in as <b>user2</b>");
      for (const odd of ["user2, user1", "*", "user1@example.net", "", "<b>x</b>"])
        expect((await as(odd)).body).not.toContain("Signed in as");
      expect((await browser.get("/")).body).not.toContain("Signed in as");
      expect((await untrusted.browser().get("/", { "x-remote-user": "user1" })).body).not.toContain(
        "Signed in as",
      );
    } finally {
      await trusted.close();
      await untrusted.close();
    }
  });
});
