import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { readCall, rows } from "../../../src/commands/sendmail/options.ts";
import { Failure } from "../../../src/failure.ts";

const standard = { mode: "message", fromHeader: false, dotEnds: true, recipients: [] };

/** As programs call it, and what that means. */
const calls: readonly (readonly [who: string, words: string, means: object])[] = [
  [
    "cron of Debian",
    "-i -FCronDaemon -B8BITMIME -oem root",
    { dotEnds: false, fullName: "CronDaemon", recipients: ["root"] },
  ],
  [
    "cronie",
    "-FCronDaemon -i -odi -oem -oi -t -f root",
    { dotEnds: false, fullName: "CronDaemon", fromHeader: true, sender: "root" },
  ],
  ["PHP", "-t -i -fnews@example.org", { fromHeader: true, dotEnds: false, sender: "news@example.org" }],
  [
    "mutt",
    "-oem -oi -f a@example.org -- b@example.net",
    { dotEnds: false, sender: "a@example.org", recipients: ["b@example.net"] },
  ],
  [
    "git send-email",
    "-f a@example.org -i b@example.net c@example.net",
    {
      sender: "a@example.org",
      dotEnds: false,
      recipients: ["b@example.net", "c@example.net"],
    },
  ],
  ["procmail", "-oi -f  -- b@example.net", { dotEnds: false, sender: "", recipients: ["b@example.net"] }],
  ["joined letters", "-itf a@example.org", { dotEnds: false, fromHeader: true, sender: "a@example.org" }],
  ["options behind recipients", "root -i -t", { dotEnds: false, fromHeader: true, recipients: ["root"] }],
  [
    "several in one word",
    "a@example.org,<b@example.net>",
    { recipients: ["a@example.org", "b@example.net"] },
  ],
  ["the null path in brackets", "-f <> root", { sender: "", recipients: ["root"] }],
  [
    "DSN",
    "-N failure,delay -R hdrs -V abc root",
    { notify: ["FAILURE", "DELAY"], ret: "HDRS", envid: "abc", recipients: ["root"] },
  ],
  [
    "what Postfix passes over",
    "-A x -h 3 -L l -m -n -O a=b -o7 -o8 -om -p x -U -v -X y -x -G root",
    { recipients: ["root"] },
  ],
  ["mailq", "-bp", { mode: "mailq" }],
  ["newaliases", "-bi", { mode: "aliases" }],
  ["newaliases, the short way", "-I", { mode: "aliases" }],
  ["SMTP", "-bs", { mode: "smtp" }],
  ["a run of the queue", "-q", { mode: "flush" }],
  ["host status", "-bh", { mode: "nothing" }],
];

describe("readCall()", () => {
  test.each(calls)("%s: %s", (_, words, means) => {
    expect(readCall(words.split(" "))).toEqual({ ...standard, ...means });
  });

  test.each([
    ["-Z", /-Z: there is no such option/],
    ["-bd", /-bd is not offered/],
    ["-bv", /-bv is not offered/],
    ["-C /etc/postfix", /-C is not offered/],
    ["-q15m", /-q15m is not offered/],
    ["-f", /-f: expected a value/],
    ["-N sometimes root", /-N sometimes: expected never, or/],
    ["-N never,delay root", /expected never, or/],
    ["-R some root", /expected hdrs or full/],
  ])("%s is refused with 64", (words, says) => {
    const call = (): unknown => readCall(words.split(" "));
    expect(call).toThrow(Failure);
    expect(call).toThrow(says);
    expect(call).toThrow(expect.objectContaining({ status: 64 }));
  });

  test("has no row for a letter twice, and the manual names each", () => {
    const letters = rows.map(({ letter }) => letter);
    expect(new Set(letters).size).toBe(letters.length);
    const text = readFileSync(new URL("../../../man/tpa-submit-sendmail.8", import.meta.url), "utf8");
    const named = [...text.matchAll(/^\.It Fl (.*)$/gm)].flatMap(([, line = ""]) => [
      ...line.replaceAll(/(?:Ns )?Ar \w+|Fl /g, "").split(/[ ,]+/),
    ]);
    expect(letters.filter((letter) => !named.includes(letter))).toEqual([]);
  });
});
