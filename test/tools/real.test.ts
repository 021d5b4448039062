import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import { isMet } from "./real.ts";

afterEach(() => vi.unstubAllEnvs());

/** Whether `need` is met where these programs, shell scripts by name, are all that there are. */
async function withOnly(programs: Readonly<Record<string, string>>, need: string): Promise<boolean> {
  const folder = await mkdtemp(join(tmpdir(), "tpa-submit-real-"));
  try {
    for (const [name, script] of Object.entries(programs)) {
      await writeFile(join(folder, name), `#!/bin/sh\n${script.replaceAll("FOLDER", folder)}\n`);
      await chmod(join(folder, name), 0o755);
    }
    vi.stubEnv("PATH", folder);
    vi.resetModules();
    const { isMet: asked } = await import("./real.ts");
    return asked(need);
  } finally {
    await rm(folder, { recursive: true });
  }
}

const perl = "exit 0";

test.each([
  ["git send-email", { git: "echo FOLDER", perl, "git-send-email": "" }, true],
  ["git send-email", { git: "echo FOLDER", perl }, false],
  ["git send-email", { git: "echo FOLDER", "git-send-email": "", perl: "exit 2" }, false],
  ["dovecot lmtp", { dovecot: "echo 2.3.19", doveconf: "echo FOLDER", lmtp: "" }, true],
  ["dovecot lmtp", { dovecot: "echo 2.3.19", doveconf: "echo FOLDER" }, false],
  ["dovecot lmtp", { dovecot: "echo 2.4.1", doveconf: "echo FOLDER", lmtp: "" }, false],
  ["dovecot imap", { dovecot: "echo 2.3.19", doveconf: "echo FOLDER", imap: "", "imap-login": "" }, true],
  ["dovecot imap", { dovecot: "echo 2.3.19", doveconf: "echo FOLDER", lmtp: "" }, false],
  ["dovecot sieve", { dovecot: "echo 2.3.19", doveconf: "echo FOLDER", lmtp: "", sievec: "" }, false],
  ["swaks", { swaks: "", perl }, true],
  ["swaks", { swaks: "", perl: "exit 2" }, false],
  ["strace", { strace: "exit 1" }, false], // where tracing is forbidden
  ["mutt", { mutt: "" }, true],
  ["mutt", {}, false],
])("%s, with %j: %s", async (need, programs, expected) => {
  expect(await withOnly(programs, need)).toBe(expected);
});

test("a feature that nobody knows is a mistake of the test", () => {
  expect(() => isMet("mutt imap")).toThrow('nobody knows how to tell "mutt imap"');
});
