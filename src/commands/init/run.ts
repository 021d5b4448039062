/** Setting up a relay: what would change, the change, what is not well then, and what is next. */
import { existsSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { usageMistake } from "../../cli/options.ts";
import { print } from "../../cli/output.ts";
import { isConfirmed } from "../../cli/prompt.ts";
import { widthOf } from "../../cli/table.ts";
import { colourFor } from "../../cli/terminal.ts";
import { parseConfig } from "../../config/config-file.ts";
import type { Config } from "../../config/settings.ts";
import { exitStatus, Failure } from "../../failure.ts";
import { reportText } from "../check/report.ts";
import type { CheckRowResult } from "../check/rows.ts";
import { findingsOf } from "../check/run.ts";
import { findUnit } from "../check/unit.ts";
import { run as runPasswd } from "../passwd.ts";
import { answersFor } from "./answers.ts";
import { type InitOptions, line } from "./options.ts";
import { carryOut, currentText, giveTo, type InitPlan, planFor, planText } from "./plan.ts";
import { publicAddresses, recordsFor } from "./records.ts";
import { secretsFor } from "./secrets.ts";

/** Returns the exit status. */
export async function setUp(options: InitOptions): Promise<number> {
  const { config: file, dryRun, yes, user, offline } = options;
  if (!file.startsWith("/")) throw usageMistake(line.name, "--config: expected an absolute path");
  const source = await currentText(file);
  const reading = parseConfig(source, file);
  const before = "config" in reading ? reading.config : undefined;
  const isAsking = !yes && process.stdin.isTTY && process.stderr.isTTY;
  const answers = await answersFor(options, before, isAsking);
  const secrets = await secretsFor(options, answers, before, isAsking);
  const plan = await planFor(file, source, { answers, secrets }, user);
  const difference = planText(plan);
  print(difference === "" ? `${file}: nothing to change\n` : difference);
  if (dryRun) return exitStatus.ok;
  if (difference !== "") {
    if (!yes && !(await isConfirmed("Do this?", "do it"))) {
      process.stderr.write("nothing is changed\n");
      return exitStatus.temporary;
    }
    await carryOut(plan);
    if (plan.login !== "") await makeLogin(plan);
  }
  if (plan.config.spool.store !== "") await offerMigration(plan.config, yes);
  await printCheck(file, offline);
  await printNext(plan);
  return exitStatus.ok;
}

/** Its password is shown this once. */
async function makeLogin({ file, config: { passwords }, login, user }: InitPlan): Promise<void> {
  const isFirst = !existsSync(passwords.file);
  await runPasswd(["--set", login, "--generate", "--config", file]);
  if (isFirst) await giveTo(user, passwords.file);
}

/** The tables of the database that hosts share, where they are not there yet. */
async function offerMigration(config: Config, yes: boolean): Promise<void> {
  const { migrateStore, reportLines } = await import("../spool/migrate.ts");
  try {
    const open = await migrateStore(config, true);
    if (open.steps.length === 0) return;
    print(`\n${[...reportLines(open, true)].join("\n")}\n`);
    if (!yes && !(await isConfirmed("Make them now?", "make them"))) return;
    print(`${[...reportLines(await migrateStore(config, false), false)].join("\n")}\n`);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    print(`\nThe tables of the database are not made: ${error.message}\n`);
  }
}

/** What is not well, or that all is. */
async function printCheck(file: string, offline: boolean): Promise<void> {
  const findings = await findingsOf(file, { offline });
  // That it does not run yet is no news.
  const open = findings.filter(({ state, check }: CheckRowResult) => state !== "ok" && check !== "relay");
  print(
    `\nThe check finds ${findings.length - open.length} things well${open.length === 0 ? ".\n" : ", and this to do:\n"}`,
  );
  print(reportText(open, await colourFor(process.stdout), widthOf(process.stdout)));
}

async function printNext({ file, config, login }: InitPlan): Promise<void> {
  print(`\nRecords to publish in the DNS, where they are not there yet:\n\n`);
  print(recordsFor(config, publicAddresses(networkInterfaces())));
  const unit = await findUnit("tpa-submit.service");
  print("\nNext:\n\n");
  print(
    nextCommands(file, config, login, unit?.config === file)
      .map((text) => `  ${text}\n`)
      .join(""),
  );
}

/** Three of them: bring the logins or look again, start, try. */
function nextCommands(file: string, config: Config, login: string, hasUnit: boolean): readonly string[] {
  const standard = "/etc/tpa-submit/tpa-submit.toml";
  const option = file === standard ? "" : ` --config ${file}`;
  const sync = config.ldap.url.length > 0 ? " tpa-submit-sync" : "";
  return [
    config.ldap.url.length > 0 ? `tpa-submit sync${option}` : `tpa-submit check${option}`,
    hasUnit
      ? `systemctl enable --now tpa-submit-submission.socket tpa-submit-submissions.socket tpa-submit${sync}`
      : `tpa-submit serve${option}`,
    `tpa-submit probe checkup ${config.hostname} --domain ${config.domain}${login === "" ? "" : ` --login ${login}`}`,
  ];
}
