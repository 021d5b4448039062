/** Where the message is to arrive: the options, and how they are read into the plan. */
import { isIP } from "node:net";
import { Failure } from "../../failure.ts";
import { type MailboxLocation, readLocation } from "../arrival/location.ts";
import type { ArrivalPlan, ProtocolPlan } from "../plan.ts";
import type { OptionAnswers } from "./answers.ts";
import { mistake } from "./mistake.ts";
import type { OptionGroup } from "./option.ts";

const sent =
  "-f alice@example.org -t bob@example.net -s submission.example.org -p 587 -tls -au alice --auth-password-file /run/probe/password --arrive imaps://bob@imap.example.net --arrive-password-file /run/probe/password";

export const arrivalOptions = {
  title: "Arrival",
  rows: [
    {
      name: "arrive",
      argument: "required",
      placeholder: "PLACE",
      help: "Look for the message there, and tell whether, when and in which folder it arrived: imaps://USER@HOST[:PORT][/FOLDER], imap://USER@HOST (with STARTTLS), maildir:DIRECTORY, or lmtp://HOST:PORT and smtp://HOST:PORT, where the probe itself listens. The message gets a signed mark that nobody can forge.",
      example: "-t bob@example.net -s mail.example.net --arrive maildir:/home/bob/Maildir",
      ours: true,
    },
    {
      name: "arrive-password-file",
      argument: "required",
      placeholder: "FILE",
      help: "Read the mailbox's password from the first line of a file. $TPA_SUBMIT_ARRIVE_PASSWORD does the same without a file.",
      example: sent,
      ours: true,
    },
    {
      name: "arrive-timeout",
      argument: "required",
      placeholder: "TIME",
      standard: "60s",
      help: "How long to wait for the message, once it is sent: 90, 90s, 5m or 1h. What is not there then is lost.",
      example: `${sent} --arrive-timeout 5m`,
      ours: true,
    },
    {
      name: "warn",
      argument: "required",
      placeholder: "TIME",
      standard: "that of --crit",
      help: "What takes longer is late.",
      example: `${sent} --warn 20s`,
      ours: true,
    },
    {
      name: "crit",
      argument: "required",
      placeholder: "TIME",
      standard: "that of --arrive-timeout",
      help: "What takes longer is too late.",
      example: `${sent} --warn 20s --crit 40s`,
      ours: true,
    },
    {
      name: "arrive-ca",
      argument: "required",
      placeholder: "FILE",
      help: "Trust these certificates (PEM) at the mailbox's server in place of Mozilla's.",
      example: `${sent} --arrive-ca ca.pem`,
      ours: true,
    },
    {
      name: "arrive-spam-folder",
      argument: "required",
      placeholder: "FOLDER",
      standard: "the one whose special use, or name, says so",
      help: "The folder where spam is put.",
      example: `${sent} --arrive-spam-folder Unwanted`,
      ours: true,
    },
    {
      name: "arrive-authority",
      argument: "required",
      placeholder: "NAME",
      standard: "found out from the Received fields",
      help: "The name in those Authentication-Results that count.",
      example: `${sent} --arrive-authority mx.example.net`,
      ours: true,
    },
    {
      name: "arrive-nameserver",
      argument: "required",
      placeholder: "ADDRESS",
      standard: "the system's",
      help: "The DNS server, an IP address with its port or without, to ask for the keys of DKIM signatures.",
      example: `${sent} --arrive-nameserver 192.0.2.53`,
      ours: true,
    },
    {
      name: "arrive-key",
      argument: "required",
      placeholder: "FILE",
      standard: "one for this run alone",
      help: "Sign the mark with the secret in this file, 32 octets or more; messages of earlier runs are known by it, too.",
      example: `${sent} --arrive-key /etc/probe/key`,
      ours: true,
    },
    {
      name: "keep",
      argument: "required",
      placeholder: "TIME",
      standard: "7d",
      help: "Delete messages of earlier runs with the same --arrive-key from the mailbox when they are older: 12h, 7d.",
      example: `${sent} --arrive-key /etc/probe/key --keep 1d`,
      ours: true,
    },
    {
      name: "nagios",
      argument: "none",
      help: "Write one status line with figures in place of the transcript, and end with 0, 1, 2 or 3, as plugins of Nagios and Icinga do.",
      example: `${sent} --nagios`,
      ours: true,
    },
  ],
} as const satisfies OptionGroup;

type ArrivalOption = (typeof arrivalOptions.rows)[number]["name"];

/** The variable that keeps the mailbox's password off the command line. */
const arrivePasswordVariable = "TPA_SUBMIT_ARRIVE_PASSWORD";

const others = [
  ...["arrive-password-file", "arrive-timeout", "warn", "crit", "arrive-ca", "arrive-spam-folder"],
  ...["arrive-authority", "arrive-nameserver", "arrive-key", "keep", "nagios"],
] as readonly ArrivalOption[];

const day = 86_400_000;

/** Undefined without --arrive. Throws a Failure where an option is wrong, or two contradict each other. */
export async function arrivalOf(
  answers: OptionAnswers<ArrivalOption | "json">,
  protocol: ProtocolPlan,
  variables: Readonly<Record<string, string | undefined>>,
): Promise<ArrivalPlan | undefined> {
  const place = await answers.text("arrive");
  if (place === undefined) {
    const lonely = others.find(answers.has);
    if (lonely) throw mistake(`--${lonely} goes with --arrive, which says where to look`);
    return undefined;
  }
  refuseContradictions(answers, protocol);
  const where = whereOf(place);
  const timeout = (await timeOf(answers, "arrive-timeout")) ?? 60_000;
  const crit = (await timeOf(answers, "crit")) ?? timeout;
  const warn = (await timeOf(answers, "warn")) ?? crit;
  if (crit > timeout) throw mistake("--crit: expected no more than --arrive-timeout, found more");
  if (warn > crit) throw mistake("--warn: expected no more than --crit, found more");
  const spamFolder = await answers.text("arrive-spam-folder");
  const authority = await answers.text("arrive-authority");
  const nameserver = await answers.text("arrive-nameserver");
  if (nameserver !== undefined && !isServer(nameserver))
    throw mistake(
      "--arrive-nameserver: expected an IP address, with its port or without, found another text",
    );
  const key = await fileOf(answers, "arrive-key");
  if (key && key.length < 32) throw mistake(`--arrive-key: expected 32 octets or more, found ${key.length}`);
  const ca = await fileOf(answers, "arrive-ca");
  return {
    location: where,
    password: await passwordOf(answers, where, variables[arrivePasswordVariable]),
    timeout,
    warn,
    crit,
    keep: (await timeOf(answers, "keep")) ?? 7 * day,
    ...(ca && { ca: new TextDecoder().decode(ca) }),
    ...(spamFolder !== undefined && { spamFolder }),
    ...(authority !== undefined && { authority }),
    ...(nameserver !== undefined && { nameserver }),
    ...(key && { key }),
    nagios: answers.has("nagios"),
  };
}

/** As node:dns has it: `192.0.2.53`, `192.0.2.53:5353`, `[2001:db8::53]:53`. */
function isServer(text: string): boolean {
  if (isIP(text) !== 0) return true;
  const [, inBrackets = "", plain = "", port = "0"] =
    /^(?:\[([0-9a-f:.]+)\]|([0-9.]+)):(\d{1,5})$/i.exec(text) ?? [];
  const isAddress = inBrackets === "" ? isIP(plain) === 4 : isIP(inBrackets) === 6;
  return isAddress && Number(port) >= 1 && Number(port) <= 65_535;
}

function refuseContradictions(answers: OptionAnswers<ArrivalOption | "json">, protocol: ProtocolPlan): void {
  const { quitAfter, dropAfter, dropAfterSend, messages } = protocol;
  if (quitAfter ?? dropAfter ?? dropAfterSend)
    throw mistake("--arrive wants a message that is sent: leave out --quit-after and --drop-after");
  if (messages > 1) throw mistake("--arrive looks for one message: leave out --messages");
  if (answers.has("nagios") && answers.has("json"))
    throw mistake("--nagios and --json do not go together: leave one out");
}

function whereOf(place: string): MailboxLocation {
  try {
    return readLocation(place, "--arrive");
  } catch (error) {
    throw error instanceof Failure ? mistake(error.message) : error;
  }
}

/** A Maildir and the listener need no password. */
async function passwordOf(
  answers: OptionAnswers<ArrivalOption>,
  where: MailboxLocation,
  variable: string | undefined,
): Promise<string> {
  if (where.kind !== "imap") return "";
  const octets = await fileOf(answers, "arrive-password-file");
  const password = octets ? new TextDecoder().decode(octets).replace(/\r?\n.*$/s, "") : (variable ?? "");
  if (password !== "") return password;
  throw mistake(
    octets
      ? "--arrive-password-file: expected the password on the file's first line, found nothing there"
      : `--arrive: the mailbox wants a password: name a file with --arrive-password-file, or set $${arrivePasswordVariable}`,
  );
}

/** The contents of the file that an option names; "-" is standard input. */
async function fileOf(
  answers: OptionAnswers<ArrivalOption>,
  name: "arrive-password-file" | "arrive-key" | "arrive-ca",
): Promise<Uint8Array | undefined> {
  const path = await answers.text(name);
  if (path === undefined) return undefined;
  const value = path === "-" ? "-" : `@${path}`;
  return (await answers.follow(value, name)).octets;
}

const units: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: day };

/** Milliseconds. */
async function timeOf(
  answers: OptionAnswers<ArrivalOption>,
  name: "arrive-timeout" | "warn" | "crit" | "keep",
): Promise<number | undefined> {
  const text = await answers.text(name);
  if (text === undefined) return undefined;
  const [, digits, unit = "s"] = /^(\d{1,7})([smhd]?)$/i.exec(text) ?? [];
  if (digits === undefined)
    throw mistake(`--${name}: expected a time such as 90s, 5m or 7d, found '${text}'`);
  return Number(digits) * (units[unit.toLowerCase()] ?? 1000);
}
