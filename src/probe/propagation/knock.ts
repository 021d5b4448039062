/** One attempt to log in at a submission server: TLS that is verified, AUTH PLAIN, QUIT, and no mail. */

import type { Plan } from "../plan.ts";
import type { World } from "../transaction/session.ts";
import { nothingShown, silence } from "../transaction/silence.ts";
import { run } from "../transaction/transaction.ts";
import { openJournal } from "../transcript/journal.ts";
import type { Answer } from "./course.ts";

/** Where to log in. */
export interface Door {
  readonly host: string;
  readonly port: number;
  readonly implicitTls: boolean;
  /** PEM of the CAs to trust instead of the system's. */
  readonly ca?: string;
  /** Our name in EHLO. */
  readonly helo: string;
  /** Milliseconds for each answer. */
  readonly timeout: number;
}

/** Says the password once. Only 535 is "out": another reply, such as "too many wrong passwords", tells nothing of it. */
export async function knock(door: Door, user: string, password: string, world: World): Promise<Answer> {
  const journal = openJournal();
  const errors: string[] = [];
  await run(
    planOf(door, user, password),
    { ...silence, error: (text) => void errors.push(text) },
    journal,
    world,
  );
  const { steps, errors: noted } = journal.read();
  const said = steps.findLast(({ at, reply }) => at === "AUTH" && reply.length > 0)?.reply.at(-1) ?? "";
  if (said.startsWith("235")) return { kind: "in" };
  if (said.startsWith("535")) return { kind: "out" };
  const last = steps.findLast(({ at, expected }) => at !== "QUIT" && !expected);
  const reason = said || last?.reply.at(-1) || [...noted, ...errors].at(-1) || "the connection broke";
  return { kind: "unknown", reason: `${door.host}: ${reason.replace(/\s+/g, " ").slice(0, 200)}` };
}

const planOf = (
  { host, port, implicitTls, ca, helo, timeout }: Door,
  user: string,
  password: string,
): Plan => ({
  transport: { kind: "inet", server: host, port },
  protocol: {
    core: "esmtp",
    helo,
    from: "",
    to: [],
    pipeline: false,
    prdr: false,
    mailParameters: [],
    rcptParameters: [],
    rawLines: [],
    messages: 1,
    timeout,
    quitAfter: "AUTH",
  },
  tls: {
    kind: implicitTls ? "on-connect" : "starttls",
    need: "required",
    verifyCa: true,
    verifyHost: true,
    ...(ca !== undefined && { ca }),
  },
  // One mechanism: a wrong password is not to be said again in another way.
  auth: {
    need: "required",
    types: ["PLAIN"],
    map: new Map(),
    user,
    password,
    extra: new Map(),
    plaintext: false,
    hide: "",
  },
  output: nothingShown,
});
