/** A conversation for the program's own sake: nothing of it is shown, and what came of it is a value. */
import type { Auth, Plan, Protocol, Tls } from "../plan.ts";
import { openJournal, type Recorded } from "../transcript/journal.ts";
import type { World } from "./session.ts";
import { nothingShown, silence } from "./silence.ts";
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
