/** All that is known of one login, from the password file, the relay, the history and the queue. */
import { stat } from "node:fs/promises";
import { hangingIn, visible } from "../../cli/output.ts";
import { widthOf } from "../../cli/table.ts";
import { headingFor } from "../../cli/terminal.ts";
import { readConfig } from "../../config/config-file.ts";
import { forLogin } from "../../config/domains.ts";
import type { Config } from "../../config/settings.ts";
import { exitStatus, Failure } from "../../failure.ts";
import {
  hashIn,
  isEntry,
  loginKey,
  type PasswordLine,
  parsePasswordFile,
} from "../../passwd/password-file.ts";
import { readNames } from "../../passwd/password-file-edit.ts";
import { hashDigest, nameOf } from "../../passwd/password-names.ts";
import { connectControlApi } from "../../server/control/client.ts";
import type { FrozenLogin, HostSessions, LoginState } from "../../server/control/protocol.ts";
import type { HistoryEvent } from "../../server/history/event.ts";
import { type LoginSummary, summarizeLogins } from "../../server/history/logins.ts";
import { eventsOf, eventsWith } from "../../server/history/reader.ts";
import { version } from "../../version.ts";
import { readText } from "../passwd/file.ts";
import { connectToQuery } from "../queue/connection.ts";
import { loginOf } from "../queue/options.ts";
import { plural, printAll, sizeText } from "../queue/output.ts";
import { historyDirectory, readable } from "../serve/history.ts";
import { usesIn } from "../serve/passwords-used.ts";
import { controlSocket } from "../serve/places.ts";
import { eventText, momentText } from "../trace/text.ts";

/** A line of the password file, without its hash. */
interface PasswordLineFacts {
  readonly number: number;
  /** "BLF-CRYPT, cost 10", or why it lets nobody in. */
  readonly text: string;
  readonly letsIn: boolean;
  /** What `passwd --set --name` called it. */
  readonly name?: string | undefined;
  /** When it was made, where it has a name, and last used, in milliseconds since the epoch. */
  readonly made?: number | undefined;
  readonly used?: number | undefined;
  /** Whence it was used then: `192.0.2.0/24`. */
  readonly network?: string | undefined;
}

interface PasswordFacts {
  readonly file: string;
  /** When the file was written, in milliseconds since the epoch; absent where it cannot be read. */
  readonly written?: number;
  readonly lines: readonly PasswordLineFacts[];
  /** Why it cannot be read. */
  readonly fault?: string;
}

interface AccountFacts {
  readonly login: string;
  readonly passwords: PasswordFacts;
  /** Undefined where no relay runs. */
  readonly relay: LoginState | undefined;
  /** Its sessions on other hosts with this queue, where no relay runs here. */
  readonly hosts?: readonly HostSessions[];
  readonly frozen: FrozenLogin | undefined;
  /** Of the last 24 hours; undefined where nothing is known of it. */
  readonly day: LoginSummary | undefined;
  /** Messages that are not done with, and how many of them are held. */
  readonly queued: { readonly messages: number; readonly held: number };
}

/** Prints it; returns the exit status. */
export async function showLogin(name: string, file: string, asJson: boolean): Promise<number> {
  const configuration = await readConfig(file);
  const facts = await factsOf(loginOf(name, configuration.domain), configuration);
  await printAll(asJson ? once(`${JSON.stringify(facts)}\n`) : asText(facts));
  const isKnown = facts.passwords.lines.length > 0 || facts.passwords.fault !== undefined;
  return isKnown || facts.day !== undefined ? exitStatus.ok : exitStatus.noInput;
}

async function factsOf(login: string, configuration: Config): Promise<AccountFacts> {
  const passwords = await passwordFacts(login, configuration);
  const relay = await relayState(login, configuration);
  const { frozen, queued } = await queueFacts(login, configuration);
  const isOnOthersAlone = relay === undefined && configuration.spool.store !== "";
  const hosts = isOnOthersAlone ? await sessionsElsewhere(login, configuration) : [];
  const directory = historyDirectory(configuration);
  const known = await readable(directory, () => summarizeLogins(eventsOfLogin(directory, login)));
  return {
    login,
    passwords,
    relay,
    ...(hosts.length > 0 && { hosts }),
    frozen,
    queued,
    day: known.get(login),
  };
}

async function passwordFacts(login: string, config: Config): Promise<PasswordFacts> {
  const { passwords, domain, spool } = forLogin(config, login);
  const { file } = passwords;
  const wanted = loginKey(login, domain);
  try {
    const text = await readText(file);
    const own = parsePasswordFile(text).filter((line) => loginKey(line.login, domain) === wanted);
    const [hashes, names, uses] = [text.split("\n"), await readNames(file), await usesIn(spool.directory)];
    const lines = own.map((line) => {
      const digest = hashDigest(hashIn(hashes[line.number - 1] ?? ""));
      const named = nameOf(names, wanted, digest);
      const use = uses.find((one) => one.login === login && one.digest === digest);
      const known = { name: named?.name, made: named?.made, used: use?.at, network: use?.network };
      return { ...lineFacts(line), ...known };
    });
    return { file, written: (await stat(file)).mtimeMs, lines };
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return { file, lines: [], fault: error.message };
  }
}

function lineFacts(line: PasswordLine): PasswordLineFacts {
  const { number } = line;
  if (!isEntry(line)) return { number, letsIn: false, text: line.reason };
  const { algorithm, cost, weakness } = line.stored.inspection;
  const weak = weakness === "" ? "" : `, weak: ${weakness}`;
  return { number, letsIn: true, text: `${algorithm}${cost === "" ? "" : `, ${cost}`}${weak}` };
}

/** Undefined where no relay runs. */
async function relayState(login: string, configuration: Config): Promise<LoginState | undefined> {
  const relay = await connectControlApi(controlSocket(configuration), version);
  if (relay === undefined) return undefined;
  for await (const state of relay({ verb: "login", login, everywhere: true })) return state;
  return undefined;
}

async function sessionsElsewhere(login: string, configuration: Config): Promise<readonly HostSessions[]> {
  const { sessionsOnHosts } = await import("../queue/store-connection.ts");
  return sessionsOnHosts(configuration, login);
}

async function queueFacts(
  login: string,
  configuration: Config,
): Promise<Pick<AccountFacts, "frozen" | "queued">> {
  const { api, close } = await connectToQuery(configuration);
  let frozen: FrozenLogin | undefined;
  const queued = { messages: 0, held: 0 };
  for await (const one of api({ verb: "frozen" })) if (one.login === login) frozen = one;
  for await (const { status } of api({ verb: "list", filter: { user: login } })) {
    queued.messages += 1;
    if (status === "held") queued.held += 1;
  }
  await close();
  return { frozen, queued };
}

/** What happened to `login` in the last 24 hours, then what became of the messages that it sent. */
async function* eventsOfLogin(directory: string, login: string): AsyncGenerator<HistoryEvent> {
  const span = { since: Date.now() - day, until: Number.POSITIVE_INFINITY };
  const sent = new Set<string>();
  for await (const event of eventsWith(directory, [login], span)) {
    if (!("login" in event) || event.login !== login) continue;
    if (event.event === "accepted") sent.add(event.id);
    yield event;
  }
  for await (const event of eventsOf(directory, sent, span)) if (event.event === "delivery") yield event;
}

const day = 86_400_000;

async function* asText(facts: AccountFacts): AsyncGenerator<string> {
  const heading = await headingFor(process.stdout);
  const hang = hangingIn(widthOf(process.stdout));
  const login = visible(facts.login);
  const line = hang(`${login}: `, visible(verdictOf(facts)));
  yield `${heading(login)}${line.slice(login.length)}\n`;
  for (const [name, text] of rowsOf(facts)) yield `${hang(`  ${name.padEnd(14)} `, visible(text))}\n`;
}

/** Whether a right password lets it in, and if not, the reason that counts. */
function verdictOf({ passwords, frozen, relay }: AccountFacts): string {
  if (frozen !== undefined)
    return `not let in, frozen since ${momentText(frozen.at)} by ${frozen.by}${because(frozen.reason)}`;
  if (passwords.fault !== undefined) return "whether it is let in is not known here";
  if (passwords.lines.length === 0) return "not let in, there is no such login";
  if (!passwords.lines.some(({ letsIn }) => letsIn)) return "not let in, no line of it lets anybody in";
  if (relay === undefined) return "would be let in, but no relay runs here";
  if (relay.blocks.length > 0) return "let in, but not from everywhere at the moment";
  return "let in with the right password";
}

const because = (reason: string): string => (reason === "" ? "" : `: ${reason}`);

function* rowsOf({
  passwords,
  relay,
  hosts,
  queued,
  day: last,
}: AccountFacts): Generator<readonly [string, string]> {
  const { file, written, lines, fault } = passwords;
  if (fault !== undefined) yield ["passwords", fault];
  else yield ["passwords", `${plural(lines.length, "line")} in ${file}, written ${momentText(written ?? 0)}`];
  for (const line of lines) yield ["", lineText(line)];
  if (relay !== undefined) yield* relayRows(relay);
  else if (hosts !== undefined) yield ["sessions", sessionsText(hosts)];
  const { messages, held } = queued;
  yield ["queue", `${plural(messages, "message")}${held === 0 ? "" : `, ${held} held`}`];
  yield* dayRows(last);
}

function lineText({ number, text, name, made, used, network = "" }: PasswordLineFacts): string {
  const words = [
    `line ${number}: ${name === undefined ? "" : `${name}, `}${text}`,
    ...(made === undefined ? [] : [`made ${momentText(made)}`]),
    ...(used === undefined
      ? []
      : [`last used ${momentText(used)}${network === "" ? "" : ` from ${network}`}`]),
  ];
  return words.join("; ");
}

/** `3: 2 on mail1.example.org, 1 on mail2.example.org; mail3.example.org does not answer` */
export function sessionsText(hosts: readonly HostSessions[]): string {
  const open = hosts.filter(({ sessions }) => sessions !== null && sessions > 0);
  const all = open.reduce((sum, { sessions }) => sum + (sessions ?? 0), 0);
  const where = open.map(({ host, sessions }) => `${sessions} on ${host}`).join(", ");
  const silent = hosts.filter(({ sessions }) => sessions === null).map(({ host }) => host);
  const missing = silent.map((host) => `; ${host} does not answer`).join("");
  return `${all}${where === "" ? "" : `: ${where}`}${missing}`;
}

function* relayRows({
  unheardOf,
  sessions,
  hosts,
  limits,
  blocks,
}: LoginState): Generator<readonly [string, string]> {
  if (unheardOf !== "") yield ["relay", `knows no such login: ${unheardOf}`];
  yield ["sessions", hosts === undefined ? String(sessions) : sessionsText(hosts)];
  for (const { used, limit, unit, roomAt } of limits) {
    yield [
      "limit",
      `${used} of ${limit} ${unit}${roomAt === undefined ? "" : `, reached until ${momentText(roomAt)}`}`,
    ];
  }
  for (const { network, wrong, until } of blocks) {
    yield [
      "blocked",
      `from ${network} until ${momentText(until)}, after ${plural(wrong, "wrong password")}; login unblock ends that`,
    ];
  }
}

/** What happened in the last 24 hours. */
function* dayRows(last: LoginSummary | undefined): Generator<readonly [string, string]> {
  if (last === undefined) {
    yield ["last 24 hours", "nothing is known"];
    return;
  }
  const { messages, recipients, octets, delivered, returned, refused, wrongPasswords, lastLogin } = last;
  yield [
    "last 24 hours",
    `sent ${plural(messages, "message")} to ${plural(recipients, "recipient")}, ${sizeText(octets)}: ${delivered} handed over, ${returned} refused by the other side`,
  ];
  yield ["", `${plural(refused, "refusal")} here, ${plural(wrongPasswords, "wrong password")}`];
  yield [
    "last login",
    lastLogin === undefined ? "none" : `${momentText(lastLogin.at)}  ${eventText(lastLogin)}`,
  ];
  for (const event of last.lastRefusals) yield ["refusal", `${momentText(event.at)}  ${eventText(event)}`];
}

async function* once(text: string): AsyncGenerator<string> {
  yield text;
}
