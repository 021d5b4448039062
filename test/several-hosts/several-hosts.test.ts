/**
 * Three hosts with one database among deaths, cuts, stops and failovers, with a ledger of every 250. In the gate for seconds;
 * for longer:
 *     npm run hosts                                  5 minutes
 *     TPA_SUBMIT_HOSTS_MINUTES=30 TPA_SUBMIT_HOSTS_SEED=1 npm run hosts
 * A seed gives the same choices again, though not the same moments.
 */
import { setTimeout as pause } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { until, within } from "../tools/until.ts";
import { type Chance, chanceFrom } from "../torture/chance.ts";
import { letter } from "../torture/letter.ts";
import { enter, post } from "./client.ts";
import { type Diary, failOver, fates, suffer } from "./disasters.ts";
import { type Hop, startHop } from "./hop.ts";
import { disasters, type Happened, type Judgement, judge, percentile, type Sent } from "./ledger.ts";
import { makeNetwork, realNetwork } from "./network.ts";
import { type Host, prepareSite, type Site, startAtLast } from "./site.ts";

const asked = process.env["TPA_SUBMIT_HOSTS_MINUTES"];
const minutes = Number(asked ?? 0.25);
const seed = Number(process.env["TPA_SUBMIT_HOSTS_SEED"] ?? Date.now() % 1_000_000);

const lease = 2;
/** Of them one for each host, and the others go to any. */
const clients = 8;

/** Milliseconds from one failover to the next; in a short run there is one. */
const failoverEvery = Math.max(minutes * 25_000, 45_000);
const mostFailovers = 6;
const failovers = Math.max(1, Math.min(mostFailovers, Math.floor((minutes * 60_000) / failoverEvery)));

/** Milliseconds; of a letter of a client, and between two things that happen to hosts, at most. */
const pauses = { letter: 400, fate: 2_500 };

/** Percent of recipients that the next hop puts off, so that mail waits everywhere. */
const putOff = 20;

/** Milliseconds in which every part ends when the run is over. */
const patience = 90_000;

const now = (): number => performance.now();

/** Everything that a run is made of. */
interface Stage {
  readonly site: Site;
  readonly hop: Hop;
  readonly sent: Sent[];
  readonly diary: Diary;
  /** Hosts to which something happens at the moment. */
  readonly unwell: Set<Host>;
  readonly counts: Map<string, number>;
  /** Nothing happens any more. */
  over: boolean;
  /** Nobody writes any more. */
  quiet: boolean;
}

describe.skipIf(!realNetwork("postgresql"))("several hosts", () => {
  test(`nothing promised is lost in ${String(minutes)} minutes of disasters (seed ${String(seed)})`, {
    timeout: minutes * 60_000 + 600_000, // every wait has a bound of its own, and a name
  }, async () => {
    const chance = chanceFrom(seed);
    const run = await prepare(chance);
    const { stage } = run;
    const { site, diary } = stage;
    try {
      await Promise.all(site.hosts.map(startAtLast));
      await endure(stage, chance);
      const left = await settle(stage);
      const found = judge({ sent: stage.sent, taken: stage.hop.taken, happened: diary.happened });
      process.stdout.write(told(stage, found));
      const wrong = [
        ...found.lost.slice(0, 20),
        ...found.invented,
        ...found.altered,
        ...found.againOutside,
        ...(left === 0 ? [] : [`${String(left)} messages are in the queue still`]),
        ...diary.wrong,
        ...bugs(site),
      ];
      // A text in an expectation would be cut.
      if (wrong.length > 0) throw new Error(`${wrong.join("\n")}\n${whatHappened(diary)}`);
      expect(found.promised).toBeGreaterThan(0);
      for (const kind of ["killed", "failover"])
        expect(diary.happened.map((one) => one.kind)).toContain(kind);
    } catch (error) {
      process.stdout.write(stateOf(stage));
      throw error;
    } finally {
      await run.close();
    }
  });
});

async function prepare(chance: Chance): Promise<{ readonly stage: Stage; close(): Promise<void> }> {
  const network = await makeNetwork(3);
  const hop = await startHop(network.address, chance.fork(), now);
  const site = await prepareSite({
    network,
    lease: `${String(lease)}s`,
    failovers,
    settings: () => `[delivery]
relay = "smtp://${network.address}:${String(hop.port)}"
retry-first = "1s"
retry-longest = "2s"
`,
  });
  hop.putOff(putOff);
  const sent: Sent[] = [];
  const diary: Diary = {
    happened: [],
    now,
    wrong: [],
    async back(address) {
      const from = now();
      const isBack = ({ outcome, host, ended }: Sent): boolean =>
        outcome === "promised" && ended > from && (address === "" || host === address);
      await until(`a promise of ${address || "any host"}`, () => sent.findLast(isBack), 60);
    },
  };
  const stage = {
    site,
    hop,
    sent,
    diary,
    unwell: new Set<Host>(),
    counts: new Map(),
    over: false,
    quiet: false,
  };
  return {
    stage,
    async close() {
      stage.over = true;
      stage.quiet = true;
      await site.close();
      await hop.close();
    },
  };
}

function count({ counts }: Stage, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}

/** Lets everything happen for as long as the run is to last. */
async function endure(stage: Stage, chance: Chance): Promise<void> {
  const happening = Promise.all([fate(stage, chance.fork()), databaseFate(stage)]);
  const writing = Promise.all([
    ...Array.from({ length: clients }, (_, number) => client(stage, number, chance.fork())),
    watch(stage),
  ]);
  await Promise.race([pause(minutes * 60_000), happening, writing]);
  stage.over = true;
  await within("the end of all that happens", patience, Promise.race([happening, writing]));
  stage.quiet = true;
  await within("the end of all letters", patience, writing);
}

/** A host has lost its lease, and knows it. */
const leaseOver = /others may deliver what this host had/;

/** Letter after letter, to a host of its own or to any. */
async function client(stage: Stage, number: number, chance: Chance): Promise<void> {
  const [first, ...others] = stage.site.hosts;
  if (first === undefined) return;
  for (let written = 0; !stage.quiet; ) {
    const host = stage.site.hosts[number] ?? chance.one([first, ...others]);
    const talk = await enter(host).catch(() => undefined);
    if (talk === undefined) {
      count(stage, "logins in vain");
      await pause(100);
      continue;
    }
    for (let more = 1 + chance.below(10); more > 0 && !stage.quiet; more -= 1) {
      const token = `torture-${number.toString(36)}x${seed.toString(36)}-${String(written++)}`;
      const recipients = Array.from(
        { length: 1 + chance.below(3) },
        (_, index) => `w${String(index)}@example.net`,
      );
      const { sent, said } = await post(
        talk,
        letter(token, recipients, chance.below(chance.percent(3) ? 9_000 : 60)),
      );
      stage.sent.push({ ...sent, host: host.address, ended: now() });
      count(stage, `letters ${sent.outcome}${sent.outcome === "promised" ? "" : ` ${said.slice(0, 60)}`}`);
      if (sent.outcome !== "promised") break;
      await pause(chance.below(pauses.letter));
    }
    talk.close();
  }
}

/** One thing after another happens to hosts, to two at once at most: one always lives. */
async function fate(stage: Stage, chance: Chance): Promise<void> {
  const { site, unwell, diary } = stage;
  const under: Promise<void>[] = [];
  let deck: (typeof fates)[number][] = ["killed"];
  await pause(1_000); // mail waits on all of them
  while (!stage.over) {
    const well = site.hosts.filter((host) => !unwell.has(host));
    const [first, ...others] = well;
    if (first !== undefined && well.length > 1) {
      const host = chance.one([first, ...others]);
      if (deck.length === 0) deck = shuffled(fates, chance);
      const kind = deck.pop() ?? "killed";
      // Some are back before the others notice.
      const rest = chance.percent(30) ? chance.below(lease * 1_000) : (2 + chance.below(3)) * lease * 1_000;
      unwell.add(host);
      under.push(
        suffer(host, kind, { diary, chance: chance.fork(), rest })
          .catch((error: unknown) => diary.wrong.push(`${host.name} was ${kind}: ${String(error)}`))
          .then(() => void unwell.delete(host)),
      );
    }
    await pause(chance.below(pauses.fate));
  }
  await Promise.all(under);
}

/** Each of them once, so that a short run has many of them. */
function shuffled<Value>(values: readonly Value[], chance: Chance): Value[] {
  return values
    .map((value) => ({ value, place: chance() }))
    .sort((one, other) => one.place - other.place)
    .map(({ value }) => value);
}

/** The database fails over in the middle of each part of the run; then it gets a new standby. */
async function databaseFate(stage: Stage): Promise<void> {
  const { site, diary } = stage;
  const every = (minutes * 60_000) / failovers;
  const begun = now();
  for (let times = 0; times < failovers && !stage.over; times += 1) {
    const at = begun + every * (times + 0.4);
    while (now() < at && !stage.over) await pause(50);
    if (stage.over) return;
    await failOver(site, diary);
    await site.follow();
  }
}

/** Hosts end only where they are told to; and one that has too little of the processor loses its lease, as by a SIGSTOP. */
async function watch(stage: Stage): Promise<void> {
  const { site, unwell, diary } = stage;
  const dead = new Set<Host>();
  const read = new Map<Host, number>();
  while (!stage.quiet) {
    for (const host of site.hosts) {
      const log = host.log();
      if (leaseOver.test(log.slice(read.get(host) ?? 0)) && !unwell.has(host))
        diary.happened.push({ kind: "too slow", host: host.address, at: now() - lease * 1_000, over: now() });
      read.set(host, log.length);
      if (host.isRunning() || unwell.has(host) || dead.has(host)) continue;
      dead.add(host);
      diary.wrong.push(`${host.name} ended by itself with status ${String(await host.ended())}`);
    }
    await pause(50);
  }
}

/** Fair weather until everything has gone its way. Gives how many messages have not. */
async function settle({ site, hop }: Stage): Promise<number> {
  hop.putOff(0);
  for (const host of site.hosts) if (!host.isRunning()) await startAtLast(host);
  const left = async (): Promise<number> => Number(await site.sql("SELECT count(*) FROM messages"));
  await until("an empty queue", async () => ((await left()) === 0 ? true : undefined), 60).catch(
    () => undefined,
  );
  return left();
}

const bugs = ({ hosts }: Site): readonly string[] =>
  hosts.flatMap((host) =>
    host
      .log()
      .split("\n")
      .filter((line) => /\bbug\b/.test(line)),
  );

/** The figures of a run, as its table. */
function told({ site, diary, counts, sent }: Stage, found: Judgement): string {
  const share = (part: number): string => `${((100 * part) / Math.max(1, found.copies)).toFixed(3)} %`;
  const seconds = (milliseconds: number | undefined): string =>
    milliseconds === undefined ? "-" : `${(milliseconds / 1_000).toFixed(2)} s`;
  const happened = (kind: Happened["kind"]): number =>
    diary.happened.filter((one) => one.kind === kind).length;
  const again = [...found.again.values()].reduce((sum, times) => sum + times, 0);
  const all = fates.flatMap((kind) => found.takeovers.get(kind) ?? []);
  const row = (name: string, times: number, takeovers: readonly number[]): string =>
    [
      name.padEnd(20),
      String(times).padStart(6),
      String(takeovers.length).padStart(10),
      seconds(percentile(takeovers, 50)).padStart(9),
      seconds(percentile(takeovers, 99)).padStart(9),
    ].join(" ");
  const outages = diary.happened.flatMap(({ kind, at, over }) =>
    kind === "failover" && over !== undefined ? [over - at] : [],
  );
  return `
several hosts: ${String(minutes)} minutes, seed ${String(seed)}, lease ${String(lease)} s
${"".padEnd(20)}  times  takeovers       p50       p99
${disasters
  .filter((kind) => kind !== "failover")
  .map((kind) => row(kind, happened(kind), found.takeovers.get(kind) ?? []))
  .join("\n")}
${row("all", diary.happened.length - outages.length - happened("too slow"), all)}
${row("failover, no 250 for", outages.length, outages)}
${[...counts]
  .map(([name, times]) => `${name}: ${String(times)}`)
  .sort()
  .join("\n")}
letters ${String(sent.length)}, promised ${String(found.promised)}, copies taken ${String(found.copies)}
lost ${String(found.lost.length)}, invented ${String(found.invented.length)}, altered ${String(found.altered.length)}
taken again in the known window ${String(again)}, ${share(again)}: ${[...found.again].map(([kind, times]) => `${kind} ${String(times)}`).join(", ") || "never"}; outside of it ${String(found.againOutside.length)}
taken though the client heard nothing ${String(found.unheard)}, or 4xx ${String(found.later)}
leases lost ${String(logged(site, leaseOver))}, of them by hosts to which nothing had happened ${String(happened("too slow"))}, claims ${String(logged(site, /: took over \d+ messages/))}, attempts whose end nobody recorded ${String(logged(site, /: another host delivers it/))}
`;
}

/** The lines of all hosts' logs in which `pattern` is. */
const logged = ({ hosts }: Site, pattern: RegExp): number =>
  hosts.reduce(
    (sum, host) =>
      sum +
      host
        .log()
        .split("\n")
        .filter((line) => pattern.test(line)).length,
    0,
  );

const whatHappened = ({ happened }: Diary): string =>
  happened
    .map(({ kind, host, at, over }) => `${at.toFixed(0)} ${kind} ${host} until ${over?.toFixed(0) ?? "?"}`)
    .join("\n");

/** Where a run ended early, or badly. */
function stateOf({ site, diary }: Stage): string {
  const troubles = (log: string): string =>
    log
      .split("\n")
      .filter((line) => /: (?:error|warning|fatal): /.test(line))
      .slice(-60)
      .join("\n");
  const logs = site.hosts.map((host) => `--- ${host.name}\n${troubles(host.log())}`);
  return `\n${[whatHappened(diary), ...diary.wrong, ...logs].join("\n")}\n`;
}
