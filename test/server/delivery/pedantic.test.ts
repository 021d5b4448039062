/** A next hop that speaks octet by octet what it should not, or what it may and nobody expects. */
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { describe, expect, test } from "vitest";
import { message, outgoing, recipient, replies } from "./fixtures.ts";
import { deliver, peer } from "./hosts.ts";

type Verb = "greeting" | "EHLO" | "HELO" | "MAIL" | "RCPT" | "DATA" | "message" | "RSET" | "QUIT";

/** What is sent, octet by octet, at each moment; of a list one after the other, then the last again and again. */
type Words = { readonly [At in Verb]?: string | readonly string[] };

const polite: Readonly<Record<Verb, string>> = {
  greeting: "220 hop.example.net ESMTP\r\n",
  EHLO: "250-hop.example.net\r\n250 ENHANCEDSTATUSCODES\r\n",
  HELO: "250 hop.example.net\r\n",
  MAIL: "250 2.1.0 ok\r\n",
  RCPT: "250 2.1.5 ok\r\n",
  DATA: "354 go ahead\r\n",
  message: "250 2.0.0 queued\r\n",
  RSET: "250 2.0.0 ok\r\n",
  QUIT: "221 2.0.0 bye\r\n",
};

const pipelining = "250-hop.example.net\r\n250-PIPELINING\r\n250 ENHANCEDSTATUSCODES\r\n";

interface Manners {
  /** Each octet in a segment of its own. */
  readonly piecemeal?: boolean;
  /** It hangs up after what it says at this moment. */
  readonly closesAt?: Verb;
}

interface Hop {
  readonly port: number;
  /** What it has taken as messages, dots as they came. */
  readonly messages: readonly string[];
  stop(): Promise<void>;
}

async function hopThat(words: Words, { piecemeal = false, closesAt }: Manners = {}): Promise<Hop> {
  const messages: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket.setNoDelay(true).on("error", () => undefined));
    const said = new Map<Verb, number>();
    let speaking = Promise.resolve();
    let received = "";
    let inMessage = false;

    const say = (verb: Verb): string => {
      const [all, times] = [words[verb] ?? polite[verb], said.get(verb) ?? 0];
      said.set(verb, times + 1);
      const text = typeof all === "string" ? all : (all[Math.min(times, all.length - 1)] ?? "");
      const octets = Buffer.from(text, "latin1");
      const pieces = piecemeal ? Array.from(octets, (octet) => Buffer.of(octet)) : [octets];
      speaking = speaking.then(async () => {
        for (const piece of pieces) {
          if (socket.writable) socket.write(piece);
          if (piecemeal) await new Promise(setImmediate);
        }
        if (verb === closesAt || verb === "QUIT") socket.end();
      });
      return text;
    };

    socket.on("data", (chunk) => {
      received += chunk.toString("latin1");
      for (;;) {
        const end = received.indexOf(inMessage ? "\r\n.\r\n" : "\r\n");
        if (end < 0) return;
        const line = received.slice(0, end);
        received = received.slice(end + (inMessage ? 5 : 2));
        if (inMessage) {
          inMessage = false;
          messages.push(`${line}\r\n`);
          say("message");
        } else {
          const verb = (/^\w+/.exec(line)?.[0] ?? "") as Verb;
          inMessage = say(verb).startsWith("354") && verb === "DATA";
        }
      }
    });
    say("greeting");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    messages,
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const sent = "250 2.0.0 queued";
const both = (one: string): readonly string[] => [one, one];

interface Case {
  readonly name: string;
  readonly words: Words;
  readonly manners?: Manners;
  /** For the two recipients. */
  readonly expected: readonly string[];
}

const cases: readonly Case[] = [
  { name: "says each octet by itself", words: {}, manners: { piecemeal: true }, expected: both(sent) },
  {
    name: "says each octet by itself, to commands sent at once",
    words: { EHLO: pipelining },
    manners: { piecemeal: true },
    expected: both(sent),
  },
  {
    name: "ends its lines with LF alone",
    words: Object.fromEntries(
      Object.entries(polite).map(([verb, text]) => [verb, text.replaceAll("\r", "")]),
    ),
    expected: both(sent),
  },
  {
    name: "greets in 8-bit letters",
    words: { greeting: "220 gr\u00fc\u00df dich\r\n" },
    expected: both(sent),
  },
  {
    name: "greets with octets that are no text",
    words: { greeting: "220 \u0000\u0007\u00ff\r\n" },
    expected: both(sent),
  },
  { name: "greets without a word", words: { greeting: "220\r\n" }, expected: both(sent) },
  {
    name: "greets in a hundred lines",
    words: { greeting: `${"220-patience\r\n".repeat(99)}220 now\r\n` },
    expected: both(sent),
  },
  {
    name: "greets in a line of 60 000 octets",
    words: { greeting: `220 ${"x".repeat(60_000)}\r\n` },
    expected: both(sent),
  },
  {
    name: "greets in a line that never ends",
    words: { greeting: `220 ${"x".repeat(100_000)}` },
    expected: both(`451 4.4.2 lost connection with ${peer} while receiving the initial server greeting`),
  },
  {
    name: "says hello twice",
    words: { greeting: `${polite.greeting}${polite.greeting}` },
    expected: both("451 4.5.0 unexpected answer: 250 2.1.5 ok"),
  },
  {
    name: "announces nonsense",
    words: {
      EHLO: "250-hop\r\n250-SIZE lots\r\n250-\r\n250-8bitmime\r\n250-X-\u00ff\u0000 !!\r\n250 AUTH\r\n",
    },
    expected: both(sent),
  },
  {
    name: "has replies of several lines, in which the codes differ",
    words: { MAIL: "250-2.1.0 all\r\n550 5.7.1 or nothing\r\n" },
    expected: both("550 5.7.1 all or nothing"),
  },
  {
    name: "repeats its enhanced status on each line",
    words: { message: "250-2.0.0 queued\r\n250-2.0.0 as\r\n250 2.0.0 F00\r\n" },
    expected: both("250 2.0.0 queued as F00"),
  },
  {
    name: "has an enhanced status of another class",
    words: { RCPT: "550 2.1.5 fine, or not\r\n" },
    expected: both("550 5.0.0 fine, or not"),
  },
  { name: "has a code alone as its reply", words: { message: "250\r\n" }, expected: both("250 2.0.0 ") },
  { name: "has a tab behind its code", words: { message: "250\t2.0.0 queued\r\n" }, expected: both(sent) },
  {
    name: "says more than it was asked after RCPT",
    words: { RCPT: "250 2.1.5 ok\r\n250 2.1.5 really\r\n" },
    expected: both("451 4.5.0 unexpected answer: 250 2.1.5 ok"),
  },
  {
    name: "says more than it was asked after the message",
    words: { message: "250 2.0.0 queued\r\n250 2.0.0 really\r\n" },
    expected: both(sent),
  },
  {
    name: "answers DATA before the last RCPT",
    words: { EHLO: pipelining, RCPT: ["250 2.1.5 ok\r\n", "354 go ahead\r\n"], DATA: "250 2.1.5 ok\r\n" },
    expected: ["451 4.5.0 unexpected answer: 250 2.1.5 ok", "451 4.5.0 unexpected answer: 354 go ahead"],
  },
  {
    name: "says 250 to DATA in place of 354",
    words: { DATA: "250 2.0.0 fine\r\n" },
    expected: both("451 4.5.0 unexpected answer: 250 2.0.0 fine"),
  },
  { name: "says 251 to RCPT", words: { RCPT: "251 2.1.5 will forward\r\n" }, expected: both(sent) },
  { name: "says 252 to RCPT", words: { RCPT: "252 2.1.5 cannot verify\r\n" }, expected: both(sent) },
  {
    name: "says 552 to the second RCPT, which means 452",
    words: { RCPT: [polite.RCPT, "552 too many\r\n", polite.RCPT] },
    expected: both(sent),
  },
  {
    name: "says 250 to the message and hangs up",
    words: {},
    manners: { closesAt: "message" },
    expected: both(sent),
  },
  {
    name: "says 354 to the message",
    words: { message: "354 go on\r\n" },
    expected: both("451 4.5.0 unexpected answer: 354 go on"),
  },
  {
    name: "has a reply of 10 000 octets",
    words: { message: `550 5.7.1 ${"no ".repeat(3300)}\r\n` },
    expected: both(`550 5.7.1 ${"no ".repeat(333)}n`),
  },
  {
    name: "refuses in 8-bit letters and escapes",
    words: { message: "550 5.7.1 \u001b[31mnein, gr\u00fc\u00dfe\u0000\r\n" },
    expected: both("550 5.7.1 ?[31mnein, gr\u00fc\u00dfe?"),
  },
  ...(["greeting", "EHLO", "MAIL", "RCPT", "DATA", "message"] as const).map((verb): Case => {
    const command = { MAIL: "MAIL FROM", RCPT: "RCPT TO", DATA: "DATA" }[verb as string];
    const refused = `451 4.3.2 host ${peer} refused to talk to me: 421 4.3.2 going down`;
    const parted = `421 4.3.2 host ${peer} said: 421 4.3.2 going down (in reply to ${command} command)`;
    return {
      name: `says 421 at ${verb} and hangs up`,
      words: {
        [verb]: "421 4.3.2 going down\r\n",
        ...(verb === "EHLO" && { HELO: "421 4.3.2 going down\r\n" }),
      },
      manners: { closesAt: verb },
      expected: both(verb === "message" ? "421 4.3.2 going down" : command === undefined ? refused : parted),
    };
  }),
  {
    name: "goes on after it has said 421 to the first RCPT",
    words: { EHLO: pipelining, RCPT: ["421 4.3.2 going down\r\n", polite.RCPT] },
    expected: both(`421 4.3.2 host ${peer} said: 421 4.3.2 going down (in reply to RCPT TO command)`),
  },
];

describe("a host that", () => {
  test.concurrent.for(cases)("$name", async ({ words, manners, expected }, { onTestFinished }) => {
    const hop = await hopThat(words, manners);
    onTestFinished(() => hop.stop());
    const recipients = ["a@example.net", "b@example.net"].map((address) => recipient(address));
    const outcomes = await deliver([hop], outgoing({ recipients }));
    expect(replies(outcomes)).toEqual(expected);
    const dotted = message.replace(/^\./gm, "..");
    for (const one of hop.messages) expect(one).toBe(dotted);
  });
});
