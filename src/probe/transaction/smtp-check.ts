/** An SMTP session of the program's own, for the monitor, the checkup and the propagation: nothing of it is shown. */
import type { AuthPlan, OutputPlan, ProbePlan, ProtocolPlan, TlsPlan } from "../plan.ts";
import { openJournal, type RunRecord } from "../transcript/journal.ts";
import type { Transcript } from "../transcript/transcript.ts";
import type { ProbeDependencies } from "./session.ts";
import { run } from "./transaction.ts";

/** A submission server, and how to connect to it. */
export interface CheckedServer {
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

/** What differs from a session without a login inside verified TLS. */
export interface SmtpCheck {
  readonly protocol: Pick<ProtocolPlan, "from" | "to"> & Partial<ProtocolPlan>;
  readonly tls?: Partial<TlsPlan>;
  readonly auth?: AuthPlan;
  readonly data?: ProbePlan["data"];
}

/** Runs it. The exit status is one of exit-status.ts. */
export async function runSmtpCheck(
  { host, port, implicitTls, ca, helo, timeout }: CheckedServer,
  { protocol, tls, auth, data }: SmtpCheck,
  dependencies: ProbeDependencies,
): Promise<{ readonly recorded: RunRecord; readonly status: number }> {
  const plan: ProbePlan = {
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
    output: silentOutput,
  };
  const journal = openJournal();
  const status = await run(
    plan,
    { ...silentTranscript, error: (text) => journal.error(text) },
    journal,
    dependencies,
  );
  return { recorded: journal.read(), status };
}

/** A login by the first of `types` that the server offers; by any where there are none. */
export const loginBy = (types: readonly string[], user: string, password: string): AuthPlan => ({
  need: "required",
  types,
  map: new Map(),
  user,
  password,
  extra: new Map(),
  plaintext: false,
  hide: "",
});

/** Shows nothing: the journal has what happened. */
export const silentTranscript: Transcript = {
  sent: () => undefined,
  message: () => undefined,
  received: () => undefined,
  dump: () => undefined,
  info: () => undefined,
  error: () => undefined,
  explain: () => undefined,
};

export const silentOutput: OutputPlan = {
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

/** What a server says to a password; `reason` tells why it does not say. */
export type LoginAnswer =
  | { readonly kind: "in" }
  | { readonly kind: "out" }
  | { readonly kind: "unknown"; readonly reason: string };

/**
 * One attempt to log in: verified TLS, AUTH PLAIN, QUIT, and no mail. Only 535 is "out": another reply, such as "too
 * many wrong passwords", tells nothing about the password.
 */
export async function checkLogin(
  server: CheckedServer,
  user: string,
  password: string,
  dependencies: ProbeDependencies,
): Promise<LoginAnswer> {
  // One mechanism: a wrong password must not be sent again by another.
  const auth = loginBy(["PLAIN"], user, password);
  const { recorded } = await runSmtpCheck(
    server,
    { protocol: { from: "", to: [], quitAfter: "AUTH" }, auth },
    dependencies,
  );
  const { steps, errors } = recorded;
  const said = steps.findLast(({ at, reply }) => at === "AUTH" && reply.length > 0)?.reply.at(-1) ?? "";
  if (said.startsWith("235")) return { kind: "in" };
  if (said.startsWith("535")) return { kind: "out" };
  const last = steps.findLast(({ at, expected }) => at !== "QUIT" && !expected);
  const reason = said || last?.reply.at(-1) || errors.at(-1) || "the connection broke";
  return { kind: "unknown", reason: `${server.host}: ${reason.replace(/\s+/g, " ").slice(0, 200)}` };
}
