/**
 * Debian's Chromium, driven by playwright-core. Its types want those of a browser, which this project does not have, so
 * what the tests use of it is declared here.
 */
import { createRequire } from "node:module";
import { pathOf } from "./real.ts";

export interface Locator {
  first(): Locator;
  fill(text: string): Promise<void>;
  click(): Promise<void>;
  count(): Promise<number>;
  textContent(options?: { readonly timeout?: number }): Promise<string | null>;
  waitFor(options?: { readonly timeout?: number }): Promise<void>;
  locator(selector: string): Locator;
}

interface Finder {
  getByLabel(text: string): Locator;
  getByRole(role: string, options: { readonly name: string; readonly exact?: boolean }): Locator;
  getByText(text: string): Locator;
  locator(selector: string): Locator;
}

/** What is in a page, or in a part of it. */
export interface Frame extends Finder {
  url(): string;
}

export interface Page extends Finder {
  frames(): readonly Frame[];
  readonly keyboard: { press(key: string): Promise<void>; type(text: string): Promise<void> };
  goto(path: string): Promise<unknown>;
  reload(): Promise<unknown>;
  title(): Promise<string>;
  frameLocator(selector: string): Finder;
  /** The value of an expression, in the page. */
  evaluate(expression: string): Promise<unknown>;
  addStyleTag(what: { readonly content: string }): Promise<unknown>;
  addScriptTag(what: { readonly path: string }): Promise<unknown>;
  screenshot(options: { readonly path: string; readonly fullPage: boolean }): Promise<unknown>;
  on(event: "request", told: (asked: { url(): string }) => void): void;
}

export interface ContextOptions {
  readonly baseURL?: string;
  readonly ignoreHTTPSErrors?: boolean;
  readonly javaScriptEnabled?: boolean;
  readonly bypassCSP?: boolean;
  readonly viewport?: { readonly width: number; readonly height: number };
  readonly colorScheme?: "light" | "dark";
}

export interface Chrome {
  newContext(options: ContextOptions): Promise<{ newPage(): Promise<Page> }>;
  close(): Promise<void>;
}

interface Playwright {
  readonly chromium: {
    launch(options: { readonly executablePath: string; readonly args: readonly string[] }): Promise<Chrome>;
  };
}

const require = createRequire(import.meta.url);

export const launchChrome = (): Promise<Chrome> =>
  (require("playwright-core") as Playwright).chromium.launch({
    executablePath: pathOf("chromium") ?? "",
    args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
  });

interface Violation {
  readonly id: string;
  readonly impact: string | null;
  readonly nodes: readonly { readonly html: string }[];
}

/** What axe-core finds serious or critical in the page: rule and elements. The page must let scripts in. */
export async function seriousFaults(page: Page): Promise<readonly (readonly [string, readonly string[]])[]> {
  await page.addScriptTag({ path: require.resolve("axe-core/axe.min.js") });
  const found = (await page.evaluate(
    'axe.run(document, { resultTypes: ["violations"] }).then(({ violations }) => violations)',
  )) as readonly Violation[];
  return found
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]);
}
