/** Operators at work while many deliveries run: no message is lost, and none goes out twice. */
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type ActionContext, newActionContext } from "../../../src/server/control/actions.ts";
import { openControlApi } from "../../../src/server/control/api.ts";
import {
  newFreezeHold,
  openFrozenLogins,
  spoolWithFreezes,
} from "../../../src/server/control/frozen-logins.ts";
import {
  type ActionName,
  type ActionResult,
  type Answers,
  actionNames,
  type ControlApi,
} from "../../../src/server/control/protocol.ts";
import { unreached } from "../../../src/server/delivery/attempt.ts";
import type { Transport } from "../../../src/server/delivery/transport.ts";
import { type LogEntry, logTo } from "../../../src/server/log/log.ts";
import { startScheduler } from "../../../src/server/queue/scheduler.ts";
import { openSpool } from "../../../src/server/spool/spool.ts";
import { reply } from "../../../src/smtp/reply.ts";
import { until } from "../../tools/until.ts";
import { patience, put } from "../queue/test-scheduler.ts";

const by = { name: "root", uid: 0 };
const hasty = { ...patience, first: 3, longest: 20, warnAfter: null };

vi.setConfig({ testTimeout: 120_000 });

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "tpa-submit-race-"));
});
afterEach(async () => {
  logTo(() => undefined);
  await rm(folder, { recursive: true });
});

/** A generator of numbers between 0 and 1, the same each time. */
function chance(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return state / 2_147_483_648;
  };
}

async function all<Answer>(answers: AsyncIterable<Answer>): Promise<readonly Answer[]> {
  const found: Answer[] = [];
  for await (const one of answers) found.push(one);
  return found;
}

test("every message ends once: delivered, returned or dropped", async () => {
  const random = chance(20_261_122);
  const events: LogEntry[] = [];
  logTo((entry) => events.push(entry));
  const delivered = new Map<string, number>();
  const redirected = new Set<string>();
  const transport: Transport = {
    destination: (_, address) => address.replace(/^.*@/, ""),
    async deliver({ envelope, recipients }) {
      await pause(random() * 8);
      if (freezeHold.applyTo(envelope).held) return [];
      const said = random() < 0.6 ? reply(451, "4.3.0", "later") : reply(250, "2.0.0", "ok");
      if (said.code === 250) {
        delivered.set(envelope.id, (delivered.get(envelope.id) ?? 0) + 1);
        if (envelope.relay !== undefined) redirected.add(envelope.id);
      }
      return unreached(recipients, said, Date.now()).map((one) => ({
        ...one,
        reply: { ...one.reply, relay: "mx.example.net[192.0.2.1]:25" },
      }));
    },
  };
  const spool = await openSpool(join(folder, "spool"), () => Date.now());
  const frozen = await openFrozenLogins(join(folder, "frozen"));
  const freezeHold = newFreezeHold(frozen);
  const heldSpool = spoolWithFreezes(spool, freezeHold);
  const scheduler = startScheduler(
    { spool: heldSpool, transport, hostname: "submission.example.org" },
    hasty,
    {
      now: () => Date.now(),
      steady: () => performance.now(),
      random,
      alarm: (after, ring) => {
        const timer = setTimeout(ring, after);
        return () => clearTimeout(timer);
      },
    },
  );
  const context: ActionContext = newActionContext(
    {
      spool: heldSpool,
      frozen,
      freezeHold,
      sessions: {
        sessionsOf: () => 0,
        endSessions: () => 0,
        limitsOf: () => [],
        blocksOf: () => [],
        unblock: () => 0,
        whyUnknown: async () => "",
        sent: () => ({ messages: 0, recipients: 0 }),
        addSent: () => undefined,
      },
      relayState: async () => undefined,
      retryPolicy: hasty,
      now: () => Date.now(),
      hostname: "submission.example.org",
    },
    scheduler,
  );
  const api: ControlApi = openControlApi(
    context,
    (milliseconds) => pause(milliseconds, undefined, { ref: false }),
    [],
  );

  const sent: string[] = [];
  const ended = { bounce: new Set<string>(), drop: new Set<string>() };
  let busy = true;

  async function submit(): Promise<void> {
    for (let count = 0; count < 150; count++) {
      const login = `user${1 + Math.floor(random() * 3)}`;
      const now = Date.now();
      const accepted = await put(spool, { login, sender: `${login}@example.org`, accepted: now, due: now });
      sent.push(accepted.id);
      scheduler.wake(freezeHold.applyTo(accepted));
      await pause(random() * 6);
    }
  }

  async function operate(): Promise<void> {
    while (busy) {
      const act: ActionName = actionNames[Math.floor(random() * actionNames.length)] ?? "hold";
      const some = sent.filter(() => random() < 0.03);
      if (some.length === 0) await pause(2);
      else {
        const request = {
          verb: "act",
          action: act,
          ids: some,
          reason: "",
          relay: "smtp://192.0.2.9:25",
          by,
        } as const;
        const done: readonly ActionResult[] = await all(api(request));
        for (const { id, outcome } of done) {
          expect(["done", "unknown", "skipped"]).toContain(outcome);
          if (outcome === "done" && (act === "bounce" || act === "drop")) ended[act].add(id);
        }
      }
      await pause(random() * 10);
    }
  }

  async function freezeAndThaw(): Promise<void> {
    while (busy) {
      const login = `user${1 + Math.floor(random() * 3)}`;
      await all(api({ verb: "freeze", login, reason: "", by }));
      await pause(random() * 30);
      await all<Answers["thaw"]>(api({ verb: "thaw", login, by }));
      await pause(random() * 30);
    }
  }

  const others = [operate(), operate(), operate(), freezeAndThaw()];
  await submit();
  busy = false;
  await Promise.all(others);
  await until("the queue to be empty", async () => {
    const left = await all(api({ verb: "list", filter: {} }));
    const ids = left.flatMap((one) => (one.status === "held" ? [one.id] : []));
    if (ids.length > 0) await all(api({ verb: "act", action: "release", ids, reason: "", relay: "", by }));
    return left.length === 0 ? true : undefined;
  });
  await scheduler.drain(0);
  await spool.close();

  const fates = sent.map((id) => ({
    id,
    delivered: delivered.get(id) ?? 0,
    returned: ended.bounce.has(id) ? 1 : 0,
    dropped: ended.drop.has(id) ? 1 : 0,
  }));
  expect(fates.filter((fate) => fate.delivered + fate.returned + fate.dropped !== 1)).toEqual([]);
  const reported = events
    .filter(({ event }) => event === "failure-report")
    .map(({ fields }) => String(fields["id"]));
  expect(reported.toSorted()).toEqual([...ended.bounce].toSorted());
  expect(redirected.size).toBeGreaterThan(0);
  expect(events.filter(({ event }) => event === "bug" || event === "spool-trouble")).toEqual([]);
  for (const part of ["queue", "messages", "drafts"])
    expect(await readdir(join(folder, "spool", part))).toEqual([]);
});
