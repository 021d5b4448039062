/**
 * What a hostile or broken client might send: the conversations of test/dialogues joined, then changed octet by octet.
 * fast-check chooses all of it, so that a seed brings the same octets back.
 */
import fc from "fast-check";
import { spoken } from "../dialogues/spoken.ts";
import { lines, messages } from "../tools/long-forms.ts";

/** Stands wherever a client tries to write a line, a field or a tag that is ours to write. */
export const mark = "FORGED";

export interface Conversation {
  /** How the octets come: inside TLS on either door, in the clear on the STARTTLS door, in the clear where TLS is due. */
  readonly way: "smtps" | "starttls" | "plain" | "smtps-in-clear";
  readonly octets: Buffer;
  /** Octets in one write. */
  readonly piece: number;
  /** What the client does when it has sent all, or has sent the given share of it. */
  readonly end: "waits" | { readonly vanishesAfter: number };
}

const login = `EHLO client.example\r\nAUTH PLAIN ${Buffer.from("\0user1\0secret").toString("base64")}\r\n`;
const mail = `MAIL FROM:<user1@example.org>\r\nRCPT TO:<x@example.net>\r\nDATA\r\nFrom: user1@example.org\r\n`;

/** What has broken mail servers before, and what would forge a line of the log or a field of the header. */
const tokens: readonly string[] = [
  ...[
    "\r\n",
    "\n",
    "\r",
    "\0",
    "\t",
    " ",
    "\x7f",
    "\x1b[31m",
    "\r\n.\r\n",
    "\n.\n",
    "\r.\r",
    "\n.\r\n",
    "\r\n.\n",
  ],
  ...[
    "\r\n\0.\r\n",
    ".\r\n",
    "..\r\n",
    "\r\n\r\n",
    "é",
    "\ufeff",
    "\u2028",
    "\u0085",
    "\u202e",
    "\xff\xfe",
    "\xc0\xaf",
  ],
  ...[
    "EHLO client.example\r\n",
    "HELO\r\n",
    "STARTTLS\r\n",
    "AUTH LOGIN\r\n",
    "AUTH PLAIN\r\n",
    "*\r\n",
    "=\r\n",
  ],
  ...["MAIL FROM:<>\r\n", "RCPT TO:<y@example.net>\r\n", "DATA\r\n", "BDAT 5\r\n", "BDAT 99999999999\r\n"],
  ...[
    "BDAT 0 LAST\r\n",
    "RSET\r\n",
    "QUIT\r\n",
    "XCLIENT ADDR=192.0.2.1\r\n",
    "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
  ],
  ...["GET / HTTP/1.1\r\n", "<", ">", "@", "\\", '"', "(", "=?utf-8?q?", "+0D+0A", "%0d%0a", "%s%n", "$(x)"],
  ...[`\r\n${mark}: yes\r\n`, `\nReceived: from ${mark} by relay.example.org\n`, `> ${mark}`],
  ...[
    `\nNov 22 15:00:00 host postfix/smtpd[1]: ${mark}: client=${mark}[192.0.2.1]\n`,
    `]: ${mark}: `,
    "x".repeat(3_000),
  ],
];

/** Up to 128 KiB of one form: a line of a client, or what a message is. */
const long: fc.Arbitrary<Buffer> = fc
  .tuple(
    fc.constantFrom(
      ...Object.values(lines).map((line) => (octets: number) => `${line(octets)}\r\n`),
      ...Object.values(messages),
    ),
    fc.integer({ min: 6, max: 17 }),
  )
  .map(([form, size]) => Buffer.from(form(2 ** size)));

/** One change of the octets. */
type Change = (octets: Buffer) => Buffer;

const place = fc.nat({ max: 1_000_000 });
const at = (octets: Buffer, where: number): number => where % (octets.length + 1);

const changes: fc.Arbitrary<Change> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.tuple(place, fc.constantFrom(...tokens)).map(([where, token]) => put(where, token)),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(place, fc.uint8Array({ maxLength: 8 })).map(([where, some]) => put(where, some)),
  },
  { weight: 3, arbitrary: fc.tuple(place, fc.nat({ max: 7 })).map(([where, bit]) => flip(where, bit)) },
  {
    weight: 2,
    arbitrary: fc.tuple(place, fc.integer({ min: 1, max: 200 })).map(([where, count]) => drop(where, count)),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(place, fc.integer({ min: 1, max: 400 }), fc.integer({ min: 1, max: 40 }))
      .map(([where, count, times]) => repeat(where, count, times)),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(place, fc.constantFrom(...spoken)).map(([where, other]) => put(where, other)),
  },
  { weight: 1, arbitrary: fc.tuple(place, long).map(([where, form]) => put(where, form)) },
);

function put(where: number, given: Buffer | Uint8Array | string): Change {
  const token = typeof given === "string" ? octetsOf(given) : given;
  return (octets) => {
    const start = at(octets, where);
    return Buffer.concat([octets.subarray(0, start), token, octets.subarray(start)]);
  };
}

/** Those with "\xff" or "\xc0" are meant as octets that are no UTF-8. */
const octetsOf = (token: string): Buffer => Buffer.from(token, /[\xff\xc0]/.test(token) ? "latin1" : "utf8");

function flip(where: number, bit: number): Change {
  return (octets) => {
    const changed = Buffer.from(octets);
    const start = at(octets, where);
    if (start < changed.length) changed.writeUInt8(changed.readUInt8(start) ^ (1 << bit), start);
    return changed;
  };
}

function drop(where: number, count: number): Change {
  return (octets) => {
    const start = at(octets, where);
    return Buffer.concat([octets.subarray(0, start), octets.subarray(start + count)]);
  };
}

function repeat(where: number, count: number, times: number): Change {
  return (octets) => {
    const start = at(octets, where);
    const part = octets.subarray(start, start + count);
    const copies = Array.from({ length: times }, () => part);
    return Buffer.concat([octets.subarray(0, start), ...copies, octets.subarray(start)]);
  };
}

export const conversation: fc.Arbitrary<Conversation> = fc
  .record({
    way: fc.constantFrom<Conversation["way"]>(
      "smtps",
      "smtps",
      "starttls",
      "starttls",
      "plain",
      "smtps-in-clear",
    ),
    begin: fc.constantFrom("", login, `${login}${mail}`, `${login}${mail}\r\nshort\r\n.\r\n`),
    isBeginKept: fc.boolean(),
    parts: fc.array(
      fc.oneof({ weight: 5, arbitrary: fc.constantFrom(...spoken) }, { weight: 1, arbitrary: long }),
      { minLength: 1, maxLength: 3 },
    ),
    changed: fc.array(changes, { maxLength: 12 }),
    piece: fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 21, max: 20_000 })),
    end: fc.oneof(
      { weight: 9, arbitrary: fc.constant<Conversation["end"]>("waits") },
      { weight: 1, arbitrary: fc.record({ vanishesAfter: fc.double({ min: 0, max: 1, noNaN: true }) }) },
    ),
  })
  .map(({ way, begin, isBeginKept, parts, changed, piece, end }) => {
    const [kept, mixed] = isBeginKept ? [begin, parts] : ["", [Buffer.from(begin), ...parts]];
    const changedParts = changed.reduce<Buffer>((octets, change) => change(octets), Buffer.concat(mixed));
    const octets = Buffer.concat([Buffer.from(kept), changedParts, Buffer.from("\r\n.\r\nQUIT\r\n")]);
    // Small pieces only of what is short: the point is where it is cut, not how long it takes.
    return { way, octets, piece: Math.max(piece, Math.ceil(octets.length / 500)), end };
  });
