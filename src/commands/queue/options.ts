/** Options that the subcommands of `tpa-submit queue` share, and what they mean. */
import { text as textOf } from "node:stream/consumers";
import { argument, flag, type OptionsOf, oneOf, parsed, usageMistake, value } from "../../cli/options.ts";
import { duration } from "../../config/setting-types.ts";
import type { Config } from "../../config/settings.ts";
import { canonicalLogin } from "../../passwd/login-name.ts";
import { type MessageFilter, queueStatuses } from "../../server/control/protocol.ts";
import { isQueueId } from "../../server/spool/queue-id.ts";

export const config = value("-c, --config <file>", "Configuration file.", "/etc/tpa-submit/tpa-submit.toml");
export const json = flag("--json", "Print a line of JSON for each message.");
export const yes = flag("-y, --yes", "Do it without asking.");
export const dryRun = flag("-n, --dry-run", "Only show what it would be done to.");

/** For one line of the log. */
export const reason = parsed(
  "-r, --reason <text>",
  "Why; it stands in the log.",
  {
    expected: "one line of 400 characters at most",
    read: (text) => (/^\P{Cc}{0,400}$/u.test(text) ? text : undefined),
  },
  "",
);

/** Which messages; all that is given must fit. */
export const filters = {
  user: value("-u, --user <login>", "Those that this login sent."),
  sender: value("--sender <address>", 'Those from this address; "*" stands for anything, "<>" for reports.'),
  recipient: value("--recipient <address>", "Those that still wait for this address."),
  domain: value("--domain <name>", "Those that still wait for an address of this domain."),
  olderThan: parsed(
    "--older-than <time>",
    "Those accepted longer ago than this, such as 30m, 4h or 2d.",
    duration,
  ),
  status: parsed(
    "--status <status>",
    `Those that are ${queueStatuses.slice(0, -1).join(", ")}, damaged, or late: their sender has been told.`,
    oneOf(...queueStatuses, "late"),
  ),
  error: value("--error <text>", "Those about which a server last said something with this text in it."),
};

export const host = value(
  "--host <name>",
  "Those that this host delivers at the moment, where several share the queue.",
);

export const all = flag("-a, --all", "All messages.");
export const ids = argument("[id...]", 'Queue IDs; "-" reads them from standard input.');

/** The filter that was chosen; `domain` is the site's, for logins that are written with it. */
export function filterOf(chosen: OptionsOf<typeof filters>, domain: string): MessageFilter {
  const { user, ...others } = chosen;
  const given = { ...others, user: user === undefined ? undefined : loginOf(user, domain) };
  return Object.fromEntries(
    (["user", "sender", "recipient", "domain", "olderThan", "status", "error"] as const)
      .map((key) => [key, given[key]] as const)
      .filter(([, wanted]) => wanted !== undefined),
  );
}

/** The filter for the messages of a host: a queue in files has one alone. Throws a Failure for another one. */
export function hostFilterOf(
  command: string,
  name: string | undefined,
  { hostname, spool }: Pick<Config, "hostname" | "spool">,
): Pick<MessageFilter, "host"> {
  if (name === undefined) return {};
  if (spool.store !== "") return { host: name };
  if (name.toLowerCase() === hostname.toLowerCase()) return {};
  throw usageMistake(
    command,
    `--host ${JSON.stringify(name)}: this queue is ${hostname}'s alone; several hosts have one with spool.store`,
  );
}

/** A login as the queue has it. */
export const loginOf = (name: string, domain: string): string =>
  canonicalLogin(name, domain) ?? name.toLowerCase();

/** The queue IDs that were given, each once; the marks that mailq adds to them are ignored. */
export async function idsOf(command: string, given: readonly string[]): Promise<readonly string[]> {
  const written = given.includes("-") ? [...given, ...(await textOf(process.stdin)).split(/\s+/)] : given;
  const found = written
    .filter((one) => one !== "-" && one !== "")
    .map((one) => {
      const id = one.replace(/[*!]$/, "").toUpperCase();
      if (isQueueId(id)) return id;
      throw usageMistake(
        command,
        `${JSON.stringify(one)} is no queue ID: expected 12 hexadecimal digits, such as 65D3997B8000`,
      );
    });
  return [...new Set(found)];
}
