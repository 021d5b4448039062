/** Where the message is to arrive: from options to the plan's part. */
import { Failure } from "../../failure.ts";
import { readWhere, type Where } from "../arrival/where.ts";
import type { Arrival, Protocol } from "../plan.ts";
import type { Answers } from "./answers.ts";
import { mistake } from "./mistake.ts";
import type { Environment } from "./sources.ts";
import type { Name } from "./table.ts";

/** The variable that keeps the mailbox's password off the command line. */
export const arrivePasswordVariable = "TPA_SUBMIT_ARRIVE_PASSWORD";

const others = [
  ...["arrive-password-file", "arrive-timeout", "warn", "crit", "arrive-ca", "arrive-spam-folder"],
  ...["arrive-authority", "arrive-key", "keep", "nagios"],
] as readonly Name[];

const day = 86_400_000;

/** Undefined where nobody wants to know. Throws a Failure where an option is wrong, or two contradict each other. */
export async function arrivalOf(
  answers: Answers,
  protocol: Protocol,
  environment: Environment,
): Promise<Arrival | undefined> {
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
  const key = await fileOf(answers, "arrive-key");
  if (key && key.length < 32) throw mistake(`--arrive-key: expected 32 octets or more, found ${key.length}`);
  const ca = await fileOf(answers, "arrive-ca");
  return {
    where,
    password: await passwordOf(answers, where, environment[arrivePasswordVariable]),
    timeout,
    warn,
    crit,
    keep: (await timeOf(answers, "keep")) ?? 7 * day,
    ...(ca && { ca: new TextDecoder().decode(ca) }),
    ...(spamFolder !== undefined && { spamFolder }),
    ...(authority !== undefined && { authority }),
    ...(key && { key }),
    nagios: answers.has("nagios"),
  };
}

function refuseContradictions(answers: Answers, protocol: Protocol): void {
  const { quitAfter, dropAfter, dropAfterSend, messages } = protocol;
  if (quitAfter ?? dropAfter ?? dropAfterSend)
    throw mistake("--arrive wants a message that is sent: leave out --quit-after and --drop-after");
  if (messages > 1) throw mistake("--arrive looks for one message: leave out --messages");
  if (answers.has("nagios") && answers.has("json"))
    throw mistake("--nagios and --json do not go together: leave one out");
}

function whereOf(place: string): Where {
  try {
    return readWhere(place, "--arrive");
  } catch (error) {
    throw error instanceof Failure ? mistake(error.message) : error;
  }
}

/** Nobody logs in to a folder, nor to the probe itself. */
async function passwordOf(answers: Answers, where: Where, variable: string | undefined): Promise<string> {
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

/** What the file holds that an option names; "-" is standard input. */
async function fileOf(
  answers: Answers,
  name: "arrive-password-file" | "arrive-key" | "arrive-ca",
): Promise<Uint8Array | undefined> {
  const path = await answers.text(name);
  if (path === undefined) return undefined;
  const value = path === "-" ? "-" : `@${path}`;
  return (await answers.contentsOf({ name, value, visible: false }))?.octets;
}

const units: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: day };

/** Milliseconds. */
async function timeOf(
  answers: Answers,
  name: "arrive-timeout" | "warn" | "crit" | "keep",
): Promise<number | undefined> {
  const text = await answers.text(name);
  if (text === undefined) return undefined;
  const [, digits, unit = "s"] = /^(\d{1,7})([smhd]?)$/i.exec(text) ?? [];
  if (digits === undefined)
    throw mistake(`--${name}: expected a time such as 90s, 5m or 7d, found '${text}'`);
  return Number(digits) * (units[unit.toLowerCase()] ?? 1000);
}
