/** The page in a real browser, headless Chromium: it asks for nothing, fits a telephone, and can be read in light and dark. */
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { style, writePage } from "../../../src/probe/history/page.ts";
import type { Traffic } from "../../../src/probe/history/traffic.ts";
import type { ProbeResult } from "../../../src/probe/result.ts";
import { pathOf, real } from "../../tools/real.ts";

const run = promisify(execFile);
const now = Date.parse("2026-11-22T18:00:00Z");
const long = "a-name-of-sixty-letters-without-a-place-where-it-could-be-cut";
const word = "0123456789".repeat(40);

/** Every half hour of ten days, each outcome now and then. */
function historyOf(routes: number): readonly ProbeResult[] {
  const outcomes = [
    "inbox",
    "inbox",
    "late",
    "spam",
    "inbox",
    "lost",
    "returned",
    "inbox",
    "unseen",
  ] as const;
  return Array.from({ length: routes * 480 }, (_, count): ProbeResult => {
    const route = count % routes;
    const outcome = outcomes[Math.floor(count / 7) % outcomes.length] ?? "inbox";
    const arrived = ["inbox", "late", "spam"].includes(outcome);
    return {
      route: route === 1 ? long.slice(0, 60) : `route-${route}`,
      provider: route === 1 ? `${long}.example.net` : `provider-${route}.example.net`,
      at: now - Math.floor(count / routes) * 1_800_000,
      outcome,
      grade: 0,
      words: outcome === "returned" ? word : outcome,
      ...(arrived && { after: 100 + ((count * 7919) % 90_000) }),
    };
  }).sort((one, other) => one.at - other.at);
}

interface Seen {
  readonly width: number;
  readonly requests: readonly string[];
  readonly paper: string;
  readonly isWrapped: boolean;
  readonly charts: number;
}

describe.skipIf(!real("chromium"))("the page in Chromium", () => {
  let folder = "";
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "tpa-submit-page-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  const traffic: Traffic = {
    days: 7,
    providers: [
      "Gmail",
      "Google Workspace",
      "a-very-long-name-without-any-place-to-break-it.example.net",
    ].map((name) => ({
      ...{ name, delivered: 1234, deferred: 56, refused: 7, tls: { clear: 3 } },
      reasons: [
        { class: "authentication", times: 50 },
        { class: "no-such-user", times: 7 },
      ],
      delay: { median: 1.2, percentile95: 7_200 },
    })),
  };

  /** What a browser makes of it in a window of `width`; only the frame around it has a script. */
  async function see(page: string, width: number, dark: boolean): Promise<Seen> {
    const inside = page.replaceAll("&", "&amp;").replaceAll('"', "&quot;");
    const frame = join(folder, "frame.html");
    await writeFile(
      frame,
      `<!doctype html><meta charset="utf-8"><pre id="seen"></pre>
<iframe srcdoc="${inside}" style="width:${width}px;height:800px;border:0"></iframe><script>
document.querySelector("iframe").onload = ({ target }) => {
  const { document: page, performance } = target.contentWindow;
  document.getElementById("seen").textContent = JSON.stringify({
    width: page.scrollingElement.scrollWidth,
    requests: performance.getEntriesByType("resource").map(({ name }) => name),
    paper: target.contentWindow.getComputedStyle(page.body).backgroundColor,
    isWrapped: [...page.querySelectorAll("table, .card, .tile")].every((part) => part.scrollWidth <= part.clientWidth + 1),
    charts: page.querySelectorAll("div.chart svg").length,
  });
};
</script>`,
    );
    const argv = ["--headless", "--no-sandbox", "--disable-gpu", "--window-size=1400,900"];
    const own = [
      `--user-data-dir=${join(folder, "profile")}`,
      "--no-first-run",
      "--disable-background-networking",
    ];
    const theme = dark ? ["--force-dark-mode"] : [];
    const { stdout } = await run(
      pathOf("chromium") ?? "",
      [...argv, ...own, ...theme, "--dump-dom", `file://${frame}`],
      { maxBuffer: 2 ** 26, timeout: 60_000 },
    );
    const seen = /<pre id="seen">(.*?)<\/pre>/s.exec(stdout)?.[1] ?? "";
    return JSON.parse(seen) as Seen;
  }

  test.each([
    [1, 360, false],
    [3, 360, true],
    [12, 360, false],
    [12, 800, true],
    [3, 1280, false],
    [1, 1280, true],
  ])(
    "with %i routes, %i pixels wide, dark: %s: fits, and asks for nothing",
    { timeout: 60_000 },
    async (routes, width, dark) => {
      const seen = await see(writePage(historyOf(routes), now, traffic), width, dark);
      expect(seen.width).toBeLessThanOrEqual(width);
      expect(seen.isWrapped).toBe(true);
      expect(seen.requests).toEqual([]);
      expect(seen.charts).toBe(routes);
      expect(seen.paper).toBe(dark ? "rgb(18, 22, 28)" : "rgb(245, 246, 248)");
    },
  );
});

describe("the colours of the page", () => {
  const themes = [...style.matchAll(/:root \{([^}]*)\}/g)].map(
    ([, text = ""]) =>
      new Map([...text.matchAll(/--(\w+): (#[0-9a-f]{6})/g)].map(([, name, value]) => [name, value])),
  );

  test.each([
    ["light", 0],
    ["dark", 1],
  ])("%s: text and marks stand out as WCAG 2 wants it (1.4.3: 4.5, 1.4.11: 3)", (_, at) => {
    const theme = themes[at] ?? new Map();
    const contrast = (one: string, other: string): number => {
      const [dim = 0, bright = 0] = [luminance(theme.get(one)), luminance(theme.get(other))].sort(
        (a, b) => a - b,
      );
      return (bright + 0.05) / (dim + 0.05);
    };
    for (const text of ["ink", "soft"]) {
      for (const ground of ["paper", "card"])
        expect([text, contrast(text, ground) >= 4.5]).toEqual([text, true]);
    }
    for (const mark of ["inbox", "late", "spam", "lost", "failed", "unseen", "accent"]) {
      expect([mark, contrast(mark, "card") >= 3]).toEqual([mark, true]);
    }
  });
});

/** WCAG 2.2, "relative luminance". */
function luminance(colour = "#000000"): number {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) => {
    const part = Number.parseInt(colour.slice(at, at + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
