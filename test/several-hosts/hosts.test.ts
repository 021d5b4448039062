/** What hosts with one database do together, one thing at a time, with the real program on each. */
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { afterEach, describe, expect, test } from "vitest";
import { until } from "../tools/until.ts";
import { chanceFrom } from "../torture/chance.ts";
import { letter } from "../torture/letter.ts";
import { enter, post, type Talk } from "./client.ts";
import { type Hop, startHop } from "./hop.ts";
import { makeNetwork, realNetwork } from "./network.ts";
import { endWell, type Host, prepareSite, type Site, type SiteOptions, startAtLast } from "./site.ts";

const now = (): number => performance.now();

interface Stage {
  readonly site: Site;
  readonly hop: Hop;
}

const closing: (() => Promise<void>)[] = [];

/** A site with so many hosts, which are not started. A mail that is put off is tried again after minutes. */
async function newSite(
  hosts: number,
  options: Partial<SiteOptions> & { readonly tables?: string; readonly retry?: string } = {},
): Promise<Stage> {
  const { tables = "", retry = "10m", ...more } = options;
  const network = await makeNetwork(hosts);
  const hop = await startHop(network.address, chanceFrom(1), now);
  closing.push(() => hop.close());
  const delivery = `[delivery]\nrelay = "smtp://${network.address}:${String(hop.port)}"\nretry-first = "${retry}"\nretry-longest = "${retry}"\n`;
  const site = await prepareSite({ network, fsync: false, settings: () => `${delivery}${tables}`, ...more });
  closing.push(() => site.close());
  return { site, hop };
}

/** The same, with all hosts at work. */
async function startSite(...wanted: Parameters<typeof newSite>): Promise<Stage> {
  const stage = await newSite(...wanted);
  await Promise.all(stage.site.hosts.map(startAtLast));
  return stage;
}

let letters = 0;

/** Hands a letter to the host; gives its ID and its token. */
async function submit(host: Host, login = "user1"): Promise<{ readonly id: string; readonly token: string }> {
  const talk = await enter(host, login);
  const token = `torture-alone-${String(letters++)}`;
  const from = `${login}@example.org`;
  const plain = letter(token, ["w@example.net"], 3);
  const text = plain.text.replace("From: user1@example.org", `From: ${from}`);
  const { sent, said } = await post(talk, { ...plain, text }, from);
  talk.close();
  expect(said).toMatch(/^250 .*queued as/);
  return { id: sent.id ?? "", token };
}

const arrived = ({ hop }: Stage, token: string): number =>
  hop.taken.filter((copy) => copy.token === token).length;

/** A next hop that greets nobody. */
async function startMute(address: string) {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined).on("close", () => sockets.delete(socket));
    socket.resume();
  }).listen(0, address);
  await once(server, "listening");
  closing.push(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, "close");
  });
  const bound = server.address();
  return {
    port: typeof bound === "object" && bound !== null ? bound.port : 0,
    /** Connections of each host, in their order. */
    from: (hosts: readonly Host[]): readonly number[] =>
      hosts.map((host) => [...sockets].filter(({ remoteAddress }) => remoteAddress === host.address).length),
  };
}

/** What waits for its time is tried now, on whichever host it is. */
async function retryAll({ hosts: [first] }: Site): Promise<void> {
  expect(await first?.run("queue", "retry", "--yes", "--all")).toMatchObject({ status: 0 });
}

describe.skipIf(!realNetwork("postgresql"))("hosts with one database", () => {
  afterEach(async () => {
    for (const each of closing.splice(0).reverse()) await each();
  });

  test("each has a digit of its own in its queue IDs, and keeps it", async () => {
    const { site } = await startSite(3);
    const digits: string[] = [];
    for (const host of site.hosts) digits.push((await submit(host)).id.slice(-1));
    expect(new Set(digits).size).toBe(3);
    const [first] = site.hosts;
    if (first === undefined) throw new Error("the site has no host");
    expect(await endWell(first)).toBe(0);
    await first.start();
    expect((await submit(first)).id.slice(-1)).toBe(digits[0]);
  });

  test("two with the same host-mark are refused", async () => {
    const { site } = await newSite(2, { spool: () => 'host-mark = "A"' });
    const [first, second] = site.hosts;
    await first?.start();
    await expect(second?.start()).rejects.toThrow(/host-mark.*"A" is the digit of relay1\.example\.org/);
    expect(await second?.ended()).toBe(78);
  });

  test("one that was stopped and goes on after its lease records nothing and begins nothing", async () => {
    const stage = await startSite(2);
    const { site, hop } = stage;
    const [first, second] = site.hosts;
    if (first === undefined || second === undefined) throw new Error("the site has no two hosts");

    // One is at the next hop, which has not answered; one waits for its next attempt; and one will be due soon.
    hop.keepWaiting();
    const sending = await submit(first);
    await until("the first letter at the next hop", () => (hop.waiting() === 1 ? true : undefined));
    hop.putOff(100);
    const waiting = await submit(first);
    const rows = (): Promise<string> => site.sql("SELECT id, lease, due, envelope FROM messages ORDER BY id");
    const history = (): Promise<string> => site.sql("SELECT id, line FROM history ORDER BY number");
    // By the database, since the log tells of an attempt before its end is recorded.
    const isNoted = async ({ id }: { readonly id: string }): Promise<true | undefined> =>
      (await history()).includes(id) || undefined;
    await until("the second one to be put off", () => isNoted(waiting));

    first.signal("SIGSTOP");
    await until("the other host to try the first letter", () => isNoted(sending));
    hop.answer();
    const before = [await rows(), await history()];
    expect(before[0]?.split("\n")).toHaveLength(2);
    const logged = first.log().length;
    const begun = hop.begun.length;

    first.signal("SIGCONT");
    await until("the first host to see it", () =>
      /others may deliver what this host had/.test(first.log().slice(logged)) ? true : undefined,
    );
    await pause(3_000); // more than its lease: what it wanted to do, it has done
    expect([await rows(), await history()]).toEqual(before);
    expect(hop.begun.slice(begun)).toEqual([]);
    expect(first.log().slice(logged)).not.toMatch(/: removed$/m);

    // It is a host like others afterwards.
    hop.putOff(0);
    const later = await submit(first);
    await until("a letter of its new life", () => (arrived(stage, later.token) === 1 ? true : undefined));
    expect(arrived(stage, sending.token)).toBe(1);
  });

  test("one login's limit holds to the message with three of them hammered at once", async () => {
    const most = 60;
    const { site, hop } = await startSite(3, {
      lease: "15s", // a busy machine renews one of 2 s too late, and what is withdrawn then is tried again after minutes
      tables: `[limits]
messages-per-hour = ${String(most)}
recipients-per-day = 1000000
new-recipients-per-day = 1000000
connections = 1000
connections-per-address = 1000
`,
    });
    const hammer = async (host: Host, number: number): Promise<readonly string[]> => {
      const talk = await enter(host);
      const said: string[] = [];
      for (let count = 0; count < most && said.filter((one) => one.startsWith("4")).length < 3; count += 1) {
        const token = `torture-limit${String(number)}-${String(count)}`;
        const posted = await post(talk, letter(token, ["w@example.net"], 3));
        said.push(posted.said);
        if (posted.sent.outcome !== "promised") await talk.say("RSET");
      }
      talk.close();
      return said;
    };
    const said = (
      await Promise.all(
        site.hosts.flatMap((host, at) => [0, 1, 2, 3].map((more) => hammer(host, at * 4 + more))),
      )
    ).flat();
    const promised = said.filter((one) => one.startsWith("250"));
    expect(promised).toHaveLength(most);
    for (const one of said.filter((each) => !each.startsWith("250"))) expect(one).toMatch(/^450 4\.7\.1 /);
    await until("all of them at the next hop", () => (hop.taken.length === most ? true : undefined));
  });

  test("what may go to a destination at a time is divided among those at work", async () => {
    const network = await makeNetwork(3);
    const mute = await startMute(network.address);
    const site = await prepareSite({
      network,
      fsync: false,
      lease: "5s",
      settings: () =>
        `[delivery]\nrelay = "smtp://${network.address}:${String(mute.port)}"\ndestination-concurrency = 5\n`,
    });
    closing.push(() => site.close());
    const { hosts } = site;
    const [first, second, third] = hosts;
    if (first === undefined || second === undefined || third === undefined)
      throw new Error("the site has no three hosts");
    await Promise.all(hosts.map((host) => host.start()));
    await pause(3_000); // each has looked who is there
    for (const host of hosts) for (let count = 0; count < 6; count += 1) await submit(host);
    const have = (...wanted: readonly number[]): Promise<true> =>
      until(
        `connections: ${wanted.join(", ")}`,
        () => (mute.from(hosts).join() === wanted.join() ? true : undefined),
        60,
      );
    const stay = async (...wanted: readonly number[]): Promise<void> => {
      await pause(2_000);
      expect(mute.from(hosts)).toEqual(wanted);
    };
    await have(1, 1, 1);
    await stay(1, 1, 1);

    third.signal("SIGKILL");
    await third.ended();
    await have(2, 2, 0);
    await stay(2, 2, 0);

    second.signal("SIGKILL");
    await second.ended();
    await have(5, 0, 0);
    await stay(5, 0, 0);
  });

  test("a freeze on one ends the login's sessions on all, and holds its mail on all", async () => {
    const stage = await startSite(3, { logins: ["user1", "user2"] });
    const { site, hop } = stage;
    hop.putOff(100);
    const [first] = site.hosts;
    if (first === undefined) throw new Error("the site has no host");
    const queued: { readonly id: string; readonly token: string }[] = [];
    for (const host of site.hosts) queued.push(await submit(host));
    const other = await submit(first, "user2");
    const talks: Talk[] = await Promise.all(site.hosts.map((host) => enter(host)));
    const others = await Promise.all(site.hosts.map((host) => enter(host, "user2")));

    const freeze = first.run("queue", "freeze", "--yes", "--reason", "stolen", "user1");
    const ends = Promise.all(talks.map((talk) => talk.reply(20_000)));
    const { status, stdout, stderr } = await freeze;
    expect({ status, stderr }, stdout).toEqual({ status: 0, stderr: "" });
    for (const said of await ends) expect(said).toMatch(/^421 /);
    for (const host of site.hosts) await expect(enter(host)).rejects.toThrow(/525 5\.7\.13/);
    for (const talk of others) expect(await talk.say("NOOP")).toMatch(/^250/);

    hop.putOff(0);
    await retryAll(site);
    await until("the other login's letter", () => (arrived(stage, other.token) === 1 ? true : undefined));
    await pause(1_500);
    expect(queued.map(({ token }) => arrived(stage, token))).toEqual([0, 0, 0]);

    expect(await first.run("queue", "thaw", "--yes", "user1")).toMatchObject({ status: 0 });
    await until("the login to be let in everywhere", async () => {
      const talks = await Promise.all(site.hosts.map((host) => enter(host).catch(() => undefined)));
      for (const talk of talks) talk?.close();
      return talks.includes(undefined) ? undefined : true;
    });
    await retryAll(site);
    await until("what was held", () =>
      queued.every(({ token }) => arrived(stage, token) === 1) ? true : undefined,
    );
    for (const talk of others) talk.close();
  });

  test("a failover of the database is a pause, and no error to anybody", async () => {
    const stage = await startSite(2, { failovers: 1, fsync: true });
    const { site } = stage;
    let isOver = false;
    const said: string[] = [];
    const tokens: string[] = [];
    const long: string[] = [];
    const writing = site.hosts.flatMap((host) =>
      Array.from({ length: 4 }, async () => {
        const talk = await enter(host);
        while (!isOver) {
          const token = `torture-failover-${String(letters++)}`;
          const posted = await post(talk, letter(token, ["w@example.net"], 3));
          said.push(posted.said);
          if (posted.sent.outcome === "promised") tokens.push(token);
        }
        talk.close();
      }),
    );
    // Octets of a large one that are on their way, by host; one of 3 MB takes a second.
    const under = site.hosts.map(() => 0);
    const writingLong = site.hosts.map(async (host, number) => {
      const talk = await enter(host);
      while (!isOver) {
        const token = `torture-failover-${String(letters++)}`;
        const posted = await post(
          talk,
          letter(token, ["w@example.net"], 35_000),
          "user1@example.org",
          async (text) => {
            const part = 64 * 1024;
            let at = 0;
            for (; at + part < text.length; at += part) {
              under[number] = at;
              await talk.feed(text.slice(at, at + part));
              await pause(20);
            }
            under[number] = 0;
            return text.slice(at);
          },
        );
        said.push(posted.said);
        if (posted.sent.outcome === "promised") {
          tokens.push(token);
          long.push(token);
        }
      }
      talk.close();
    });
    await until("letters before", () => (tokens.length > 40 ? true : undefined));
    await until("large ones of which a half is there", () =>
      under.every((octets) => octets > 1_500_000 && octets < 2_500_000) ? true : undefined,
    );
    await site.failover();
    const before = tokens.length;
    await until("letters afterwards", () => (tokens.length > before + 40 ? true : undefined));
    isOver = true;
    await Promise.all([...writing, ...writingLong]);
    expect(said.filter((one) => !one.startsWith("250"))).toEqual([]);
    expect(long.length).toBeGreaterThanOrEqual(site.hosts.length);
    await until("the queue to be empty", async () =>
      (await site.sql("SELECT count(*) FROM messages")) === "0" ? true : undefined,
    );
    for (const token of tokens) expect(arrived(stage, token), token).toBeGreaterThan(0);
    expect(stage.hop.taken.filter(({ whole }) => !whole)).toEqual([]);
  });

  test("one whose cable is out stands still for nobody", async () => {
    const stage = await newSite(1, { retry: "1s" });
    const { site, hop } = stage;
    const [host] = site.hosts;
    if (host === undefined) throw new Error("the site has no host");
    await host.start();
    hop.putOff(100);
    const sent = [await submit(host), await submit(host), await submit(host)];
    await host.place.cut("link");
    await pause(4_000); // attempts fail, and nothing of them can be recorded
    await host.place.mend();
    hop.putOff(0);
    await until("all letters", () => sent.every(({ token }) => arrived(stage, token) > 0) || undefined, 60);
    expect(host.log()).not.toMatch(/nothing was done for/);
  });

  test("where the database stays away clients are told to wait, and logins go on", async () => {
    const { site } = await startSite(1);
    const [host] = site.hosts;
    if (host === undefined) throw new Error("the site has no host");
    const talk = await enter(host);
    await site.loseDatabase();
    const { said } = await post(talk, letter("torture-away-0", ["w@example.net"], 3));
    expect(said).toBe(
      "451 4.3.0 The message was not taken, because the store for messages is away; wait a few minutes and send it again",
    );
    talk.close();
    (await enter(host)).close();
  });
});
