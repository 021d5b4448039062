/** What a relay does about a login that another host freezes or thaws. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { newFreezeFollower } from "../../../src/server/control/actions.ts";
import { newFreezeHold, spoolWithFreezes } from "../../../src/server/control/frozen-logins.ts";
import type { FrozenLogin } from "../../../src/server/control/protocol.ts";
import { unreached } from "../../../src/server/delivery/attempt.ts";
import { type LogEntry, logTo } from "../../../src/server/log/log.ts";
import { startScheduler } from "../../../src/server/queue/scheduler.ts";
import { isDamaged, openSpool } from "../../../src/server/spool/spool.ts";
import { reply } from "../../../src/smtp/reply.ts";
import { patience, put } from "../queue/test-scheduler.ts";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "tpa-follow-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

test("its sessions end at once, its messages are held, and go on once it is thawed; others' go out", async () => {
  const events: LogEntry[] = [];
  logTo((entry) => events.push(entry));
  const frozen = new Map<string, FrozenLogin>();
  const freezeHold = newFreezeHold({ of: (login) => frozen.get(login) });
  const stored = await openSpool(join(folder, "spool"), Date.now);
  const spool = spoolWithFreezes(stored, freezeHold);
  const delivered: string[] = [];
  const scheduler = startScheduler(
    {
      spool,
      hostname: "submission.example.org",
      transport: {
        destination: () => "example.net",
        async deliver({ envelope, recipients }) {
          delivered.push(envelope.login ?? "");
          return unreached(recipients, reply(250, "2.0.0", "ok"), Date.now());
        },
      },
    },
    patience,
    {
      now: Date.now,
      steady: () => performance.now(),
      random: () => 0.5,
      alarm: (after, ring) => {
        const timer = setTimeout(ring, after);
        return () => clearTimeout(timer);
      },
    },
  );
  const sessions = new Map([["anna", 2]]);
  const follower = newFreezeFollower({
    frozen: { of: (login) => frozen.get(login) },
    change: (id, work) => scheduler.change(id, work),
    async *ownMessages(logins) {
      for (const id of await stored.ids()) {
        const envelope = await stored.read(id);
        if (!isDamaged(envelope) && logins.has(envelope.login ?? "")) yield envelope;
      }
    },
    sessions: {
      endSessions(login) {
        const open = sessions.get(login) ?? 0;
        sessions.delete(login);
        return open;
      },
    },
  });
  const submit = async (login: string, due: number): Promise<void> => {
    const envelope = { login, sender: `${login}@example.org`, accepted: Date.now(), due };
    scheduler.wake(freezeHold.applyTo(await put(spool, envelope)));
  };
  try {
    await submit("anna", Date.now() + 300_000);
    const freeze = { login: "anna", at: Date.now(), by: "root (uid 0)", reason: "password stolen" };
    frozen.set("anna", freeze);
    follower.changed("anna", freeze);
    expect(sessions.size).toBe(0);
    sessions.set("anna", 1); // its password was being checked at that moment
    await follower.settle(new Set(["anna"]));
    await submit("anna", Date.now());
    await submit("bert", Date.now());
    await vi.waitFor(() => expect(delivered).toEqual(["bert"]), 10_000);
    const told = events.find(({ event }) => event === "login-frozen");
    expect(told?.fields).toMatchObject({
      login: "anna",
      by: freeze.by,
      reason: freeze.reason,
      sessions: 3,
      held: 1,
    });
    frozen.delete("anna");
    follower.changed("anna", undefined);
    await follower.settle(new Set(["anna"]));
    await vi.waitFor(() => expect(delivered).toEqual(["bert", "anna"]), 10_000);
    const thawed = events.find(({ event }) => event === "login-thawed");
    expect(thawed?.fields).toMatchObject({ login: "anna", by: "another host", released: 2, stillHeld: 0 });
  } finally {
    await scheduler.drain(0);
    await spool.close();
  }
});
