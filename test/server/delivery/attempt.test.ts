import { readFileSync } from "node:fs";
import { Readable } from "node:stream";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { close, fakeServer, type Script, silence } from "../../tools/fakeserver.ts";
import { casesIn } from "./cases.ts";
import { message, outgoing, recipient, replies } from "./fixtures.ts";
import { deliver, impatient, peer, server } from "./hosts.ts";

const three = ["a@example.net", "b@example.net", "c@example.net"].map((address) => recipient(address));

describe("a host", () => {
  test.each(casesIn(readFileSync(new URL("hosts.txt", import.meta.url), "utf8")))(
    "$name",
    async ({ script, replies: expected }) => {
      const at = await server(script);
      const hanging = /"fault":"(?:silence|trickle)"/.test(JSON.stringify(script));
      const outcomes = await deliver(
        [at],
        outgoing({ recipients: three }),
        hanging ? { timeouts: impatient } : {},
      );
      const all = expected.length === 1 ? three.map(() => expected[0]) : expected;
      expect(replies(outcomes)).toEqual(all.map((reply) => reply?.replace("HOST", peer)));
    },
  );
});

describe("a message", () => {
  test("goes out byte for byte, and the host's words are the outcome", async () => {
    const at = await server();
    const [outcome] = await deliver([at], outgoing());
    expect(outcome).toEqual({
      recipient: recipient("a@example.net"),
      reply: {
        code: 250,
        status: "2.0.0",
        text: "queued as F00",
        relay: `${peer}:${at.port}`,
        command: "end of DATA",
        at: 1000,
      },
      taken: "onward",
      transmitting: 0,
    });
    expect(at.received).toMatchObject([{ message, secure: false }]);
  });

  test("that is answered before it was sent in full is not delivered", async () => {
    const at = await server({ "first-data": { say: "250 2.0.0 fine", fault: "silence" } });
    async function* halting(): AsyncGenerator<Buffer> {
      yield Buffer.from(message);
      await new Promise(() => undefined);
    }
    const outcomes = await deliver([at], { ...outgoing(), body: () => Readable.from(halting()) });
    expect(replies(outcomes)).toEqual(["451 4.5.0 unexpected answer: 250 2.0.0 fine"]);
  });

  test("that cannot be read ends without its final dot, and is tried again", async () => {
    const at = await server();
    async function* broken(): AsyncGenerator<Buffer> {
      yield Buffer.from(message);
      throw Object.assign(new Error("EIO: i/o error, read"), { code: "EIO" });
    }
    const outcomes = await deliver([at], { ...outgoing(), body: () => Readable.from(broken()) });
    expect(replies(outcomes)).toEqual(["451 4.3.0 the message cannot be read: EIO: i/o error, read"]);
    expect(at.received).toEqual([]);
  });

  test("of a megabyte, all dots, arrives unharmed", async () => {
    const at = await server();
    const dots = `Subject: dots\r\n\r\n${"..\r\n.\r\n".repeat(140_000)}`;
    expect(replies(await deliver([at], outgoing({}, dots)))).toEqual(["250 2.0.0 queued as F00"]);
    expect(at.received[0]?.message === dots).toBe(true);
  });

  test("to 250 recipients takes three transactions of one connection", async () => {
    const at = await server();
    const many = Array.from({ length: 250 }, (_, number) => recipient(`r${number}@example.net`));
    const outcomes = await deliver([at], outgoing({ recipients: many }));
    expect(outcomes.map((outcome) => outcome.recipient)).toEqual(many);
    expect(at.received.map(({ recipients }) => recipients.length)).toEqual([100, 100, 50]);
    expect(at.connections()).toBe(1);
  });

  test("goes on to the other recipients when a host hangs up after the first hundred", async () => {
    const [one, other] = [
      await server({ message: { say: "250 2.0.0 enough", fault: "close" } }),
      await server(),
    ];
    const many = Array.from({ length: 101 }, (_, number) => recipient(`r${number}@example.net`));
    const outcomes = await deliver([one, other], outgoing({ recipients: many }));
    expect(new Set(replies(outcomes))).toEqual(new Set(["250 2.0.0 enough", "250 2.0.0 queued as F00"]));
    expect(other.received.map(({ recipients }) => recipients.length)).toEqual([1]);
  });

  test("from nobody has a null reverse-path", async () => {
    const at = await server();
    await deliver([at], outgoing({ sender: "" }));
    expect(at.received[0]?.mail).toBe(`FROM:<> SIZE=${message.length}`);
  });

  test("is left where it is when there is no time for it", async () => {
    const at = await server({ message: silence });
    const enough = new AbortController();
    const attempted = deliver([at, at], outgoing(), {}, enough.signal);
    await expect.poll(() => at.received.length).toBe(1);
    enough.abort();
    expect(await attempted).toEqual([]);
    expect(at.connections()).toBe(1);
  });
});

describe("of several hosts", () => {
  const cases: readonly {
    name: string;
    scripts: readonly Script[];
    asked: readonly number[];
    reply: string;
  }[] = [
    {
      name: "only the first is asked when it takes the message",
      scripts: [{}, {}],
      asked: [1, 0],
      reply: "250",
    },
    {
      name: "the next is asked when one is busy",
      scripts: [{ greeting: "421 busy" }, {}],
      asked: [1, 1],
      reply: "250",
    },
    {
      name: "the next is asked when one turns everybody away",
      scripts: [{ greeting: "554 no" }, {}],
      asked: [1, 1],
      reply: "250",
    },
    {
      name: "the next is asked when one hangs up before the message",
      scripts: [{ MAIL: close }, {}],
      asked: [1, 1],
      reply: "250",
    },
    {
      name: "the next is asked when one closes by 421 before the message",
      scripts: [{ EHLO: "250 x", RCPT: { say: "421 bye", fault: "close" } }, {}],
      asked: [1, 1],
      reply: "250",
    },
    {
      name: "none is asked after one that said no",
      scripts: [{ RCPT: "550 5.1.1 no" }, {}],
      asked: [1, 0],
      reply: "550",
    },
    {
      name: "none is asked after one that said later",
      scripts: [{ RCPT: "450 4.2.1 later" }, {}],
      asked: [1, 0],
      reply: "450",
    },
    {
      name: "none is asked after one that may have the message",
      scripts: [{ message: close }, {}],
      asked: [1, 0],
      reply: "451",
    },
    {
      name: "the last one's trouble is the outcome",
      scripts: [{ greeting: close }, { greeting: "421 4.3.2 busy" }],
      asked: [1, 1],
      reply: `451 4.3.2 host ${peer} refused to talk to me: 421 4.3.2 busy`,
    },
  ];

  test.each(cases)("$name", async ({ scripts, asked, reply }) => {
    const hosts = await Promise.all(scripts.map((script) => server(script)));
    const outcomes = await deliver(hosts, outgoing());
    expect(replies(outcomes)).toEqual([expect.stringContaining(reply)]);
    expect(hosts.map((host) => host.connections())).toEqual(asked);
  });

  test("one that is down is passed over, and all being down is told with the reason", async () => {
    const down = await fakeServer();
    await down.close();
    const up = await server();
    expect(replies(await deliver([down, up], outgoing()))).toEqual(["250 2.0.0 queued as F00"]);
    expect(replies(await deliver([down], outgoing()))).toEqual([
      `451 4.4.1 connect to ${peer}:${down.port}: Connection refused`,
    ]);
  });
});

describe("LMTP", () => {
  test("without DSN is a delivery that nobody else will tell of", async () => {
    const at = await server({ LHLO: "250 fake.example.net" }, { lmtp: true });
    const [outcome] = await deliver([at], outgoing(), { protocol: "lmtp" });
    expect(outcome?.taken).toBe("delivered");
  });

  const lmtp = { protocol: "lmtp" } as const;

  test("has a reply for each recipient after the message", async () => {
    const at = await server(
      {
        RCPT: (to) => (to.includes("b@") ? "550 5.1.1 no" : "250 ok"),
        message: ["250 2.1.5 saved", "452 4.2.2 full"],
      },
      { lmtp: true },
    );
    const outcomes = await deliver([at], outgoing({ recipients: three }), lmtp);
    expect(replies(outcomes)).toEqual(["250 2.1.5 saved", "550 5.1.1 no", "452 4.2.2 full"]);
    expect(outcomes.map(({ taken }) => taken)).toEqual(["onward", undefined, undefined]);
    expect(at.commands[0]).toBe("LHLO submission.example.org");
  });

  test("keeps the replies that came before the host hung up", async () => {
    const at = await server({ message: ["250 2.1.5 saved", close] }, { lmtp: true });
    const outcomes = await deliver([at], outgoing({ recipients: three }), lmtp);
    expect(replies(outcomes)).toEqual([
      "250 2.1.5 saved",
      `451 4.4.2 lost connection with ${peer} while sending end of data -- message may be sent more than once`,
      `451 4.4.2 lost connection with ${peer} while sending end of data -- message may be sent more than once`,
    ]);
  });
});

describe("a host that says anything at all", () => {
  const word = fc.constantFrom(
    "220",
    "250",
    "250-",
    "354",
    "421",
    "450",
    "500",
    "550",
    "552",
    "999",
    "2",
    "",
  );
  const saying = fc
    .tuple(word, fc.string({ maxLength: 20 }))
    .map(([code, text]) => `${code} ${text.replace(/[\r\n]/g, "")}`);
  const reaction = fc.record(
    {
      say: fc.oneof({ weight: 3, arbitrary: saying }, fc.constant("250-a\n250 b")),
      fault: fc.constantFrom("close" as const, "reset" as const),
    },
    { requiredKeys: ["say"] },
  );
  const moments = ["greeting", "EHLO", "MAIL", "RCPT", "DATA", "first-data", "message", "QUIT"] as const;
  const script = fc.dictionary(
    fc.constantFrom(...moments),
    fc.array(reaction, { minLength: 1, maxLength: 3 }),
    { maxKeys: 3 },
  );

  test("gets one outcome for each recipient, and a delivery only if it had the message first", async () => {
    await fc.assert(
      fc.asyncProperty(script, fc.boolean(), async (said, lmtp) => {
        const at = await fakeServer(said as Script, { lmtp });
        const outcomes = await deliver([at], outgoing({ recipients: three }), {
          protocol: lmtp ? "lmtp" : "smtp",
          timeouts: { ...impatient, reply: 50, final: 50 },
        });
        await at.close();
        expect(outcomes.map(({ recipient: one }) => one.address).sort()).toEqual(
          three.map(({ address }) => address),
        );
        // Whoever was one too many for the first transaction has a second one.
        const reached = at.received.flatMap(({ recipients }) =>
          recipients.map((path) => /<(.*)>/.exec(path)?.[1]),
        );
        for (const { recipient: one, reply, taken } of outcomes) {
          expect(reply.status).toMatch(/^[245]\.\d{1,3}\.\d{1,3}$/);
          expect(String(reply.code)).toMatch(new RegExp(`^${reply.status.charAt(0)}\\d\\d$`));
          expect(taken !== undefined).toBe(reply.code < 300);
          if (taken) expect(reached.filter((address) => address === one.address)).toHaveLength(1);
        }
      }),
      { numRuns: 150 },
    );
  });
});
