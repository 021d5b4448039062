import { describe, expect, test } from "vitest";
import { sharedMetrics } from "../../../src/commands/sync/sites.ts";
import { filesOf, type SyncReport } from "../../../src/ldap/sync.ts";

const report = (path: string, logins: number, result: "replaced" | "unchanged"): SyncReport => ({
  url: "ldaps://db.example.org",
  entries: logins + 1,
  latest: "",
  schemes: new Map([["bcrypt", logins]]),
  logins,
  exclusions: [],
  remarks: [],
  passwords: { path, result, difference: { added: [], changed: [], removed: [] }, alarms: [] },
  aliases: undefined,
});

/** Notes what it is told. */
function notebook() {
  const told: string[] = [];
  const write = async (line: string) => void told.push(line);
  return {
    told,
    succeeded: (merged: SyncReport) => {
      const files = filesOf(merged).map(({ path, result }) => `${path} ${result}`);
      return write(`well ${merged.entries} ${merged.schemes.get("bcrypt")} ${files.join(", ")}`);
    },
    unchanged: () => write("unchanged"),
    failed: () => write("failed"),
  };
}

describe("the metrics of several domains", () => {
  test("say that all is well when it is well with each, and what was replaced once", async () => {
    const book = notebook();
    const [org, net] = sharedMetrics(book, 2);
    await org?.succeeded(report("org", 2, "replaced"), 0, 1);
    expect(book.told).toEqual([]);
    await net?.succeeded(report("net", 3, "unchanged"), 0, 2);
    await net?.succeeded(report("net", 4, "unchanged"), 0, 3);
    await org?.failed(4);
    await net?.unchanged(5);
    await org?.unchanged(6);
    expect(book.told).toEqual([
      "well 7 5 org replaced, net unchanged",
      "well 8 6 org unchanged, net unchanged",
      "failed",
      "failed",
      "unchanged",
    ]);
  });

  test("are those of one where there is one", () => {
    const book = notebook();
    expect(sharedMetrics(book, 1)).toEqual([book]);
  });
});
