import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));
const { engines, scripts } = JSON.parse(readFileSync(`${root}package.json`, "utf8")) as {
  readonly engines: { readonly node: string };
  readonly scripts: Readonly<Record<string, string>>;
};

/** Runs a file as a Node that says it is `version`. */
function runAs(version: string, file: string) {
  const change = `Object.defineProperty(process, "versions", { value: { ...process.versions, node: "${version}" } })`;
  return spawnSync(
    process.execPath,
    ["--import", `data:text/javascript,${encodeURIComponent(change)}`, file],
    {
      cwd: root,
      encoding: "utf8",
      timeout: 20_000,
    },
  );
}

describe("a Node.js that is too old", () => {
  test.each([
    ["demo/run.mjs", "18.20.8"],
    ["demo/run.mjs", "20.18.3"],
    ["demo/node.mjs", "18.20.8"],
  ])("is told by %s, which does nothing else", (file, version) => {
    const { status, stdout, stderr } = runAs(version, file);
    expect(stderr).toBe(
      `tpa-submit: needs Node.js ${engines.node.replace(">=", "")} or newer, this is v${version}\n`,
    );
    expect(stdout).toBe("");
    expect(status).toBe(69);
  });

  test.each(["20.19.0", "24.0.0"])("is not %s", (version) => {
    expect(runAs(version, "demo/node.mjs")).toMatchObject({ status: 0, stderr: "" });
  });

  test("is told before anything is built or checked", () => {
    for (const name of ["prebuild", "precheck"]) expect(scripts[name]).toBe("node demo/node.mjs");
  });
});
