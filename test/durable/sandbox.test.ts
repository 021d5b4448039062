import { chmod, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { runWell } from "../tools/child.mjs";
import { real } from "../tools/real.ts";

const strace = real("strace");
const durable = pathToFileURL(join(import.meta.dirname, "..", "..", "dist", "durable.js")).href;

test.runIf(strace)(
  "a file with the same owner is replaced where fchown is forbidden, as by the shipped unit",
  async () => {
    const folder = await mkdtemp(join(tmpdir(), "tpa-submit-sandbox-"));
    onTestFinished(() => rm(folder, { recursive: true }));
    const path = join(folder, "mail-passwords");
    await writeFile(path, "old\n");
    await chmod(path, 0o640);
    const { uid, gid } = await stat(path);
    const script = `import { replaceFile } from ${JSON.stringify(durable)};
await replaceFile(${JSON.stringify(path)}, "new\\n", ${JSON.stringify({ mode: 0o640, uid, gid })});`;
    const forbidden = [
      "-f",
      "-qq",
      "-e",
      "trace=fchown",
      "-e",
      "inject=fchown:error=EPERM",
      "-o",
      join(folder, "trace"),
    ];
    await runWell("strace", [...forbidden, process.execPath, "--input-type=module", "-e", script]);
    expect(await readFile(path, "utf8")).toBe("new\n");
    expect((await stat(path)).mode & 0o777).toBe(0o640);
  },
);
