/**
 * Where requests go: to the running relay, through its control socket, or to the spool itself where none runs. Reading
 * needs no lock and delays nobody; a change takes the spool as the relay would. The subcommands import this once they
 * have somebody to ask: it takes long to load, and --help and a mistake need nothing of it.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { stat } from "node:fs/promises";
import { userInfo } from "node:os";
import { join } from "node:path";
import type { Config } from "../../config/settings.ts";
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";
import { newActionContext, type SubmissionSessions } from "../../server/control/actions.ts";
import { openControlApi, openQueryApi, verify } from "../../server/control/api.ts";
import { connectControlApi, parcelsTo } from "../../server/control/client.ts";
import { newDrainer } from "../../server/control/draining.ts";
import { newFreezeHold, openFrozenLogins, readerWithFreezes } from "../../server/control/frozen-logins.ts";
import { newParcelTaker } from "../../server/control/parcels.ts";
import type {
  CheckedDamage,
  ControlApi,
  DamagedMessage,
  ListedMessage,
  MessagePart,
  Operator,
  QueryApi,
  QueuedMessage,
  TakeParcel,
  VerifyRequest,
} from "../../server/control/protocol.ts";
import { journalFolder } from "../../server/log/journal.ts";
import { logTo } from "../../server/log/log.ts";
import { openSink, processDependencies } from "../../server/log/sink.ts";
import { fsckBeside, fsckLocked } from "../../server/spool/fsck.ts";
import { type History, type Spool, viewSpool } from "../../server/spool/spool.ts";
import { version } from "../../version.ts";
import { wait } from "../serve/control.ts";
import { retryPolicyOf } from "../serve/delivery.ts";
import { controlSocket, frozenFile } from "../serve/places.ts";
import { shortenForCommand } from "../serve/privacy.ts";
import { keptFiles, openQuota } from "../serve/quota.ts";
import { reportContacts } from "../serve/session-rules.ts";
import { openFreezes, openOwnSpool } from "../serve/spool.ts";
import { become, canBecome, type SystemUser, wordsAs } from "../system-user.ts";
import { whoAnswers } from "./asking.ts";
import { patientDisk } from "./listing-task.ts";

/** To be closed after the last request. */
export interface ApiConnection<Kind> {
  readonly api: Kind;
  readonly close: () => Promise<void>;
}

/** One that also takes messages of other spools. */
export interface ControlConnection extends ApiConnection<ControlApi> {
  readonly take: TakeParcel;
}

/** One that has the spool itself. */
export interface StoppedSpool extends ControlConnection {
  /** As it is, without the holds of frozen logins. */
  readonly spool: Spool;
}

const nothing = async (): Promise<void> => undefined;

/** For reading the queue. Throws a Failure where there is neither a relay nor a spool that may be read. */
export async function connectToQuery(config: Config): Promise<ApiConnection<QueryApi>> {
  const { directory } = config.spool;
  const found = await whoAnswers(config);
  if ("api" in found) return { api: found.api, close: nothing };
  if (config.spool.store !== "") return (await import("./store-connection.ts")).openStoreQuery(config);
  const active = new Set(found.active);
  const reading = await viewSpool(directory, patientDisk);
  const frozen = await openFrozenLogins(frozenFile(directory));
  const spool = readerWithFreezes(reading, newFreezeHold(frozen));
  return { api: openQueryApi({ spool, frozen, active: () => active, now: Date.now }), close: nothing };
}

/** For changes. Throws a Failure where the spool is not there, not ours, or another process has it and does not answer. */
export async function connectToControl(config: Config): Promise<ControlConnection> {
  const socket = controlSocket(config);
  const running = await connectControlApi(socket, version);
  if (running) return { api: running, take: parcelsTo(socket), close: nothing };
  await becomeOwner(config.spool.directory);
  return openStoppedSpool(config);
}

/**
 * For changes of a spool that no relay has; `settle` has the folder before what logins sent is read there. Throws a Failure as
 * {@link connectToControl} does.
 */
export async function openStoppedSpool(config: Config, settle = nothing): Promise<StoppedSpool> {
  const { directory } = config.spool;
  const closeLog = await openLog(config);
  const { spool, owner, store } = await openOwnSpool(config, patientDisk).catch((error: unknown) => {
    throw withSocketHint(error, config);
  });
  if (store !== undefined) {
    const { openStoreControl } = await import("./store-connection.ts");
    const control = await openStoreControl(config, { spool, store, disk: patientDisk });
    return {
      ...control,
      spool,
      async close() {
        await control.close();
        await spool.close();
        await closeLog();
      },
    };
  }
  await settle();
  const quota = await openQuota(directory, () => config.limits);
  const freezes = await openFreezes(spool, directory);
  const sessions: SubmissionSessions = {
    sessionsOf: () => 0,
    endSessions: () => 0,
    whyUnknown: async () => "",
    sent: quota.sent,
    limitsOf: (login) => quota.quota.useOf(login),
    blocksOf: () => [],
    unblock: () => 0,
    addSent: quota.add,
  };
  const { hostname } = config;
  const context = newActionContext({
    ...freezes,
    sessions,
    relayState: async () => undefined,
    retryPolicy: retryPolicyOf(config),
    now: Date.now,
    hostname,
    contactOf: reportContacts(config),
  });
  const own = { disk: patientDisk, directory, owner, shut: nothing };
  return {
    api: openControlApi(context, wait, keptFiles, newDrainer(own)),
    take: newParcelTaker(context, own),
    spool,
    async close() {
      await quota.close();
      await spool.close();
      await closeLog();
    },
  };
}

/** For `queue verify`, which also works on a spool with which no relay would start. */
export async function connectToVerify(
  config: Config,
): Promise<ApiConnection<(request: VerifyRequest) => AsyncIterable<CheckedDamage>>> {
  if (config.spool.store !== "") return (await import("./store-connection.ts")).openStoreVerify(config);
  const running = await connectControlApi(controlSocket(config), version);
  if (running) return { api: running, close: nothing };
  const { directory } = config.spool;
  return {
    async *api(request) {
      if (!request.repair) return yield* verify(request, await fsckBeside(directory), keptFiles);
      await becomeOwner(directory);
      const closeLog = await openLog(config);
      const fsck = await fsckLocked(directory, Date.now).catch((error: unknown) => {
        throw withSocketHint(error, config);
      });
      yield* verify(request, fsck, keptFiles);
      await fsck.close();
      await closeLog();
    },
    close: nothing,
  };
}

/** Who runs this command. To be called before {@link connectToControl}, which may change the user. */
export function currentOperator(): Operator {
  const sudoUser = process.env["SUDO_USER"]?.slice(0, 64);
  const uid = process.getuid?.() ?? -1;
  return { name: currentUserName(), uid, ...(sudoUser === undefined ? {} : { sudoUser }) };
}

function currentUserName(): string {
  try {
    return userInfo().username.slice(0, 64);
  } catch (error) {
    if (errorCode(error) === "") throw error;
    return "unknown"; // a user without a line in passwd(5)
  }
}

/** Root works as the spool's owner: the relay could not read the files of root. */
export async function becomeOwner(directory: string): Promise<void> {
  let owner: { readonly uid: number; readonly gid: number };
  try {
    owner = await stat(directory);
    await stat(join(directory, "format"));
  } catch (error) {
    if (errorCode(error) === "") throw error;
    const denied = ["EACCES", "EPERM"].includes(errorCode(error));
    throw new Failure(
      denied ? exitStatus.noPermission : exitStatus.noInput,
      denied
        ? `${directory}: ${errorText(error)}; run the command as root or as the relay's user`
        : `${directory}: no spool is there (${errorText(error)}); spool.directory names it`,
    );
  }
  becomeUserOf(owner);
}

/** The same for who needs no spool in it, and nothing where there is no such folder yet. */
export async function becomeOwnerIfThere(directory: string): Promise<void> {
  try {
    becomeUserOf(await stat(directory));
  } catch (error) {
    if (errorCode(error) === "") throw error;
  }
}

function becomeUserOf(owner: { readonly uid: number; readonly gid: number }): void {
  if (process.getuid?.() !== 0 || owner.uid === 0) return;
  const user: SystemUser = { name: String(owner.uid), uid: owner.uid, gids: [owner.gid] };
  if (canBecome()) become(user);
  else beginAgainAs(user);
}

/** The whole command, from its beginning; nothing has been changed yet. Does not return. */
function beginAgainAs(user: SystemUser): never {
  const [program, ...words] = wordsAs(user, [
    process.execPath,
    ...process.execArgv,
    ...process.argv.slice(1),
  ]);
  const env = { ...process.env, SUDO_USER: process.env["SUDO_USER"] ?? currentUserName() };
  const { status, error } = spawnSync(program, words, { stdio: "inherit", env });
  if (error) {
    throw new Failure(exitStatus.noPermission, `cannot become the spool's owner: ${errorText(error)}`);
  }
  process.exit(status ?? exitStatus.software);
}

/** The relay's log. Where the relay logs to standard output, this is the journal, or standard error where there is none. */
async function openLog(config: Config): Promise<() => Promise<void>> {
  const { log, hostname } = config;
  const { stderr } = process;
  const { target } = log;
  const sink = await openSink(
    {
      ...log,
      target: target.kind === "stdout" && existsSync(journalFolder) ? { kind: "journal" } : target,
      hostname,
    },
    Date.now,
    processDependencies({ stdout: stderr }),
  );
  await shortenForCommand(config);
  logTo(sink.write);
  return async () => {
    logTo(() => undefined);
    await sink.close();
  };
}

function withSocketHint(error: unknown, config: Config): unknown {
  if (!(error instanceof Failure) || error.status !== exitStatus.temporary) return error;
  const said = error.message.split("; ")[0] ?? "";
  return new Failure(
    exitStatus.temporary,
    `${said}, but nobody answers at ${controlSocket(config)}; is control.socket as it was when the relay started?`,
  );
}

/** What is known about a message, and its octets. */
export interface MessageWithOctets {
  readonly about: QueuedMessage | DamagedMessage;
  readonly history: History;
  /** Its header, or all of it. To be read before another message is asked for. */
  readonly octets: AsyncIterable<Buffer>;
}

/** The message `id`, undefined where it is not in the queue. Throws the Failures of the API. */
export async function readMessage(
  api: QueryApi,
  id: string,
  body: boolean,
): Promise<MessageWithOctets | undefined> {
  const parts = api({ verb: "read", id, body })[Symbol.asyncIterator]();
  const first = await parts.next();
  if (first.done || !("message" in first.value)) {
    throw new Failure(exitStatus.software, `${id}: the relay's answer does not begin with the message`);
  }
  const { message, history } = first.value;
  if (isUnknown(message)) return undefined;
  return { about: message, history, octets: octetsOf({ [Symbol.asyncIterator]: () => parts }) };
}

const isUnknown = (message: ListedMessage): message is Extract<ListedMessage, { status: "unknown" }> =>
  message.status === "unknown";

async function* octetsOf(parts: AsyncIterable<MessagePart>): AsyncGenerator<Buffer> {
  for await (const piece of parts) if ("octets" in piece) yield Buffer.from(piece.octets, "base64");
}
