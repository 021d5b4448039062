/** The help site in a real browser, headless Chromium: it fits a telephone, in light and dark, and asks for nothing. */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { sitePages } from "../../../src/commands/settings/page.ts";
import { clients } from "../../../src/commands/settings/table.ts";
import { launchChrome, seriousFaults } from "../../tools/chrome.ts";
import { pathOf, real } from "../../tools/real.ts";

/** Where screenshots go for a person to look at; nowhere by default. */
const pictures = process.env["TPA_SUBMIT_PICTURES"];

const run = promisify(execFile);
const service = {
  host: "a-name-of-many-letters-without-a-place-where-it-is-cut.example.org",
  domain: "example.org",
  login: "user1",
  address: "user1@example.org",
  port: 465,
  isImplicit: true,
  starttls: 587,
  sshAccount: "submit",
  wrongText: "Wrong password",
};

interface Seen {
  readonly width: number;
  readonly requests: readonly string[];
  readonly paper: string;
  /** Words of labels that do not stay whole. */
  readonly broken: readonly string[];
  /** What can be scrolled sideways, but not by the keyboard. */
  readonly stuck: readonly string[];
}

describe.skipIf(!real("chromium"))("the help site in Chromium", () => {
  let folder = "";
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "tpa-submit-site-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  /** All pages at once, each in a frame of `width`; only the page around them has a script. */
  async function see(width: number, dark: boolean): Promise<readonly Seen[]> {
    const pages = [...sitePages(clients, service).values()].map((page) =>
      page.replaceAll("&", "&amp;").replaceAll('"', "&quot;"),
    );
    const around = join(folder, "frames.html");
    await writeFile(
      around,
      `<!doctype html><meta charset="utf-8"><pre id="seen"></pre>
${pages.map((page) => `<iframe srcdoc="${page}" style="width:${width}px;height:800px;border:0"></iframe>`).join("\n")}
<script>
onload = () => {
  document.getElementById("seen").textContent = JSON.stringify(
    [...document.querySelectorAll("iframe")].map(({ contentWindow: { document: page, performance }, contentWindow }) => ({
      width: page.scrollingElement.scrollWidth,
      requests: performance.getEntriesByType("resource").map(({ name }) => name),
      paper: contentWindow.getComputedStyle(page.body).backgroundColor,
      broken: [...page.querySelectorAll("th")].flatMap(({ firstChild: text }) =>
        [...text.data.matchAll(/\\S+/g)].filter(({ 0: word, index }) => {
          const range = page.createRange();
          range.setStart(text, index);
          range.setEnd(text, index + word.length);
          return range.getClientRects().length > 1;
        }).map(({ 0: word }) => word)),
      stuck: [...page.querySelectorAll("body *")]
        .filter((one) => one.scrollWidth > one.clientWidth && one.clientWidth > 0 && one.tabIndex < 0)
        .filter((one) => contentWindow.getComputedStyle(one).overflowX !== "visible")
        .map((one) => one.outerHTML.slice(0, 80)),
    })),
  );
};
</script>`,
    );
    const { stdout } = await run(
      pathOf("chromium") ?? "",
      [
        ...["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--window-size=1400,900"],
        ...[`--user-data-dir=${join(folder, "profile")}`, "--disable-background-networking"],
        ...(dark ? ["--force-dark-mode"] : []),
        ...["--dump-dom", `file://${around}`],
      ],
      { maxBuffer: 2 ** 26, timeout: 60_000 },
    );
    return JSON.parse(/<pre id="seen">(.*?)<\/pre>/s.exec(stdout)?.[1] ?? "[]") as readonly Seen[];
  }

  test.each([
    [320, false],
    [360, true],
    [1280, false],
  ])(
    "%i pixels wide, dark: %s: each page fits, is read whole by keyboard, and asks for nothing",
    { timeout: 90_000 },
    async (width, dark) => {
      const seen = await see(width, dark);
      expect(seen).toHaveLength(clients.length + 1);
      for (const one of seen) {
        expect(one.width).toBeLessThanOrEqual(width);
        expect([one.requests, one.broken, one.stuck]).toEqual([[], [], []]);
        expect(one.paper).toBe(dark ? "rgb(18, 22, 28)" : "rgb(245, 246, 248)");
      }
    },
  );

  test.each([
    ["light", 1280],
    ["dark", 360],
    ["light", 360],
    ["dark", 1280],
  ] as const)(
    "%s, %i pixels wide, text of double size: each page fits, and axe finds nothing serious",
    { timeout: 120_000 },
    async (colorScheme, width) => {
      const site = join(folder, "site");
      await mkdir(site, { recursive: true });
      for (const [name, page] of sitePages(clients, service)) await writeFile(join(site, name), page);
      const chrome = await launchChrome();
      try {
        const context = await chrome.newContext({
          viewport: { width, height: 900 },
          colorScheme,
          bypassCSP: true,
        });
        const page = await context.newPage();
        for (const name of [
          "index.html",
          "thunderbird.html",
          "apple-mail.html",
          "postfix.html",
          "msmtp.html",
        ]) {
          await page.goto(`file://${join(site, name)}`);
          await page.addStyleTag({ content: "html { font-size: 200% }" });
          const over = await page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth",
          );
          expect([name, over]).toEqual([name, 0]);
          expect([name, await seriousFaults(page)]).toEqual([name, []]);
          if (pictures !== undefined)
            await page.screenshot({
              path: join(pictures, `site-${colorScheme}-${width}-${name}.png`),
              fullPage: true,
            });
        }
      } finally {
        await chrome.close();
      }
    },
  );
});
