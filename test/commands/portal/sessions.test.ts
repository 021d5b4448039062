/** When a session ends, on a clock of the test; and what the seals let through. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { newSeals, openKey } from "../../../src/commands/portal/sealed.ts";
import { openSessions, type Sessions, sessionCookie } from "../../../src/commands/portal/sessions.ts";

const minute = 60_000;
const limits = { idle: 30 * minute, longest: 120 * minute };

describe("sessions", () => {
  let folder: string;
  let now: number;
  let sessions: Sessions;
  const seals = newSeals(Buffer.alloc(32, 1));
  const open = () => openSessions(folder, seals, limits, () => now);

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "tpa-submit-sessions-"));
    now = 1_000_000;
    sessions = await open();
  });
  afterEach(() => rm(folder, { recursive: true }));

  test("end when they rest", () => {
    const cookie = sessions.write(sessions.begin("user1"));
    now += limits.idle;
    expect(sessions.read(cookie)?.login).toBe("user1");
    now += 1;
    expect(sessions.read(cookie)).toBeUndefined();
  });

  test("end after the longest time, however busy they are", () => {
    let cookie = sessions.write(sessions.begin("user1"));
    for (let times = 0; times < 5; times += 1) {
      now += 24 * minute;
      const session = sessions.read(cookie);
      expect(session?.login).toBe("user1");
      if (session) cookie = sessions.write(session);
    }
    now += 1;
    expect(sessions.read(cookie)).toBeUndefined();
  });

  test("end everywhere, also after a restart, and for one login alone", async () => {
    const [one, two] = [sessions.write(sessions.begin("user1")), sessions.write(sessions.begin("user2"))];
    await sessions.endAll("user1");
    for (const known of [sessions, await open()]) {
      expect(known.read(one)).toBeUndefined();
      expect(known.read(two)?.login).toBe("user2");
      expect(known.read(known.write(known.begin("user1")))?.login).toBe("user1");
    }
  });

  test("what was signed out is forgotten once it would have ended anyway", async () => {
    const session = sessions.begin("user1");
    const cookie = sessions.write(session);
    await sessions.end(session);
    expect((await open()).read(cookie)).toBeUndefined();
    const state = () => readFile(join(folder, "sessions"), "utf8");
    expect(await state()).toContain(session.id);
    now += limits.longest + 1;
    await sessions.end(sessions.begin("user2"));
    expect(await state()).not.toContain(session.id);
  });

  test.each(["", "{", "[]", '{"generations":{"user1":"x"},"ended":{}}'])(
    "nobody is let in by guessing where the file is %j",
    async (text) => {
      await writeFile(join(folder, "sessions"), text);
      await expect(open()).rejects.toThrow("cannot be read");
    },
  );

  test("a seal is for one cookie and one key, a token for one anchor", () => {
    const sealed = seals.seal(sessionCookie, { id: "x" });
    expect(seals.open(sessionCookie, sealed)).toEqual({ id: "x" });
    expect(seals.open("__Host-tpa-submit-form", sealed)).toBeUndefined();
    expect(newSeals(Buffer.alloc(32, 2)).open(sessionCookie, sealed)).toBeUndefined();
    expect(seals.seal(sessionCookie, { id: "x" })).not.toBe(sealed);
    expect([seals.isToken("a", seals.token("a")), seals.isToken("b", seals.token("a"))]).toEqual([
      true,
      false,
    ]);
  });

  test("the key is made once, and a damaged one is not replaced", async () => {
    const key = await openKey(folder);
    expect(await openKey(folder)).toEqual(key);
    await writeFile(join(folder, "key"), "short");
    await expect(openKey(folder)).rejects.toThrow("expected 32 octets, found 5");
    await expect(openKey(join(folder, "missing"))).rejects.toThrow("portal.state names a folder");
  });
});
