import { Readable } from "node:stream";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { OutgoingMessage } from "../../../../src/server/delivery/message/outgoing-message.ts";
import { sevenBit } from "../../../../src/server/delivery/message/seven-bit.ts";
import { quotedLine } from "../../../../src/smtp/mime-text.ts";
import { runWell } from "../../../tools/child.mjs";
import { real } from "../../../tools/real.ts";
import { outgoing, replies } from "../fixtures.ts";
import { deliver, server } from "../hosts.ts";

const crlf = (text: string): string => text.replaceAll("\n", "\r\n");

/** In chunks of `size` octets; `text` is octets as latin1. */
const bodyOf =
  (text: string, size = 4096) =>
  (): Readable =>
    Readable.from(
      (function* () {
        const octets = Buffer.from(text, "latin1");
        for (let at = 0; at < octets.length; at += size) yield octets.subarray(at, at + size);
      })(),
    );

/** The converted message as latin1, or the text of the reply that says why not. */
async function converted(text: string, size?: number): Promise<string> {
  const result = await sevenBit(bodyOf(text, size));
  if (result === undefined) throw new Error("it was left undone");
  if ("code" in result) return `${result.code} ${result.status} ${result.text}`;
  const chunks: Buffer[] = [];
  for await (const chunk of result.body()) chunks.push(chunk as Buffer);
  const whole = Buffer.concat(chunks);
  expect(whole.length).toBe(result.size);
  return whole.toString("latin1");
}

const head = (encoding: string, type = "text/plain; charset=utf-8"): string =>
  `From: a@example.org\nMIME-Version: 1.0\nContent-Type: ${type}\nContent-Transfer-Encoding: ${encoding}\n\n`;

describe("a message for a host without 8BITMIME", () => {
  test("has its text in quoted-printable, and nothing else is changed", async () => {
    const text = `${head("8bit")}Gr\u00c3\u00bc\u00c3\u009fe = hi \n\n.\nlast\t\n`;
    expect(await converted(crlf(text))).toBe(
      crlf(`${head("quoted-printable")}Gr=C3=BC=C3=9Fe =3D hi=20\n\n.\nlast=09\n`),
    );
  });

  test("has text that is mostly 8-bit in base64", async () => {
    const text = `${"\u00d0\u00b6".repeat(100)}\r\n`;
    const base64 = Buffer.from(text, "latin1").toString("base64");
    const lines = base64.replace(/.{76}/g, "$&\r\n");
    expect(await converted(crlf(head("8bit")) + text)).toBe(`${crlf(head("base64"))}${lines}\r\n`);
  });

  test.each([4096, 65_536])(
    "loses nothing of a long text in base64, read %i octets at a time",
    async (size) => {
      const text = `${"\u00d0\u00b6".repeat(35)}\r\n`.repeat(2000);
      const whole = await converted(crlf(head("8bit")) + text, size);
      expect(whole.startsWith(crlf(head("base64")))).toBe(true);
      const body = whole.slice(whole.indexOf("\r\n\r\n") + 4);
      expect(Buffer.from(body, "base64").toString("latin1") === text).toBe(true);
    },
  );

  test("has the parts with 8-bit octets converted, wherever they are, and the others as they were", async () => {
    const message = crlf(`From: a@example.org
MIME-Version: 1.0
Content-Type: multipart/mixed;
 boundary="out er"
content-transfer-encoding: 8bit

preamble
--out er
Content-Type: multipart/alternative; boundary=in

--in
Content-Type: text/plain

caf\u00e9
--in
Content-Type: text/html
Content-Transfer-Encoding: 8BIT
X-Other: kept

<p>plain</p>
--in--
--out er  
Content-Type: image/png
Content-Transfer-Encoding: binary

\u0089PNG
\u001a
--out er
Content-Type: message/rfc822
Content-Transfer-Encoding: 8bit

Subject: inside
MIME-Version: 1.0
Content-Type: text/plain
Content-Transfer-Encoding: 8bit

na\u00efve
--out er
Content-Type: application/pdf
Content-Transfer-Encoding: base64

QUJD
--out er--
epilogue
`);
    expect(await converted(message, 7)).toBe(
      crlf(`From: a@example.org
MIME-Version: 1.0
Content-Type: multipart/mixed;
 boundary="out er"
Content-Transfer-Encoding: 7bit

preamble
--out er
Content-Type: multipart/alternative; boundary=in

--in
Content-Type: text/plain
Content-Transfer-Encoding: quoted-printable

caf=E9
--in
Content-Type: text/html
Content-Transfer-Encoding: 7bit
X-Other: kept

<p>plain</p>
--in--
--out er  
Content-Type: image/png
Content-Transfer-Encoding: base64

iVBORw0KGg==
--out er
Content-Type: message/rfc822
Content-Transfer-Encoding: 7bit

Subject: inside
MIME-Version: 1.0
Content-Type: text/plain
Content-Transfer-Encoding: quoted-printable

na=EFve
--out er
Content-Type: application/pdf
Content-Transfer-Encoding: base64

QUJD
--out er--
epilogue
`),
    );
  });

  const part = (header: string, body = "caf\u00e9"): string =>
    `MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n${header}\n\n${body}\n--b--\n`;

  const refused: readonly (readonly [what: string, why: string, message: string])[] = [
    ["with a DKIM signature", "it is signed or encrypted", `DKIM-Signature: v=1\n${head("8bit")}caf\u00e9\n`],
    ["with an ARC seal", "it is signed or encrypted", `ARC-Seal: i=1\n${head("8bit")}caf\u00e9\n`],
    [
      "with a signed part",
      "it is signed or encrypted",
      part("Content-Type: multipart/signed; boundary=c", "--c\n\ncaf\u00e9\n--c--"),
    ],
    ["that is S/MIME", "it is signed or encrypted", `${head("binary", "application/pkcs7-mime")}\u00ff\n`],
    [
      "with a signed message in it",
      "it is signed or encrypted",
      part("Content-Type: message/rfc822", "DKIM-Signature: v=1\n\ncaf\u00e9"),
    ],
    [
      "with 8-bit text in its header",
      "it has 8-bit text in a header",
      `Subject: caf\u00e9\n${head("8bit")}hi\n`,
    ],
    [
      "with 8-bit text in a part's header",
      "it has 8-bit text in a header",
      part("Content-Description: \u00e9"),
    ],
    [
      "that is no MIME",
      "a part with 8-bit text does not say how it is encoded",
      "Subject: hi\n\ncaf\u00e9\n",
    ],
    [
      "that says quoted-printable and is not",
      "a part with 8-bit text does not say how it is encoded",
      `${head("quoted-printable")}caf\u00e9\n`,
    ],
    [
      "with an encoding of nobody's",
      "a part with 8-bit text does not say how it is encoded",
      `${head("uuencode")}caf\u00e9\n`,
    ],
    [
      "with 8-bit text in a delivery report",
      "a part with 8-bit text does not say how it is encoded",
      part("Content-Type: message/delivery-status"),
    ],
    [
      "with a preamble of 8-bit text",
      "it has 8-bit text outside its parts",
      "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\ncaf\u00e9\n--b\n\nhi\n--b--\n",
    ],
    [
      "with a multipart without a boundary",
      "a multipart has no boundary",
      "MIME-Version: 1.0\nContent-Type: multipart/mixed\n\ncaf\u00e9\n",
    ],
    [
      "with two types",
      "it does not say clearly what a part is",
      `Content-Type: text/html\n${head("8bit")}caf\u00e9\n`,
    ],
    [
      "with a type that is none",
      "it does not say clearly what a part is",
      `${head("8bit", "text")}caf\u00e9\n`,
    ],
    ["with a header that is none", "a header in it is none", part("Content-Type: text/plain\nno field")],
    [
      "with parts in parts without end",
      "it has parts in parts without end",
      `MIME-Version: 1.0\n${Array.from({ length: 40 }, (_, at) => `Content-Type: multipart/mixed; boundary=b${at}\n\n--b${at}\n`).join("")}\ncaf\u00e9\n`,
    ],
  ];

  test.each(refused)("%s is left alone: %s", async (_, why, message) => {
    expect(await converted(crlf(message))).toBe(`554 5.6.3 ${why}`);
  });

  test("that cannot be read is tried again", async () => {
    const broken = (): Readable =>
      new Readable({
        read() {
          this.destroy(Object.assign(new Error("EIO: i/o error, read"), { code: "EIO" }));
        },
      });
    expect(await sevenBit(broken)).toMatchObject({ code: 451, status: "4.3.0" });
  });

  test("of many megabytes goes through without being kept", async () => {
    const line = `${"caf\u00e9 ".repeat(14)}\r\n`;
    const times = 150_000; // some 11 MiB
    const body = (): Readable =>
      Readable.from(
        (function* () {
          yield Buffer.from(crlf(head("8bit")), "latin1");
          const chunk = Buffer.from(line.repeat(1000), "latin1");
          for (let at = 0; at < times; at += 1000) yield chunk;
        })(),
      );
    const result = await sevenBit(body);
    if (!result || "code" in result) throw new Error(result?.text);
    let [octets, largest] = [0, 0];
    for await (const chunk of result.body()) {
      octets += (chunk as Buffer).length;
      largest = Math.max(largest, (chunk as Buffer).length);
    }
    expect(octets).toBe(result.size);
    expect(octets).toBeGreaterThan(times * line.length);
    expect(largest).toBeLessThan(1_000_000);
  });

  test("whose lines are longer than what is read at once are the same when decoded, wherever they are cut", async () => {
    const line = `${"=\xe4 \r".repeat(20_000)}\r\n`;
    const text = `${crlf(head("8bit"))}--${" ".repeat(70_000)}\r\n${line}${"x".repeat(65_536)}\r\nend\r\n`;
    const wanted = text.slice(text.indexOf("\r\n\r\n"));
    for (const size of [1_000, 65_536, 65_537, 10_000_000]) {
      const whole = await converted(text, size);
      expect(whole).toContain("Content-Transfer-Encoding: quoted-printable");
      const decoded = whole
        .slice(whole.indexOf("\r\n\r\n"))
        .replaceAll("=\r\n", "")
        .replace(/=([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
      expect(decoded === wanted, `cut at ${size} octets`).toBe(true);
      expect(Math.max(...whole.split("\r\n").map(({ length }) => length))).toBeLessThanOrEqual(76);
    }
  });
});

describe("a host without 8BITMIME", () => {
  const seven = { EHLO: "250-fake.example.net\n250-SIZE 200\n250 DSN" };
  const note = (more: string): OutgoingMessage => outgoing({ eightBit: true }, crlf(more));

  test.each([
    ["looked at", 1],
    ["counted", 2],
    ["sent", 3],
  ])("has no part in the end of a conversion while the message is %s", async (_, last) => {
    const at = await server({ EHLO: "250 fake.example.net" });
    const stop = new AbortController();
    const chunks = 100;
    let [reading, read] = [0, 0];
    const body = (): Readable =>
      Readable.from(
        (function* () {
          reading += 1;
          yield Buffer.from(crlf(head("8bit")), "latin1");
          for (let count = 0; count < chunks; count += 1) {
            read = count;
            if (reading === last && count === 3) stop.abort();
            yield Buffer.from("caf\u00e9\r\n".repeat(10), "latin1");
          }
        })(),
      );
    expect(await deliver([at, at], { ...note(""), body }, {}, stop.signal)).toEqual([]);
    expect(reading).toBe(last);
    await new Promise((resolve) => void setImmediate(resolve));
    expect(read).toBeLessThan(chunks / 2);
    expect(at.received).toEqual([]);
    expect(at.connections()).toBe(1);
    expect(at.commands.some((command) => command.startsWith("MAIL"))).toBe(last === 3);
  });

  test("gets the message converted, and its size as it is then", async () => {
    const at = await server(seven);
    const outcomes = await deliver([at], note(`${head("8bit")}caf\u00e9\n`));
    expect(replies(outcomes)).toEqual(["250 2.0.0 queued as F00"]);
    const sent = crlf(`${head("quoted-printable")}caf=E9\n`);
    expect(at.received).toMatchObject([
      { mail: `FROM:<user1@example.org> SIZE=${sent.length}`, message: sent },
    ]);
  });

  test("is not sent what would be too large then", async () => {
    const at = await server(seven);
    const [said] = replies(await deliver([at], note(`${head("8bit")}${"\u00e9".repeat(60)}\n`)));
    expect(said).toMatch(/^552 5\.3\.4 the message has 2\d\d octets, localhost\[127\.0\.0\.1\] takes 200$/);
    expect(at.commands).not.toContain("DATA");
  });

  test("is not sent what is signed", async () => {
    const at = await server(seven);
    const [said] = replies(await deliver([at], note(`DKIM-Signature: v=1\n${head("8bit")}caf\u00e9\n`)));
    expect(said).toBe(
      "554 5.6.3 the message has 8-bit text, which localhost[127.0.0.1] does not take (no 8BITMIME), and must not be converted: it is signed or encrypted",
    );
    expect(at.commands).not.toContain("DATA");
  });
});

/** A tree of parts: a leaf, or a multipart of others, or a message in a message. */
interface Part {
  readonly type: string;
  readonly encoding: string | undefined;
  readonly lines: readonly string[];
  readonly parts?: readonly Part[];
}

const octetLine = fc
  .array(
    fc.oneof(fc.integer({ min: 0x20, max: 0x7e }), fc.integer({ min: 0x80, max: 0xff }), fc.constant(9)),
    {
      maxLength: 200,
    },
  )
  .map((octets) => String.fromCharCode(...octets))
  .map((line) => line.replace(/^--/, "  "));

const { part: partArbitrary } = fc.letrec<{ part: Part }>((tie) => ({
  part: fc.oneof(
    { maxDepth: 3 },
    fc.record({
      type: fc.constantFrom(
        "text/plain",
        "text/html; charset=iso-8859-1",
        "application/octet-stream",
        "image/png",
      ),
      encoding: fc.constantFrom("8bit", "binary", "8BIT", undefined),
      lines: fc.array(octetLine, { minLength: 1, maxLength: 8 }),
    }),
    fc.record({
      type: fc.constantFrom("multipart/mixed", "multipart/related", "message/rfc822"),
      encoding: fc.constantFrom("8bit", undefined),
      lines: fc.constant([]),
      parts: fc.array(tie("part"), { minLength: 1, maxLength: 3 }),
    }),
  ) as fc.Arbitrary<Part>,
}));

/** As it stands in a message, without the CRLF at its end. `id` makes boundaries differ. */
function written({ type, encoding, lines, parts = [] }: Part, id = "b"): string {
  const boundary = type.startsWith("multipart/") ? `; boundary="${id}"` : "";
  const header = [
    `Content-Type: ${type}${boundary}`,
    ...(encoding === undefined ? [] : [`Content-Transfer-Encoding: ${encoding}`]),
    "",
    "",
  ].join("\r\n");
  if (parts.length === 0) return header + lines.join("\r\n");
  const [first] = parts;
  if (!boundary && first) return `${header}MIME-Version: 1.0\r\n${written(first, `${id}m`)}`;
  const inside = parts.map((one, at) => `--${id}\r\n${written(one, `${id}${at}`)}\r\n`).join("");
  return `${header}${inside}--${id}--`;
}

/** The types and decoded octets of all leaves of each message, as Python's email package has them. */
const reader = `
import base64, email, json, sys
out = []
for text in json.load(sys.stdin):
    message = email.message_from_bytes(base64.b64decode(text))
    leaves = [part for part in message.walk() if not part.is_multipart()]
    out.append([[part.get_content_type(), base64.b64encode(part.get_payload(decode=True)).decode()] for part in leaves])
json.dump(out, sys.stdout)
`;

describe.skipIf(!real("python3"))("whatever the message", () => {
  test("it decodes to the same octets, in lines of ASCII that are short", async () => {
    const messages = fc
      .sample(fc.tuple(partArbitrary, fc.integer({ min: 1, max: 300 })), { numRuns: 400, seed: 8 })
      .map(([part, size]) => ({
        size,
        text: `From: a@example.org\r\nMIME-Version: 1.0\r\n${written(part)}\r\n`,
      }));
    const results = await Promise.all(messages.map(({ text, size }) => converted(text, size)));
    for (const result of results) {
      expect(result).toMatch(/^From: /);
      expect(result).not.toMatch(/[\u0080-\u00ff]/);
      expect(Math.max(...result.split("\r\n").map(({ length }) => length))).toBeLessThanOrEqual(998);
    }
    const base64 = [...messages.map(({ text }) => text), ...results].map((text) =>
      Buffer.from(text, "latin1").toString("base64"),
    );
    const leaves = JSON.parse(await runWell("python3", ["-c", reader], JSON.stringify(base64))) as unknown[];
    expect(leaves.slice(messages.length)).toEqual(leaves.slice(0, messages.length));
    expect(results.filter((result) => result.includes("quoted-printable")).length).toBeGreaterThan(20);
    expect(results.filter((result) => result.includes("base64")).length).toBeGreaterThan(20);
  });
});

describe("a line that is longer than is kept in hand", () => {
  const long = (unit: string): string => unit.repeat(Math.ceil(600_000 / unit.length));
  const decode = (text: string): string =>
    text
      .replace(/=\r\n/g, "")
      .replace(/=([0-9A-F]{2})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)));

  test("has room for the soft line break wherever it is cut", async () => {
    const longest: number[] = [];
    for (let size = 70_000; size < 70_076; size++) {
      const whole = await converted(`${crlf(head("8bit"))}${"a".repeat(80_000)}\u00e9\r\n`, size);
      longest.push(Math.max(...whole.split("\r\n").map((line) => line.length)));
    }
    expect(Math.max(...longest)).toBeLessThanOrEqual(76);
  });

  test.each([
    ["of letters", "abcdefg\u00e9hij"],
    ["that looks like boundaries and empty lines", "--x \u00e9\r\r bcdefghijk"],
    ["with blanks where it is cut", "      \u00e9\t"],
  ])("%s is quoted-printable of the same octets, in lines of 76 signs", async (_, unit) => {
    const text = `${long(unit)}\r\nnext\r\n`;
    const whole = await converted(crlf(head("8bit")) + text, 4093);
    const body = whole.slice(whole.indexOf("\r\n\r\n") + 4);
    expect(decode(body) === text).toBe(true);
    expect(Math.max(...body.split("\r\n").map((line) => line.length))).toBeLessThanOrEqual(76);
  });

  test("is base64 of the same octets", async () => {
    const text = `${long("\u00d0\u00b6")}\r\n\r\nnext\r\n`;
    const whole = await converted(crlf(head("8bit")) + text, 4093);
    const body = whole.slice(whole.indexOf("\r\n\r\n") + 4);
    expect(Buffer.from(body, "base64").toString("latin1") === text).toBe(true);
  });

  test("is no boundary wherever it is cut, and ends no header", async () => {
    const message = `MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\n${"y".repeat(262_145)}--x--\r\n\u00e9\r\n--x--\r\n`;
    // The piece in hand ends before "--x--".
    const whole = await converted(message, 262_145 + message.indexOf("y"));
    expect(decode(whole).endsWith(`${"y".repeat(100)}--x--\r\n\u00e9\r\n--x--\r\n`)).toBe(true);
  });
});

test("a line in quoted-printable is the same octets when decoded, CR, LF and blanks at its end, too, and never wider", () => {
  const octet = fc.oneof(fc.integer({ min: 0, max: 255 }), fc.constantFrom(9, 10, 13, 32, 45, 46, 61));
  fc.assert(
    fc.property(fc.array(octet, { maxLength: 400 }), fc.constantFrom(75, 76), (octets, most) => {
      const line = Buffer.from(octets).toString("latin1");
      const lines = quotedLine(line, most).split("\r\n");
      for (const one of lines) expect(one).toMatch(/^[\t -~]*$/);
      for (const one of lines) expect(one.length).toBeLessThanOrEqual(most);
      for (const one of lines) expect(one).not.toMatch(/[\t ]$/);
      for (const one of lines.slice(0, -1)) expect(one).toMatch(/=$/);
      const joined = lines.map((one, at) => (at < lines.length - 1 ? one.slice(0, -1) : one)).join("");
      const read = joined.replace(/=([0-9A-F]{2})/g, (_, digits) =>
        String.fromCharCode(Number.parseInt(digits, 16)),
      );
      expect(read).toBe(line);
    }),
    { numRuns: 1000 },
  );
});
