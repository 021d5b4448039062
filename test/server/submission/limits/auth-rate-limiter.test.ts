import { describe, expect, it, test } from "vitest";
import {
  type AuthRateLimiter,
  type LimiterNews,
  newAuthRateLimiter,
  newBoundedMap,
} from "../../../../src/server/submission/limits/auth-rate-limiter.ts";

const start = Date.UTC(2026, 10, 22, 12);
const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;

interface Stage {
  readonly limiter: AuthRateLimiter;
  now: number;
  guesses: number;
  /** Tries wrong passwords, each another one, as long as they are looked at; gives how many were. */
  guess(login: string, address: string, times: number): number;
  login(login: string, address: string): "in" | "shut";
}

function newStage(): Stage {
  const stage: Stage = {
    limiter: newAuthRateLimiter(() => stage.now, Buffer.alloc(32)),
    now: start,
    guesses: 0,
    guess(login, address, times) {
      for (let done = 0; done < times; done++) {
        if (stage.limiter.blockedUntil({ login, address }) !== undefined) return done;
        stage.limiter.failed({ login, address }, `guess ${stage.guesses++}`);
      }
      return times;
    },
    login(login, address) {
      const attempt = { login, address };
      if (stage.limiter.blockedUntil(attempt) !== undefined) return "shut";
      stage.limiter.succeeded(attempt);
      return "in";
    },
  };
  return stage;
}

const home = "192.0.2.1";
const elsewhere = "198.51.100.1";

describe("wrong passwords for a login", () => {
  it("are answered later each time, and never too late for a client's patience", () => {
    const { limiter } = newStage();
    const waits = Array.from({ length: 8 }, (_, index) =>
      limiter.failed({ login: "user1", address: home }, String(index)),
    );
    expect(waits).toEqual([1, 2, 4, 8, 15, 15, 15, 15]);
  });

  it("are no longer looked at after ten, for a minute, then for two, and for an hour at most", () => {
    const stage = newStage();
    expect(stage.guess("user1", home, 100)).toBe(10);
    for (const pause of [1, 2, 4, 8, 16, 32, 60, 60, 60]) {
      const until = stage.limiter.blockedUntil({ login: "user1", address: home });
      expect(((until ?? 0) - stage.now) / minute).toBe(pause);
      stage.now = (until ?? 0) - 1;
      expect(stage.login("user1", elsewhere)).toBe("in");
      expect(stage.guess("user1", home, 1)).toBe(0);
      stage.now += 1;
      expect(stage.guess("user1", home, 100)).toBe(1);
    }
  });

  it("are forgotten with the first right one", () => {
    const stage = newStage();
    for (let round = 0; round < 20; round++) {
      expect(stage.guess("user1", home, 9)).toBe(9);
      expect(stage.login("user1", home)).toBe("in");
    }
  });

  it("are forgotten after an hour without one", () => {
    const stage = newStage();
    expect(stage.guess("user1", home, 9)).toBe(9);
    stage.now += hour + 1;
    expect(stage.guess("user1", home, 100)).toBe(10);
  });

  it("count once where they are the same: a telephone with an old password shuts nobody out", () => {
    const stage = newStage();
    const old = { login: "user1", address: home };
    for (let times = 0; times < 3_000; times++) {
      expect(stage.limiter.blockedUntil(old, "of last year")).toBeUndefined();
      stage.limiter.failed(old, "of last year");
      stage.now += minute;
    }
    expect(stage.login("user1", home)).toBe("in");
  });
});

describe("wrong passwords that were seen before", () => {
  const lastYears = "of last year";

  /** Tries the same wrong password of each login, again and again; gives how often it was looked at. */
  function repeat(stage: Stage, logins: readonly string[], address: string, times: number): number {
    let looked = 0;
    for (let round = 0; round < times; round++) {
      for (const login of logins) {
        const attempt = { login, address };
        if (stage.limiter.blockedUntil(attempt, lastYears) !== undefined) continue;
        stage.limiter.failed(attempt, lastYears);
        looked++;
      }
    }
    return looked;
  }
  const people = Array.from({ length: 38 }, (_, index) => `user${index}`);

  it("are looked at forty times from a network, then once in twenty seconds", () => {
    const stage = newStage();
    expect(repeat(stage, people, elsewhere, 100)).toBe(38 + 40);
    const until = stage.limiter.blockedUntil({ login: "user0", address: elsewhere }, lastYears);
    expect(until).toBe(start + 20_000);
    stage.now += 19_999;
    expect(repeat(stage, people, elsewhere, 1)).toBe(0);
    stage.now += 1;
    expect(repeat(stage, people, elsewhere, 1)).toBe(1);
    stage.now += 10 * minute;
    expect(repeat(stage, people, elsewhere, 2)).toBe(30);
    stage.now += hour;
    expect(repeat(stage, people, elsewhere, 2)).toBe(40);
  });

  it("shut out nothing but themselves, and nowhere else", () => {
    const stage = newStage();
    repeat(stage, people, elsewhere, 100);
    expect(
      stage.limiter.blockedUntil({ login: "user0", address: elsewhere }, "of this year"),
    ).toBeUndefined();
    expect(stage.limiter.blockedUntil({ login: "user0", address: home }, lastYears)).toBeUndefined();
    expect(stage.login("user0", elsewhere)).toBe("in");
  });

  it("are no repeats any more once they were right", () => {
    const stage = newStage();
    repeat(stage, people, elsewhere, 100);
    const attempt = { login: "user0", address: elsewhere };
    stage.limiter.succeeded(attempt, lastYears);
    expect(stage.limiter.blockedUntil(attempt, lastYears)).toBeUndefined();
  });

  it("are looked at again where the clock was set back", () => {
    const stage = newStage();
    repeat(stage, people, elsewhere, 100);
    stage.now -= 10 * hour;
    const until = stage.limiter.blockedUntil({ login: "user0", address: elsewhere }, lastYears) ?? 0;
    expect(until - stage.now).toBeLessThanOrEqual(20_000);
  });
});

describe("attempts side by side", () => {
  /** Starts checks whose end is yet to come, each of another wrong password. */
  function burst(stage: Stage, times: number, loginOf: (index: number) => string, address = elsewhere) {
    const outcome = { looked: 0, shut: 0, inHand: 0, most: 0, waiting: times };
    const ends: (() => void)[] = [];
    for (let index = 0; index < times; index++) {
      const attempt = { login: loginOf(index), address };
      const password = `at once ${index}`;
      void stage.limiter.acquire(attempt, password).then((leave) => {
        outcome.waiting--;
        if (stage.limiter.blockedUntil(attempt, password) !== undefined) {
          outcome.shut++;
          leave();
          return;
        }
        outcome.inHand++;
        outcome.most = Math.max(outcome.most, outcome.inHand);
        ends.push(() => {
          outcome.looked++;
          outcome.inHand--;
          stage.limiter.failed(attempt, password);
          leave();
        });
      });
    }
    return { outcome, ends };
  }

  /** Lets the checks end one by one. */
  async function finish(ends: (() => void)[]): Promise<void> {
    for (;;) {
      await new Promise(setImmediate);
      const end = ends.shift();
      if (!end) return;
      end();
    }
  }

  it("do not get beyond what is borne for a login", async () => {
    const { outcome, ends } = burst(newStage(), 100, () => "user1");
    await new Promise(setImmediate);
    expect(outcome).toMatchObject({ inHand: 10, waiting: 90 });
    await finish(ends);
    expect(outcome).toMatchObject({ looked: 10, shut: 90, most: 10, waiting: 0 });
  });

  it("do not get beyond what is borne for a network", async () => {
    const { outcome, ends } = burst(newStage(), 100, (index) => `user${index}`);
    await finish(ends);
    expect(outcome).toMatchObject({ looked: 40, shut: 60, most: 40, waiting: 0 });
  });

  it("are one at a time after a block", async () => {
    const stage = newStage();
    stage.guess("user1", elsewhere, 10);
    stage.now += minute;
    const { outcome, ends } = burst(stage, 5, () => "user1");
    await finish(ends);
    expect(outcome).toMatchObject({ looked: 1, shut: 4, most: 1 });
  });

  it("are refused to nobody whose password is right: a whole setup comes back at once", async () => {
    const stage = newStage();
    let inside = 0;
    const setup = Array.from({ length: 200 }, async (_, index) => {
      const attempt = { login: `user${index}`, address: home };
      const leave = await stage.limiter.acquire(attempt, "right");
      if (stage.limiter.blockedUntil(attempt, "right") === undefined) {
        await new Promise(setImmediate);
        stage.limiter.succeeded(attempt, "right");
        inside++;
      }
      leave();
    });
    await Promise.all(setup);
    expect(inside).toBe(200);
  });

  it("wait for nobody in another network, and leave nothing behind that others would wait for", async () => {
    const stage = newStage();
    const one = burst(stage, 100, () => "user1");
    const other = burst(stage, 5, () => "user1", home);
    await new Promise(setImmediate);
    expect(other.outcome).toMatchObject({ inHand: 5, waiting: 0 });
    await finish(one.ends);
    await finish(other.ends);
    stage.now += 10 * hour;
    const again = burst(stage, 10, () => "user1");
    await new Promise(setImmediate);
    expect(again.outcome.inHand).toBe(10);
  });
});

describe("a stranger elsewhere", () => {
  it("shuts nobody out who has never been there", () => {
    const stage = newStage();
    stage.guess("user1", elsewhere, 100);
    expect(stage.login("user1", home)).toBe("in");
    expect(stage.login("user1", elsewhere)).toBe("shut");
  });

  it("shuts nobody out from hundreds of networks either, and no answer at home comes later for it", () => {
    const stage = newStage();
    stage.login("user1", home);
    for (let network = 0; network < 300; network++) {
      stage.guess("user1", `2001:db8:${network.toString(16)}::1`, 3);
    }
    expect(stage.login("user1", home)).toBe("in");
    expect(stage.login("user1", "203.0.113.1")).toBe("in");
    expect(stage.limiter.failed({ login: "user1", address: home }, "typo")).toBe(1);
    expect(stage.limiter.failed({ login: "user1", address: "203.0.113.2" }, "typo")).toBe(15);
  });
});

describe("wrong passwords from a network", () => {
  it("are no longer looked at after forty, whoever they are for", () => {
    const stage = newStage();
    const looked = Array.from({ length: 100 }, (_, index) => stage.guess(`user${index}`, elsewhere, 1));
    expect(looked.filter((count) => count === 1)).toHaveLength(40);
    expect(stage.login("user7", elsewhere)).toBe("shut");
    expect(stage.login("user7", "198.51.100.2")).toBe("in");
  });

  it("shut nobody out who is at home there", () => {
    const stage = newStage();
    stage.login("user1", home);
    stage.guesses = 0;
    for (let index = 2; index < 100; index++) stage.guess(`user${index}`, home, 1);
    expect(stage.login("user200", home)).toBe("shut");
    expect(stage.login("user1", home)).toBe("in");
  });

  it("do not count where the login is at home: an setup makes typing mistakes all day", () => {
    const stage = newStage();
    for (let person = 0; person < 100; person++) {
      stage.login(`user${person}`, home);
      stage.guess(`user${person}`, home, 3);
    }
    expect(stage.login("newcomer", home)).toBe("in");
  });

  it("are not forgotten because somebody there has a right one", () => {
    const stage = newStage();
    for (let index = 0; index < 39; index++) stage.guess(`user${index}`, elsewhere, 1);
    stage.login("accomplice", elsewhere);
    expect(stage.guess("user1", elsewhere, 2)).toBe(1);
  });

  it("count for a whole /64 of IPv6", () => {
    const stage = newStage();
    for (let index = 0; index < 40; index++) {
      stage.guess(`user${index}`, `2001:db8::${(index * 7).toString(16)}:1`, 1);
    }
    expect(stage.login("user1", "2001:db8::ffff")).toBe("shut");
    expect(stage.login("user1", "2001:db8:0:1::1")).toBe("in");
  });
});

describe("a home", () => {
  it("is one for thirty days after the last login", () => {
    const stage = newStage();
    stage.login("user1", home);
    stage.now += 31 * day;
    for (let index = 2; index < 100; index++) stage.guess(`user${index}`, home, 1);
    expect(stage.login("user1", home)).toBe("shut");
  });

  it("is one of the last thirty-two of a login", () => {
    const stage = newStage();
    for (let index = 0; index <= 32; index++) stage.login("user1", `203.0.113.${index}`);
    for (const address of ["203.0.113.0", "203.0.113.1"]) {
      for (let index = 2; index < 100; index++) stage.guess(`user${index}`, address, 1);
    }
    expect(stage.login("user1", "203.0.113.0")).toBe("shut");
    expect(stage.login("user1", "203.0.113.1")).toBe("in");
  });
});

describe("a botnet", () => {
  it("makes nobody homeless, however many networks and names it has", () => {
    const stage = newStage();
    stage.login("user1", home);
    for (let index = 0; index < 5_000; index++) {
      stage.guess(`${index}`, `2001:db8:1:${index.toString(16)}::1`, 1);
    }
    for (let index = 2; index < 100; index++) stage.guess(`user${index}`, home, 1);
    expect(stage.login("user200", home)).toBe("shut");
    expect(stage.login("user1", home)).toBe("in");
  });
});

test("a forgetful map never holds more than it should, and at least half of that", () => {
  const map = newBoundedMap<number>(10);
  for (let index = 0; index < 1_000; index++) {
    map.set(`${index}`, index);
    if (index % 3 === 0) map.set("kept", index);
    expect(map.size).toBeLessThanOrEqual(10);
    expect(map.get("kept")).toBe(index - (index % 3));
    for (let back = 0; back < Math.min(index, 3); back++)
      expect(map.get(`${index - back}`)).toBe(index - back);
  }
  map.delete("kept");
  expect(map.get("kept")).toBeUndefined();
});

describe("limiters of several hosts", () => {
  /** Two of them; what one counts the other learns at once, as news from `delay` milliseconds ago. */
  function newPair(delay = 0) {
    const clock = { now: start };
    const told: LimiterNews[] = [];
    const one = newAuthRateLimiter(
      () => clock.now,
      Buffer.alloc(32),
      (news) => {
        told.push(news);
        other.learn(news, clock.now - delay);
      },
    );
    const other = newAuthRateLimiter(() => clock.now, Buffer.alloc(32));
    return { clock, told, one, other };
  }

  it("count each other's wrong passwords as their own", () => {
    const { one, other } = newPair();
    const attempt = { login: "user1", address: home };
    for (let guess = 0; guess < 9; guess++) one.failed(attempt, `${guess}`);
    expect(other.blockedUntil(attempt)).toBeUndefined();
    expect(other.failed(attempt, "10")).toBe(15);
    expect(other.blockedUntil(attempt)).toBe(start + minute);
    expect(other.blocks()).toBe(1);
    expect(one.blockedUntil(attempt)).toBeUndefined();
  });

  it("begin a block when the last wrong password came, not when they heard of it", () => {
    const { clock, one, other } = newPair(30_000);
    const attempt = { login: "user1", address: home };
    for (let guess = 0; guess < 10; guess++) one.failed(attempt, `${guess}`);
    expect(other.blockedUntil(attempt)).toBe(start + minute / 2);
    clock.now += minute / 2;
    expect(other.blockedUntil(attempt)).toBeUndefined();
  });

  it("forget what another one forgot", () => {
    const { one, other } = newPair();
    const attempt = { login: "user1", address: home };
    const guessAll = () => {
      for (let guess = 0; guess < 10; guess++) one.failed(attempt, `${guess}`);
      for (let login = 0; login < 40; login++) one.failed({ login: `l${login}`, address: elsewhere }, "x");
    };
    guessAll();
    expect(other.blocks()).toBe(2);
    one.unblock({ login: "user1" });
    one.unblock({ address: elsewhere });
    expect(other.blocks()).toBe(0);
  });

  it("tell of a right password when it is news, and not with each session", () => {
    const { clock, told, one, other } = newPair();
    const attempt = { login: "user1", address: home };
    for (let session = 0; session < 100; session++) one.succeeded(attempt, "right");
    expect(told).toHaveLength(1);
    one.failed(attempt, "wrong");
    one.succeeded(attempt, "right");
    expect(told.map(({ kind }) => kind)).toEqual(["succeeded", "failed", "succeeded"]);
    other.succeeded(attempt, "right"); // it has heard of it
    clock.now += 13 * hour;
    one.succeeded(attempt, "right");
    expect(told).toHaveLength(4);
  });

  it("tell neither logins nor passwords", () => {
    const { told, one } = newPair();
    one.failed({ login: "user1", address: home }, "Tr0ub4dor&3");
    one.succeeded({ login: "user1", address: home }, "Correct Horse");
    one.unblock({ login: "user1" });
    expect(JSON.stringify(told)).not.toMatch(/user1|Tr0ub|Horse/);
  });
});
