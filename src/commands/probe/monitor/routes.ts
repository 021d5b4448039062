/** The routes of probes.toml with their servers, mailboxes and secrets; and the key that signs their marks. */
import { randomBytes } from "node:crypto";
import { link, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import type { ProbeRoute, Probes } from "../../../config/probes-file.ts";
import { syncDirectory } from "../../../durable.ts";
import { errorCode, errorText, exitStatus, Failure } from "../../../failure.ts";
import { imapConnections } from "../../../probe/arrival/imap-connection.ts";
import { readLocation } from "../../../probe/arrival/location.ts";
import type { OpenMailbox } from "../../../probe/arrival/mailbox.ts";
import { openPending } from "../../../probe/monitor/pending.ts";
import {
  concurrencyLimit,
  type MonitoredRoute,
  type MonitorRoundDependencies,
  type WorkLimit,
} from "../../../probe/monitor/round.ts";
import { type SubmissionAccount, submit } from "../../../probe/monitor/submit.ts";
import type { Grade, ProbeOutcome } from "../../../probe/result.ts";
import type { ProbeDependencies } from "../../../probe/transaction/session.ts";
import { firstLine, textIn } from "../host.ts";
import { mailboxAt } from "../mailboxes.ts";

const gradeOf = { ok: 0, warning: 1, critical: 2, unknown: 3 } as const satisfies Readonly<
  Record<string, Grade>
>;

/** All routes, or those named. Throws a Failure where a file cannot be read, or a name is not there. */
export async function routesOf(
  probes: Probes,
  names: readonly string[],
  dependencies: ProbeDependencies,
): Promise<readonly MonitoredRoute[]> {
  for (const name of names) {
    if (probes.route.some((route) => route.name === name)) continue;
    const known = probes.route.map((route) => route.name).join(", ");
    throw new Failure(exitStatus.usage, `--route: there is no route "${name}"; there are ${known}`);
  }
  const chosen = probes.route.filter(({ name }) => names.length === 0 || names.includes(name));
  const shared: SharedConnections = { lines: imapConnections(), limitAt: limitsByServer(probes.concurrency) };
  return Promise.all(chosen.map((route) => routeOf(route, probes, dependencies, shared)));
}

/** What routes to the same server or mailbox share. */
interface SharedConnections {
  readonly lines: ReturnType<typeof imapConnections>;
  readonly limitAt: (server: string) => WorkLimit;
}

function limitsByServer(most: number): SharedConnections["limitAt"] {
  const known = new Map<string, WorkLimit>();
  return (server) => {
    const limit = known.get(server) ?? concurrencyLimit(most);
    known.set(server, limit);
    return limit;
  };
}

async function routeOf(
  route: ProbeRoute,
  probes: Probes,
  dependencies: ProbeDependencies,
  { lines, limitAt }: SharedConnections,
): Promise<MonitoredRoute> {
  const { name, to, warn, crit, provider, authority } = route;
  const { submission } = probes;
  const from = route.from || submission.from;
  const account = await accountOf(route, submission);
  const arrival = {
    where: route.arrive,
    passwordFile: route["arrive-password-file"],
    spamFolder: route["spam-folder"],
    ca: route["arrive-ca"],
  };
  const returns = {
    where: submission.returns,
    passwordFile: submission["returns-password-file"],
    spamFolder: "",
    ca: submission["returns-ca"],
  };
  return {
    route: name,
    provider: provider || to.slice(to.lastIndexOf("@") + 1),
    from,
    to,
    warn,
    crit,
    grades: gradesOf(probes.grades),
    ...(authority !== "" && { authority }),
    mailboxes: [
      await mailboxOf(arrival, `route ${name}: arrive`, lines),
      ...(returns.where === "" ? [] : [await mailboxOf(returns, "submission.returns", lines)]),
    ],
    limit: limitAt(`${account.host}:${account.port}`),
    submit: (envelope, message) => submit(account, envelope, message, dependencies),
  };
}

const gradesOf = (grades: Probes["grades"]): Readonly<Record<ProbeOutcome, Grade>> => ({
  inbox: gradeOf[grades.inbox],
  pending: gradeOf[grades.pending],
  delayed: gradeOf[grades.delayed],
  late: gradeOf[grades.late],
  spam: gradeOf[grades.spam],
  overdue: gradeOf[grades.overdue],
  lost: gradeOf[grades.lost],
  returned: gradeOf[grades.returned],
  refused: gradeOf[grades.refused],
  down: gradeOf[grades.down],
  unseen: gradeOf[grades.unseen],
});

async function accountOf(route: ProbeRoute, submission: Probes["submission"]): Promise<SubmissionAccount> {
  const server = route.server ?? submission.server;
  if (!server) throw new Error(`route ${route.name} has no server`); // the reader of probes.toml has checked that
  const user = route.login || submission.login;
  const file = route["password-file"] || submission["password-file"];
  return {
    host: server.host,
    port: server.port,
    implicitTls: server.kind === "smtps",
    ...(user !== "" && { login: { user, password: await secretIn(file) } }),
    ...(submission.ca !== "" && { ca: await textIn(submission.ca, submission.ca) }),
    helo: hostname(),
    timeout: submission.timeout,
  };
}

/** How to open a mailbox of probes.toml. Throws a Failure where it, or a file for it, is wrong. */
async function mailboxOf(
  arrival: {
    readonly where: string;
    readonly passwordFile: string;
    readonly spamFolder: string;
    readonly ca: string;
  },
  what: string,
  lines: ReturnType<typeof imapConnections>,
): Promise<OpenMailbox> {
  const { where: text, passwordFile, spamFolder, ca } = arrival;
  const where = readLocation(text, what);
  const password = where.kind === "imap" ? await secretIn(passwordFile) : "";
  const access = {
    password,
    ...(spamFolder !== "" && { spamFolder }),
    ...(ca !== "" && { ca: await textIn(ca, ca) }),
  };
  return mailboxAt(where, access, lines);
}

/** What all routes share. Makes the folder and the key where they are missing. */
export async function openRoundDependencies({
  directory,
  key,
  keep,
}: Probes): Promise<MonitorRoundDependencies> {
  return {
    key: await keyIn(key),
    pending: await openPending(`${directory}/pending`),
    now: Date.now,
    random: randomBytes,
    pause: async (milliseconds, signal) => {
      await wait(Math.max(0, milliseconds), undefined, { signal }).catch(() => undefined); // told to stop: it is over
    },
    keep,
  };
}

async function keyIn(file: string): Promise<Uint8Array> {
  try {
    const key = await readFile(file);
    if (key.length >= 32) return key;
    throw new Failure(
      exitStatus.config,
      `${file}: expected 32 octets or more, found ${key.length}; remove it, and it is made anew`,
    );
  } catch (error) {
    if (errorCode(error) !== "ENOENT") throw asFailure(error, file);
  }
  try {
    await mkdir(dirname(file), { recursive: true, mode: 0o750 });
    await makeKey(file);
    return await readFile(file);
  } catch (error) {
    throw asFailure(error, file);
  }
}

/** Makes the key whole or not at all, and only once: two runs may start at the same moment. */
async function makeKey(file: string): Promise<void> {
  const draft = `${file}.${randomBytes(6).toString("hex")}.new`;
  try {
    await writeFile(draft, `${randomBytes(32).toString("base64")}\n`, {
      mode: 0o600,
      flag: "wx",
      flush: true,
    });
    await link(draft, file);
    await syncDirectory(dirname(file));
  } catch (error) {
    if (errorCode(error) !== "EEXIST") throw error;
  } finally {
    await rm(draft, { force: true });
  }
}

async function secretIn(file: string): Promise<string> {
  const secret = firstLine(await textIn(file, file));
  if (secret !== "") return secret;
  throw new Failure(
    exitStatus.config,
    `${file}: expected the password on its first line, found nothing there`,
  );
}

function asFailure(error: unknown, file: string): unknown {
  if (error instanceof Failure || errorCode(error) === "") return error;
  return new Failure(exitStatus.noInput, `${file}: ${errorText(error)}`);
}
