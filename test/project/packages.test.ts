/** What `npm ci` will do on a fresh clone, read from the lock file: whoever updates a package on one machine only meets this. */
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";

interface Locked {
  readonly version?: string;
  readonly resolved?: string;
  readonly dev?: boolean;
  readonly hasInstallScript?: boolean;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const read = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../../${name}`, import.meta.url), "utf8"));
const { packages } = read("package-lock.json") as { packages: Readonly<Record<string, Locked>> };
const manifest = read("package.json") as Readonly<Record<string, Readonly<Record<string, string>>>>;

describe("package-lock.json", () => {
  test("has the optional packages of every platform, without which npm ci refuses it", () => {
    const wanted = Object.values(packages).flatMap(({ optionalDependencies = {} }) =>
      Object.keys(optionalDependencies),
    );
    expect(wanted.filter((name) => !packages[`node_modules/${name}`]?.version)).toEqual([]);
  });

  test("names no host to download from", () => {
    expect(Object.values(packages).filter(({ resolved }) => resolved !== undefined)).toEqual([]);
  });

  test("runs no script of a package when tpa-submit is installed to be used", () => {
    const scripts = Object.entries(packages).filter(
      ([, { dev, hasInstallScript }]) => hasInstallScript && !dev,
    );
    expect(scripts.map(([path]) => path)).toEqual([]);
  });
});

test("package.json pins every version", () => {
  const versions = { ...manifest["dependencies"], ...manifest["devDependencies"] };
  for (const version of Object.values(versions)) expect(version).toMatch(/^\d+\.\d+\.\d+$/);
});

test("every package that is installed to be used is imported", () => {
  const folder = new URL("../../src/", import.meta.url);
  const text = readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".ts"))
    .map((path) => readFileSync(new URL(path, folder), "utf8"))
    .join("\n");
  const imported = (name: string): boolean =>
    [`from "${name}`, `import("${name}`].some(
      (begin) => text.includes(`${begin}"`) || text.includes(`${begin}/`),
    );
  expect(Object.keys(manifest["dependencies"] ?? {}).filter((name) => !imported(name))).toEqual([]);
});
