/** `tpa-submit login list`: who sends how much, and who has trouble. */
import { command, flag, oneOf, parsed, parseOptions, usageMistake, value } from "../../cli/options.ts";
import { type Column, tableLines, widthOf } from "../../cli/table.ts";
import { duration } from "../../config/setting-types.ts";
import { exitStatus } from "../../failure.ts";
import type { LoginSummary } from "../../server/history/logins.ts";
import { config } from "../queue/options.ts";
import { ageText, plural, printAll, say, sizeText } from "../queue/output.ts";

export const listCommand = command({
  name: "login list",
  summary: "List the logins that sent mail or had trouble, the most first.",
  options: {
    config,
    by: parsed(
      "--by <order>",
      "volume: recipients; trouble: wrong passwords and refusals.",
      oneOf("volume", "trouble"),
      "volume",
    ),
    since: parsed("--since <time>", "Of so long: 1h, 7d.", duration, "1d"),
    domain: value("--domain <name>", "Those of one domain."),
    json: flag("--json", "Print a line of JSON for each login."),
  },
  arguments: {},
  examples: ["tpa-submit login list", "tpa-submit login list --by trouble --since 1h"],
});

const columns: readonly Column[] = [
  { title: "LOGIN", least: 8 },
  { title: "MESSAGES", align: "right" },
  { title: "RECIPIENTS", align: "right" },
  { title: "SIZE", align: "right", yields: 2 },
  { title: "RETURNED", align: "right", yields: 3 },
  { title: "REFUSED", align: "right" },
  { title: "WRONG PASSWORDS", align: "right" },
  { title: "LAST LOGIN", yields: 1 },
  { title: "STATE" },
];

export async function run(argv: readonly string[]): Promise<number> {
  const chosen = parseOptions(listCommand, argv);
  if (!chosen) return exitStatus.ok;
  const { by, domain, json, since } = chosen.options;
  const { readConfig } = await import("../../config/config-file.ts");
  const { connectToQuery } = await import("../queue/connection.ts");
  const { historyDirectory, readable } = await import("../serve/history.ts");
  const { eventsIn } = await import("../../server/history/reader.ts");
  const { summarizeLogins } = await import("../../server/history/logins.ts");
  const { loginKey } = await import("../../passwd/login-name.ts");
  const { domainNames, domainOfLogin } = await import("../../config/domains.ts");
  const configuration = await readConfig(chosen.options.config);
  const main = configuration.domain;
  const names = domainNames(configuration);
  const wanted = domain?.toLowerCase();
  if (wanted !== undefined && !names.includes(wanted))
    throw usageMistake(
      "login list",
      `--domain: expected ${names.join(" or ")}, found ${JSON.stringify(domain)}`,
    );
  const isWanted = (login: string): boolean => wanted === undefined || domainOfLogin(login, main) === wanted;
  const directory = historyDirectory(configuration);
  const nameOf = names.length > 1 ? (login: string) => loginKey(login, main) : undefined;
  const now = Date.now();
  const span = { since: now - since, until: Number.POSITIVE_INFINITY };
  const logins = await readable(directory, () => summarizeLogins(eventsIn(directory, span), nameOf));
  const { api, close } = await connectToQuery(configuration);
  const frozen = new Set<string>();
  for await (const { login } of api({ verb: "frozen" })) if (isWanted(login)) frozen.add(login);
  await close();
  const sorted = [...logins.values()]
    .filter(({ login }) => isWanted(login))
    .sort((one, other) => rank(other, by) - rank(one, by));
  const shown = by === "volume" ? sorted : sorted.filter((one) => rank(one, by) > 0 || frozen.has(one.login));
  if (json) await printAll(asJson(shown, frozen));
  else if (shown.length > 0)
    await printAll(tableLines(columns, rows(shown, frozen, now), widthOf(process.stdout)));
  if (!json) say(`${plural(shown.length, "login")} in ${ageText(since)}, ${frozen.size} frozen`);
  return exitStatus.ok;
}

const rank = (
  { recipients, wrongPasswords, refused, returned }: LoginSummary,
  by: "volume" | "trouble",
): number => (by === "volume" ? recipients : wrongPasswords + refused + returned);

async function* rows(
  logins: readonly LoginSummary[],
  frozen: ReadonlySet<string>,
  now: number,
): AsyncGenerator<readonly string[]> {
  for (const {
    login,
    messages,
    recipients,
    octets,
    returned,
    refused,
    wrongPasswords,
    lastLogin,
  } of logins) {
    yield [
      login,
      String(messages),
      String(recipients),
      sizeText(octets),
      String(returned),
      String(refused),
      String(wrongPasswords),
      lastLogin === undefined ? "-" : `${ageText(now - lastLogin.at)} ago`,
      frozen.has(login) ? "frozen" : "",
    ];
  }
}

async function* asJson(logins: readonly LoginSummary[], frozen: ReadonlySet<string>): AsyncGenerator<string> {
  for (const one of logins) yield `${JSON.stringify({ ...one, frozen: frozen.has(one.login) })}\n`;
}
