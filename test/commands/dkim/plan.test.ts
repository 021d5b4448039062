/** Which keys change their state, and the names that tell it. */
import { describe, expect, test } from "vitest";
import type { KeyOnDisk } from "../../../src/commands/dkim/folder.ts";
import { mayGoAt, newSelectors, planRotation } from "../../../src/commands/dkim/plan.ts";
import {
  type KeyState,
  readKeyFileName,
  writeKeyFileName,
} from "../../../src/server/delivery/dkim/key-file.ts";
import type { KeyKind } from "../../../src/smtp/dkim/record.ts";
import { key } from "../../server/delivery/dkim/site.ts";

const day = 86_400_000;
const at = Date.UTC(2026, 10, 29, 10, 15);

const on = (selector: string, kind: KeyKind, state: KeyState, made = 0): KeyOnDisk => ({
  ...key(selector, kind),
  state,
  made,
  path: `/keys/${selector}`,
});
const fresh: KeyState = { name: "new" };
const active: KeyState = { name: "active" };
const retired: KeyState = { name: "retired", since: at };

const told = (keys: readonly KeyOnDisk[]) => {
  const plan = planRotation(keys);
  const names = (list: readonly KeyOnDisk[] = []): string => list.map(({ selector }) => selector).join(" ");
  return plan && [names(plan.signing), names(plan.activated), names(plan.retired)];
};

describe("a rotation", () => {
  test.each([
    ["the first keys", [on("a", "rsa", fresh), on("b", "ed25519", fresh)], ["a b", "a b", ""]],
    [
      "new ones in place of old ones",
      [on("a", "rsa", active), on("b", "ed25519", active), on("c", "rsa", fresh), on("d", "ed25519", fresh)],
      ["c d", "c d", "a b"],
    ],
    [
      "one that was killed when one of the new ones was active",
      [
        on("a", "rsa", active, 1),
        on("b", "ed25519", active, 1),
        on("c", "rsa", active, 2),
        on("d", "ed25519", fresh, 2),
      ],
      ["c d", "d", "a b"],
    ],
    [
      "one that was killed when one of the old ones had ceased",
      [
        on("a", "rsa", retired),
        on("b", "ed25519", active, 1),
        on("c", "rsa", active, 2),
        on("d", "ed25519", active, 2),
      ],
      ["c d", "", "b"],
    ],
    [
      "a key of one kind only leaves the other",
      [on("b", "ed25519", active), on("c", "rsa", fresh)],
      ["c b", "c", ""],
    ],
    ["nothing new", [on("a", "rsa", active), on("b", "rsa", retired)], undefined],
    ["no keys", [], undefined],
  ])("%s", (_, keys, expected) => {
    expect(told(keys)).toEqual(expected);
  });
});

test("the record of an old key stays as long as a message may be under way, and a day", () => {
  const config = { spool: { lifetime: 5 * day, "report-lifetime": 6 * day } } as Parameters<
    typeof mayGoAt
  >[1];
  expect(mayGoAt(on("a", "rsa", retired), config)).toBe(at + 7 * day);
  expect(mayGoAt(on("a", "rsa", active), config)).toBeUndefined();
});

test("selectors have the date, and a letter where that is taken", () => {
  expect(newSelectors(at, [])).toEqual({ rsa: "20261129-rsa", ed25519: "20261129-ed25519" });
  expect(newSelectors(at, ["20261129-ed25519"]).rsa).toBe("20261129b-rsa");
  expect(newSelectors(at, ["20261129-rsa", "20261129b-rsa"]).ed25519).toBe("20261129c-ed25519");
});

describe("a file's name", () => {
  test.each([
    ["20261129-rsa.rsa.pem.new", { selector: "20261129-rsa", kind: "rsa", state: fresh }],
    ["2026.x.ed25519.pem", { selector: "2026.x", kind: "ed25519", state: active }],
    ["a.rsa.pem.retired-20261129T101500Z", { selector: "a", kind: "rsa", state: retired }],
  ])("%s is read and written", (name, whole) => {
    const read = readKeyFileName(name);
    expect(read).toEqual(whole);
    expect(read && writeKeyFileName(read)).toBe(name);
  });

  test.each([
    "a.pem",
    "A.rsa.pem",
    "a.rsa.pem.old",
    "a.rsa.pem.retired-20261329T101500Z",
    ".a.rsa.pem.0a.new",
    "-.rsa.pem",
  ])("%s is no key's", (name) => {
    expect(readKeyFileName(name)).toBeUndefined();
  });
});
