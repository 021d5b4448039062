/** What may become of a message between the probe and a mailbox, with the status and the line that Nagios is to get. */
import { createServer, type Server } from "node:net";
import { createInterface } from "node:readline";

/** Passwords of mailboxes; each is unlike any other word, so that it can be looked for everywhere. */
export const secrets = {
  inbox: "zebra-inbox-4711",
  spam: "zebra-spam-4712",
  late: "zebra-late-4713",
  held: "zebra-held-4714",
  forged: "zebra-forged-4715",
  user1: "zebra-sender-4716",
  wrong: "zebra-wrong-4717",
} as const;

export type Mailbox = keyof typeof secrets;

export interface Scenario {
  readonly name: string;
  /** Of the recipient, at example.net. */
  readonly to: string;
  /** Whose mailbox is looked into; by the recipient's name where it is not said. */
  readonly mailbox?: Mailbox;
  readonly settings?: string;
  readonly wait?: string;
  readonly status: number;
  /** The status line with its times masked. */
  readonly line: string;
}

export const scenarios: readonly Scenario[] = [
  {
    name: "inbox",
    to: "inbox",
    status: 0,
    line: "PROBE OK - in INBOX after N s | arrival=N;30.000;60.000;0 submission=N;;;0",
  },
  {
    name: "spam",
    to: "spam",
    status: 1,
    line: "PROBE WARNING - in the spam folder Junk after N s | arrival=N;30.000;60.000;0 submission=N;;;0",
  },
  {
    name: "late",
    to: "late",
    settings: 'warn = "1s"',
    wait: "25s",
    status: 1,
    line: "PROBE WARNING - in INBOX after N s, which is late | arrival=N;1.000;60.000;0 submission=N;;;0",
  },
  {
    name: "overdue",
    to: "late+overdue",
    mailbox: "late",
    settings: 'warn = "1s"\ncrit = "2s"',
    wait: "25s",
    status: 2,
    line: "PROBE CRITICAL - in INBOX after N s, which is too late | arrival=N;1.000;2.000;0 submission=N;;;0",
  },
  {
    name: "bounced-at-once",
    to: "nobody",
    mailbox: "inbox",
    status: 2,
    line: "PROBE CRITICAL - returned after N s by relay.example.org: 554 5.7.1 <nobody@example.net>: Recipient address rejected: Access denied | submission=N;;;0",
  },
  {
    name: "bounced-later",
    to: "gone",
    mailbox: "inbox",
    status: 2,
    line: "PROBE CRITICAL - returned after N s by postfix.example.net: 550 5.1.1 <gone@example.net> User doesn't exist: gone@example.net | submission=N;;;0",
  },
  {
    name: "mailbox-full",
    to: "full",
    mailbox: "inbox",
    status: 2,
    line: "PROBE CRITICAL - returned after N s by postfix.example.net: 552 5.2.2 Mailbox is full | submission=N;;;0",
  },
  {
    name: "never",
    to: "discard",
    mailbox: "inbox",
    settings: 'warn = "1s"\ncrit = "2s"',
    wait: "3s",
    status: 2,
    line: "PROBE CRITICAL - lost: not there after N s | submission=N;;;0",
  },
  {
    name: "delayed",
    to: "discard",
    mailbox: "inbox",
    settings: 'warn = "1s"',
    wait: "2s",
    status: 1,
    line: "PROBE WARNING - on its way for N s | submission=N;;;0",
  },
  {
    name: "forged",
    to: "forged",
    settings: 'warn = "1s"\ncrit = "3s"',
    wait: "4s",
    status: 2,
    line: "PROBE CRITICAL - lost: not there after N s | submission=N;;;0",
  },
  {
    name: "wrong-password",
    to: "inbox",
    settings: 'password-file = "FOLDER/wrong"',
    status: 2,
    line: "PROBE CRITICAL - refused at AUTH: 535 5.7.8 Authentication failed: check your user name and your e-mail password",
  },
  {
    name: "forged-sender",
    to: "inbox",
    settings: 'from = "user2@example.org"',
    status: 2,
    line: "PROBE CRITICAL - refused at MAIL FROM: 550 5.7.1 user1 may not send as user2@example.org, but as: user1@example.org",
  },
  {
    name: "down",
    to: "inbox",
    settings: 'server = "smtp://127.0.0.1:CLOSED"',
    status: 2,
    line: "PROBE CRITICAL - not to be submitted: Error connecting to 127.0.0.1:CLOSED: Connection refused",
  },
  {
    name: "unseen",
    to: "inbox",
    settings: 'arrive-password-file = "FOLDER/wrong"',
    status: 3,
    line: "PROBE UNKNOWN - the mailbox of inbox at localhost:IMAPS cannot be looked at: the login was refused (Authentication failed.) | submission=N;;;0",
  },
];

/** probes.toml with a route for each scenario; FOLDER, CLOSED and IMAPS are to be filled in. */
export function configuration(submission: number, certificate: string): string {
  const routes = [...scenarios, { name: "held", to: "held" } as const].map(
    (scenario: Pick<Scenario, "name" | "to" | "mailbox" | "settings">) => {
      const { name, to, mailbox = to, settings = "" } = scenario;
      const own = settings.split("\n").map((line) => line.split(" ")[0]);
      const standard = [
        'warn = "30s"',
        'crit = "60s"',
        `arrive-password-file = "FOLDER/${mailbox}"`,
        'arrive-ca = "FOLDER/imap.pem"',
      ].filter((line) => !own.includes(line.split(" ")[0]));
      return `[[route]]
name = "${name}"
to = "${to}@example.net"
arrive = "imaps://${mailbox}@localhost:IMAPS"
${standard.join("\n")}
${settings}
`;
    },
  );
  return `key = "FOLDER/probe/key"
directory = "FOLDER/probe"
[submission]
server = "smtp://localhost:${submission}"
login = "user1"
password-file = "FOLDER/password"
from = "user1@example.org"
ca = "${certificate}"
returns = "imaps://user1@localhost:IMAPS"
returns-password-file = "FOLDER/user1"
returns-ca = "FOLDER/imap.pem"
${routes.join("")}`;
}

/** A policy service of Postfix (SMTPD_POLICY_README) that puts recipients off. */
export function greylisting(times: Map<string, number>): Server {
  return createServer((socket) => {
    socket.on("error", () => socket.destroy());
    let recipient = "";
    createInterface({ input: socket }).on("line", (line) => {
      if (line.startsWith("recipient=")) recipient = line.slice("recipient=".length);
      if (line !== "") return;
      const left = times.get(recipient) ?? 0;
      times.set(recipient, left - 1);
      socket.write(`action=${left > 0 ? "450 4.2.0 Greylisted, come back" : "DUNNO"}\n\n`);
    });
  }).listen(0, "127.0.0.1");
}
