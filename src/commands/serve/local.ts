/** The ways in for programs of this host: the local listener, and the maildrop that is emptied into it. */
import { readFile, stat } from "node:fs/promises";
import type { Config } from "../../config/settings.ts";
import { errorCode, exitStatus, Failure } from "../../failure.ts";
import type { ContactOf } from "../../server/dsn/report.ts";
import { log } from "../../server/log/log.ts";
import { type LocalAliases, readLocalAliases } from "../../server/maildrop/aliases.ts";
import { maildropFault } from "../../server/maildrop/folder.ts";
import { type Pickup, settleDrops, startPickup } from "../../server/maildrop/pickup.ts";
import type { Envelope } from "../../server/spool/envelope.ts";
import type { Spool } from "../../server/spool/spool.ts";
import { listenLocally, type SessionHolder } from "../../server/submission/listener.ts";
import type { SessionContext } from "../../server/submission/session.ts";
import { findUser, groupNamed } from "../system-user.ts";

export interface LocalDoor {
  /** Open connections. */
  sessions(): number;
  /** Sessions of `login`. */
  sessionsOf(login: string): number;
  /** Ends the sessions of `login`; how many there were. */
  endSessions(login: string): number;
  /** Calls `deliver` for a message that is in the spool: at once, or when the file that it came from is gone. */
  taken(envelope: Envelope, deliver: () => void): void;
  /** Takes nothing new; sessions may end for `grace` milliseconds. */
  close(grace: number): Promise<void>;
}

export interface LocalDoorOptions {
  readonly context: () => SessionContext;
  /** The configuration in use. */
  readonly settings: () => Config;
  readonly spool: Pick<Spool, "draft">;
  /** Whom a report names, by the login of the message. */
  readonly contactOf: ContactOf;
  /** Delivers what has entered the spool. */
  readonly wake: (envelope: Envelope) => void;
}

/** Before anything is delivered: what the spool has is no longer in the maildrop. Throws a Failure where there is none. */
export async function settleMaildrop(
  { sendmail }: Pick<Config, "sendmail">,
  spool: Pick<Spool, "ids" | "read">,
): Promise<void> {
  if (sendmail.maildrop === "") return;
  const fault = await maildropFault(sendmail.maildrop, process.geteuid?.() ?? 0);
  if (fault !== undefined) throw new Failure(exitStatus.config, `${sendmail.maildrop}: ${fault}`);
  await settleDrops(sendmail.maildrop, spool);
}

/** Opens what `first` asks for. Throws a Failure where the socket cannot be had. */
export async function openLocalDoor(first: Config, options: LocalDoorOptions): Promise<LocalDoor> {
  const holder = await openListener(first, options.context);
  const pickup = holder && first.sendmail.maildrop !== "" ? emptying(first, options) : undefined;
  return {
    sessions: () => holder?.sessions() ?? 0,
    sessionsOf: (login) => holder?.sessionsOf(login) ?? 0,
    endSessions: (login) => holder?.endSessions(login) ?? 0,
    taken(envelope, deliver) {
      if (envelope.drop === undefined || !pickup) deliver();
      else pickup.taken(envelope.drop, deliver);
    },
    async close(grace) {
      const emptied = pickup?.close();
      await holder?.drain(Date.now() + grace);
      await emptied;
    },
  };
}

async function openListener(
  { listen }: Config,
  context: () => SessionContext,
): Promise<SessionHolder | undefined> {
  const { local: path, "local-mode": mode, "local-group": group } = listen;
  if (path === "") return undefined;
  const gid = group === "" ? undefined : await groupNamed(group, "listen.local-group");
  const holder = await listenLocally({ path, setting: "listen.local", mode, gid }, context);
  log("listening", { door: "local", address: path });
  return holder;
}

function emptying(first: Config, { context, settings, spool, wake, contactOf }: LocalDoorOptions): Pickup {
  return startPickup({
    folder: first.sendmail.maildrop,
    socket: first.listen.local,
    hostname: first.hostname,
    domain: () => settings().domain,
    aliases: newAliasReader(() => settings().sendmail.aliases),
    userName: newUserNames(),
    senders: () => context().senders,
    spool,
    contactOf,
    lifetime: () => settings().spool.lifetime,
    wake,
    now: Date.now,
  });
}

/** Reads the file that `path` names when it has changed. A file that is not there has no aliases. */
function newAliasReader(path: () => string): () => Promise<LocalAliases> {
  let known: { readonly file: string; readonly mark: string; readonly aliases: LocalAliases } | undefined;
  return async () => {
    const file = path();
    if (file === "") return new Map();
    const mark = await stat(file).then(
      ({ mtimeMs, size, ino }) => `${mtimeMs} ${size} ${ino}`,
      (error: unknown) => {
        if (errorCode(error) === "ENOENT") return "";
        throw error;
      },
    );
    if (mark === "") return new Map();
    if (known?.file !== file || known.mark !== mark) {
      const { aliases, ignored } = readLocalAliases(await readFile(file, "utf8"), file);
      for (const reason of ignored) log("aliases-line", { reason });
      known = { file, mark, aliases };
    }
    return known.aliases;
  };
}

/** Names of users for so many milliseconds. Our choice: an account is seldom renamed. */
const keptFor = 60_000;

/** Asks the system, whose users may be in a directory; a user without a name is its number. */
function newUserNames(): (uid: number) => Promise<string> {
  const known = new Map<number, { readonly name: string; readonly until: number }>();
  return async (uid) => {
    const found = known.get(uid);
    if (found && found.until > Date.now()) return found.name;
    const name = (await findUser(String(uid)))?.name ?? String(uid);
    known.set(uid, { name, until: Date.now() + keptFor });
    return name;
  };
}
