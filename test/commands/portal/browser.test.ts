/** The portal in a real browser, Chromium, before a real slapd, sync --watch and serve: from sign-in to a message sent. */

import { mkdir, rm } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFailed, test } from "vitest";
import { slapdPrograms } from "../../ldap/slapd.ts";
import {
  type Chrome,
  type ContextOptions,
  type Frame,
  launchChrome,
  type Page,
  seriousFaults,
} from "../../tools/chrome.ts";
import { real } from "../../tools/real.ts";
import { authPlain, greet, note, submit } from "../serve/conversation.ts";
import { accounts, startWorld, type World } from "./world.ts";

/** Where screenshots go for a person to look at; nowhere by default. */
const pictures = process.env["TPA_SUBMIT_PICTURES"];

const looks = [
  { name: "phone", viewport: { width: 360, height: 740 }, colorScheme: "light", size: 100 },
  { name: "phone-dark-large", viewport: { width: 360, height: 740 }, colorScheme: "dark", size: 200 },
  // What these two have, the others have as well: they are for who looks at the pictures.
  ...(pictures === undefined
    ? []
    : ([
        { name: "dark", viewport: { width: 1280, height: 900 }, colorScheme: "dark", size: 100 },
        { name: "large", viewport: { width: 1280, height: 900 }, colorScheme: "light", size: 200 },
      ] as const)),
] as const;

describe.skipIf(!real("chromium", ...slapdPrograms))("the portal in Chromium", { timeout: 120_000 }, () => {
  let world: World;
  let chrome: Chrome;

  beforeAll(async () => {
    world = await startWorld({ serve: true, sync: true });
    chrome = await launchChrome();
    if (pictures !== undefined) await mkdir(pictures, { recursive: true });
  }, 90_000);
  afterAll(async () => {
    await chrome?.close();
    await world?.close();
  });

  const open = (options: ContextOptions = {}) => openIn(chrome, world, options);

  /** Makes a password, and gives it once the relay takes it. */
  async function makePassword(page: Page, login: keyof typeof accounts): Promise<string> {
    await page.getByRole("link", { name: "Password", exact: true }).click();
    await page.getByLabel("Password of your account").first().fill(accounts[login]);
    await page.getByRole("button", { name: "Make a password" }).click();
    const password = (await page.locator("#made").textContent()) ?? "";
    await page.frameLocator("iframe").getByText("Works now").waitFor({ timeout: 60_000 });
    return password;
  }

  test("leads from sign-in to a message sent with the new password, without a script", async () => {
    const { page, foreign } = await open({ javaScriptEnabled: false });
    const began = performance.now();
    await signIn(page, "user1");
    const password = await makePassword(page, "user1");
    const talk = await greet(world.relay);
    expect(await talk.say(authPlain("user1", password))).toMatch(/^235 /);
    const id = await submit(talk, note("from the portal"));
    const took = performance.now() - began;
    process.stderr.write(`from sign-in to a message sent: ${(took / 1000).toFixed(1)} s\n`);
    await world.relay.logged(new RegExp(`${id}: removed`));
    await page.getByRole("link", { name: "My mail" }).click();
    const article = page.locator(`article[id="${id}"]`);
    const told = async (): Promise<string> => {
      await page.reload();
      return (await article.count()) === 0 ? "" : ((await article.textContent()) ?? "");
    };
    await expect.poll(told, { timeout: 30_000, interval: 500 }).toMatch(/To x@example\.net.*Handed over/s);
    await page.getByRole("link", { name: "Password", exact: true }).click();
    expect(await page.locator("main li").first().textContent()).toContain("from 127.0.0.1 (PLAIN)");
    await page.getByRole("link", { name: "Limits" }).click();
    expect(await page.locator("tbody tr").first().textContent()).toContain("messages an hour1");
    expect(foreign).toEqual([]);
  });

  test("works by keyboard alone, the focus always in sight", async () => {
    const { page } = await open();
    await page.goto("/");
    const tabTo = async (wanted: string): Promise<void> => {
      for (let times = 0; times < 60; times += 1) {
        await page.keyboard.press("Tab");
        const { text, outline } = (await page.evaluate(focused)) as { text: string; outline: string };
        expect([text, outline]).not.toEqual([text, "none"]);
        if (text.startsWith(wanted)) return;
      }
      throw new Error(`no way to "${wanted}" by Tab`);
    };
    const enter = async (heading: string): Promise<void> => {
      await page.keyboard.press("Enter");
      await page.getByRole("heading", { name: heading, exact: true }).waitFor();
    };
    await tabTo("Login");
    await page.keyboard.type("user2");
    await tabTo("Password of your account");
    await page.keyboard.type(accounts.user2);
    await page.keyboard.press("Enter");
    await page.getByText("Signed in as user2").waitFor();
    await tabTo("Password");
    await enter("E-mail password");
    await tabTo("Password of your account");
    await page.keyboard.type(accounts.user2);
    await tabTo("Make a password");
    await enter("Your new e-mail password");
    await tabTo("Set up");
    await enter("Set up your mail program");
    await tabTo("Thunderbird");
    await enter("Thunderbird");
    await tabTo("Sign out");
    await enter("Sign in");
  });

  test("sends a test message to oneself and tells what became of it", async () => {
    const { page } = await open();
    await signIn(page, "user1");
    await page.goto("/client");
    await page.getByRole("button", { name: "Send me a test message" }).click();
    await page.getByText("It is on its way").waitFor();
    await page.getByRole("link", { name: "See what becomes of it" }).click();
    await expect
      .poll(
        async () => {
          await page.reload();
          return page.getByText("To user1@example.org").count();
        },
        { timeout: 20_000 },
      )
      .toBeGreaterThan(0);
  });

  test.each(looks)(
    "$name: every page fits, and axe finds nothing serious",
    async ({ name, viewport, colorScheme, size }) => {
      const { page } = await open({ viewport, colorScheme, bypassCSP: true });
      const pages = ["/", "/help", "/help/apple-mail"] as const;
      const own = [
        "/",
        "/password",
        "/password/state",
        "/client",
        "/client/msmtp",
        "/messages",
        "/limits",
        "/nothing",
      ] as const;
      for (const path of pages) await inspect(page, path, `${name}-out`, size);
      await signIn(page, "user1");
      for (const path of own) await inspect(page, path, name, size);
      await page.goto("/password");
      await page.getByLabel("Password of your account").first().fill("not it");
      await page.getByRole("button", { name: "Make a password" }).click();
      await page.getByText("That is not the password of your account").waitFor();
      await look(page, `${name}-wrong`, size);
      await page.getByLabel("Password of your account").first().fill(accounts.user1);
      await page.getByRole("button", { name: "Make a password" }).click();
      await page.locator("#made").waitFor();
      await look(page, `${name}-made`, size);
    },
  );
});

async function inspect(page: Page, path: string, name: string, size: number): Promise<void> {
  await page.goto(path);
  await look(page, `${name}${path.replaceAll("/", "-")}`, size);
}

async function look(page: Page, name: string, size: number): Promise<void> {
  if (size !== 100) await page.addStyleTag({ content: `html { font-size: ${size}% }` });
  const over = await page.evaluate(
    "document.documentElement.scrollWidth - document.documentElement.clientWidth",
  );
  expect([name, over]).toEqual([name, 0]);
  expect([name, await seriousFaults(page)]).toEqual([name, []]);
  if (pictures !== undefined) await page.screenshot({ path: join(pictures, `${name}.png`), fullPage: true });
}

/** A browser of its own; what it asks of other hosts is in `foreign`. */
async function openIn(
  chrome: Chrome,
  world: World,
  options: ContextOptions = {},
): Promise<{ page: Page; foreign: string[] }> {
  const context = await chrome.newContext({ ignoreHTTPSErrors: true, baseURL: world.url, ...options });
  const page = await context.newPage();
  onTestFailed(async () => {
    for (const frame of page.frames()) process.stderr.write(`${frame.url()}: ${await wordsOf(frame)}\n`);
    process.stderr.write(world.portal.log());
  });
  const foreign: string[] = [];
  page.on("request", (asked) => {
    if (!asked.url().startsWith(world.url)) foreign.push(asked.url());
  });
  return { page, foreign };
}

/** What a person sees there, where a test failed. */
const wordsOf = (frame: Frame): Promise<string> =>
  frame.locator("body").textContent({ timeout: 5_000 }).then(String, String);

async function signIn(page: Page, login: keyof typeof accounts): Promise<void> {
  await page.goto("/");
  await page.getByLabel("Login").fill(login);
  await page.getByLabel("Password of your account").fill(accounts[login]);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByText(`Signed in as ${login}`).waitFor();
}

/** What has the focus: its label or its text, and whether that is seen. */
const focused = `(() => {
  const at = document.activeElement;
  const label = at.id ? document.querySelector('label[for="' + at.id + '"]') : null;
  return { text: (label ?? at).textContent.trim(), outline: getComputedStyle(at).outlineStyle };
})()`;

describe.skipIf(!real("chromium", ...slapdPrograms))(
  "several passwords in Chromium",
  { timeout: 120_000 },
  () => {
    let world: World;
    let chrome: Chrome;

    beforeAll(async () => {
      world = await startWorld({ portal: "most-passwords = 3", serve: true, sync: true });
      chrome = await launchChrome();
    }, 90_000);
    afterAll(async () => {
      await chrome?.close();
      await world?.close();
    });

    test("two are made, and one is removed, without a script", async () => {
      const { page } = await openIn(chrome, world, { javaScriptEnabled: false });
      await signIn(page, "user1");
      for (const name of ["phone", "laptop"]) {
        await page.goto("/password");
        await page.getByLabel("Name of the new password").first().fill(name);
        await page.getByLabel("Password of your account").first().fill(accounts.user1);
        await page.getByRole("button", { name: "Make a password" }).click();
        await page.frameLocator("iframe").getByText("Works now").waitFor({ timeout: 60_000 });
      }
      await page.getByRole("link", { name: "Password", exact: true }).click();
      await page.getByRole("link", { name: "Remove phone" }).click();
      await page.getByRole("button", { name: "Remove phone" }).waitFor();
      await page.getByLabel("Password of your account").fill(accounts.user1);
      await page.getByRole("button", { name: "Remove phone" }).click();
      await page.frameLocator("iframe").getByText("Gone").waitFor({ timeout: 60_000 });
      await page.getByRole("link", { name: "Back to your passwords" }).click();
      expect(await page.locator("article h3").count()).toBe(1);
      expect(await page.locator("article h3").textContent()).toBe("laptop");
    });

    test.each(looks)("$name: the pages fit, and axe finds nothing serious", async (one) => {
      const { name, viewport, colorScheme, size } = one;
      const { page } = await openIn(chrome, world, { viewport, colorScheme, bypassCSP: true });
      await signIn(page, "user1");
      await inspect(page, "/password", `${name}-several`, size);
      await page.getByRole("link", { name: "Remove laptop" }).click();
      await page.getByRole("button", { name: "Remove laptop" }).waitFor();
      await look(page, `${name}-remove`, size);
    });
  },
);

/** A relay that answers with what strangers can write, and worse. */
describe.skipIf(!real("chromium", ...slapdPrograms))(
  "words of strangers in Chromium",
  { timeout: 120_000 },
  () => {
    let world: World;
    let chrome: Chrome;
    let relay: Server;
    const odd = `"'><img src=x onerror="document.title='taken'"><script>document.title='taken'</script><a href="javascript:alert(1)">x</a>&lt;\u202e`;

    beforeAll(async () => {
      world = await startWorld();
      const reply = { code: 550, status: "5.1.1", text: odd };
      const answers: Readonly<Record<string, object>> = {
        state: {
          known: true,
          frozen: { at: 0, reason: odd },
          limits: [{ limit: 1, unit: odd, used: 1, roomAt: 1 }],
          blocks: [{ network: odd, until: 1, wrong: 1 }],
          remembered: 86_400_000,
        },
        messages: {
          busy: false,
          uses: [{ at: 0, client: odd, mechanism: odd }],
          messages: [
            {
              id: odd,
              accepted: 0,
              total: 2,
              held: true,
              expired: true,
              done: false,
              recipients: [
                { address: odd, at: 0, result: "bounced", relay: `${odd}[192.0.2.1]:25`, reply, times: 2 },
              ],
            },
          ],
        },
        passwords: {
          passwords: [{ digest: "A".repeat(22), name: odd, made: 0, used: 0, network: odd, letsIn: false }],
          remembers: true,
        },
        takes: { takes: false },
        test: { reply },
      };
      relay = createServer((request, response) => {
        request.setEncoding("utf8").on("data", (text: string) => {
          response.end(JSON.stringify(answers[(JSON.parse(text) as { ask: string }).ask]));
        });
      });
      await rm(join(world.relay.folder, "portal.socket"), { force: true });
      await new Promise<void>((resolve) => relay.listen(join(world.relay.folder, "portal.socket"), resolve));
      chrome = await launchChrome();
    }, 90_000);
    afterAll(async () => {
      await chrome?.close();
      relay?.close();
      await world?.close();
    });

    test("are text, and nothing else", async () => {
      // Without the policy, so that the escaping alone has to hold.
      const context = await chrome.newContext({
        ignoreHTTPSErrors: true,
        baseURL: world.url,
        bypassCSP: true,
      });
      const page = await context.newPage();
      await page.goto("/");
      await page.getByLabel("Login").fill("user1");
      await page.getByLabel("Password of your account").fill(accounts.user1);
      await page.getByRole("button", { name: "Sign in" }).click();
      const remove = `/password/remove?password=${"A".repeat(22)}`;
      for (const path of ["/", "/password", remove, "/messages", "/limits"]) {
        await page.goto(path);
        expect(await page.locator("main").textContent()).toContain("<script>document.title");
        expect(await page.locator("script, img, a[href^=javascript]").count()).toBe(0);
        expect(await page.title()).not.toBe("taken");
      }
      await page.goto("/client");
      await page.getByRole("button", { name: "Send me a test message" }).click();
      expect(await page.locator("main").textContent()).toContain("<script>document.title");
      expect(await page.title()).toBe("Test message");
    });
  },
);
