import { describe, expect, it, test } from "vitest";
import { type Brake, newBrake } from "../../src/server/submission/limits/brake.ts";
import { newForgetful } from "../../src/server/submission/limits/forgetful.ts";

const start = Date.UTC(2026, 10, 22, 12);
const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;

interface Stage {
  readonly brake: Brake;
  now: number;
  guesses: number;
  /** Tries wrong passwords, each another one, as long as they are looked at; gives how many were. */
  guess(login: string, address: string, times: number): number;
  login(login: string, address: string): "in" | "shut";
}

function newStage(): Stage {
  const stage: Stage = {
    brake: newBrake(() => stage.now, Buffer.alloc(32)),
    now: start,
    guesses: 0,
    guess(login, address, times) {
      for (let done = 0; done < times; done++) {
        if (stage.brake.shut({ login, address }) !== undefined) return done;
        stage.brake.failed({ login, address }, `guess ${stage.guesses++}`);
      }
      return times;
    },
    login(login, address) {
      const attempt = { login, address };
      if (stage.brake.shut(attempt) !== undefined) return "shut";
      stage.brake.succeeded(attempt);
      return "in";
    },
  };
  return stage;
}

const home = "192.0.2.1";
const elsewhere = "198.51.100.1";

describe("wrong passwords for a login", () => {
  it("are answered later each time, and never too late for a client's patience", () => {
    const { brake } = newStage();
    const waits = Array.from({ length: 8 }, (_, index) =>
      brake.failed({ login: "user1", address: home }, String(index)),
    );
    expect(waits).toEqual([1, 2, 4, 8, 15, 15, 15, 15]);
  });

  it("are no longer looked at after ten, for a minute, then for two, and for an hour at most", () => {
    const stage = newStage();
    expect(stage.guess("user1", home, 100)).toBe(10);
    for (const pause of [1, 2, 4, 8, 16, 32, 60, 60, 60]) {
      const until = stage.brake.shut({ login: "user1", address: home });
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
      expect(stage.brake.shut(old)).toBeUndefined();
      stage.brake.failed(old, "of last year");
      stage.now += minute;
    }
    expect(stage.login("user1", home)).toBe("in");
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
    expect(stage.brake.failed({ login: "user1", address: home }, "typo")).toBe(1);
    expect(stage.brake.failed({ login: "user1", address: "203.0.113.2" }, "typo")).toBe(15);
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

  it("do not count where the login is at home: an office makes typing mistakes all day", () => {
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
  const map = newForgetful<number>(10);
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
