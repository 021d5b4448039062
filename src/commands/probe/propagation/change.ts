/** One change of a test account's password, followed to its end, and what is told of it to node_exporter. */
import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import { setTimeout as wait } from "node:timers/promises";
import { isConfirmed } from "../../../cli/prompt.ts";
import { startSpinner } from "../../../cli/terminal.ts";
import type { Config } from "../../../config/settings.ts";
import { exitStatus, Failure } from "../../../failure.ts";
import {
  followChange,
  judgeTimeline,
  nothingChanged,
  type PropagationResult,
} from "../../../probe/propagation.ts";
import { type CheckedServer, checkLogin } from "../../../probe/transaction/smtp-check.ts";
import { expose, type Metric } from "../../../server/log/prometheus.ts";
import { firstLine, probeDependencies, publish, textIn } from "../host.ts";
import type { PropagationCommandOptions } from "./options.ts";
import { changePassword, type PasswordFiles, passwordsIn } from "./test-account.ts";

type PropagationOptions = PropagationCommandOptions & {
  readonly login: string;
  readonly passwordFile: string;
};

/** Changes the password and sees how long it takes to work. Throws a Failure where nothing could be changed. */
export async function followOneChange(
  config: Config,
  options: PropagationOptions,
  stop: AbortSignal,
): Promise<PropagationResult> {
  const { login, passwordFile, interval, timeout } = options;
  const server = await serverOf(config, options);
  const passwords = passwordsIn(passwordFile);
  const say = (password: string) => checkLogin(server, login, password, probeDependencies);
  const before = await findOld(passwords, say);
  if (before.trouble !== undefined) return nothingChanged(login, before.trouble);
  if (before.old === undefined) await confirm(options);

  const password = randomBytes(18).toString("base64url");
  const { scheme, bindPasswordFile } = options;
  const directoryPassword =
    bindPasswordFile === undefined
      ? undefined
      : firstLine(await textIn(bindPasswordFile, `--bind-password-file: ${bindPasswordFile}`));
  const change = { login, password, scheme, ...(directoryPassword !== undefined && { directoryPassword }) };
  await changePassword(config, change, () => passwords.prepare(password));
  const at = Date.now();
  const spinner = startSpinner("waiting for the new password to work");
  const timeline = await followChange(
    before.old !== undefined,
    async (which) => {
      const answer = await say(which === "new" ? password : (before.old ?? ""));
      if (which === "new" && answer.kind === "in") {
        await passwords.adopt(password);
        spinner.say("waiting for the old password to end");
      }
      return answer;
    },
    {
      now: () => performance.now(),
      pause: (milliseconds) => wait(milliseconds, undefined, { signal: stop }).catch(() => undefined), // told to stop
      interval,
      timeout,
    },
    stop,
  ).finally(() => spinner.stop());
  if (stop.aborted) throw new Failure(exitStatus.temporary, "stopped; the next run goes on from the files");
  return judgeTimeline({ login, at, hasOld: before.old !== undefined }, timeline, options);
}

/** The password that works now; neither `old` nor `trouble` where none does. */
async function findOld(
  passwords: PasswordFiles,
  say: (password: string) => ReturnType<typeof checkLogin>,
): Promise<{ readonly old?: string; readonly trouble?: string }> {
  for (const password of await passwords.known()) {
    const answer = await say(password);
    if (answer.kind === "unknown") return { trouble: answer.reason };
    if (answer.kind === "out") continue;
    await passwords.adopt(password); // it may come from a run that ended before it worked
    return { old: password };
  }
  return {};
}

/** Who has the account's password may change it; everybody else is asked first. */
async function confirm({ login, passwordFile, yes }: PropagationOptions): Promise<void> {
  if (yes) return;
  const why = `no password in ${passwordFile} opens ${login}, so this may be somebody's own account`;
  const question = `${why}. Is it for tests alone, and shall it get a new password?`;
  const what = `change it: ${why}`;
  if (!(await isConfirmed(question, what))) throw new Failure(exitStatus.temporary, "nothing was changed");
}

async function serverOf(
  config: Config,
  { server: given, ca }: PropagationCommandOptions,
): Promise<CheckedServer> {
  const { kind, host, port } = given ?? { kind: "smtps" as const, host: config.hostname, port: 465 };
  return {
    host,
    port,
    implicitTls: kind === "smtps",
    ...(ca !== undefined && { ca: await textIn(ca, `--ca: ${ca}`) }),
    helo: hostname(),
    timeout: 30_000,
  };
}

const gauge = (name: string, help: string, ...labels: readonly string[]): Metric => ({
  name: `tpa_submit_propagation_${name}`,
  help,
  type: "gauge",
  labels,
});

export const metrics = {
  success: gauge("success", "Whether the last change of a password was graded ok."),
  seconds: gauge("seconds", "How long the new password took to work, the old one to end.", "password"),
  lastRun: gauge("last_run_timestamp_seconds", "When it was last tried."),
} as const;

/** `now` in milliseconds since the epoch. Throws a Failure where the file cannot be written. */
export async function writeMetrics(
  file: string,
  { grade, newWorks, oldEnds }: PropagationResult,
  now: number,
): Promise<void> {
  const times = [
    ["new", newWorks],
    ["old", oldEnds],
  ] as const;
  const text = [
    expose(metrics.success, [{ labels: [], value: Number(grade === 0) }]),
    expose(
      metrics.seconds,
      times.flatMap(([label, time]) => (time === undefined ? [] : [{ labels: [label], value: time / 1000 }])),
    ),
    expose(metrics.lastRun, [{ labels: [], value: now / 1000 }]),
  ].join("");
  await publish(file, text, "--prometheus");
}
