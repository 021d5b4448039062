/** From configuration and options to one task for src/ldap, and one run of it. */
import type { Config } from "../../config/settings.ts";
import { exitStatus, Failure } from "../../failure.ts";
import { readAccess } from "../../ldap/access.ts";
import type { Terms } from "../../ldap/account.ts";
import { readOwnership } from "../../ldap/file.ts";
import type { GuardFlag } from "../../ldap/guard.ts";
import type { FileReport, Report, Task } from "../../ldap/sync.ts";
import type { Options } from "./options.ts";

/** What of the options matters to a run. */
export type Choice = Pick<
  Options,
  "dryRun" | "allowShrink" | "allowEmpty" | "allowPartial" | "allowReferral" | "allowAnonymous"
>;

/** The way into the directory, and what to do there. Reads the password file of the bind each time: it may change. */
export async function readTask(config: Config, choice: Choice) {
  const { ldap, sync, passwords, senders } = config;
  const access = await readAccess(ldap);
  const allowed: readonly (readonly [boolean, GuardFlag])[] = [
    [choice.allowShrink, "--allow-shrink"],
    [choice.allowEmpty, "--allow-empty"],
    [choice.allowPartial, "--allow-partial"],
    [choice.allowReferral, "--allow-referral"],
    [choice.allowAnonymous, "--allow-anonymous"],
  ];
  const task: Task = {
    where: ldap,
    terms: termsOf(config),
    loggedIn: access.login.kind !== "anonymous",
    passwords: passwords.file,
    aliases: ldap["sender-attribute"] === "" ? "" : senders.aliases,
    ownership: await readOwnership(sync.owner, sync.group, sync.mode),
    largestLoss: sync["largest-loss"],
    allowed: allowed.flatMap(([given, name]) => (given ? [name] : [])),
    write: !choice.dryRun,
  };
  return { access, task };
}

/** What the rules of account.ts go by. */
export function termsOf({ ldap, sync }: Config): Terms {
  return { ...ldap, ...sync };
}

/** Throws a Failure (status 65), one line, where a guard spoke up. */
export function refuseAlarms(report: Report): void {
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

export function filesOf({ passwords, aliases }: Report): readonly FileReport[] {
  return aliases === undefined ? [passwords] : [passwords, aliases];
}
