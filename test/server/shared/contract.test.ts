/** What the limits, the frozen logins and the policies promise, whether they are in files or in a database that hosts share. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type FrozenLogins, openFrozenLogins } from "../../../src/server/control/frozen-logins.ts";
import { type StsCache, stsCache } from "../../../src/server/delivery/tls/mta-sts.ts";
import { openSharedFrozenLogins } from "../../../src/server/shared/frozen-logins.ts";
import { openSharedStsCache } from "../../../src/server/shared/sts-cache.ts";
import { openSharedUsage } from "../../../src/server/shared/usage.ts";
import type { Spend, SpendRefusal } from "../../../src/server/spool/spend.ts";
import { type Allowance, newQuota, type Quota } from "../../../src/server/submission/limits/quota.ts";
import { openUsage } from "../../../src/server/submission/limits/usage-file.ts";
import { formatReply } from "../../../src/smtp/reply.ts";
import { real } from "../../tools/real.ts";
import { sharedDatabases } from "./databases.ts";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "tpa-shared-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A relay's limits, and the promise of a message. */
interface Post {
  readonly quota: Quota;
  promise(spend: Spend): Promise<SpendRefusal | undefined>;
  close(): Promise<void>;
}

interface Stores {
  post(allowance: () => Allowance): Promise<Post>;
  frozen(): Promise<FrozenLogins>;
  policies(): Promise<StsCache>;
}

const quotaOver = (
  usage: Parameters<typeof newQuota>[0]["usage"],
  rest: Partial<Parameters<typeof newQuota>[0]>,
) =>
  newQuota({
    usage,
    now: Date.now,
    record: () => undefined,
    limitReached: () => undefined,
    allowance: () => generous,
    ...rest,
  });

const generous: Allowance = { messagesPerHour: 1_000, recipientsPerDay: 1_000, newRecipientsPerDay: 1_000 };

const files: Stores = {
  async post(allowance) {
    const path = join(folder, "usage");
    const recorder = await openUsage(
      {
        name: path,
        load: () => readFile(path, "utf8").catch(() => undefined),
        append: (lines) => writeFile(path, lines, { flag: "a" }),
        replace: (text) => writeFile(path, text),
      },
      Date.now,
    );
    return {
      quota: quotaOver(recorder.usage, { allowance, record: (entry) => recorder.record(entry) }),
      promise: async () => undefined,
      close: () => recorder.close(),
    };
  },
  frozen: () => openFrozenLogins(join(folder, "frozen")),
  policies: async () => stsCache(join(folder, "mta-sts")),
};

/** From the login to the promise, as a session goes. */
async function send(post: Post, login: string, to: readonly string[]): Promise<string> {
  let request = post.quota.begin(login);
  for (const address of to) if (!("code" in request)) request = post.quota.addRecipient(request, address);
  if ("code" in request) return formatReply(request);
  const reservation = post.quota.reserve(request);
  if ("code" in reservation) return formatReply(reservation);
  const refusal = await post.promise(reservation.spend);
  reservation.settle(refusal === undefined);
  return refusal ? formatReply(post.quota.refused(login, refusal)) : "sent";
}

function cases(stores: () => Stores): void {
  describe("limits", () => {
    test.each<readonly [string, Partial<Allowance>, readonly string[]]>([
      ["messages an hour", { messagesPerHour: 2 }, ["a"]],
      ["recipients a day", { recipientsPerDay: 4 }, ["a", "b"]],
      ["addresses a day that you have not written to before", { newRecipientsPerDay: 4 }, ["a", "b"]],
    ])("of %s hold, over a restart too, and are each login's own", async (unit, limit, names) => {
      const allowance = () => ({ ...generous, ...limit });
      const people = (round: number) => names.map((name) => `${name}${round}@example.net`);
      const first = await stores().post(allowance);
      expect(await send(first, "anna", people(1))).toBe("sent");
      expect(await send(first, "anna", people(2))).toBe("sent");
      await first.close();
      const second = await stores().post(allowance);
      const refusal = await send(second, "anna", people(3));
      expect(refusal).toMatch(
        new RegExp(
          `^450 4\\.7\\.1 The limit of \\d ${unit} is reached; try again in .*, at \\d\\d:\\d\\d UTC\\. ` +
            "If it was not you who sent so much, change your password$",
        ),
      );
      expect(await send(second, "bert", people(3))).toBe("sent");
      await second.close();
    });

    test("do not count an address as new again, in whatever case it is written, after a restart either", async () => {
      const allowance = () => ({ ...generous, newRecipientsPerDay: 1 });
      const first = await stores().post(allowance);
      expect(await send(first, "anna", ["Someone@Example.NET"])).toBe("sent");
      await first.close();
      const second = await stores().post(allowance);
      expect(await send(second, "anna", ["someone@example.net"])).toBe("sent");
      expect(await send(second, "anna", ["other@example.net"])).toMatch(/^450 /);
      await second.close();
    });

    test("count what several sessions of a host send at once", async () => {
      const post = await stores().post(() => ({ ...generous, messagesPerHour: 5 }));
      const answers = await Promise.all(
        Array.from({ length: 20 }, () => send(post, "anna", ["a@example.net"])),
      );
      expect(answers.filter((answer) => answer === "sent")).toHaveLength(5);
      expect(post.quota.useOf("anna")[0]).toMatchObject({ used: 5, limit: 5 });
      await post.close();
    });
  });

  describe("frozen logins", () => {
    const freeze = { login: "anna", at: 1_795_000_000_000, by: "root", reason: 'sent spam: "viagra"\nü' };

    test("are in force at once, and after the next start", async () => {
      const first = await stores().frozen();
      const written = first.freeze(freeze);
      expect(first.of("anna")).toEqual(freeze);
      await written;
      expect(first.all()).toEqual([freeze]);
      const second = await stores().frozen();
      expect(second.all()).toEqual([freeze]);
      expect(second.of("anna")).toEqual(freeze);
      expect(second.of("bert")).toBeUndefined();
    });

    test("have the reason of the last freeze", async () => {
      const frozen = await stores().frozen();
      await frozen.freeze(freeze);
      await frozen.freeze({ ...freeze, reason: "again" });
      expect(frozen.all()).toEqual([{ ...freeze, reason: "again" }]);
      expect((await stores().frozen()).all()).toEqual([{ ...freeze, reason: "again" }]);
    });

    test("are thawed once", async () => {
      const frozen = await stores().frozen();
      await frozen.freeze(freeze);
      await frozen.freeze({ ...freeze, login: "bert" });
      expect(await frozen.thaw("anna")).toBe(true);
      expect(await frozen.thaw("anna")).toBe(false);
      expect(frozen.all().map(({ login }) => login)).toEqual(["bert"]);
      expect((await stores().frozen()).all().map(({ login }) => login)).toEqual(["bert"]);
    });

    test("stay frozen where they are frozen again while they thaw", async () => {
      const frozen = await stores().frozen();
      await frozen.freeze(freeze);
      const thawed = frozen.thaw("anna");
      await Promise.resolve(); // its turn has come
      await frozen.freeze({ ...freeze, reason: "again" });
      expect(await thawed).toBe(true);
      expect(frozen.of("anna")?.reason).toBe("again");
      expect((await stores().frozen()).of("anna")?.reason).toBe("again");
    });
  });

  describe("MTA-STS policies", () => {
    const text = "version: STSv1\nmode: enforce\nmx: mx.example.net\nmax_age: 86400\n";
    const policy = { mode: "enforce", mx: ["mx.example.net"], maxAge: 86_400 } as const;
    const kept = {
      domain: "example.net",
      id: "1",
      fetched: 1_795_000_000_000,
      used: 1_795_000_000_001,
      policy,
    };

    test("are kept, replaced and dropped", async () => {
      const cache = await stores().policies();
      expect(await cache.all()).toEqual([]);
      await cache.keep(kept, text);
      await cache.keep({ ...kept, domain: "example.org" }, text);
      await cache.keep({ ...kept, id: "2", fetched: kept.fetched + 5 }, text);
      const all = [...(await (await stores().policies()).all())];
      expect(all.toSorted((one, other) => one.domain.localeCompare(other.domain))).toEqual([
        { ...kept, id: "2", fetched: kept.fetched + 5 },
        { ...kept, domain: "example.org" },
      ]);
      await cache.drop("example.net", kept.fetched + 5);
      await cache.drop("example.net", kept.fetched + 5);
      expect((await cache.all()).map(({ domain }) => domain)).toEqual(["example.org"]);
    });

    test("that are damaged are told apart", async () => {
      const cache = await stores().policies();
      await cache.keep(kept, "version: STSv1\nmode: whatever\n");
      expect(await cache.all()).toEqual([{ domain: "example.net", trouble: "it is damaged" }]);
    });
  });
}

describe("in files", () => cases(() => files));

describe.skipIf(!real("postgresql"))("in a database", () => {
  const databases = sharedDatabases();
  let url = "";
  beforeEach(async () => {
    url = await databases.make();
  });
  const stores: Stores = {
    async post(allowance) {
      const database = await databases.connect(url);
      const shared = await openSharedUsage(database, allowance, Date.now);
      return {
        quota: quotaOver(shared.mirror, { allowance }),
        promise: async (spend) =>
          (await database.transaction((query) => shared.settle(query, [spend]))).get(spend),
        close: () => shared.close(),
      };
    },
    frozen: async () =>
      databases.open(await openSharedFrozenLogins(await databases.connect(url), join(folder, "frozen-here"))),
    policies: async () => databases.open(await openSharedStsCache(await databases.connect(url))),
  };
  cases(() => stores);
});
