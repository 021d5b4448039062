/** What stands in several files of the project and must not drift apart: the version, the check that forges run, templates. */
import { readFileSync } from "node:fs";
import { describe, expect, test, vi } from "vitest";
import { main } from "../../src/main.ts";

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");

interface Manifest {
  readonly version: string;
  readonly engines: { readonly node: string };
}
interface Lock {
  readonly version: string;
  readonly packages: Readonly<Record<string, { readonly version?: string }>>;
}
const manifest = JSON.parse(read("package.json")) as Manifest;

describe("the version in package.json", () => {
  test("is the one that package-lock.json has", () => {
    const lock = JSON.parse(read("package-lock.json")) as Lock;
    expect([lock.version, lock.packages[""]?.version]).toEqual([manifest.version, manifest.version]);
  });

  test("is printed by --version", async () => {
    const written = vi.spyOn(process.stdout, "write").mockReturnValue(true);
    try {
      expect(await main(["--version"])).toBe(0);
      expect(written.mock.calls.map(([text]) => text)).toEqual([`tpa-submit ${manifest.version}\n`]);
    } finally {
      written.mockRestore();
    }
  });

  test("is the newest release in CHANGELOG.md", () => {
    const titles = [...read("CHANGELOG.md").matchAll(/^## (.*)$/gm)].map(([, title = ""]) => title);
    expect(titles[0]).toBe("Unreleased");
    const releases = titles.slice(1).map((title) => /^(\d+\.\d+\.\d+) - (\d{4}-\d\d-\d\d)$/.exec(title));
    expect(releases).not.toContain(null);
    expect(releases[0]?.[1]).toBe(manifest.version);
    const dates = releases.map((release) => release?.[2] ?? "");
    expect(dates).toEqual(dates.toSorted().toReversed());
  });
});

test("CHANGELOG.md groups changes as Added, Changed, Fixed and Security, in this order", () => {
  const groups = ["Added", "Changed", "Fixed", "Security"];
  for (const section of read("CHANGELOG.md").split(/^## /m).slice(1)) {
    const titles = [...section.matchAll(/^### (.*)$/gm)].map(([, title = ""]) => title);
    expect(titles).toEqual(groups.filter((group) => titles.includes(group)));
  }
});

test("docs/decisions.md has a date behind the title of each decision", () => {
  const items = read("docs/decisions.md").match(/^- .*(?:\n {2}.*)*/gm) ?? [];
  expect(items.length).toBeGreaterThan(0);
  expect(items.filter((item) => !/^- \*\*[^*]+\*\*\s+\(\d{4}-\d\d-\d\d\)/.test(item))).toEqual([]);
});

describe.each([".gitlab-ci.yml", ".github/workflows/ci.yml"])("%s", (path) => {
  const text = read(path).replace(/^\s*#.*\n/gm, "");

  test("runs .ci/run and nothing else", () => {
    const gitlab = [...text.matchAll(/^ *(?:before_|after_)?script:\n((?: *- .*\n)*)/gm)].flatMap(
      ([, list = ""]) => [...list.matchAll(/- (.*)/g)].map(([, command]) => command),
    );
    const github = [...text.matchAll(/^ *(?:- )?run: *(.*)$/gm)].map(([, command]) => command);
    expect([...gitlab, ...github]).toEqual([".ci/run"]);
  });

  test("uses Debian 12 and the oldest Node.js that package.json allows", () => {
    const images = [...text.matchAll(/^ *image: *(.*)$/gm)].map(([, image]) => image);
    expect(images).toEqual([`node:${manifest.engines.node.replace(">=", "")}-bookworm`]);
  });
});

test("CONTRIBUTING.md runs the check in the image that the forges use", () => {
  const image = /image: *(.*)/.exec(read(".gitlab-ci.yml"))?.[1] ?? "no image";
  expect(read("CONTRIBUTING.md")).toContain(` ${image} .ci/run\n`);
});

describe("the templates of GitHub and GitLab", () => {
  const pairs = [
    [".github/ISSUE_TEMPLATE/bug.md", ".gitlab/issue_templates/Bug.md"],
    [".github/ISSUE_TEMPLATE/feature.md", ".gitlab/issue_templates/Feature.md"],
    [".github/pull_request_template.md", ".gitlab/merge_request_templates/Default.md"],
  ] as const;

  test.each(pairs)("%s asks the same as %s", (github, gitlab) => {
    expect(read(github).replace(/^---\n[\s\S]*?\n---\n\n/, "")).toBe(read(gitlab));
  });

  test.each(pairs)("%s asks for version, settings and log lines", (github) => {
    const text = read(github).toLowerCase();
    for (const asked of ["`tpa-submit --version`", "settings", "log lines"]) expect(text).toContain(asked);
  });
});

test(".editorconfig agrees with what biome.json formats", () => {
  const { formatter } = JSON.parse(read("biome.json")) as {
    readonly formatter: Readonly<Record<"indentStyle" | "indentWidth" | "lineWidth", string | number>>;
  };
  const lines = read(".editorconfig").split("\n");
  expect(lines).toContain(`indent_style = ${formatter.indentStyle}`);
  expect(lines).toContain(`indent_size = ${formatter.indentWidth}`);
  expect(lines).toContain(`max_line_length = ${formatter.lineWidth}`);
});
