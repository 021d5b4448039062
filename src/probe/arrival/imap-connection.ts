/**
 * A connection to an IMAP server, shared by all who look into the same account, as servers allow few. It is opened at
 * the first use, and again after it broke. Whatever the server does, no use takes longer than `patience`.
 */
import type { ImapFlow } from "imapflow";
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";
import { withoutSecrets } from "../untrusted-text.ts";
import { mostOctets } from "./mailbox.ts";

export interface ImapLogin {
  readonly host: string;
  readonly port: number;
  /** False: STARTTLS, before any login. */
  readonly implicitTls: boolean;
  readonly user: string;
  readonly password: string;
  /** Certificates (PEM) to trust in place of Mozilla's. */
  readonly ca?: string;
}

export interface ImapConnection {
  /** Does `work` with the connection. Throws a Failure where the server or the network is at fault, or `stop` comes. */
  use<Value>(stop: AbortSignal, work: (imap: ImapFlow) => Promise<Value>): Promise<Value>;
  /** Each open() needs a release(); the last one closes the connection. */
  open(): void;
  release(): Promise<void>;
}

/** Milliseconds for one use, however much there is to read; our choice. */
const patience = 30_000;

/** Milliseconds for LOGOUT. */
const politeness = 2000;

export function imapConnection(login: ImapLogin): ImapConnection {
  let client: ImapFlow | undefined;
  let connecting: Promise<ImapFlow> | undefined;
  let holders = 0;

  async function current(): Promise<ImapFlow> {
    if (client?.usable) return client;
    connecting ??= connect(login).finally(() => {
      connecting = undefined;
    });
    client = await connecting;
    return client;
  }

  return {
    async use(stop, work) {
      try {
        return await within(patience, stop, async () => work(await current()));
      } catch (error) {
        client?.close();
        throw asFailure(error, login);
      }
    },
    open: () => void holders++,
    async release() {
      holders--;
      if (holders > 0 || !client) return;
      const last = client;
      client = undefined;
      if (last.usable) await within(politeness, undefined, () => last.logout()).catch(() => undefined); // it is closed anyway
      last.close();
    },
  };
}

/** Connections by account: the same account gets the same connection. */
export function imapConnections(): (login: ImapLogin) => ImapConnection {
  const lines = new Map<string, ImapConnection>();
  return (login) => {
    const key = JSON.stringify([login.host, login.port, login.user, login.password, login.ca]);
    const line = lines.get(key) ?? imapConnection(login);
    lines.set(key, line);
    return line;
  };
}

async function connect({ host, port, implicitTls, user, password, ca }: ImapLogin): Promise<ImapFlow> {
  const { ImapFlow } = await import("imapflow");
  const client = new ImapFlow({
    host,
    port,
    secure: implicitTls,
    ...(!implicitTls && { doSTARTTLS: true }),
    auth: { user, pass: password },
    tls: { minVersion: "TLSv1.2", ...(ca !== undefined && { ca }) },
    logger: false,
    disableAutoIdle: true,
    connectionTimeout: patience,
    greetingTimeout: patience,
    socketTimeout: patience,
    // A broken or hostile server must not fill our memory.
    maxLineLength: 1024 * 1024,
    maxLiteralSize: 2 * mostOctets,
    maxResponseSize: 8 * mostOctets,
  });
  client.on("error", () => undefined); // a use in progress fails by itself; otherwise `usable` tells
  try {
    await within(patience, undefined, () => client.connect());
    return client;
  } catch (error) {
    client.close();
    throw error;
  }
}

/** It took too long, or was interrupted. */
class Interruption extends Error {}

/** Waits for `work`, but no longer than `limit` milliseconds or until `stop`. A later result is dropped. */
async function within<Value>(
  limit: number,
  stop: AbortSignal | undefined,
  work: () => Promise<Value>,
): Promise<Value> {
  let interrupt: (why: string) => void = () => undefined;
  const interruption = new Promise<never>((_, reject) => {
    interrupt = (why) => reject(new Interruption(why));
  });
  const timer = setTimeout(() => interrupt("it took too long"), limit);
  const onStop = (): void => interrupt("interrupted");
  stop?.addEventListener("abort", onStop, { once: true });
  if (stop?.aborted) onStop();
  try {
    return await Promise.race([interruption, work()]);
  } finally {
    clearTimeout(timer);
    stop?.removeEventListener("abort", onStop);
  }
}

/**
 * An error of the server or the network becomes a Failure of one line, with a status of its own for a refused login;
 * our own bugs stay what they are.
 */
function asFailure(error: unknown, { host, port, user, password }: ImapLogin): unknown {
  if (error instanceof Failure || isOurs(error)) return error;
  const words = withoutSecrets(wordsOf(error), user, password);
  return new Failure(
    isRefused(error) ? exitStatus.noPermission : exitStatus.unavailable,
    `the mailbox of ${user} at ${host}:${port} cannot be looked at: ${words}`,
  );
}

/** A login that will be refused again, unlike one that met a limit of the server (RFC 5530 section 3). */
function isRefused(error: unknown): boolean {
  const { authenticationFailed, serverResponseCode, responseText } = error as Partial<
    Record<string, unknown>
  >;
  if (authenticationFailed !== true) return false;
  const passing = /^(?:UNAVAILABLE|INUSE|LIMIT|SERVERBUG|CONTACTADMIN)$/i;
  return !passing.test(String(serverResponseCode)) && !/maximum|too many/i.test(String(responseText));
}

/** The library throws such errors, too, at answers that no correct server gives. */
const isOurs = (error: unknown): boolean =>
  (error instanceof TypeError || error instanceof RangeError) &&
  !/\bnode_modules[\\/](?:imapflow|@zone-eu)/.test(error.stack ?? "");

/** What the server said, in one line; else what the system says. */
function wordsOf(error: unknown): string {
  const { responseText } = error as { responseText?: unknown };
  const said = typeof responseText === "string" ? responseText : "";
  const words = said || errorText(error) || errorCode(error);
  const line = words.replace(/[^\x20-\x7e]+/g, " ").slice(0, 300);
  return isRefused(error) ? `the login was refused (${line})` : line;
}
