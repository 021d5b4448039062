/** docs/sendmail.md: each row of its table is given to Postfix's sendmail and to ours. */
import { chmod, mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { program } from "../../demo/relay.mjs";
import { rows as options } from "../../src/commands/sendmail/options.ts";
import { run } from "../tools/child.mjs";
import { startPostfix } from "./postfix.mjs";
import { realPostfix } from "./root.ts";

const page = await readFile(new URL("../../docs/sendmail.md", import.meta.url), "utf8");
const table = [...page.matchAll(/^\| (?:`([^`]+)`|no words) \| (\d+) \| (\d+) \|/gm)].map(
  ([, words = "", theirs, ours]) => ({ words, theirs: Number(theirs), ours: Number(ours) }),
);
const message = "Subject: x\nTo: a@example.net\n\nx\n";
const split = (words: string): readonly string[] => words.split(" ").filter((word) => word !== "");

test("the table has every option", () => {
  for (const { letter } of options) expect(page).toMatch(new RegExp(`^\\|[^|]*\`-${letter}`, "m"));
});

describe("ours", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "sendmail-options-"));
    await chmod(folder, 0o755);
    await mkdir(join(folder, "maildrop"));
    await chmod(join(folder, "maildrop"), 0o3777);
  });
  afterAll(() => rm(folder, { recursive: true }));

  test.each(table)("sendmail $words: $ours", async ({ words, ours }) => {
    const ended = await run(process.execPath, [program, "sendmail", ...split(words)], message, {
      TPA_SUBMIT_MAILDROP: join(folder, "maildrop"),
    });
    expect(ended.status).toBe(ours);
  });
});

describe.skipIf(!realPostfix())("Postfix's", () => {
  let postfix: Awaited<ReturnType<typeof startPostfix>>;
  beforeAll(async () => {
    postfix = await startPostfix("default_transport = discard:\nrelay_transport = discard:\n");
  });
  afterAll(() => postfix?.stop());

  test.each(table)("sendmail $words: $theirs", async ({ words, theirs }) => {
    const ended = await run("/usr/sbin/sendmail", ["-C", postfix.folder, ...split(words)], message);
    expect(ended.status).toBe(theirs);
  });
});
