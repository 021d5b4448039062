/**
 * The real program among killings, moody next hops, hanging ones, refusing disks, operators, a clock that jumps by an hour
 * and strangers who write at great length, with a ledger of every 250 and a watch on whether it answers; with its mail in files,
 * and in a database that crashes. In the gate for seconds; for longer:
 *     npm run torture                                  5 minutes for each
 *     TPA_SUBMIT_TORTURE_MINUTES=30 TPA_SUBMIT_TORTURE_SEED=1 npm run torture
 * A seed gives the same choices again, though not the same moments.
 */
import { readFile } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";
import { expect, test } from "vitest";
import { prepareRelay, type Relay } from "../../demo/relay.mjs";
import { greet, note, submitAlone } from "../commands/serve/conversation.ts";
import { longForm } from "../tools/long-forms.ts";
import { freePort } from "../tools/port.mjs";
import { bound, costliestStandstill, type Doors, feelPulse, type Pulse } from "../tools/pulse.ts";
import { real } from "../tools/real.ts";
import { until, within } from "../tools/until.ts";
import { type Chance, chanceFrom } from "./chance.ts";
import { arrive, post } from "./client.ts";
import { type Clock, settableClock } from "./clock.ts";
import { type Hop, startHop } from "./hop.ts";
import { letter, nobody } from "./letter.ts";
import { type Known, order } from "./operator.ts";
import { stores, type TortureStore } from "./store.ts";
import { judge, type Ordered, type Sent } from "./story.ts";
import { intrude } from "./stranger.ts";
import { type Swamp, startSwamp } from "./swamp.ts";

const minutes = Number(process.env["TPA_SUBMIT_TORTURE_MINUTES"] ?? 0.2);
const seed = Number(process.env["TPA_SUBMIT_TORTURE_SEED"] ?? Date.now() % 1_000_000);

const clients = 6;
const strangers = 2;

/** Destinations that hang all the time. */
const hanging = 200;

/** Recipients of one letter to them at the end. */
const together = 50;

/** Milliseconds in which a letter is to reach a good destination while they hang; where it waits, it is for minutes. */
const prompt = 5_000;

/** Seconds by which the clock is set. */
const hour = 3_600;

/** Milliseconds in which every part ends when the run is over. The longest is a start on a disk that refused it before. */
const patience = 90_000;

/** Milliseconds between one and the next, at most. */
const seldom = Math.min(9_000, minutes * 15_000);
const pauses = { letter: 150, death: seldom, refusal: seldom, order: 3_000, mood: 4_000 };

const faketime = real("faketime");

const now = (): number => performance.now();

/** Everything that a run is made of. */
interface Stage {
  readonly relay: Relay;
  readonly store: TortureStore;
  readonly hop: Hop;
  readonly other: Hop;
  /** Never in a mood. */
  readonly good: Hop;
  readonly swamp: Swamp;
  /** Undefined where there is no libfaketime. */
  readonly clock: Clock | undefined;
  readonly doors: Doors;
  readonly sent: Sent[];
  readonly ordered: Ordered[];
  readonly deaths: number[];
  /** How often something happened, by its name. */
  readonly counts: Map<string, number>;
  /** The mail log of all lives of the relay before this one. */
  log: string;
  over: boolean;
  /** What the end of the run says besides the ledgers: a line each. */
  readonly remarks: string[];
}

test.each(Object.entries(stores))(
  `with its mail in %s nothing promised is lost in ${String(minutes)} minutes of torture (seed ${String(seed)})`,
  {
    timeout: minutes * 60_000 + 600_000, // every wait has a bound of its own, and a name
  },
  async (_, open) => {
    const chance = chanceFrom(seed);
    const stage = await prepare(chance, await open(now));
    const pulse = feelPulse(() => stage.doors);
    try {
      await stage.relay.start();
      await endure(stage, [
        ...Array.from({ length: clients }, (_, number): Part => {
          return { name: `client ${String(number)}`, work: client(stage, number, chance.fork()) };
        }),
        { name: "killer", work: killer(stage, chance.fork()) },
        { name: "operator", work: operator(stage, chance.fork()) },
        { name: "weather", work: weather(stage, chance.fork()) },
        ...Array.from({ length: strangers }, (_, number): Part => {
          return { name: `stranger ${String(number)}`, work: stranger(stage, chance.fork()) };
        }),
        { name: "clockmaker", work: clockmaker(stage, chance.fork()) },
      ]);
      const delay = await throughSwamp(stage);
      const left = await settle(stage);
      const slowest = await slowestOf(pulse, stage);
      report(stage);
      expect(left).toEqual([]);
      expect(delay, "milliseconds to a good destination while others hang").toBeLessThan(prompt);
      expect(slowest, "milliseconds of the slowest answer").toBeLessThan(bound);
      const standstill = costliestStandstill(stage.log) * 1_000;
      expect(standstill, "milliseconds of processor time of a standstill").toBeLessThan(bound);
    } catch (error) {
      process.stdout.write(`\n${[...stage.remarks, await stateOf(stage.relay)].join("\n")}`);
      throw error;
    } finally {
      await pulse.stop();
      await stage.relay.stop();
      await stage.store.remove();
      const { hop, other, good, swamp } = stage;
      await Promise.all([hop, other, good, swamp].map((each) => each.close()));
    }
  },
);

/** Somebody who goes on until the run is over. */
interface Part {
  readonly name: string;
  readonly work: Promise<void>;
}

/** Lets all parts work for the minutes of the run, or until one fails. Rejects with what failed, and who did not end. */
async function endure(stage: Stage, parts: readonly Part[]): Promise<void> {
  const failed = Promise.all(parts.map(({ work }) => work)).catch(() => undefined);
  await Promise.race([failed, pause(minutes * 60_000)]);
  stage.over = true;
  const ends = await Promise.allSettled(
    parts.map(({ name, work }) => within(`the ${name} to end`, patience, work)),
  );
  const wrong = ends.flatMap((end): readonly unknown[] => (end.status === "rejected" ? [end.reason] : []));
  if (wrong.length > 0) throw new AggregateError(wrong, wrong.map(String).join("\n"));
}

/** What the kernel and the log say of the relay, for whoever is to find out why it was waited for. */
async function stateOf({ pid, log }: Relay): Promise<string> {
  const status = await readFile(`/proc/${String(pid)}/status`, "utf8").catch(() => "State: gone");
  const said = /^(?:State|Threads|TracerPid):.*$/gm;
  const last = log().split("\n").slice(-40).join("\n");
  return `process ${String(pid)}: ${(status.match(said) ?? []).join(", ")}; the log ends so:\n${last}\n`;
}

async function prepare(chance: Chance, store: TortureStore): Promise<Stage> {
  const [hop, other] = [await startHop(chance.fork(), now), await startHop(chance.fork(), now)];
  const good = await startHop(chance.fork(), now);
  const swamp = await startSwamp(hanging, hop);
  const doors = { submission: await freePort(), http: await freePort() };
  const relay = await prepareRelay(`[listen]
submission = ["127.0.0.1:${String(doors.submission)}"]
submissions = ["127.0.0.1:${String(await freePort())}"]
http = "127.0.0.1:${String(doors.http)}"
[spool]
${store.settings}
warn-after = ""
reserve = "1M"
reserve-inodes = 50
journal-segment = "1M"
[delivery]
relay = "smtp://127.0.0.1:${String(hop.port)}"
retry-first = "1s"
retry-longest = "4s"
[[route]]
to = ["good.example.com"]
relay = "smtp://127.0.0.1:${String(good.port)}"
${swamp.routes}`);
  const clock = faketime ? await settableClock(relay.folder) : undefined;
  if (clock !== undefined) relay.environment = { ...clock.environment };
  return {
    relay,
    store,
    hop,
    other,
    good,
    swamp,
    clock,
    doors,
    sent: [],
    ordered: [],
    deaths: [],
    counts: new Map(),
    log: "",
    over: false,
    remarks: [],
  };
}

function count({ counts }: Stage, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}

/** Letter after letter, in session after session. */
async function client(stage: Stage, number: number, chance: Chance): Promise<void> {
  const swamp = stage.swamp.domains;
  for (let count_ = 0; !stage.over; ) {
    const talk = await arrive(stage.relay, chance).catch(() => undefined);
    if (talk === undefined) {
      await pause(50); // the relay is dead
      continue;
    }
    for (let more = 1 + chance.below(20); more > 0 && !stage.over; more -= 1) {
      const token = `torture-${number.toString(36)}x${seed.toString(36)}-${String(count_++)}`;
      // What goes to a host that hangs stays to the end: little of it, and short, or the disk is full of nothing else.
      const stuck = chance.percent(3);
      const recipients = Array.from({ length: 1 + chance.below(3) }, (_, index) => {
        const domain = stuck ? swamp[chance.below(swamp.length)] : "example.net";
        return `${chance.percent(8) ? nobody : "w"}${String(index)}@${domain ?? ""}`;
      });
      const { sent, code } = await post(
        talk,
        letter(token, recipients, chance.below(!stuck && chance.percent(3) ? 9_000 : 60)),
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

/** Kills the relay and starts it again; also where it ended by itself, because the disk refused it an fsync. */
async function killer(stage: Stage, chance: Chance): Promise<void> {
  const { relay } = stage;
  while (!stage.over) {
    await Promise.race([pause(500 + chance.below(pauses.death)), relay.ended]);
    count(stage, (await hasEnded(relay)) ? "ends by itself" : "deaths");
    relay.signal("SIGKILL");
    await within("the end of what was killed", 20_000, relay.ended);
    bury(stage);
    await pause(chance.below(300));
    await alive(stage);
  }
}

const hasEnded = ({ ended }: Relay): Promise<boolean> =>
  Promise.race([ended.then(() => true), pause(0, false)]);

/** Writes down that the relay has ended, and what it logged. */
function bury(stage: Stage): void {
  stage.deaths.push(now());
  stage.log += stage.relay.log();
}

/** Starts it where it has ended by itself, as it does when the disk refuses it an fsync; systemd would. */
async function again(stage: Stage): Promise<void> {
  if (!(await hasEnded(stage.relay))) return;
  count(stage, "ends by itself");
  bury(stage);
  await alive(stage);
}

/** Starts it. An operator may have the spool for a moment; and on a disk that refuses it does not start, and says so. */
async function alive({ relay, store }: Stage): Promise<void> {
  for (let tries = 0; ; tries += 1) {
    try {
      await store.heal();
      await relay.start();
      return;
    } catch (error) {
      if (tries === 20 || !store.refusals.test(String(error))) throw error;
      await pause(200);
    }
  }
}

/** Good and bad moods of the next hops, and of the store. */
async function weather(stage: Stage, chance: Chance): Promise<void> {
  const store = async (): Promise<void> => {
    while (!stage.over) {
      await pause(1_000 + chance.below(pauses.refusal));
      count(stage, `store: ${await stage.store.refuse(chance, stage.relay.pid)}`);
      await pause(100 + chance.below(stage.store.patience));
      await stage.store.heal();
    }
  };
  const hops = async (): Promise<void> => {
    while (!stage.over) {
      for (const hop of [stage.hop, stage.other]) hop.mood(chance.percent(30) ? 0 : chance.below(25));
      await pause(500 + chance.below(pauses.mood));
    }
  };
  await Promise.all([store(), hops()]);
}

/** Visit after visit of somebody who writes at great length. */
async function stranger(stage: Stage, chance: Chance): Promise<void> {
  while (!stage.over) {
    const what = await intrude(stage.relay, chance).catch(() => undefined); // the relay is dead
    if (what !== undefined) count(stage, `at length, ${what}`);
    await pause(chance.below(pauses.letter));
  }
}

/** Sets the relay's clock an hour back, right, and an hour forth. */
async function clockmaker(stage: Stage, chance: Chance): Promise<void> {
  while (!stage.over && stage.clock !== undefined) {
    await pause(500 + chance.below(seldom));
    const hours = chance.one([-1, -1, 0, 1]);
    await stage.clock.set(hours * hour);
    count(stage, `clock: ${String(hours)} h`);
  }
}

/**
 * While all of the hanging destinations are waited for, a letter to a good one goes out. Resolves to the milliseconds
 * that it took.
 */
async function throughSwamp(stage: Stage): Promise<number> {
  const { store, hop, other, good, swamp, clock, remarks } = stage;
  await store.heal();
  await clock?.set(-hour); // from the last hour, in which nothing may be waited for
  for (const each of [hop, other]) each.mood(0);
  for (let first = 0; first < swamp.domains.length; first += together) {
    const to = swamp.domains.slice(first, first + together).map((domain) => `long@${domain}`);
    await submitted(stage, note(longForm), to);
  }
  await until("all that hang to be asked", async () => {
    await again(stage);
    return swamp.waited() === hanging ? true : undefined;
  });
  const begun = now();
  const token = "torture-swamp-0";
  const recipients = ["w0@good.example.com"];
  const id = await submitted(stage, letter(token, recipients, 3).text, recipients);
  stage.sent.push({ token, recipients, outcome: "promised", id });
  await until("a letter through the swamp", async () => {
    await again(stage);
    return good.taken.find((one) => one.token === token);
  });
  const delay = now() - begun;
  const queued = (await store.queued()).length;
  remarks.push(
    `${String(hanging)} destinations hang, ${String(queued)} messages wait: a good one has its letter after ${delay.toFixed(0)} ms`,
  );
  return delay;
}

/**
 * Hands a message over: again where the disk is still full of what waits, or where the relay is about to end because of
 * what the disk refused before. Resolves to its ID.
 */
async function submitted(stage: Stage, message: string, to: readonly string[]): Promise<string> {
  const { relay } = stage;
  for (const end = now() + 90_000; ; await pause(100)) {
    await again(stage);
    try {
      return await within("a message in fair weather", 60_000, submitAlone(relay, message, { to }));
    } catch (error) {
      const why = /said: (?:4\d\d|nothing)|ECONN\w+/.exec(String(error))?.[0];
      if (why === undefined || now() > end) throw error;
      count(stage, `in fair weather, ${why}`);
    }
  }
}

/** Of all answers of the relay; and of a few that it gave with nothing to do, to compare. */
async function slowestOf(pulse: Pulse, { relay, remarks }: Stage): Promise<number> {
  const { greetings, metrics, slowest } = await pulse.stop();
  expect(Math.min(greetings, metrics)).toBeGreaterThan(0);
  const begun = now();
  (await greet(relay)).close();
  const calm = now() - begun;
  remarks.push(
    `${String(greetings)} greetings, ${String(metrics)} metrics, the slowest after ${slowest.toFixed(0)} ms; ` +
      `a whole greeting in peace: ${calm.toFixed(0)} ms`,
  );
  return slowest;
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
async function knownIn({ sent, store }: Stage): Promise<readonly Known[]> {
  const queued = new Set(await store.queued());
  return sent.flatMap(({ token, id }) => (id !== undefined && queued.has(id) ? [{ token, id }] : []));
}

/** Fair weather until everything has gone its way. Resolves to what has not, and to what is damaged. */
async function settle(stage: Stage): Promise<readonly string[]> {
  const { relay, store, swamp, remarks } = stage;
  swamp.drain();
  const queued = () => store.queued();
  for (let tries = 0; tries < 4; tries += 1) {
    await again(stage);
    const left = await knownIn(stage);
    if (left.length > 0)
      stage.ordered.push(...(await within("a release", patience, order(relay, "release", left, now))));
    const emptied = until("an empty queue", async () => ((await queued()).length === 0 ? true : undefined));
    if (await emptied.catch(() => false)) break; // said four times, for a queue that a torture has filled
  }
  const waits = await queued();
  if (waits.length > 0) remarks.push(`${String(waits.length)} messages did not leave the queue`);
  const damage = await store.damage();
  stage.log += relay.log();
  return [...waits, ...damage];
}

/** Tells the figures, and fails where the relay did. */
function report(stage: Stage): void {
  const { hop, other, good, sent, ordered, deaths, counts, log } = stage;
  const { outages } = stage.store;
  const refused = new Set(
    [...log.matchAll(/ ([0-9A-F]{12}): the spool cannot be written/g)].map(([, id]) => id),
  );
  const named = [...log.matchAll(/ ([0-9A-F]{12}): message-id=<(torture-[^@]+)@/g)];
  const troubled = new Set(named.flatMap(([, id, token = ""]) => (refused.has(id) ? [token] : [])));
  const taken = [...hop.taken, ...other.taken, ...good.taken];
  const told = [...hop.told, ...other.told];
  const found = judge({ sent, taken, told, ordered, deaths, troubled, outages });
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
${stage.remarks.join("\n")}
wrong: ${String(found.wrong.length)}
`);
  if (found.wrong.length > 0) throw new Error(found.wrong.slice(0, 20).join("\n")); // an expectation would cut it
  expect(log.split("\n").filter((line) => /\bbug\b/.test(line))).toEqual([]);
  expect(found.promised).toBeGreaterThan(0);
  expect(deaths.length).toBeGreaterThan(0);
}
