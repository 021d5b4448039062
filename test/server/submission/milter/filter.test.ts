/** Messages that go through filters before they are promised: what the client hears, and what is stored. */
import { afterEach, describe, expect, test, vi } from "vitest";
import type { Envelope } from "../../../../src/server/spool/envelope.ts";
import { type Milter, newMessageFilter } from "../../../../src/server/submission/milter/filter.ts";
import type { Client } from "../client.ts";
import { ask, loggedIn, noBug, opened } from "../test-clients.ts";
import type { TestListener } from "../test-listener.ts";
import { everything, type FakeMilter, fakeMilter, frame, number, type Script } from "./fake.ts";

let fakes: FakeMilter[] = [];
afterEach(async () => {
  await Promise.all(fakes.splice(0).map((fake) => fake.close()));
  fakes = [];
});

const terms = {
  name: "fake",
  timeout: 60_000,
  deadline: 60_000,
  whenAway: "tempfail",
  privacy: "full",
} as const satisfies Partial<Milter>;

async function siteWith(
  scripts: readonly Script[],
  changes: Partial<Milter> = {},
): Promise<{
  readonly server: TestListener;
  readonly client: Client;
  readonly filters: readonly FakeMilter[];
}> {
  const filters = await Promise.all(scripts.map(fakeMilter));
  fakes.push(...filters);
  const milters = filters.map(({ address }, index) => ({
    ...terms,
    name: index === 0 ? "fake" : `fake${index + 1}`,
    address,
    ...changes,
  }));
  const filter = newMessageFilter(milters, () => performance.now());
  const server = await opened("smtps", { filter, messageSize: 5_000_000 });
  return { server, client: await loggedIn(server), filters };
}

const header =
  "From: user1@example.org\r\nSubject: one\r\n two\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <a@b>\r\n";
const plain = `${header}\r\nHello\r\n.dotted\r\n`;

async function sent(client: Client, message = plain): Promise<string | undefined> {
  expect(await ask(client, "MAIL FROM:<user1@example.org>")).toMatch(/^250 /);
  expect(await ask(client, "RCPT TO:<x@example.net>")).toMatch(/^250 /);
  expect(await ask(client, "RCPT TO:<y@example.com>")).toMatch(/^250 /);
  expect(await ask(client, "DATA")).toMatch(/^354 /);
  await client.send(message.replace(/^\./gm, ".."));
  return ask(client, ".");
}

/** What is stored, without our own Received field; what it says of the envelope. */
function stored({ stored: all }: TestListener): { readonly text: string; readonly envelope: Envelope } {
  const [{ text, envelope } = { text: "", envelope: undefined }] = all;
  if (envelope === undefined) throw new Error("nothing was stored");
  expect(text).toMatch(/^Received: from authenticated-user by relay\.example\.org\r\n/);
  return { text: text.replace(/^Received: .*\r\n(?:[ \t].*\r\n)*/, ""), envelope };
}

const noted = ({ log }: TestListener): readonly string[] =>
  log.flatMap(({ event, fields }) => {
    const { verdict, action, reason }: Readonly<Record<string, unknown>> = fields;
    return event.startsWith("milter")
      ? [`${event} ${String(verdict ?? action)}: ${String(reason)}`.replace(/: $/, "")]
      : [];
  });

test("a filter hears the whole session in order, and what it lets pass is stored as it was", async () => {
  const { server, client, filters } = await siteWith([{ options: everything }]);
  expect(await sent(client)).toMatch(/^250 2\.0\.0 Ok: queued as AAAAAAAAAAA1$/);
  expect(stored(server).text).toBe(plain);
  expect(filters[0]?.heard).toEqual([
    "O 0x6 0x1ff 0x1fffff",
    expect.stringMatching(
      /^D C\|j\|relay\.example\.org\|\{daemon_name\}\|smtps\|v\|tpa-submit\|_\|unknown \[127\.0\.0\.1\]\|\{client_addr\}\|127\.0\.0\.1\|/,
    ),
    "C [127.0.0.1]|4||127.0.0.1",
    expect.stringMatching(/^D H\|\{tls_version\}\|TLSv1\.3\|\{cipher\}\|TLS_\w+\|\{cipher_bits\}\|256$/),
    "H client.example",
    "D M|i|AAAAAAAAAAA1|{auth_type}|PLAIN|{auth_authen}|user1|{mail_addr}|user1@example.org|{mail_host}|example.org",
    expect.stringMatching(/^M <user1@example\.org>\|SIZE=\d+$/),
    "D R|i|AAAAAAAAAAA1|{rcpt_addr}|x@example.net|{rcpt_host}|example.net",
    "R <x@example.net>",
    "D R|i|AAAAAAAAAAA1|{rcpt_addr}|y@example.com|{rcpt_host}|example.com",
    "R <y@example.com>",
    "D T|i|AAAAAAAAAAA1",
    "T",
    "L From|user1@example.org",
    "L Subject|one\n two",
    "L Date|Mon, 23 Nov 2026 10:00:00 +0000",
    "L Message-ID|<a@b>",
    "D N|i|AAAAAAAAAAA1",
    "N",
    "B 16",
    "D E|i|AAAAAAAAAAA1",
    "E",
    "Q",
  ]);
  expect(filters[0]?.body()).toBe("Hello\r\n.dotted\r\n");
  expect(noted(server)).toEqual(["milter accepted"]);
  noBug(server);
});

test("one that wants little hears little, with the macros that it asks for, and is not waited for", async () => {
  const steps = 0x1 | 0x2 | 0x8 | 0x200 | 0x10 | 0x4000 | 0x80 | 0x40000 | 0x100000;
  const { server, client, filters } = await siteWith([
    {
      options: [6, 0x1, steps, [2, "i {auth_authen}"], [5, "{rcpt_addr},j nonsense"]],
      says: { M: [[]], L: [[]], N: [[]] },
    },
  ]);
  expect(await sent(client)).toMatch(/^250 /);
  expect(filters[0]?.heard.slice(1)).toEqual([
    "D M|i|AAAAAAAAAAA1|{auth_authen}|user1",
    expect.stringMatching(/^M /),
    "L From| user1@example.org",
    "L Subject| one\n two",
    "L Date| Mon, 23 Nov 2026 10:00:00 +0000",
    "L Message-ID| <a@b>",
    "D N|i|AAAAAAAAAAA1",
    "N",
    "D E|j|relay.example.org",
    "E",
    "Q",
  ]);
  noBug(server);
});

describe("what a filter says decides:", () => {
  const at = (command: string, ...says: readonly string[]): Script => ({
    options: everything,
    says: { [command]: [says] },
  });
  const refusals: readonly [string, Script, RegExp, string][] = [
    [
      "reject at connect",
      at("C", "r"),
      /^550 5\.7\.1 refused by the filter fake of this server$/,
      "rejected: 550 5.7.1 refused by the filter fake of this server",
    ],
    [
      "tempfail at HELO",
      at("H", "t"),
      /^451 4\.7\.1 the filter fake of this server asks to try again later$/,
      "tempfailed",
    ],
    [
      "a reply at MAIL",
      at("M", "y 554 5.7.7 not you"),
      /^554 5\.7\.7 not you$/,
      "rejected: 554 5.7.7 not you",
    ],
    [
      "reject of one recipient",
      { options: everything, says: { R: [["c"], ["r"]] } },
      /^550 5\.7\.1 <y@example\.com>: refused by the filter/,
      "rejected: 550 5.7.1 <y@example.com>",
    ],
    ["tempfail at DATA", at("T", "t"), /^451 4\.7\.1 /, "tempfailed"],
    [
      "reject at a header field",
      { options: everything, says: { L: [["c"], ["r"]] } },
      /^550 5\.7\.1 /,
      "rejected",
    ],
    ["tempfail at the end of the header", at("N", "t"), /^451 4\.7\.1 /, "tempfailed"],
    ["reject at the body", at("B", "r"), /^550 5\.7\.1 /, "rejected"],
    [
      "a reply at the end",
      at("E", "h X-A=b", "y 451 4.7.1 greylisted, 100%% sure"),
      /^451 4\.7\.1 greylisted, 100% sure$/,
      "tempfailed",
    ],
    [
      "a reply of lines and odd signs",
      at("E", "y 550-5.7.1 a\u001b[1m\r\n550 5.7.1 b\u0007"),
      /^550 5\.7\.1 a \[1m b$/,
      "rejected",
    ],
    ["a reply of another class", at("E", "y 451 5.7.1 later"), /^451 4\.7\.1 later$/, "tempfailed"],
    [
      "a reply without a status",
      at("E", "y 550 virus found: Eicar"),
      /^550 5\.7\.1 virus found: Eicar$/,
      "rejected",
    ],
    ["progress before a verdict", at("E", "p", "p", "r"), /^550 5\.7\.1 /, "rejected"],
  ];
  test.each(refusals)("%s", async (_, script, said, note) => {
    const { server, client } = await siteWith([script]);
    expect(await sent(client)).toMatch(said);
    expect(server.stored).toEqual([]);
    expect(server.openDrafts()).toBe(0);
    expect(noted(server).join()).toContain(`milter ${note}`);
    expect(await sent(client)).toMatch(said); // the session goes on
    noBug(server);
  });

  test.each(["4", "y 421 4.7.0 go away"])("%j ends the session", async (says) => {
    const { server, client } = await siteWith([at("E", says)]);
    expect(await sent(client)).toMatch(/^421 4\.7\.0 /);
    expect(await client.line()).toBeUndefined();
    expect(server.openDrafts()).toBe(0);
    noBug(server);
  });

  test.each([
    ["discard", at("B", "d"), ""],
    [
      "a message without recipients",
      at("E", "- <x@example.net>", "- y@EXAMPLE.com", "c"),
      ": no recipient is left",
    ],
  ])("%s looks like an acceptance, and nothing is stored", async (_, script, why) => {
    const { server, client } = await siteWith([script]);
    expect(await sent(client)).toMatch(/^250 2\.0\.0 Ok: queued as AAAAAAAAAAA1$/);
    expect(server.stored).toEqual([]);
    expect(server.openDrafts()).toBe(0);
    expect(noted(server)).toEqual([`milter discarded${why}`]);
    noBug(server);
  });

  test.each(["C", "H", "M", "R", "T", "L", "N", "B"])(
    "accept at %s is the last that it hears",
    async (command) => {
      const { server, client, filters } = await siteWith([at(command, "a"), { options: everything }]);
      expect(await sent(client)).toMatch(/^250 /);
      const heard = (filters[0]?.heard ?? []).filter((line) => !line.startsWith("D "));
      expect(heard.at(-1)).toBe("Q");
      expect(heard.at(-2)?.charAt(0)).toBe(command);
      expect(filters[1]?.heard.at(-2)).toBe("E");
      expect(stored(server).text).toBe(plain);
      noBug(server);
    },
  );

  test("skip ends the body, and the end comes all the same", async () => {
    const { server, client, filters } = await siteWith([{ options: everything, says: { B: [["s"]] } }]);
    const body = "x".repeat(70).concat("\r\n").repeat(3_000);
    expect(await sent(client, `${header}\r\n${body}`)).toMatch(/^250 /);
    const bodies = filters[0]?.heard.filter((line) => line.startsWith("B"));
    expect(bodies).toEqual(["B 65535"]);
    expect(stored(server).text).toBe(`${header}\r\n${body}`);
    noBug(server);
  });
});

describe("what a filter changes is what is stored:", () => {
  const changes: readonly [string, readonly string[], (text: string) => string][] = [
    ["a field behind the others", ["h X-A=b"], () => `${header}X-A: b\r\n\r\n`],
    ["a field on top", ["i 0 X-A=b", "i 1 X-B=c"], () => `X-B: c\r\nX-A: b\r\n${header}\r\n`],
    [
      "a field in the midst",
      ["i 2 X-A=b"],
      () => header.replace("Subject", "X-A: b\r\nSubject").concat("\r\n"),
    ],
    ["a field far behind", ["i 99 X-A=b"], () => `${header}X-A: b\r\n\r\n`],
    [
      "another subject",
      ["m 1 SUBJECT=[spam] one"],
      () => header.replace("Subject: one\r\n two", "SUBJECT: [spam] one").concat("\r\n"),
    ],
    ["no subject", ["m 1 subject="], () => header.replace("Subject: one\r\n two\r\n", "").concat("\r\n")],
    ["a field that was not there", ["m 1 X-New=1", "m 3 X-None="], () => `${header}X-New: 1\r\n\r\n`],
    ["the second of two", ["h X-A=1", "h X-A=2", "m 2 X-A=3", "m 1 X-A="], () => `${header}X-A: 3\r\n\r\n`],
    ["a folded field", ["h X-A=one\n\ttwo\r\n three"], () => `${header}X-A: one\r\n\ttwo\r\n three\r\n\r\n`],
    [
      "nothing that ends the header",
      ["h X-A=one\n\nX-Evil: yes\n\r\nbody\0"],
      () => `${header}X-A: one\r\n\tX-Evil: yes\r\n\tbody\r\n\r\n`,
    ],
  ];
  test.each(changes)("%s", async (_, says, expected) => {
    const { server, client } = await siteWith([{ options: everything, says: { E: [[...says, "c"]] } }]);
    expect(await sent(client)).toMatch(/^250 /);
    expect(stored(server).text).toBe(expected(header).concat("Hello\r\n.dotted\r\n"));
    expect(noted(server)[0]).toMatch(/^milter accepted: changed header \(/);
    noBug(server);
  });

  test("fields that a client may not have sent twice are the filter's affair", async () => {
    const { server, client } = await siteWith([
      { options: everything, says: { E: [["m 1 Message-ID=<new@b>", "a"]] } },
    ]);
    expect(await sent(client)).toMatch(/^250 /);
    expect(server.log.find(({ event }) => event === "message-id")?.fields).toMatchObject({
      messageId: "new@b",
    });
    noBug(server);
  });

  test("another body, with the line ends of a message", async () => {
    const { server, client } = await siteWith([
      { options: everything, says: { E: [["b one\r", "b \ntwo\n", "b thr\u00e9e", "c"]] } },
    ]);
    expect(await sent(client)).toMatch(/^250 /);
    const { text, envelope } = stored(server);
    expect(text).toBe(`${header}\r\none\r\ntwo\r\nthr\u00e9e\r\n`);
    expect(envelope).toMatchObject({ eightBit: true });
    expect(noted(server)).toEqual(["milter accepted: changed body"]);
    noBug(server);
  });

  test("sender and recipients, and they are what the next filter hears", async () => {
    const { server, client, filters } = await siteWith([
      {
        options: everything,
        says: {
          E: [["e <press@example.org>", "+ new@example.net", "2 <x@example.net>", "- <y@example.com>", "c"]],
        },
      },
      { options: everything },
    ]);
    expect(await sent(client)).toMatch(/^250 /);
    const { envelope } = stored(server);
    expect(envelope.sender).toBe("press@example.org");
    expect(envelope.recipients.map(({ address }) => address)).toEqual(["x@example.net", "new@example.net"]);
    const heard = filters[1]?.heard.filter((line) => /^[MR] /.test(line)).map((line) => line.split("|")[0]);
    expect(heard).toEqual(["M <press@example.org>", "R <x@example.net>", "R <new@example.net>"]);
    expect(noted(server)[0]).toBe("milter accepted: changed sender, recipients");
    noBug(server);
  });

  test("the next filter sees the header and the body of the one before", async () => {
    const { server, client, filters } = await siteWith([
      { options: everything, says: { E: [["h X-First=1", "b new\r\n", "c"]] } },
      { options: everything, says: { E: [["m 1 X-First=2", "c"]] } },
    ]);
    expect(await sent(client)).toMatch(/^250 /);
    expect(filters[1]?.heard).toContain("L X-First|1");
    expect(filters[1]?.body()).toBe("new\r\n");
    expect(stored(server).text).toBe(`${header}X-First: 2\r\n\r\nnew\r\n`);
    noBug(server);
  });

  test("quarantine is a hold with its reason", async () => {
    const { server, client } = await siteWith([
      { options: everything, says: { E: [["q looks like\u0007 a virus", "c"]] } },
      { options: everything },
    ]);
    expect(await sent(client)).toMatch(/^250 /);
    expect(stored(server).envelope.held).toMatchObject({ by: "milter fake", reason: "looks like a virus" });
    expect(noted(server)).toEqual(["milter held: looks like a virus", "milter accepted"]);
    noBug(server);
  });

  test("a message of megabytes, too, which is not in memory", async () => {
    const { server, client, filters } = await siteWith([
      { options: everything, says: { E: [["h X-A=b", "c"]] } },
    ]);
    const body = "0123456789".repeat(7).concat("\r\n").repeat(40_000);
    expect(await sent(client, `${header}\r\n${body}`)).toMatch(/^250 /);
    expect(filters[0]?.body() === body).toBe(true);
    expect(stored(server).text === `${header}X-A: b\r\n\r\n${body}`).toBe(true);
    noBug(server);
  });

  test("a header without a body stays one", async () => {
    const { server, client } = await siteWith([{ options: everything }]);
    const message =
      "From: user1@example.org\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <a@b>\r\n";
    expect(await sent(client, message)).toMatch(/^250 /);
    expect(stored(server).text).toBe(message);
    noBug(server);
  });
});

describe("a filter that is away, broken or hostile costs its message a bounded time:", () => {
  const flood = Buffer.concat(Array.from({ length: 20_000 }, () => frame("p")));
  const many = (says: string): readonly string[] => Array.from({ length: 1_100 }, () => says);
  const troubles: readonly [string, Script, RegExp][] = [
    ["it never answers", { deaf: true }, /nothing came in 0\.3 seconds/],
    ["it answers no body", { options: everything, says: { B: [[]] } }, /nothing came in 0\.3 seconds/],
    ["it hangs up at once", { options: everything, hangsUpAt: "O" }, /it hung up|ECONNRESET|EPIPE/],
    ["it hangs up in the midst", { options: everything, hangsUpAt: "L" }, /it hung up|ECONNRESET|EPIPE/],
    ["it hangs up at the end", { options: everything, hangsUpAt: "E" }, /it hung up|ECONNRESET|EPIPE/],
    [
      "it speaks HTTP",
      { begins: Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n") },
      /announced a frame of 1213486160 octets/,
    ],
    [
      "it speaks SMTP",
      { begins: Buffer.from("220 mail.example.net ESMTP\r\n") },
      /announced a frame of \d+ octets/,
    ],
    ["it announces a huge frame", { begins: number(0xffff_ffff) }, /announced a frame of 4294967295 octets/],
    ["it announces an empty frame", { begins: number(0) }, /a frame with nothing in it/],
    ["it begins with something else", { begins: "c" }, /it began with "c"/],
    ["its options are cut short", { begins: frame("O", number(6)) }, /a number is missing/],
    ["it speaks another version", { options: [7, 0, 0] }, /version 7/],
    ["it wants what was not offered", { options: [6, 0x200, 0] }, /asks for 0x200/],
    [
      "its answer is none",
      { options: everything, says: { H: [["\u0001"]] } },
      /answered "\\x01", which is no answer/,
    ],
    [
      "it changes what it did not say",
      { options: [6, 0x1, 0], says: { E: [["b x", "c"]] } },
      /did not say that it would replace the body/,
    ],
    ["it changes too early", { options: everything, says: { H: [["h X-A=b"]] } }, /before it was whole/],
    ["it skips too early", { options: everything, says: { H: [["s"]] } }, /skipped what cannot be skipped/],
    [
      "its reply is none",
      { options: everything, says: { E: [["y 250 2.0.0 fine"]] } },
      /a reply that is none/,
    ],
    [
      "its text has no end",
      { options: everything, says: { E: [[frame("y", Buffer.from("550 no"))]] } },
      /a text in its answer has no end/,
    ],
    [
      "its field is none",
      { options: everything, says: { E: [["h a:b=c", "c"]] } },
      /header field that cannot be one/,
    ],
    [
      "its address is none",
      { options: everything, says: { E: [["+ <x y>", "c"]] } },
      /an address that is none/,
    ],
    [
      "its address has no domain",
      { options: everything, says: { E: [["+ postmaster", "c"]] } },
      /cannot have/,
    ],
    [
      "its address is beyond ASCII",
      { options: everything, says: { E: [[frame("+", Buffer.from("\u00fc@example.net\0")), "c"]] } },
      /cannot have/,
    ],
    [
      "it goes on and on",
      { options: everything, says: { E: [[flood]] } },
      /says that it goes on, and does not/,
    ],
    ["it goes on slowly", { options: everything, says: { E: [["p"]] } }, /nothing came in 0\.3 seconds/],
    [
      "it adds without an end",
      { options: everything, says: { E: [many("h X-A=b")] } },
      /changes the message without an end/,
    ],
    [
      "its body has no end",
      {
        options: everything,
        says: { E: [Array.from({ length: 110 }, () => frame("b", Buffer.alloc(65_535, "x\n")))] },
      },
      /larger than messages may be/,
    ],
    ["it cannot work", { options: everything, says: { M: [["f"]] } }, /it cannot work now/],
  ];
  test.each(troubles)("%s", async (_, script, reason) => {
    const timeout = reason.source.includes("nothing came") ? 300 : 60_000;
    const { server, client } = await siteWith([script], { timeout });
    expect(await sent(client)).toBe(
      "451 4.7.1 the filter fake of this server is away, please try again later",
    );
    expect(noted(server).join()).toMatch(reason);
    expect(noted(server).join()).toMatch(/^milter-away tempfail: /);
    expect(server.openDrafts()).toBe(0);
    expect(server.stored).toEqual([]);
    noBug(server);
  });

  test("as does one whose whole time is over, however it trickles", async () => {
    const script: Script = { options: everything, says: { E: [["p"]] } };
    const { server, client } = await siteWith([script], { timeout: 60_000, deadline: 300 });
    expect(await sent(client)).toMatch(/^451 4\.7\.1 /);
    expect(noted(server)).toEqual(["milter-away tempfail: it was not done after 0.3 seconds"]);
    noBug(server);
  });

  test.each([
    ["accept", /^250 /, undefined],
    ["hold", /^250 /, { by: "milter fake", reason: expect.stringContaining("not looked at: ") }],
    ["reject", /^550 5\.7\.1 the filter fake of this server is away/, undefined],
    ["tempfail", /^451 4\.7\.1 /, undefined],
  ] as const)("and when-away = %j decides", async (whenAway, said, held) => {
    const { server, client, filters } = await siteWith([{ options: everything }, { options: everything }], {
      whenAway,
    });
    await filters[0]?.close();
    fakes = fakes.filter((fake) => fake !== filters[0]);
    expect(await sent(client)).toMatch(said);
    expect(noted(server)[0]).toMatch(new RegExp(`^milter-away ${whenAway}: .*ECONNREFUSED`));
    if (said.source === "^250 ") {
      expect(filters[1]?.heard.at(-1)).toBe("Q");
      const { text, envelope } = stored(server);
      expect(text).toBe(plain);
      if (held) expect(envelope.held).toMatchObject(held);
      else expect(envelope.held).toBeUndefined();
    } else expect(server.stored).toEqual([]);
    noBug(server);
  });

  test("a disk that is full is no fault of a filter", async () => {
    const filters = [await fakeMilter({ options: everything })];
    fakes.push(...filters);
    const milters = filters.map(({ address }) => ({ ...terms, address, whenAway: "accept" as const }));
    const filter = newMessageFilter(milters, () => performance.now());
    const server = await opened("smtps", { filter, messageSize: 5_000_000 }, { scratch: "ENOSPC" });
    const client = await loggedIn(server);
    expect(await sent(client, `${header}\r\n${"x".repeat(70).concat("\r\n").repeat(40_000)}`)).toMatch(
      /^452 4\.3\.1 /,
    );
    expect(server.openDrafts()).toBe(0);
    noBug(server);
  });
});

test("a relay that is stopped waits for no filter, whatever when-away says, and the client hears to try again", async () => {
  const { server, client, filters } = await siteWith([{ options: everything, says: { E: [[]] } }], {
    whenAway: "accept",
  });
  const said = sent(client);
  await vi.waitFor(() => expect(filters[0]?.heard.at(-1)).toBe("E"), 60_000);
  const gone = server.listener.drain(Date.now() + 50);
  expect(await said).toBe("451 4.3.2 the server is being restarted, please try again in a moment");
  expect(await client.line()).toMatch(/^421 4\.3\.2 /);
  client.end();
  await gone;
  expect(server.stored).toEqual([]);
  expect(server.openDrafts()).toBe(0);
  noBug(server);
});

test("with privacy = shortened a filter learns of the client nothing but its network", async () => {
  const { server, client, filters } = await siteWith([{ options: everything }], { privacy: "shortened" });
  expect(await sent(client)).toMatch(/^250 /);
  const heard = filters[0]?.heard.join("\n") ?? "";
  expect(heard).toContain("C [127.0.0.0]|4");
  expect(heard).toContain("\nH [127.0.0.0]\n");
  expect(heard).not.toContain("127.0.0.1");
  expect(heard).not.toContain("client.example");
  noBug(server);
});
