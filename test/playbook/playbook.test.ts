/**
 * docs/playbook.md against a day that is lived through anew: what it shows is what the program says. Times, IDs, ports and
 * sizes differ each time; nothing else may. `TPA_SUBMIT_PLAYBOOK=check` compares, `TPA_SUBMIT_PLAYBOOK=write` puts what this day said into the page.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { real } from "../tools/real.ts";
import { type Answer, day } from "./day.ts";

/** Not part of the gate: how far things have come when they are asked for is chance on a busy machine. "check" compares. */
const isLived = ["check", "write"].includes(process.env["TPA_SUBMIT_PLAYBOOK"] ?? "");
if (!isLived)
  process.stderr.write(
    "\n*** SKIPPED, the day of docs/playbook.md: TPA_SUBMIT_PLAYBOOK=check asks for it ***\n",
  );

const root = join(import.meta.dirname, "..", "..");
const path = join(root, "docs/playbook.md");
/** Shows one of the answers as well. */
const front = join(root, "README.md");

const mark = /<!-- said: (\S+) -->\n```\n([\s\S]*?)```\n/g;

/** Of the table: what stands before the command, the number, the command. */
const row = /^(\| \[(\d+)\]\(#\2-[^)]*\) \| .* \| )`(.*)` \|$/gm;

/** What the page shows, by name. */
const shown = (page: string): ReadonlyMap<string, string> =>
  new Map([...page.matchAll(mark)].map(([, name = "", text = ""]) => [name, text]));

const written = ({ command, output }: Answer): string =>
  `$ ${command}\n${output === "" ? "" : `${output}\n`}`.replaceAll(/by \S+ \(uid \d+\)/g, "by root (uid 0)");

/** Without what no two days have in common: where a long line is broken is a matter of a digit. */
const common = (text: string): string =>
  text
    .replaceAll(/\n {4,}(?=\S)/g, " ")
    .split("\n")
    .map((line) =>
      line
        .replaceAll(/\b[0-9A-F]{12}(?:\.\w+@)?/g, "ID")
        .replaceAll(/\w{3}, \d+ \w{3} \d{4} [\d:]+ \+0000/g, "DATE")
        .replaceAll(/(?:\d{4}-\d\d-\d\d[T ])?\d\d:\d\d:\d\d(?:\.\d+)?Z?/g, "TIME")
        .replaceAll(/(127\.0\.0\.\d\]?:|-p )\d+/g, "$1PORT")
        .replaceAll(/\b\d+(?:\.\d+)? ?(?:ms|s|m|G|M|inodes|octets|sessions?)\b/g, "SOME")
        .replaceAll(/[·▁▂▃▄▅▆▇█]{2,}/g, "BARS")
        .replace(/^( +(?:last hour|last 24 hours|Gmail)) .*/, "$1") // how often it was tried is chance
        .replace(/421 4\.7\.28 (?:host|deliv).*/, "put off")
        .replaceAll(/victim\d+/g, "victim")
        .replaceAll(/\.toml:\d+/g, ".toml:LINE") // root's relay has a line more
        .replace(/^ID .*/, (row) => row.replaceAll(/ \d+(?= )/g, " N"))
        .replace("delivery temporarily suspended: ", "")
        .replaceAll(/ {2,}/g, " ")
        .trimEnd(),
    )
    .join("\n");

describe("the questions in docs/playbook.md", () => {
  const page = readFileSync(path, "utf8");
  const rows = [...page.matchAll(row)];

  test("are twenty-five, each with the command under its heading and a link that leads there", () => {
    expect(rows.map(([, , number]) => Number(number))).toEqual(Array.from({ length: 25 }, (_, at) => at + 1));
    const commands = [...shown(page).values()].map((text) => text.slice(2, text.indexOf("\n")));
    expect(rows.map(([, , , command = ""]) => command.replaceAll("\\|", "|"))).toEqual(commands);
    const headings = [...page.matchAll(/^### (\d+\. .*)$/gm)].map(([, title = ""]) =>
      title
        .toLowerCase()
        .replaceAll(/[^\w -]/g, "")
        .replaceAll(" ", "-"),
    );
    expect([...page.matchAll(/^\| \[\d+\]\(#(.*?)\)/gm)].map(([, link]) => link)).toEqual(headings);
  });

  describe.skipIf(!isLived || !real("faketime", "script"))("on a day like the page's", () => {
    let answers: ReadonlyMap<string, Answer> = new Map();
    beforeAll(async () => {
      answers = await day();
      if (process.env["TPA_SUBMIT_PLAYBOOK"] !== "write") return;
      const order = [...shown(page).keys()];
      const named = page.replaceAll(row, (line, start: string, number: string) => {
        const answer = answers.get(order[Number(number) - 1] ?? "");
        return answer ? `${start}\`${answer.command.replaceAll("|", "\\|")}\` |` : line;
      });
      const renew = (text: string): string =>
        text.replaceAll(mark, (block, name: string) => {
          const answer = answers.get(name);
          return answer ? `<!-- said: ${name} -->\n\`\`\`\n${written(answer)}\`\`\`\n` : block;
        });
      writeFileSync(path, renew(named));
      writeFileSync(front, renew(readFileSync(front, "utf8")));
    }, 300_000);

    test("are all asked, and no others", () => {
      expect([...answers.keys()].sort()).toEqual([...shown(page).keys()].sort());
    });

    test.each([...shown(page).keys()])("%s: is answered as the page says", (name) => {
      const answer = answers.get(name);
      const text = shown(readFileSync(path, "utf8")).get(name) ?? "";
      expect(common(answer ? written(answer) : "nothing")).toBe(common(text));
    });
  });
});

test("README.md shows what docs/playbook.md shows", () => {
  const [name, text] = [...shown(readFileSync(front, "utf8"))][0] ?? [];
  expect(text).toBe(shown(readFileSync(path, "utf8")).get(name ?? ""));
});

test("docs/playbook.md has a paragraph with a command for each alert, and for no other", () => {
  const page = readFileSync(path, "utf8");
  const rules = readFileSync(join(root, "etc/prometheus/tpa-submit.rules.yml"), "utf8");
  const alerts = [...rules.matchAll(/- alert: (\w+)/g)].map(([, name]) => name);
  const paragraphs = [...page.matchAll(/^### (TpaSubmit\w+)\n\n((?:.+\n)+)/gm)];
  expect(paragraphs.map(([, name]) => name)).toEqual(alerts);
  expect([...rules.matchAll(/ More: docs\/playbook\.md#(\w+)"/g)].map(([, name]) => name)).toEqual(
    alerts.map((name) => name?.toLowerCase()),
  );
  expect(paragraphs.filter(([, , text = ""]) => !text.includes("`")).map(([, name]) => name)).toEqual([]);
});
