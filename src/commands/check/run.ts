/** The check as a whole: who looks at what, and what is printed of it. */
import { usageMistake } from "../../cli/options.ts";
import { print } from "../../cli/output.ts";
import { widthOf } from "../../cli/table.ts";
import { colourFor, startSpinner } from "../../cli/terminal.ts";
import { readConfig } from "../../config/config-file.ts";
import { hostName } from "../../config/setting-types.ts";
import type { Config } from "../../config/settings.ts";
import { exitStatus, Failure } from "../../failure.ts";
import { nagiosGrades, worstState } from "../../probe/checkup/judge.ts";
import { taskApart } from "./apart.ts";
import { lookAsService, takenOn } from "./as-service.ts";
import type { CheckContext } from "./context.ts";
import { inOrder, lookAt } from "./looks.ts";
import { type CheckOptions, line, standardMx, standardUnit } from "./options.ts";
import { asServe, reportJson, reportNagios, reportText } from "./report.ts";
import {
  type CheckId,
  type CheckRow,
  type CheckRowResult,
  checkIds,
  fail,
  failure,
  fine,
  rowOf,
  statusOfAll,
} from "./rows.ts";
import { serviceUser } from "./service-user.ts";
import { findUnit, type ServiceUnit, unitOf } from "./unit.ts";

export async function runCheck(options: CheckOptions): Promise<number> {
  const done = await takenOn(Date.now);
  if (done !== undefined) return done;
  const apart = await taskApart();
  if (apart !== undefined) {
    const task = { ...apart, unit: standardUnit, mxOf: "", isOffline: true };
    print(`${JSON.stringify(await lookAtAll(task))}\n`);
    return exitStatus.ok;
  }
  const { config: file, offline, mx, unit, json, nagios } = options;
  if (json && nagios) throw usageMistake(line.name, "--json and --nagios do not go together");
  const mxOf = hostName.read(mx);
  if (mxOf === undefined) throw usageMistake(line.name, `--mx: expected a domain, found "${mx}"`);
  const spinner = startSpinner("looking");
  const task = { file, unit, mxOf, isOffline: offline, ids: idsFor(offline), patience: null };
  const findings = await lookAtAll(task).finally(() => spinner.stop());
  if (json) print(reportJson(findings));
  else {
    if (nagios) print(reportNagios(findings, file));
    print(reportText(findings, await colourFor(process.stdout), widthOf(process.stdout)));
  }
  return nagios ? nagiosGrades[worstState(findings)] : statusOfAll(findings);
}

/** The findings of {@link run} for the configuration `file`, with its other options as they are by themselves. */
export function findingsOf(
  file: string,
  { offline }: { readonly offline: boolean },
): Promise<readonly CheckRowResult[]> {
  return lookAtAll({
    file,
    unit: standardUnit,
    mxOf: standardMx,
    isOffline: offline,
    ids: idsFor(offline),
    patience: null,
  });
}

const idsFor = (offline: boolean): readonly CheckId[] =>
  checkIds.filter((id) => !offline || rowOf(id).network !== true);

interface CheckTask {
  readonly file: string;
  /** The unit's name or file. */
  readonly unit: string;
  readonly mxOf: string;
  readonly isOffline: boolean;
  readonly ids: readonly CheckId[];
  readonly patience: number | null;
}

/** All of them, in order; where the configuration cannot be read, that alone. */
async function lookAtAll({
  file,
  unit: name,
  mxOf,
  isOffline,
  ids,
  patience,
}: CheckTask): Promise<readonly CheckRowResult[]> {
  let config: Config;
  try {
    config = await readConfig(file);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return mistakesIn(error);
  }
  const understood: CheckRowResult = { check: "config", ...fine(file, "every setting is understood") };
  const unit = await unitFor(file, name);
  let user: CheckContext["user"];
  try {
    user = await serviceUser(config, unit);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return [understood, { check: "service", ...failure(error.message) }];
  }
  const program = [process.execPath, ...process.argv.slice(1, 2)];
  const context = { config, file, unit, user, program, isOffline, mxOf, patience, now: Date.now };
  const of = (as: CheckRow["as"]): readonly CheckId[] => ids.filter((id) => rowOf(id).as === as);
  const [asService, asAsker] = await Promise.all([
    lookAsService(context, of("service")),
    lookAt(context, of("asker")),
  ]);
  return inOrder([understood, ...asService, ...asAsker]);
}

function mistakesIn(error: Failure): readonly CheckRowResult[] {
  return error.message.split("\n").map((text): CheckRowResult => ({ check: "config", ...fail("", text) }));
}

/** The unit, if it is the one that starts the relay with the configuration `file`; one that was named is in any case. */
async function unitFor(file: string, name: string): Promise<ServiceUnit | undefined> {
  if (name === standardUnit) return unitOf(file);
  const unit = await findUnit(name);
  if (unit) return unit;
  throw usageMistake(line.name, `--unit: there is no unit ${name}`);
}

/**
 * `serve --check`, as it was before there was this command: what would keep the relay from working, on this host alone, and
 * the status 78 where something is wrong.
 */
export async function runAsServe(file: string): Promise<number> {
  await readConfig(file); // its mistakes are told as a start tells them
  const ids = checkIds.filter((id) => rowOf(id).network !== true || id === "resolver");
  const findings = await lookAtAll({
    file,
    unit: standardUnit,
    mxOf: "",
    isOffline: false,
    ids,
    patience: null,
  });
  for (const finding of findings) {
    const { stream, line: text } = asServe(finding);
    if (stream === "stdout") print(`${text}\n`);
    else process.stderr.write(`${text}\n`);
  }
  return statusOfAll(findings) === exitStatus.ok ? exitStatus.ok : exitStatus.config;
}
