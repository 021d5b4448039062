/** One run of sync: its task from configuration and options, and what it prints about it. Never a hash. */
import { print } from "../../cli/output.ts";
import type { Config } from "../../config/settings.ts";
import { errorText, exitStatus, Failure } from "../../failure.ts";
import { readAccess } from "../../ldap/access.ts";
import type { RuleSettings } from "../../ldap/account.ts";
import { withDirectory } from "../../ldap/connection.ts";
import type { NamedChange } from "../../ldap/contents.ts";
import { quoted } from "../../ldap/directory.ts";
import type { GuardFlag } from "../../ldap/guard.ts";
import { type FileReport, filesOf, type SyncReport, type SyncTask, synchronise } from "../../ldap/sync.ts";
import { readOwnership } from "../../ldap/synced-file.ts";
import { openMetrics, type RunMetrics } from "./metrics.ts";
import type { SyncOptions } from "./options.ts";
import { syncedSites } from "./sites.ts";

/**
 * Runs once for all domains, one after the other, and returns 0. One that fails keeps no other from its turn; in the end
 * what went wrong is thrown, after it was noted in the metrics.
 */
export async function runOnce(config: Config, options: SyncOptions): Promise<number> {
  const sites = syncedSites(config);
  const names = sites.map(({ domain }) => domain);
  const metrics = await openMetrics(options.dryRun ? "" : config.sync["metrics-file"], names);
  const failures: Failure[] = [];
  for (const site of sites) {
    try {
      await runNoted(site, options, metrics.of(site.domain), sites.length > 1);
    } catch (error) {
      if (sites.length === 1 || !(error instanceof Failure)) throw error;
      failures.push(error);
    }
  }
  const [failed] = failures;
  if (failed) throw new Failure(failed.status, failures.map(({ message }) => message).join("\n"));
  return exitStatus.ok;
}

async function runNoted(
  config: Config,
  options: SyncOptions,
  metrics: RunMetrics,
  isOneOfMany: boolean,
): Promise<void> {
  const began = Date.now();
  let report: SyncReport;
  try {
    report = await runSite(config, options, began, isOneOfMany);
  } catch (error) {
    await metrics.failed(Date.now()).catch((second: unknown) => {
      process.stderr.write(`tpa-submit sync: ${errorText(second)}\n`); // the first is thrown, below
    });
    throw error;
  }
  await metrics.succeeded(report, began, Date.now());
}

async function runSite(
  config: Config,
  options: SyncOptions,
  began: number,
  isOneOfMany: boolean,
): Promise<SyncReport> {
  const { access, task } = await readTask(config, options);
  const report = await withDirectory(access, new AbortController().signal, (directory) =>
    synchronise(directory, task, began),
  );
  if (options.json) print(`${asJson(report, isOneOfMany ? config.domain : undefined)}\n`);
  else if (options.dryRun) print(changesText(report));
  if (options.verbose && !options.json) process.stderr.write(exclusionsText(report));
  refuseAlarms(report);
  if (!options.quiet) process.stderr.write(summary(report));
  return report;
}

/** The options that matter to a run. */
export type RunOptions = Pick<
  SyncOptions,
  "dryRun" | "allowShrink" | "allowEmpty" | "allowPartial" | "allowReferral" | "allowAnonymous"
>;

/** How to reach the directory, and the task. Reads the file with the bind's password each time: it may have changed. */
export async function readTask(config: Config, run: RunOptions) {
  const { ldap, sync, passwords, senders } = config;
  const access = await readAccess(ldap);
  const allowed: readonly (readonly [boolean, GuardFlag])[] = [
    [run.allowShrink, "--allow-shrink"],
    [run.allowEmpty, "--allow-empty"],
    [run.allowPartial, "--allow-partial"],
    [run.allowReferral, "--allow-referral"],
    [run.allowAnonymous, "--allow-anonymous"],
  ];
  const task: SyncTask = {
    search: ldap,
    rules: ruleSettingsOf(config),
    loggedIn: access.login.kind !== "anonymous",
    passwords: passwords.file,
    aliases: ldap["sender-attribute"] === "" ? "" : senders.aliases,
    keys: keyTaskOf(config),
    ownership: await readOwnership(sync.owner, sync.group, sync.mode),
    largestLoss: sync["largest-loss"],
    allowed: allowed.flatMap(([given, name]) => (given ? [name] : [])),
    write: !run.dryRun,
  };
  return { access, task };
}

/** The file of keys, which all domains share, and which of its lines are those of this one. */
export function keyTaskOf({ ldap, ssh, domain, domains }: Config): SyncTask["keys"] {
  if (ldap["ssh-key-attribute"] === "") return undefined;
  const isMain = domains.every(({ name }) => name !== domain);
  const others = domains
    .filter((own) => own["ldap-base"] !== "" || own["ldap-filter"] !== "")
    .map(({ name }) => name);
  return { path: ssh.keys, owner: isMain ? { domain: "", others } : { domain, others: [] } };
}

/** The settings of the rules in account.ts. */
export function ruleSettingsOf({ ldap, sync }: Config): RuleSettings {
  return { ...ldap, ...sync };
}

/** Throws a Failure (status 65), one line, where a guard objected. */
export function refuseAlarms(report: SyncReport): void {
  const refused = filesOf(report).filter(({ alarms }) => alarms.length > 0);
  if (refused.length === 0) return;
  const alarms = refused.flatMap((file) => file.alarms);
  const suspicions = [...new Set(alarms.map(({ suspicion }) => suspicion))].join("; ");
  const flags = [...new Set(alarms.map(({ flag }) => flag))].join(" ");
  const paths = refused.map(({ path }) => path).join(" and ");
  const stays = refused.length === 1 ? "stays as it is" : "stay as they are";
  throw new Failure(
    exitStatus.data,
    `${paths} ${stays}: ${suspicions}; if that is right, ${flags} allows it once`,
  );
}

/** One line for each login that is added, changed or removed. */
export function changesText(report: SyncReport): string {
  return filesOf(report).map(fileChanges).join("");
}

function fileChanges({ difference: { added, changed, removed } }: FileReport): string {
  const lines = (sign: string, changes: readonly NamedChange[]) =>
    changes.map(({ name, why }) => `${sign} ${quoted(name, "")}: ${why}\n`);
  const gone = removed.map(({ name, reason, why }) => ({
    name,
    why: reason === undefined ? why : `${reason}, ${why}`,
  }));
  return [...lines("+", added), ...lines("~", changed), ...lines("-", gone)].join("");
}

/** One line for each entry that is left out. */
export function exclusionsText({ exclusions, remarks }: SyncReport): string {
  const left = exclusions.map(
    ({ login, dn, reason, detail }) => `left out: ${login === "" ? dn : login}: ${reason}, ${detail}\n`,
  );
  return [...left, ...remarks.map((remark) => `passed over: ${remark}\n`)].join("");
}

const resultTexts = {
  replaced: "replaced",
  unchanged: "is up to date",
  pending: "would be replaced",
  refused: "stays as it is",
} as const;

/** One line for each file. */
export function summary(report: SyncReport): string {
  return filesOf(report)
    .map(({ path, result, difference: { added, changed, removed } }) => {
      const numbers = [
        path === report.passwords.path ? `${report.logins} logins` : "",
        added.length > 0 ? `${added.length} added` : "",
        changed.length > 0 ? `${changed.length} changed` : "",
        removed.length > 0 ? `${removed.length} removed` : "",
      ];
      return `${path} ${resultTexts[result]}: ${numbers.filter((number) => number !== "").join(", ")}`;
    })
    .map((line) => `${line.replace(/: $/, "")}\n`)
    .join("");
}

/** The whole report as JSON; `domain` is whose it is, where there are several. */
export function asJson(report: SyncReport, domain?: string): string {
  const file = ({ path, result, difference, alarms }: FileReport) => ({
    path,
    result,
    ...difference,
    alarms,
  });
  return JSON.stringify({
    ...(domain !== undefined && { domain }),
    url: report.url,
    entries: report.entries,
    logins: report.logins,
    schemes: Object.fromEntries(report.schemes),
    excluded: report.exclusions,
    remarks: report.remarks,
    passwords: file(report.passwords),
    aliases: report.aliases === undefined ? null : file(report.aliases),
    ...(report.keys && { keys: file(report.keys) }),
  });
}

/** A time without its fraction. */
export function time(milliseconds: number): string {
  return new Date(milliseconds).toISOString().replace(/\.\d+Z$/, "Z");
}
