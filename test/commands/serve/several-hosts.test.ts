/** Three real relays with one database: what logins may do, they may do together. */
import { readFile, writeFile } from "node:fs/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { prepareRelay, program, type Relay } from "../../../demo/relay.mjs";
import { type Cluster, startCluster } from "../../postgres/cluster.ts";
import { run, runWell } from "../../tools/child.mjs";
import { real } from "../../tools/real.ts";
import { authPlain, type Conversation, enter, greet, note, submitAlone } from "./conversation.ts";

vi.setConfig({ testTimeout: 180_000, hookTimeout: 120_000 });

describe.skipIf(!real("postgresql"))("three hosts with one database", () => {
  let cluster: Cluster;
  let relays: readonly Relay[] = [];
  beforeAll(async () => {
    cluster = await startCluster();
  });
  afterEach(async () => {
    await Promise.all(relays.map((relay) => relay.stop()));
  });
  afterAll(async () => cluster?.close());

  let url = "";
  beforeEach(async () => {
    url = await cluster.database();
  });

  async function begin(settings = ""): Promise<readonly [Relay, Relay, Relay]> {
    const make = async (name: string): Promise<Relay> => {
      const relay = await prepareRelay(`[spool]\ndirectory = "FOLDER/spool"\nstore = "${url}"\n${settings}`);
      const written = await readFile(relay.config, "utf8");
      await writeFile(relay.config, written.replace("relay.example.org", `${name}.example.org`));
      await relay.start();
      return relay;
    };
    const three = [await make("mail1"), await make("mail2"), await make("mail3")] as const;
    relays = three;
    return three;
  }

  const commanded = (relay: Relay, ...words: readonly string[]) =>
    runWell(process.execPath, [program, ...words, "--config", relay.config]);

  test("accept as many messages of a login as its limit says, however they are hammered at once", async () => {
    const hosts = await begin(
      "[limits]\nmessages-per-hour = 50\nrecipients-per-day = 1000\nnew-recipients-per-day = 1000",
    );
    const answers: string[] = [];

    async function hammer(relay: Relay): Promise<void> {
      const talk = await enter(relay, "submissions");
      for (let message = 0; message < 12; message++) {
        let said = await talk.say("MAIL FROM:<user1@example.org>");
        if (said.startsWith("250")) said = await talk.say("RCPT TO:<x@example.net>");
        if (said.startsWith("250")) said = await talk.say("DATA");
        if (said.startsWith("354")) said = await talk.say(`${note(`${message}`)}.`);
        answers.push(said);
        if (!said.startsWith("250")) await talk.say("RSET");
      }
      talk.close();
    }

    await Promise.all(hosts.flatMap((relay) => Array.from({ length: 4 }, () => hammer(relay))));
    expect(answers.filter((said) => said.startsWith("250"))).toHaveLength(50);
    const refused = answers.filter((said) => !said.startsWith("250"));
    expect(refused).toHaveLength(3 * 4 * 12 - 50);
    for (const said of refused)
      expect(said).toMatch(
        /^450 4\.7\.1 The limit of 50 messages an hour is reached; try again in \d+ minutes, at /,
      );
    // Within a second each of them says so at MAIL, and in `login show`.
    await new Promise((resolve) => {
      setTimeout(resolve, 1_500);
    });
    for (const relay of hosts) {
      const talk = await enter(relay);
      expect(await talk.say("MAIL FROM:<user1@example.org>")).toMatch(/^450 4\.7\.1 /);
      talk.close();
      expect(await commanded(relay, "login", "show", "user1")).toMatch(/50 of 50 messages an hour/);
    }
    // A restart of all of them forgets nothing.
    for (const relay of hosts) {
      relay.signal("SIGKILL");
      await relay.ended;
    }
    for (const relay of hosts) await relay.start();
    const talk = await enter(hosts[1]);
    expect(await talk.say("MAIL FROM:<user1@example.org>")).toMatch(/^450 4\.7\.1 /);
    talk.close();
  });

  test("end the sessions of a login that one of them freezes within a second, hold its mail, and let it in again together", async () => {
    const [one, other, third] = await begin('[delivery]\nrelay = "smtp://127.0.0.1:9"\nretry-first = "1s"');
    await submitAlone(other, note("waits"));
    const idle = await enter(other);
    const sending = await enter(third);
    await sending.say("MAIL FROM:<user1@example.org>");
    await sending.say("RCPT TO:<x@example.net>");
    expect(await sending.say("DATA")).toMatch(/^354 /);
    const here = await enter(one);
    const endOf = (talk: Conversation) => talk.reply().then((said) => ({ said, at: performance.now() }));
    const ends = Promise.all([endOf(here), endOf(idle)]);
    const froze = commanded(one, "login", "freeze", "user1", "--reason", "password stolen");
    const [onFirst, onOther] = await ends;
    for (const { said } of [onFirst, onOther]) expect(said).toMatch(/^421 /);
    expect(onOther.at - onFirst.at).toBeLessThan(5_000); // milliseconds, on a machine that does nothing else
    await froze;
    expect(await sending.say(`${note("never")}.`)).toMatch(/^(?:5|421|$)/);
    for (const relay of [one, other, third]) {
      const talk = await greet(relay);
      expect(await talk.say(authPlain(relay.login, relay.password))).toMatch(/^525 5\.7\.13 /);
      talk.close();
    }
    await other.logged(
      /frozen by .*, 1 sessions ended, 1 messages held \(password stolen\), sasl_username=user1/,
    );
    const words = [program, "passwd", "--verify", "user1", "-p", other.password, "--config", other.config];
    expect((await run(process.execPath, words)).stdout).toMatch(
      /^user1: not let in: frozen since .*: password stolen$/m,
    );
    await commanded(third, "login", "thaw", "user1", "--yes");
    await other.logged(/thawed by another host, 1 messages released, 0 stay held, sasl_username=user1/);
    await one.logged(/thawed by another host, 0 messages released, 0 stay held, sasl_username=user1/);
    (await entered(one)).close();
    (await entered(other)).close();
  });

  /** As soon as it has heard that it may. */
  async function entered(relay: Relay): Promise<Conversation> {
    return vi.waitFor(() => enter(relay), { timeout: 5_000, interval: 100 });
  }

  test("freeze a login on the one where that is said while the database is away, and on all when it is back", async () => {
    const [one, other] = await begin();
    await cluster.stop("immediate");
    try {
      await one.logged(/database cannot be reached/);
      const said = await run(process.execPath, [program, "login", "freeze", "user1", "--config", one.config]);
      expect(said.status).toBe(75);
      expect(said.stderr).toMatch(
        /user1 is frozen on this host, on the others not yet: the database is away: .*; they are told when it is back/,
      );
      const talk = await greet(one);
      expect(await talk.say(authPlain(one.login, one.password))).toMatch(/^525 5\.7\.13 /);
      talk.close();
    } finally {
      await cluster.start();
    }
    await other.logged(/frozen by .*sasl_username=user1/);
    await vi.waitFor(
      async () => {
        const talk = await greet(other);
        const answer = await talk.say(authPlain(other.login, other.password));
        talk.close();
        expect(answer).toMatch(/^525 5\.7\.13 /);
      },
      { timeout: 10_000, interval: 100 },
    );
  });

  test("count wrong passwords together", async () => {
    const [one, other, third] = await begin();
    const guess = async (relay: Relay, word: string): Promise<string> => {
      const talk = await greet(relay);
      const said = await talk.say(authPlain("user1", word));
      talk.close();
      return said;
    };
    await Promise.all(Array.from({ length: 5 }, (_, at) => guess(one, `one ${at}`)));
    await Promise.all(Array.from({ length: 5 }, (_, at) => guess(other, `other ${at}`)));
    await vi.waitFor(
      async () => expect(await guess(third, "third")).toMatch(/^454 4\.7\.0 Too many wrong passwords/),
      { timeout: 20_000, interval: 500 },
    );
    expect(await commanded(third, "login", "show", "user1")).toMatch(/127\.0\.0\.1/);
    await commanded(one, "login", "unblock", "user1");
    await vi.waitFor(async () => (await enter(third)).close(), { timeout: 10_000, interval: 250 });
  });
});
