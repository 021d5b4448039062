/** Who can log in, and send as whom: the password file, the file of addresses, and the directory behind them. */
import { readFile, stat } from "node:fs/promises";
import { perDomain } from "../../config/domains.ts";
import type { Config } from "../../config/settings.ts";
import { errorCode, errorText } from "../../failure.ts";
import { withDirectory } from "../../ldap/connection.ts";
import { filesOf, type SyncReport, synchronise } from "../../ldap/sync.ts";
import { disabledLines, readTable } from "../../passwd/login-table.ts";
import { canonicalLogin, isEntry, parsePasswordFile } from "../../passwd/password-file.ts";
import { givenAway, sessionRules } from "../serve/session-rules.ts";
import { readTask } from "../sync/run.ts";
import { syncedSites } from "../sync/sites.ts";
import { type Look, orFailures, orUndefined } from "./context.ts";
import { fail, failure, fine, type Judgement, warn } from "./rows.ts";

export const passwords: Look = async ({ config, now }) =>
  (
    await Promise.all(
      perDomain(config).map((site) =>
        passwordsOf(
          site,
          now,
          site.domain === config.domain ? "passwords.file" : `password-file of ${site.domain}`,
        ),
      ),
    )
  ).flat();

async function passwordsOf(
  { passwords: { file }, domain, ldap: { url } }: Config,
  now: () => number,
  setting: string,
): Promise<readonly Judgement[]> {
  let octets: Buffer;
  try {
    octets = await readFile(file);
  } catch (error) {
    if (errorCode(error) === "") throw error;
    const isMissing = errorCode(error) === "ENOENT";
    const words = (reason: string): string => `nobody could log in (${reason}); ${setting} names it`;
    if (!isMissing) return [failure(`${file}: ${words(errorText(error))}`)];
    const advice = url.length > 0 ? "tpa-submit sync brings it from the directory." : undefined;
    return [fail(file, words("there is no such file"), advice)];
  }
  return orFailures(async () => {
    const { table, news } = readTable(new Uint8Array(octets), domain);
    if (table.size === 0) {
      return [fail(file, "nobody could log in: no line has a login and a usable hash")];
    }
    const shut = [...disabledLines(table, news, domain)];
    const written = await orUndefined(stat(file));
    return [
      fine(file, `${table.size} logins`),
      ...(written ? [fine(file, `written ${age(now() - written.mtimeMs)} ago`)] : []),
      ...shut.map(({ number, login, reason }) => warn(`${file}:${number}`, `${login}: ${reason}`)),
      ...weakHashes(file, octets.toString(), domain),
    ];
  });
}

/** How many logins have a hash that is quickly guessed, by algorithm. */
function weakHashes(file: string, text: string, domain: string): readonly Judgement[] {
  const weak = new Map<string, { readonly logins: Set<string>; readonly weakness: string }>();
  for (const line of parsePasswordFile(text)) {
    if (!isEntry(line)) continue;
    const { algorithm, weakness } = line.stored.inspection;
    if (weakness === "") continue;
    const one = weak.get(algorithm) ?? { logins: new Set<string>(), weakness };
    one.logins.add(canonicalLogin(line.login, domain) ?? line.login);
    weak.set(algorithm, one);
  }
  return [...weak].map(([algorithm, { logins, weakness }]) =>
    warn(
      file,
      `${logins.size} logins have ${algorithm} (${weakness})`,
      "They get a better one when their password is set anew, as with tpa-submit passwd --set.",
    ),
  );
}

/** "3 days", "2 hours", "less than a minute". */
export function age(milliseconds: number): string {
  const units = [
    ["day", 86_400_000],
    ["hour", 3_600_000],
    ["minute", 60_000],
  ] as const;
  for (const [name, length] of units) {
    const count = Math.floor(milliseconds / length);
    if (count >= 1) return `${count} ${name}${count === 1 ? "" : "s"}`;
  }
  return "less than a minute";
}

export const senders: Look = ({ config }) =>
  orFailures(async () => {
    await sessionRules(config);
    const found = perDomain(config).map(({ domain, senders: { policy, aliases } }, index) =>
      fine(index === 0 ? "" : domain, `policy ${policy}${aliases === "" ? "" : `, with ${aliases}`}`),
    );
    if (config.domains.length === 0) return found;
    for await (const { address, domain, file, isOurs } of givenAway(config)) {
      if (!isOurs)
        found.push(
          warn(
            file,
            `${address} is not of ${domain}, and is passed over`,
            "Give it away in its own domain's file.",
          ),
        );
    }
    return found;
  });

const nothingAllowed = {
  dryRun: true,
  allowShrink: false,
  allowEmpty: false,
  allowPartial: false,
  allowReferral: false,
  allowAnonymous: false,
};

export const ldap: Look = async ({ config, now }) => {
  if (config.ldap.url.length === 0) return [fine("", "no directory is configured")];
  const found: Judgement[] = [];
  for (const site of syncedSites(config)) {
    const judgements = await orFailures(async () => {
      const { access, task } = await readTask(site, nothingAllowed);
      const report = await withDirectory(access, new AbortController().signal, (directory) =>
        synchronise(directory, task, now()),
      );
      return judgeSync(report);
    });
    found.push(...judgements);
  }
  return found;
};

function judgeSync(report: SyncReport): readonly Judgement[] {
  const { url, entries, logins } = report;
  return [
    fine(url, `${entries} entries, ${logins} of them with a login`),
    ...filesOf(report).map(({ path, alarms, result }) => {
      const [alarm] = alarms;
      if (alarm)
        return fail(
          path,
          alarm.suspicion,
          `If that is right, ${alarm.flag} of tpa-submit sync allows it once.`,
        );
      return fine(
        path,
        result === "unchanged" ? "as the directory has it" : "a sync would bring it up to date",
      );
    }),
  ];
}
