/** docs/rfcs.md and the conversations name the same points. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const root = join(import.meta.dirname, "..", "..", "..");
const dialogues = join(root, "test", "dialogues");

/** "21 author": a point and a file of conversations. */
function inConversations(): readonly string[] {
  return readdirSync(dialogues)
    .filter((name) => name.endsWith(".smtp"))
    .flatMap((name) => {
      const text = readFileSync(join(dialogues, name), "utf8");
      return [...text.matchAll(/^# (.*)$/gm)].flatMap(([, comment = ""]) =>
        comment.split(";").flatMap((part) => {
          const numbers = /^\s*(\d+(?:, \d+)*)(?=\.|$)/.exec(part)?.[1] ?? "";
          return numbers
            .split(", ")
            .filter((number) => number !== "")
            .map((number) => `${number} ${name.replace(".smtp", "")}`);
        }),
      );
    });
}

function inManual(): readonly string[] {
  const text = readFileSync(join(root, "docs", "rfcs.md"), "utf8");
  return [...text.matchAll(/^\| (\d+) \|.*\| ([a-z, ]+) \|$/gm)].flatMap(([, number = "", files = ""]) =>
    files.split(", ").map((file) => `${number} ${file}`),
  );
}

const sorted = (points: readonly string[]): readonly string[] =>
  [...new Set(points)].sort((one, other) => one.localeCompare(other, "en", { numeric: true }));

test("docs/rfcs.md names each point of the conversations, and no other", () => {
  expect(sorted(inManual())).toEqual(sorted(inConversations()));
});

test("docs/rfcs.md names tests of delivery that are there", () => {
  const text = readFileSync(join(root, "docs", "rfcs.md"), "utf8");
  const named = [...text.matchAll(/^\| \d+ \|.*\| ([a-z0-9/-]+\.test(?:, [a-z0-9/-]+\.test)*) \|$/gm)];
  const files = named.flatMap(([, list = ""]) => list.split(", "));
  const missing = files.filter(
    (file) =>
      !existsSync(join(root, "test", file.includes("/") ? "" : join("server", "delivery"), `${file}.ts`)),
  );
  expect(files.length).toBeGreaterThan(12);
  expect(missing).toEqual([]);
});
