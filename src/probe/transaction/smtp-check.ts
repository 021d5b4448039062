/** A conversation for the program's own sake: nothing of it is shown, and what came of it is a value. */
import type { Auth, Output, Plan, Protocol, Tls } from "../plan.ts";
import { openJournal, type Recorded } from "../transcript/journal.ts";
import type { Transcript } from "../transcript/transcript.ts";
import type { World } from "./session.ts";
import { run } from "./transaction.ts";

/** A submission server, and how it is spoken with. */
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

/** What differs from a conversation without a login, inside TLS that is verified. */
export interface Errand {
  readonly protocol: Pick<Protocol, "from" | "to"> & Partial<Protocol>;
  readonly tls?: Partial<Tls>;
  readonly auth?: Auth;
  readonly data?: Plan["data"];
}

/** Runs it. The exit status is that of exit.ts. */
export async function runErrand(
  { host, port, implicitTls, ca, helo, timeout }: Door,
  { protocol, tls, auth, data }: Errand,
  world: World,
): Promise<{ readonly recorded: Recorded; readonly status: number }> {
  const plan: Plan = {
    transport: { kind: "inet", server: host, port },
    protocol: {
      core: "esmtp",
      helo,
      pipeline: false,
      prdr: false,
      mailParameters: [],
      rcptParameters: [],
      rawLines: [],
      messages: 1,
      timeout,
      ...protocol,
    },
    tls: {
      kind: implicitTls ? "on-connect" : "starttls",
      need: "required",
      verifyCa: true,
      verifyHost: true,
      ...(ca !== undefined && { ca }),
      ...tls,
    },
    ...(auth && { auth }),
    ...(data && { data }),
    output: nothingShown,
  };
  const journal = openJournal();
  const status = await run(plan, { ...silence, error: (text) => journal.error(text) }, journal, world);
  return { recorded: journal.read(), status };
}

/** A login by the first of `types` that the server offers; by any where there are none. */
export const loginBy = (types: readonly string[], user: string, password: string): Auth => ({
  need: "required",
  types,
  map: new Map(),
  user,
  password,
  extra: new Map(),
  plaintext: false,
  hide: "",
});

// A conversation of which nothing is shown: what came of it is in its journal.

export const silence: Transcript = {
  sent: () => undefined,
  message: () => undefined,
  received: () => undefined,
  dump: () => undefined,
  info: () => undefined,
  error: () => undefined,
  explain: () => undefined,
};

export const nothingShown: Output = {
  suppressData: true,
  hints: { send: false, receive: false, info: false },
  hide: { send: true, receive: true, info: true, all: true },
  silent: 3,
  raw: false,
  stdout: "&STDOUT",
  stderr: "&STDERR",
  explain: false,
  json: false,
};

// One attempt to log in at a submission server: TLS that is verified, AUTH PLAIN, QUIT, and no mail.

/** What a server says to a password; `reason` is what stands in the way of an answer. */
export type LoginAnswer =
  | { readonly kind: "in" }
  | { readonly kind: "out" }
  | { readonly kind: "unknown"; readonly reason: string };

/** Says the password once. Only 535 is "out": another reply, such as "too many wrong passwords", tells nothing of it. */
export async function knock(door: Door, user: string, password: string, world: World): Promise<LoginAnswer> {
  // One mechanism: a wrong password is not to be said again in another way.
  const auth = loginBy(["PLAIN"], user, password);
  const { recorded } = await runErrand(
    door,
    { protocol: { from: "", to: [], quitAfter: "AUTH" }, auth },
    world,
  );
  const { steps, errors } = recorded;
  const said = steps.findLast(({ at, reply }) => at === "AUTH" && reply.length > 0)?.reply.at(-1) ?? "";
  if (said.startsWith("235")) return { kind: "in" };
  if (said.startsWith("535")) return { kind: "out" };
  const last = steps.findLast(({ at, expected }) => at !== "QUIT" && !expected);
  const reason = said || last?.reply.at(-1) || errors.at(-1) || "the connection broke";
  return { kind: "unknown", reason: `${door.host}: ${reason.replace(/\s+/g, " ").slice(0, 200)}` };
}
