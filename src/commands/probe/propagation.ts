/** `tpa-submit probe propagation`: how long a new password takes to work. man/tpa-submit-probe-propagation.1 */
import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import { setTimeout as wait } from "node:timers/promises";
import {
  command,
  flag,
  type OptionsOf,
  parsed,
  parseOptions,
  usageMistake,
  value,
} from "../../cli/options.ts";
import { print } from "../../cli/output.ts";
import { isConfirmed } from "../../cli/prompt.ts";
import { startSpinner } from "../../cli/terminal.ts";
import { server } from "../../config/probes-file.ts";
import { duration } from "../../config/setting-types.ts";
import type { Config } from "../../config/settings.ts";
import { exitStatus, Failure } from "../../failure.ts";
import {
  followChange,
  judgeTimeline,
  nothingChanged,
  type PropagationResult,
  propagationLine,
} from "../../probe/propagation.ts";
import { type CheckedServer, checkLogin } from "../../probe/transaction/smtp-check.ts";
import { expose, type Metric } from "../../server/log/prometheus.ts";
import { firstLine, probeDependencies, publish, textIn } from "./host.ts";
import { asPlugin } from "./plugin.ts";
import { changePassword, type PasswordFiles, passwordsIn } from "./propagation/test-account.ts";

export const line = command({
  name: "probe propagation",
  summary:
    "Give a test account a new password in the directory, and see how long it takes to work at the submission server.",
  options: {
    config: value("-c, --config <file>", "Configuration file.", "/etc/tpa-submit/tpa-submit.toml"),
    login: value("-l, --login <user>", "The test account. Its password changes with each run."),
    passwordFile: value("--password-file <file>", "File that has, and gets, the account's password."),
    server: parsed(
      "--server <url>",
      "Submission server, smtp://HOST:PORT or smtps://HOST:PORT; without it: port 465 of hostname.",
      server,
    ),
    ca: value("--ca <file>", "Certificates (PEM) to trust in place of the system's."),
    bindPasswordFile: value(
      "--bind-password-file <file>",
      "Log in to the directory as the account itself, with this password; without it: as [ldap] says.",
    ),
    scheme: value("-s, --scheme <scheme>", "How the password is hashed.", "BLF-CRYPT"),
    interval: parsed("--interval <duration>", "Between two attempts.", duration, "5s"),
    warn: parsed("-w, --warn <duration>", "Later than this is late.", duration, "5m"),
    crit: parsed("--crit <duration>", "Later than this is too late.", duration, "15m"),
    timeout: parsed("-t, --timeout <duration>", "When to give up.", duration, "20m"),
    yes: flag("-y, --yes", "Do not ask, although the account's password is not known."),
    nagios: flag("--nagios", "One status line with figures."),
    json: flag("--json", "The result as JSON."),
    prometheus: value(
      "--prometheus <file>",
      "Write metrics for node_exporter's textfile collector (*.prom).",
    ),
  },
  arguments: {},
  examples: [
    "tpa-submit probe propagation --login probe --password-file /var/lib/tpa-submit/probe/password --yes",
    "tpa-submit probe propagation --login probe --password-file /var/lib/tpa-submit/probe/password --nagios",
    "tpa-submit probe propagation --login probe --password-file ./password --server smtps://submission.example.org:465",
  ],
});

type PropagationCommandOptions = OptionsOf<typeof line.options>;

/**
 * The exit status is the grade: 0 in time, 1 late, 2 too late or not at all, and with --nagios 3 for what could not be
 * tried.
 */
export function run(argv: readonly string[]): Promise<number> {
  return asPlugin("PROPAGATION", argv, propagation);
}

async function propagation(argv: readonly string[]): Promise<number> {
  const chosen = parseOptions(line, argv);
  if (!chosen) return exitStatus.ok;
  const { options } = chosen;
  refuseContradictions(options);
  const { login, passwordFile } = options;
  if (login === undefined) throw usageMistake(line.name, "--login: name the test account");
  if (passwordFile === undefined)
    throw usageMistake(line.name, "--password-file: name the file with its password");
  const { readConfig } = await import("../../config/config-file.ts");
  const config = await readConfig(options.config);
  const stop = new AbortController();
  const end = (): void => stop.abort();
  process.once("SIGTERM", end).once("SIGINT", end);
  try {
    const judgement = await probeOnce(config, { ...options, login, passwordFile }, stop.signal);
    if (options.prometheus !== undefined) await writeMetrics(options.prometheus, judgement, Date.now());
    print(textOf(judgement, options));
    return judgement.grade;
  } finally {
    process.off("SIGTERM", end).off("SIGINT", end);
  }
}

type PropagationOptions = PropagationCommandOptions & {
  readonly login: string;
  readonly passwordFile: string;
};

async function probeOnce(
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

function textOf(
  judgement: PropagationResult,
  { nagios, json, warn, crit }: PropagationCommandOptions,
): string {
  if (nagios) return propagationLine(judgement, { warn, crit });
  const { at, ...rest } = judgement;
  if (json)
    return `${JSON.stringify({ ...(at !== undefined && { at: new Date(at).toISOString() }), ...rest }, null, 2)}\n`;
  return `${judgement.words}\n`;
}

function refuseContradictions({
  nagios,
  json,
  warn,
  crit,
  timeout,
  interval,
}: PropagationCommandOptions): void {
  if (nagios && json) throw usageMistake(line.name, "--nagios and --json do not go together");
  if (warn > crit || crit > timeout) throw usageMistake(line.name, "expected --warn <= --crit <= --timeout");
  if (interval < 1000) throw usageMistake(line.name, "--interval: expected a second or more");
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
async function writeMetrics(
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
