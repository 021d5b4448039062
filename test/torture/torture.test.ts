/**
 * The real program among killings, moody next hops, refusing disks and operators, with a ledger of every 250. In the gate
 * for seconds; for longer:
 *     npm run torture                                  5 minutes
 *     TPA_SUBMIT_TORTURE_MINUTES=30 TPA_SUBMIT_TORTURE_SEED=1 npm run torture
 * A seed gives the same choices again, though not the same moments.
 */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { expect, test } from "vitest";
import { prepareRelay, type Relay } from "../../demo/relay.mjs";
import { fsckBeside } from "../../src/server/spool/fsck.ts";
import { freePort } from "../tools/port.mjs";
import { real } from "../tools/real.ts";
import { until } from "../tools/until.ts";
import { type Chance, chanceFrom } from "./chance.ts";
import { arrive, post } from "./client.ts";
import { type Disk, prepareDisk } from "./disk.ts";
import { type Hop, startHop } from "./hop.ts";
import { letter, nobody } from "./letter.ts";
import { type Known, order } from "./operator.ts";
import { judge, type Ordered, type Sent } from "./story.ts";

const minutes = Number(process.env["TPA_SUBMIT_TORTURE_MINUTES"] ?? 0.2);
const seed = Number(process.env["TPA_SUBMIT_TORTURE_SEED"] ?? Date.now() % 1_000_000);

const clients = 6;

/** Milliseconds between one and the next, at most. */
const seldom = Math.min(9_000, minutes * 15_000);
const pauses = { letter: 150, death: seldom, refusal: seldom, order: 3_000, mood: 4_000 };

const strace = real("strace");

const now = (): number => performance.now();

/** Everything that a run is made of. */
interface Stage {
  readonly relay: Relay;
  readonly disk: Disk;
  readonly hop: Hop;
  readonly other: Hop;
  readonly sent: Sent[];
  readonly ordered: Ordered[];
  readonly deaths: number[];
  /** How often something happened, by its name. */
  readonly counts: Map<string, number>;
  /** The mail log of all lives of the relay before this one. */
  log: string;
  over: boolean;
}

test(`nothing promised is lost in ${String(minutes)} minutes of torture (seed ${String(seed)})`, {
  timeout: minutes * 60_000 + 240_000,
}, async () => {
  const chance = chanceFrom(seed);
  const stage = await prepare(chance);
  try {
    await stage.relay.start();
    const parts = [
      ...Array.from({ length: clients }, (_, number) => client(stage, number, chance.fork())),
      killer(stage, chance.fork()),
      operator(stage, chance.fork()),
      weather(stage, chance.fork()),
    ];
    const all = Promise.all(parts);
    await Promise.race([all, pause(minutes * 60_000)]);
    stage.over = true;
    await all;
    const left = await settle(stage);
    report(stage);
    expect(left).toEqual([]);
  } finally {
    await stage.relay.stop();
    await stage.disk.remove();
    await Promise.all([stage.hop.close(), stage.other.close()]);
  }
});

async function prepare(chance: Chance): Promise<Stage> {
  const disk = await prepareDisk(strace);
  const [hop, other] = [await startHop(chance.fork(), now), await startHop(chance.fork(), now)];
  const relay = await prepareRelay(`[listen]
submission = ["127.0.0.1:${String(await freePort())}"]
submissions = ["127.0.0.1:${String(await freePort())}"]
http = ""
[spool]
directory = "${disk.spool}"
warn-after = ""
reserve = "1M"
reserve-inodes = 50
[delivery]
relay = "smtp://127.0.0.1:${String(hop.port)}"
retry-first = "1s"
retry-longest = "4s"`);
  return {
    relay,
    disk,
    hop,
    other,
    sent: [],
    ordered: [],
    deaths: [],
    counts: new Map(),
    log: "",
    over: false,
  };
}

function count({ counts }: Stage, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}

/** Letter after letter, in session after session. */
async function client(stage: Stage, number: number, chance: Chance): Promise<void> {
  for (let count_ = 0; !stage.over; ) {
    const talk = await arrive(stage.relay, chance).catch(() => undefined);
    if (talk === undefined) {
      await pause(50); // the relay is dead
      continue;
    }
    for (let more = 1 + chance.below(20); more > 0 && !stage.over; more -= 1) {
      const token = `torture-${number.toString(36)}x${seed.toString(36)}-${String(count_++)}`;
      const recipients = Array.from(
        { length: 1 + chance.below(3) },
        (_, index) => `${chance.percent(8) ? nobody : "w"}${String(index)}@example.net`,
      );
      const { sent, code } = await post(
        talk,
        letter(token, recipients, chance.below(chance.percent(5) ? 9_000 : 60)),
        chance,
      );
      stage.sent.push(sent);
      count(stage, `letters ${sent.outcome}${code === "" || code === "250" ? "" : ` with ${code}`}`);
      if (sent.outcome === "unknown" || sent.outcome === "unsent") break;
      if (sent.outcome === "refused") await talk.say("RSET");
      await pause(chance.below(pauses.letter));
    }
    talk.close();
  }
}

/** Kills the relay and starts it again. */
async function killer(stage: Stage, chance: Chance): Promise<void> {
  const { relay } = stage;
  while (!stage.over) {
    await pause(500 + chance.below(pauses.death));
    relay.signal("SIGKILL");
    await relay.ended;
    stage.deaths.push(now());
    stage.log += relay.log();
    count(stage, "deaths");
    await pause(chance.below(300));
    await alive(stage);
  }
}

/** Starts it where it has ended by itself, as it does when the disk refuses it an fsync; systemd would. */
async function again(stage: Stage): Promise<void> {
  const { relay } = stage;
  if (!(await Promise.race([relay.ended.then(() => true), pause(0, false)]))) return;
  stage.deaths.push(now());
  stage.log += relay.log();
  count(stage, "ends by itself");
  await alive(stage);
}

/** Starts it. An operator may have the spool for a moment; and on a disk that refuses it does not start, and says so. */
async function alive({ relay, disk }: Stage): Promise<void> {
  for (let tries = 0; ; tries += 1) {
    try {
      await disk.heal();
      await relay.start();
      return;
    } catch (error) {
      if (tries === 20 || !/is in use by|E(?:IO|ROFS|NOSPC|ACCES|XDEV)/.test(String(error))) throw error;
      await pause(200);
    }
  }
}

/** Good and bad moods of the next hops, and of the disk. */
async function weather(stage: Stage, chance: Chance): Promise<void> {
  const disk = async (): Promise<void> => {
    while (!stage.over) {
      await pause(1_000 + chance.below(pauses.refusal));
      count(stage, `disk: ${await refusal(stage, chance)}`);
      await pause(300 + chance.below(1_500));
      await stage.disk.heal();
    }
  };
  const hops = async (): Promise<void> => {
    while (!stage.over) {
      for (const hop of [stage.hop, stage.other]) hop.mood(chance.percent(30) ? 0 : chance.below(25));
      await pause(500 + chance.below(pauses.mood));
    }
  };
  await Promise.all([disk(), hops()]);
}

/** A process that dies meanwhile cannot be refused anything by strace. */
async function refusal({ disk, relay }: Stage, chance: Chance): Promise<string> {
  try {
    return await disk.refuse(chance, relay.pid);
  } catch (error) {
    if (!/strace .*(?:No such process|Operation not permitted)/s.test(String(error))) throw error;
    return "strace came too late, or may not";
  }
}

/** Meddles with messages that were promised lately, of which some are still there. */
async function operator(stage: Stage, chance: Chance): Promise<void> {
  const { relay, other } = stage;
  const held: Known[] = [];
  async function say(
    act: Ordered["act"],
    messages: readonly Known[],
    ...more: readonly string[]
  ): Promise<void> {
    if (messages.length === 0) return;
    const answers = await order(relay, act, messages, now, more);
    stage.ordered.push(...answers);
    for (const { outcome } of answers) count(stage, `queue ${act}: ${outcome}`);
  }
  while (!stage.over) {
    await pause(500 + chance.below(pauses.order));
    const waiting = await knownIn(stage);
    const some = waiting.filter(() => chance.percent(40)).slice(0, 8);
    switch (
      chance.one(["hold", "hold", "release", "release", "retry", "redirect", "redirect", "bounce", "drop"])
    ) {
      case "hold":
        held.push(...some);
        await say("hold", some, "--reason", "torture");
        break;
      case "release":
        await say("release", held.splice(0));
        break;
      case "redirect":
        await say("redirect", some, "--relay", `smtp://127.0.0.1:${String(other.port)}`);
        break;
      case "retry":
        await say("retry", some);
        break;
      case "bounce":
        await say("bounce", some.slice(0, 2), "--reason", "5.7.0 torture");
        break;
      case "drop":
        await say("drop", some.slice(0, 2));
        break;
    }
  }
}

/** What was promised and is still in the queue. */
async function knownIn({ sent, disk }: Stage): Promise<readonly Known[]> {
  const queued = new Set(await readdir(join(disk.spool, "queue")));
  return sent.flatMap(({ token, id }) => (id !== undefined && queued.has(id) ? [{ token, id }] : []));
}

/** Fair weather until everything has gone its way. Resolves to what has not, and to what is damaged. */
async function settle(stage: Stage): Promise<readonly string[]> {
  const { relay, disk, hop, other } = stage;
  await disk.heal();
  await again(stage);
  for (const each of [hop, other]) each.mood(0);
  const left = await knownIn(stage);
  if (left.length > 0) stage.ordered.push(...(await order(relay, "release", left, now)));
  const queued = (): Promise<readonly string[]> => readdir(join(disk.spool, "queue"));
  for (let tries = 0; tries < 4; tries += 1) {
    await again(stage);
    const emptied = until("an empty queue", async () => ((await queued()).length === 0 ? true : undefined));
    if (await emptied.catch(() => false)) break; // said four times, for a queue that a torture has filled
  }
  const waits = await queued();
  if (waits.length > 0) {
    const last = relay.log().split("\n").slice(-40).join("\n");
    process.stdout.write(
      `\n${String(waits.length)} messages did not leave the queue; the log ends so:\n${last}\n`,
    );
  }
  const damage: string[] = [];
  for await (const { fault } of (await fsckBeside(disk.spool)).damage([])) damage.push(fault);
  stage.log += relay.log();
  return [...waits, ...damage.filter((fault) => !/^usage: /.test(fault))];
}

/** Tells the figures, and fails where the relay did. */
function report(stage: Stage): void {
  const { hop, other, sent, ordered, deaths, counts, log } = stage;
  const refused = new Set(
    [...log.matchAll(/ ([0-9A-F]{12}): the spool cannot be written/g)].map(([, id]) => id),
  );
  const named = [...log.matchAll(/ ([0-9A-F]{12}): message-id=<(torture-[^@]+)@/g)];
  const troubled = new Set(named.flatMap(([, id, token = ""]) => (refused.has(id) ? [token] : [])));
  const taken = [...hop.taken, ...other.taken];
  const told = [...hop.told, ...other.told];
  const found = judge({ sent, taken, told, ordered, deaths, troubled });
  const ledgers = [counts, hop.happened, other.happened];
  const times = (name: string): number => ledgers.reduce((sum, ledger) => sum + (ledger.get(name) ?? 0), 0);
  const names = new Set(ledgers.flatMap((ledger) => [...ledger.keys()]));
  const lines = [...names].map((name) => `${name}: ${String(times(name))}`);
  const share = (part: number): string => `${((100 * part) / Math.max(1, found.copies)).toFixed(2)} %`;
  process.stdout.write(`
torture: ${String(minutes)} minutes, seed ${String(seed)}
${lines.sort().join("\n")}
promised: ${String(found.promised)} messages; taken by the next hops: ${String(found.copies)} copies
taken though nobody heard 250: ${String(found.unheard)}
again after a crash: ${String(found.afterCrash)}, ${share(found.afterCrash)}; per crash ${(found.afterCrash / Math.max(1, deaths.length)).toFixed(2)}
again after a hop that did not answer: ${String(found.afterSilence)}, ${share(found.afterSilence)}
reports again: ${String(found.toldAgain)}
wrong: ${String(found.wrong.length)}
`);
  expect(found.wrong).toEqual([]);
  expect(log.split("\n").filter((line) => /\bbug\b/.test(line))).toEqual([]);
  expect(found.promised).toBeGreaterThan(0);
  expect(deaths.length).toBeGreaterThan(0);
}
