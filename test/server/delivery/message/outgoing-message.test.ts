import { describe, expect, test } from "vitest";
import type { OutgoingMessage } from "../../../../src/server/delivery/message/outgoing-message.ts";
import { message, outgoing, recipient, replies } from "../fixtures.ts";
import { deliver, server } from "../hosts.ts";

/** EHLO without one of the fake server's extensions. */
const without = (extension: string): string =>
  ["fake.example.net", "PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "SIZE 1000000"]
    .filter((line) => !line.startsWith(extension))
    .map((line, at, all) => `250${at === all.length - 1 ? " " : "-"}${line}`)
    .join("\n");

describe("parameters", () => {
  test("of DSN are passed on, each recipient's own", async () => {
    const at = await server();
    await deliver(
      [at],
      outgoing({
        envid: "QQ+1=x",
        ret: "HDRS",
        recipients: [
          recipient("a@example.net", { notify: ["SUCCESS", "DELAY"], orcpt: "rfc822;A+b@example.org" }),
          recipient("b@example.net", { notify: ["NEVER"] }),
          recipient("c@example.net"),
        ],
      }),
    );
    expect(at.received).toMatchObject([
      {
        mail: `FROM:<user1@example.org> SIZE=${message.length} RET=HDRS ENVID=QQ+2B1+3Dx`,
        recipients: [
          "TO:<a@example.net> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;A+2Bb@example.org",
          "TO:<b@example.net> NOTIFY=NEVER",
          "TO:<c@example.net>",
        ],
      },
    ]);
  });

  test("of DSN in UTF-8 go in ASCII, as RFC 6533 section 3 has it", async () => {
    const at = await server();
    const orcpts = [
      "utf-8;j\u00fcrgen@example.net",
      "UTF-8;j\\x{FC}rgen@example.net",
      "utf-8;a+b=c@example.net",
    ];
    const recipients = orcpts.map((orcpt, at) => recipient(`r${at}@example.net`, { orcpt }));
    await deliver([at], outgoing({ recipients }));
    expect(at.received[0]?.recipients.map((one) => one.split("ORCPT=")[1])).toEqual([
      "utf-8;j\\x{FC}rgen@example.net",
      "UTF-8;j\\x{FC}rgen@example.net",
      "utf-8;a\\x{2B}b\\x{3D}c@example.net",
    ]);
  });

  test("of DSN are dropped where the host has no DSN, and it is known that nobody will tell", async () => {
    const at = await server({ EHLO: without("DSN") });
    const [outcome] = await deliver(
      [at],
      outgoing({ envid: "x", recipients: [recipient("a@example.net", { notify: ["SUCCESS"] })] }),
    );
    expect(outcome?.taken).toBe("relayed");
    expect(at.received).toMatchObject([
      { mail: `FROM:<user1@example.org> SIZE=${message.length}`, recipients: ["TO:<a@example.net>"] },
    ]);
  });

  const utf8 = "Subject: gr\u00c3\u00bc\u00c3\u009fe\r\n\r\nhi\r\n"; // octets as latin1
  const spoken: readonly {
    readonly name: string;
    readonly what: OutgoingMessage;
    readonly ehlo?: string;
    readonly mail?: string;
    readonly replies: readonly string[];
  }[] = [
    {
      name: "8-bit text is declared",
      what: outgoing({ eightBit: true }),
      mail: " BODY=8BITMIME",
      replies: ["250"],
    },
    {
      name: "8-bit text that is no MIME needs 8BITMIME",
      what: outgoing({ eightBit: true }, "Subject: hi\r\n\r\ncaf\u00e9\r\n"),
      ehlo: "8BITMIME",
      replies: ["554 5.6.3"],
    },
    {
      name: "an address in UTF-8 goes as it is",
      what: outgoing({ recipients: [recipient("j\u00f6rg@b\u00fccher.example")] }),
      mail: " SMTPUTF8",
      replies: ["250"],
    },
    {
      name: "a local part in UTF-8 needs SMTPUTF8, the others do not",
      what: outgoing({
        recipients: [recipient("j\u00f6rg@example.net"), recipient("b@b\u00fccher.example")],
      }),
      ehlo: "SMTPUTF8",
      mail: "",
      replies: ["553 5.6.7", "250"],
    },
    {
      name: "a sender in UTF-8 needs SMTPUTF8",
      what: outgoing({ sender: "j\u00f6rg@example.org" }),
      ehlo: "SMTPUTF8",
      replies: ["553 5.6.7"],
    },
    {
      name: "a header in UTF-8 is declared",
      what: outgoing({ eightBit: true, smtputf8: true }, utf8, true),
      mail: " BODY=8BITMIME SMTPUTF8",
      replies: ["250"],
    },
    {
      name: "a header in UTF-8 needs SMTPUTF8",
      what: outgoing({ eightBit: true, smtputf8: true }, utf8, true),
      ehlo: "SMTPUTF8",
      replies: ["550 5.6.9"],
    },
    {
      name: "SMTPUTF8 is not asked for without need",
      what: outgoing({ smtputf8: true }),
      mail: "",
      replies: ["250"],
    },
    {
      name: "a message that is too large is not sent",
      what: outgoing({ size: 1_000_001 }),
      replies: ["552 5.3.4"],
    },
    {
      name: "a size that nobody wants to know is not told",
      what: outgoing({ size: 1_000_001 }),
      ehlo: "SIZE",
      replies: ["250"],
    },
  ];

  test.each(spoken)("$name", async ({ what, ehlo, mail, replies: expected }) => {
    const at = await server(ehlo === undefined ? {} : { EHLO: without(ehlo) });
    const outcomes = await deliver([at], what);
    const inOrder = what.recipients.map(
      (one) => outcomes.find((outcome) => outcome.recipient === one)?.reply,
    );
    expect(inOrder.map((reply) => `${reply?.code} ${reply?.status}`)).toEqual(
      expected.map((reply) => expect.stringContaining(reply)),
    );
    const [received] = at.received;
    if (mail !== undefined) expect(received?.mail.replace(/^.* SIZE=\d+/, "")).toBe(mail);
    if (expected.every((reply) => !reply.startsWith("250"))) expect(at.commands).not.toContain("DATA");
  });

  test("a domain in UTF-8 is written in A-labels where the host has no SMTPUTF8", async () => {
    const at = await server({ EHLO: without("SMTPUTF8") });
    await deliver([at], outgoing({ recipients: [recipient("b@b\u00fccher.example")] }));
    expect(at.received[0]?.recipients).toEqual(["TO:<b@xn--bcher-kva.example>"]);
  });

  test("a quoted local part with angle brackets is no trouble", async () => {
    const at = await server();
    const odd = recipient('"<a> b"@example.net');
    expect(replies(await deliver([at], outgoing({ recipients: [odd] })))).toEqual([
      "250 2.0.0 queued as F00",
    ]);
    expect(at.received[0]?.recipients).toEqual(['TO:<"<a> b"@example.net>']);
  });
});
