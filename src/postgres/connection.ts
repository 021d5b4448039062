/**
 * One connection to the database that takes writes. A statement that does not end in time costs its connection: a host cut
 * from the network must not wait for TCP's patience, which is a quarter of an hour.
 */
import { randomBytes } from "node:crypto";
import { Client, type QueryResult, types } from "pg";
import { errorCode, errorText, exitStatus, Failure } from "../failure.ts";
import type { StoreHost } from "../store-url.ts";
import { connectAs, type WordsAs } from "./as-user.ts";
import type { StoreAccess } from "./settings.ts";

/**
 * There is no database at the moment. The code makes it a trouble like a full disk, and no bug: whoever asked has done nothing
 * wrong, and may ask again.
 */
export class DatabaseAway extends Error {
  readonly code = "ESTOREAWAY";
  /** The session of a transaction whose commit was not answered: it may stand. */
  readonly session: string | undefined;

  constructor(reason: string, session?: string, options?: ErrorOptions) {
    super(`the database is away: ${reason}`, options);
    this.name = "DatabaseAway";
    this.session = session;
  }
}

export interface DatabaseConnection {
  /** Unknown to all others: pg_stat_activity has it as application_name. */
  readonly session: string;
  /** Throws DatabaseAway, the connection then being of no use any more, or PostgreSQL's error. */
  run<Row>(text: string, values?: readonly unknown[], patience?: number): Promise<readonly Row[]>;
  /** COMMIT. Throws DatabaseAway with the session where it may stand nevertheless. */
  commit(): Promise<void>;
  /** False once it is of no use. */
  isOpen(): boolean;
  /** Called once, when it has come to its end, with why. */
  onEnd(ended: (reason: string) => void): void;
  /** Called with each NOTIFY. */
  onNotify(heard: (channel: string, payload: string) => void): void;
  /** Ends it whatever it is doing. */
  drop(reason: string): void;
}

/** Milliseconds. A statement takes none of them; what hangs is behind a lock, a full disk or a standby that is away. */
const connecting = 3_000;
const statementPatience = 30_000;
const grace = 2_000;

/**
 * A host that is stopped in the middle of a transaction keeps its locks for so long, in milliseconds: who takes its messages over
 * waits for it, and so does mail of the logins in that transaction on other hosts. Our choice: no event loop should stand so long.
 */
const idleInTransaction = 2_000;

/** SQLSTATEs that say that this server is no database for us now: PostgreSQL's manual, appendix A. */
const awayStates = ["57P01", "57P02", "57P03", "57P05", "25006", "25P03", "53300", "25P04"];

const isAwayState = (code: string): boolean => code.startsWith("08") || awayStates.includes(code);

/** What a column holds that is longer than a float tells exactly: none of ours is. */
const int8 = 20;

const typesOfOurs = {
  getTypeParser: ((oid: number, format?: "text" | "binary") =>
    oid === int8 && format !== "binary"
      ? Number
      : types.getTypeParser(oid, format as "text")) as typeof types.getTypeParser,
};

/**
 * Connects to the first of the access's hosts that takes writes, `first` before the others. Throws DatabaseAway where none is
 * there, and a Failure where one is, but has nothing for us: a wrong password, another name.
 */
export async function connect(
  access: StoreAccess,
  name: string,
  first?: StoreHost,
): Promise<{ readonly connection: DatabaseConnection; readonly host: StoreHost }> {
  const others = access.hosts.filter((one) => one !== first);
  const reasons: string[] = [];
  let failure: Failure | undefined;
  for (const host of first === undefined ? others : [first, ...others]) {
    try {
      return { connection: await connectTo(host, access, name), host };
    } catch (error) {
      if (error instanceof Failure) failure = error;
      else if (!(error instanceof DatabaseAway)) throw error;
      else reasons.push(error.message.slice("the database is away: ".length));
    }
  }
  if (failure !== undefined) throw failure;
  throw new DatabaseAway(reasons.join("; "));
}

async function connectTo(host: StoreHost, access: StoreAccess, name: string): Promise<DatabaseConnection> {
  try {
    return await connectWith(host, access, name, undefined);
  } catch (error) {
    const isRefusal = error instanceof Failure && errorCode(error.cause) === unknownUser;
    // A role that is not there has the same code. The word stands in the translations of the text as well.
    if (!host.host.startsWith("/") || !isRefusal || !/\bpeer\b/i.test(error.message)) throw error;
    const wordsAs = await access.asService?.();
    if (wordsAs !== undefined) return connectWith(host, access, name, wordsAs);
    throw new Failure(error.status, `${error.message}; ${runAsService}`, { cause: error });
  }
}

/** invalid_authorization_specification: peer authentication refuses the user of this process. */
const unknownUser = "28000";

const runAsService =
  "where it knows its users by their processes, run the command as the service's: runuser -u USER -- tpa-submit …";

async function connectWith(
  host: StoreHost,
  access: StoreAccess,
  name: string,
  wordsAs: WordsAs | undefined,
): Promise<DatabaseConnection> {
  const session = `tpa-submit ${name.slice(0, 32)} ${randomBytes(6).toString("hex")}`;
  const where = nameOf(host);
  const client = new Client({
    host: host.host,
    port: host.port,
    user: access.user,
    database: access.database,
    password: () => access.password(),
    ssl: access.tls && !host.host.startsWith("/") ? tlsTo(host, access) : false,
    connectionTimeoutMillis: connecting,
    keepAlive: true,
    keepAliveInitialDelayMillis: 5_000,
    application_name: session,
    statement_timeout: statementPatience,
    idle_in_transaction_session_timeout: idleInTransaction,
    types: typesOfOurs,
    ...(wordsAs && { stream: () => connectAs(wordsAs, nameOf(host)) }),
  });
  const connection = newConnection(client, session, where);
  try {
    await client.connect();
    const [found] = await connection.run<{ standby: boolean; readonly: string }>(
      "SELECT pg_is_in_recovery() AS standby, current_setting('default_transaction_read_only') AS readonly",
      [],
      connecting,
    );
    if (found?.standby !== false) throw new DatabaseAway(`${where} is a standby`);
    return connection;
  } catch (error) {
    connection.drop("it could not be used");
    throw connectTrouble(error, where);
  }
}

const tlsTo = ({ host }: StoreHost, { ca, certificate, key }: StoreAccess) => ({
  host, // whose certificate it must be, where it is an address
  rejectUnauthorized: true,
  ...(ca !== undefined && { ca }),
  ...(certificate !== undefined && { cert: certificate }),
  ...(key !== undefined && { key }),
});

const nameOf = ({ host, port }: StoreHost): string =>
  host.startsWith("/") ? `${host}/.s.PGSQL.${String(port)}` : `${host}:${String(port)}`;

/** What a person mends is a Failure: the database's answer to who we are. The rest passes. */
function connectTrouble(error: unknown, where: string): unknown {
  if (error instanceof Failure || error instanceof DatabaseAway) return error;
  const code = errorCode(error);
  const isAnswer = /^[0-9A-Z]{5}$/.test(code) && !isAwayState(code) && !code.startsWith("E");
  if (isAnswer)
    return new Failure(exitStatus.temporary, `${where}: ${oneLine(errorText(error))}`, { cause: error });
  return new DatabaseAway(`${where}: ${oneLine(errorText(error))}`, undefined, { cause: error });
}

const oneLine = (text: string): string => text.replaceAll(/\s+/g, " ").trim();

function newConnection(client: Client, session: string, where: string): DatabaseConnection {
  let end: string | undefined;
  let heardEnd: (reason: string) => void = () => undefined;
  /** Set while a commit is being waited for: what the server warns of then is about its durability. */
  let warning: string | undefined;

  function over(reason: string): void {
    if (end !== undefined) return;
    end = reason;
    heardEnd(reason);
  }

  client.on("error", (error) => over(`${where}: ${oneLine(error.message)}`));
  client.on("end", () => over(`${where}: the connection ended`));
  client.on("notice", (notice) => {
    warning = notice.message ?? "a warning";
  });

  function drop(reason: string): void {
    over(reason);
    // Not end(), which is polite and waits for an answer.
    client.end().catch(() => undefined);
    streamOf(client)?.destroy();
  }

  async function ask(
    text: string,
    values: readonly unknown[] | undefined,
    patience: number,
  ): Promise<QueryResult> {
    if (end !== undefined) throw new DatabaseAway(end);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        // Where this process was stopped, the answer may be here already, unread: the socket has a turn first.
        timer = setTimeout(() => {
          const reason = `${where}: no answer within ${String(patience / 1_000)} seconds`;
          reject(new DatabaseAway(reason));
          drop(reason);
        }, 50);
      }, patience);
    });
    try {
      const name = values === undefined ? undefined : nameOfStatement(text);
      const query = { text, ...(values && { values: [...values] }), ...(name !== undefined && { name }) };
      return await Promise.race([client.query(query), late]);
    } catch (error) {
      throw asAway(error);
    } finally {
      clearTimeout(timer);
    }
  }

  function asAway(error: unknown): unknown {
    const code = errorCode(error);
    if (error instanceof DatabaseAway) return error;
    const isOfConnection =
      code === "" && /^(?:Connection terminated|Client (?:was|has))/.test(errorText(error));
    if (end === undefined && !isOfConnection && !/^E[A-Z]{2}/.test(code) && !isAwayState(code)) return error;
    const reason = end ?? `${where}: ${oneLine(errorText(error))}`;
    drop(reason);
    return new DatabaseAway(reason, undefined, { cause: error });
  }

  return {
    session,
    async run<Row>(text: string, values: readonly unknown[] = [], patience = statementPatience + grace) {
      const { rows } = await ask(text, values, patience);
      return rows as readonly Row[];
    },
    async commit() {
      warning = undefined;
      try {
        const { command } = await ask("COMMIT", undefined, statementPatience + grace);
        // What it answers where a statement before it failed.
        if (command !== "COMMIT")
          throw new Error("the transaction was rolled back: one of its statements had failed");
      } catch (error) {
        if (error instanceof DatabaseAway)
          throw new DatabaseAway(end ?? error.message, session, { cause: error });
        throw error;
      }
      // "The transaction has already committed locally, but might not have been replicated to the standby."
      if (warning !== undefined) {
        const said = `${where}: ${oneLine(warning)}`;
        drop(said);
        throw new DatabaseAway(said, session);
      }
    },
    isOpen: () => end === undefined,
    onEnd(ended) {
      heardEnd = ended;
      if (end !== undefined) ended(end);
    },
    onNotify(heard) {
      client.on("notification", ({ channel, payload }) => heard(channel, payload ?? ""));
    },
    drop,
  };
}

function streamOf(client: Client): { destroy(): void } | undefined {
  const { connection } = client as { connection?: { stream?: { destroy(): void } } };
  return connection?.stream;
}

/** Statements that do not change are prepared once for a connection. Those that do are longer than this, or marked. */
const names = new Map<string, string>();
const mostNames = 500;

/** Begins a statement that is not to be prepared, since its text is another each time. */
export const once = "/* once */ ";

function nameOfStatement(text: string): string | undefined {
  if (text.startsWith(once)) return undefined;
  const known = names.get(text);
  if (known !== undefined) return known;
  if (names.size >= mostNames) return undefined;
  const name = `s${String(names.size)}`;
  names.set(text, name);
  return name;
}
