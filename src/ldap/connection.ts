/**
 * A connection to the directory: connect, bind, search, change one attribute, unbind.
 * The only file that knows the LDAP library (ldapts 8.2.0); how each of its traps is closed stands where it is closed.
 */
import type { Socket } from "node:net";
import { debuglog } from "node:util";
import { Attribute, Change, Client, FilterParser, ResultCodeError } from "ldapts";
import { errorText, exitStatus, Failure } from "../failure.ts";
import type { LdapAccess, LdapLogin } from "./access.ts";
import {
  type LdapDirectory,
  type LdapEntry,
  LdapResultError,
  type Page,
  resultCode,
  type Search,
} from "./directory.ts";
import {
  type DirectoryAddress,
  openSocket,
  readAddress,
  secure,
  type WaitLimits,
  withinLimits,
} from "./socket.ts";

/**
 * Connects to the first URL that can be reached, logs in, lets `use` work, and hangs up whatever happens. `signal` ends
 * it at once. What `use` returns is returned. Throws what {@link LdapDirectory} throws; where no URL could be reached,
 * one Failure with a line for all of them.
 */
export async function withDirectory<Result>(
  access: LdapAccess,
  signal: AbortSignal,
  use: (directory: LdapDirectory) => Promise<Result>,
): Promise<Result> {
  refuseDebugging();
  const end = new AbortController();
  const late = new Failure(exitStatus.temporary, `the deadline of ${access.deadline / 1000} s passed`);
  const timer = setTimeout(() => end.abort(late), access.deadline);
  const onAbort = (): void => end.abort(signal.reason);
  signal.addEventListener("abort", onAbort);
  if (signal.aborted) onAbort();
  try {
    const link = await firstOf(access, { timeout: access.timeout, signal: end.signal });
    try {
      return await use(directoryOn(link));
    } finally {
      await hangUp(link);
    }
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
  }
}

/** NODE_DEBUG=ldapts prints what is sent, new hashes included. */
function refuseDebugging(): void {
  if (!debuglog("ldapts").enabled) return;
  throw new Failure(
    exitStatus.usage,
    "NODE_DEBUG would print password hashes; run it without ldapts (and without *) in NODE_DEBUG",
  );
}

/** One connection: the client, the socket it lives on, and how long to wait. */
interface Link {
  readonly url: string;
  readonly client: Client;
  readonly socket: Socket;
  readonly limits: WaitLimits;
}

async function firstOf(access: LdapAccess, limits: WaitLimits): Promise<Link> {
  const failures: Failure[] = [];
  for (const url of access.urls) {
    try {
      return await open(url, access, limits);
    } catch (error) {
      // The others have the same accounts: a wrong password is wrong there, too.
      if (!(error instanceof Failure) || !isUnreachable(error) || limits.signal.aborted) throw error;
      failures.push(error);
    }
  }
  const status = failures.at(-1)?.status ?? exitStatus.config;
  throw new Failure(
    status,
    failures.map(({ message }) => message).join("; ") || "ldap.url: no directory is set",
  );
}

const isUnreachable = ({ status }: Failure): boolean =>
  status === exitStatus.unavailable || status === exitStatus.temporary;

async function open(url: string, access: LdapAccess, limits: WaitLimits): Promise<Link> {
  const address = readAddress(url);
  if (address === undefined) {
    throw new Failure(exitStatus.config, `ldap.url: expected "ldaps://host", found "${url}"`);
  }
  const link = await connectTo(url, address, access, limits);
  try {
    await logIn(link, access.login);
    return link;
  } catch (error) {
    await hangUp(link);
    throw error;
  }
}

async function connectTo(
  url: string,
  address: DirectoryAddress,
  access: LdapAccess,
  limits: WaitLimits,
): Promise<Link> {
  const plain = await openSocket(url, address, limits);
  if (address.kind === "unix") return clientOn(plain, url, limits);
  const target = { host: address.host, context: access.context };
  if (address.tls) return clientOn(await secure(url, plain, target, limits), url, limits);
  if (!access.starttls) return clientOn(plain, url, limits);

  const before = clientOn(plain, url, limits);
  try {
    await ask(before, "asking for STARTTLS", before.client.exop(oid.startTls));
  } catch (error) {
    plain.destroy();
    throw error;
  }
  // From here on nothing that came in plain text counts (RFC 4511 section 4.14.1): the library's own startTLS()
  // would keep what it had half read, and would not notice a cut later. A new client has read nothing.
  plain.removeAllListeners("data");
  return clientOn(await secure(url, plain, target, limits), url, limits);
}

/** RFC 4511 section 4.14, RFC 4532 section 2. */
const oid = { startTls: "1.3.6.1.4.1.1466.20037", whoami: "1.3.6.1.4.1.4203.1.11.3" };

/**
 * A client on a socket that stands. It is handed the socket once; when it wants to connect again, which it does by
 * itself and without logging in, there is none. Its `tlsOptions` (which turn ldap:// into ldaps://), `autoRebind`,
 * `sizeLimit` (which hides that a result was cut short) and timeouts (which spare STARTTLS) are never used.
 */
function clientOn(socket: Socket, url: string, limits: WaitLimits): Link {
  let unused: Socket | undefined = socket;
  const client = new Client({
    url: "ldap://localhost", // of no meaning: the socket is there
    createConnection: () => {
      if (unused === undefined) throw new Failure(exitStatus.temporary, `${url}: connection lost`);
      const once = unused;
      unused = undefined;
      return once;
    },
  });
  return { url, client, socket, limits };
}

async function logIn(link: Link, login: LdapLogin): Promise<void> {
  switch (login.kind) {
    case "anonymous":
      return;
    case "external":
      return ask(link, "logging in with EXTERNAL", link.client.bindSASL("EXTERNAL"));
    case "simple":
      // RFC 4513 section 5.1.2: with an empty password some directories let one in as nobody and call it a success.
      if (login.password === "" || login.dn === "") {
        throw new Failure(exitStatus.config, "a DN and a password to log in with must not be empty");
      }
      return ask(link, `logging in as ${login.dn}`, link.client.bind(login.dn, login.password));
  }
}

function directoryOn(link: Link): LdapDirectory {
  const { url } = link;
  return {
    url,
    whoami: () => whoami(link),
    pages: (search) => pages(link, search),
    async read(dn, attributes) {
      const search = { base: dn, scope: "base", filter: "(objectClass=*)", attributes, pageSize: 1 } as const;
      try {
        for await (const { entries } of pages(link, search)) return entries[0];
      } catch (error) {
        if (!(error instanceof LdapResultError && error.code === resultCode.noSuchObject)) throw error;
      }
      return undefined;
    },
    replace: (dn, attribute, values) => modify(link, dn, attribute, [["replace", values]]),
    change: (dn, attribute, { remove = [], add = [] }) =>
      modify(link, dn, attribute, [
        ...(remove.length > 0 ? [["delete", remove] as const] : []),
        ...(add.length > 0 ? [["add", add] as const] : []),
      ]),
  };
}

type Modification = readonly ["add" | "delete" | "replace", readonly string[]];

/** One request, which the directory carries out as a whole (RFC 4511 section 4.6). */
function modify(
  link: Link,
  dn: string,
  attribute: string,
  modifications: readonly Modification[],
): Promise<void> {
  const changes = modifications.map(([operation, values]) => {
    const modification = new Attribute({ type: attribute, values: [...values] });
    return new Change({ operation, modification });
  });
  return ask(link, `changing ${attribute} of ${dn}`, link.client.modify(dn, changes));
}

async function whoami(link: Link): Promise<string | undefined> {
  try {
    const { value } = await ask(link, "asking who we are", link.client.exop(oid.whoami));
    return value ?? "";
  } catch (error) {
    const cannot: readonly number[] = [resultCode.protocolError, resultCode.unwillingToPerform];
    if (error instanceof LdapResultError && cannot.includes(error.code)) return undefined;
    throw error;
  }
}

async function* pages(link: Link, search: Search): AsyncGenerator<Page> {
  const found = link.client.searchPaginated(search.base, {
    scope: search.scope,
    filter: filterOf(search.filter),
    attributes: [...search.attributes],
    explicitBufferAttributes: new EveryAttribute(),
    paged: { pageSize: search.pageSize },
    derefAliases: "never",
  });
  while (true) {
    const { value, done } = await ask(link, `searching ${search.base}`, found.next());
    if (done) return;
    yield { entries: value.searchEntries.map(entryOf), referrals: value.searchReferences };
  }
}

/**
 * Asks the library for octets, whatever an attribute is called: it compares names with the server's spelling letter
 * by letter, and would make text of what it does not find, without a leading byte order mark.
 */
class EveryAttribute extends Array<string> {
  override includes(): boolean {
    return true;
  }
}

/** The library takes "(&(uid=*)" for a filter; parentheses are counted here (as values they are \28 and \29). */
function filterOf(filter: string) {
  try {
    const parsed = FilterParser.parseString(filter);
    if (filter.split("(").length === filter.split(")").length) return parsed;
    throw new Error("the parentheses do not match");
  } catch (error) {
    throw new Failure(exitStatus.config, `ldap.filter: "${filter}": ${errorText(error)}; see RFC 4515`);
  }
}

type LibraryEntry = Awaited<ReturnType<Client["search"]>>["searchEntries"][number];

/** One value, several and none come in three shapes; a missing attribute comes as an empty list. */
function entryOf({ dn, ...attributes }: LibraryEntry): LdapEntry {
  const values = Object.entries(attributes).map(([name, given]): [string, Buffer[]] => [
    name.toLowerCase(),
    (Array.isArray(given) ? given : [given]).map((value) =>
      Buffer.isBuffer(value) ? value : Buffer.from(value),
    ),
  ]);
  return { dn, values: new Map(values) };
}

/** Waits for the library's answer, within the limits. */
async function ask<Result>(link: Link, doing: string, work: Promise<Result>): Promise<Result> {
  const { url, socket, limits } = link;
  try {
    return await withinLimits(work, socket, { url, doing }, limits);
  } catch (error) {
    if (error instanceof Failure) throw error;
    if (error instanceof ResultCodeError) {
      throw new LdapResultError(url, error.code, doing, error.message.replace(/ ?Code: 0x[0-9a-f]+$/, ""));
    }
    // Anything else the library throws is about the bytes: after an answer that it cannot read (such as RFC 4511's
    // IntermediateResponse) it drops the rest of what came with it, so this connection is of no more use.
    socket.destroy();
    const text = errorText(error).replace(/\s+/g, " ");
    throw new Failure(exitStatus.temporary, `${url}: connection lost while ${doing} (${text})`, {
      cause: error,
    });
  }
}

/** Unbinds, and closes the socket even where that fails: an open one keeps the process alive. */
async function hangUp({ client, socket }: Link): Promise<void> {
  if (!socket.destroyed) {
    const gone = new Promise<void>((resolve) => socket.once("close", () => resolve()));
    const hurry = setTimeout(() => socket.destroy(), 1000);
    await Promise.race([gone, client.unbind().catch(() => undefined)]); // an unbind that fails is enough
    clearTimeout(hurry);
  }
  socket.destroy();
}
