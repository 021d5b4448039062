import { afterEach, describe, expect, test } from "vitest";
import { attempt } from "../../src/server/delivery/attempt.ts";
import { type FakeServer, fakeServer, type Options, type Script } from "../tools/fakeserver.ts";
import { hop, letter, message, recipient, replies, terms } from "./letters.ts";

const servers: FakeServer[] = [];

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

async function server(script: Script = {}, options: Options = {}): Promise<FakeServer> {
  const made = await fakeServer(script, options);
  servers.push(made);
  return made;
}

const patient = new AbortController().signal;
const three = ["a@example.net", "b@example.net", "c@example.net"].map((address) => recipient(address));

describe("a message for one host", () => {
  test("is delivered byte for byte, with the host's words as the outcome", async () => {
    const { port, received, commands } = await server();
    const outcomes = await attempt(letter(), [hop(port)], terms(), () => 1000, patient);
    expect(outcomes).toEqual([
      {
        recipient: recipient("a@example.net"),
        reply: {
          code: 250,
          status: "2.0.0",
          text: "queued as F00",
          relay: `localhost[127.0.0.1]:${port}`,
          command: "end of DATA",
          at: 1000,
        },
        taken: "onward",
        transmitting: 0,
      },
    ]);
    expect(received).toMatchObject([{ message }]);
    expect(commands.slice(0, 4)).toEqual([
      "EHLO submission.example.org",
      `MAIL FROM:<user1@example.org> SIZE=${message.length}`,
      "RCPT TO:<a@example.net>",
      "DATA",
    ]);
  });
});

/** One host, three recipients: what it does, and what is made of it. HOST stands for the host's name. */
const cases: readonly {
  readonly name: string;
  readonly script: Script;
  readonly replies: readonly string[];
}[] = [
  {
    name: "each recipient keeps its own reply",
    script: {
      RCPT: (to) =>
        to.includes("a@") ? "250 ok" : to.includes("b@") ? "550 5.1.1 no such user" : "450 4.2.1 slow down",
    },
    replies: ["250 2.0.0 queued as F00", "550 5.1.1 no such user", "450 4.2.1 slow down"],
  },
  {
    name: "a refused sender refuses everybody",
    script: { MAIL: "550 5.7.1 not you" },
    replies: Array(3).fill("550 5.7.1 not you"),
  },
  {
    name: "a deferred DATA defers everybody",
    script: { DATA: "451 4.3.0 no" },
    replies: Array(3).fill("451 4.3.0 no"),
  },
  {
    name: "a refused message is refused for those who were taken",
    script: { RCPT: (to) => (to.includes("b@") ? "550 5.1.1 no" : "250 ok"), message: "554 5.6.0 spam" },
    replies: ["554 5.6.0 spam", "550 5.1.1 no", "554 5.6.0 spam"],
  },
];

describe("what a host does", () => {
  test.each(cases)("$name", async ({ script, replies: expected }) => {
    const { port } = await server(script);
    const outcomes = await attempt(letter({ recipients: three }), [hop(port)], terms(), () => 0, patient);
    expect(replies(outcomes)).toEqual(expected);
  });
});
