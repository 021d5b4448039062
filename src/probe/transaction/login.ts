/** AUTH (RFC 4954): the choice of a mechanism, the exchange, and its result. The mechanisms are in src/smtp/sasl. */

import type { SaslMechanism } from "../../smtp/sasl/mechanism.ts";
import { type MechanismRow, mechanismNamed, mechanismRows } from "../mechanisms.ts";
import type { AuthPlan } from "../plan.ts";
import { explainLogin, explainRefusal } from "../transcript/explain.ts";
import { type CommandOptions, quit, type RunEnding } from "./conversation.ts";
import type { ProbeSession } from "./session.ts";

/** A mechanism under the name that the server offers. */
interface MechanismCandidate {
  readonly name: string;
  readonly mechanism: SaslMechanism;
}

/** Logs in where the plan has it. */
export async function logIn(session: ProbeSession): Promise<RunEnding | undefined> {
  const { transcript, offers } = session;
  const { auth } = session.plan;
  if (auth === undefined) return undefined;
  const offered = (offers.get("AUTH") ?? []).map((name) => name.toUpperCase());
  if (offered.length === 0) {
    transcript.error("Host did not advertise authentication");
    return auth.need === "required" ? quit("auth") : undefined;
  }
  const isNamed = auth.types.length > 0;
  const candidates = candidatesFor(session, auth, offered);
  if (candidates.length === 0) {
    const what = isNamed ? "requested type not available" : "no advertised types available";
    transcript.error(`Auth not attempted, ${what}`);
    return auth.need === "required" || (auth.need === "strict" && !isNamed) ? quit("auth") : undefined;
  }
  explainLogin(
    transcript,
    candidates.map(({ name }) => name),
    offered,
    isNamed,
  );
  for (const candidate of candidates) {
    const result = await attempt(session, auth, candidate);
    if (result === "in") {
      session.journal.loggedIn(candidate.name);
      return undefined;
    }
    if (result !== "refused") return result;
  }
  transcript.error("No authentication type succeeded");
  return auth.need === "optional" ? undefined : quit("auth");
}

function candidatesFor(
  session: ProbeSession,
  auth: AuthPlan,
  offered: readonly string[],
): readonly MechanismCandidate[] {
  const wanted = auth.types.length > 0 ? auth.types : usualMechanisms(auth, offered);
  return wanted.flatMap((type) => {
    // LOGIN-INITIAL is LOGIN with the user's name in the command; servers announce both as LOGIN.
    const name = type === "LOGIN-INITIAL" ? "LOGIN" : type;
    const mechanism = mechanismNamed(auth.map.get(type) ?? type);
    if (mechanism === undefined || !offered.includes(name)) return [];
    return name.endsWith("-PLUS") && bindingOf(session) === undefined ? [] : [{ name, mechanism }];
  });
}

/**
 * What is tried where no option names one: swaks' own in the order of the alphabet, as swaks does; where the server has
 * none of them, SCRAM, the strongest first. So what works with swaks works the same here.
 */
function usualMechanisms(auth: AuthPlan, offered: readonly string[]): readonly string[] {
  const usual = new Set(mechanismRows.filter((row) => row.usual).map(({ mechanism }) => mechanism.name));
  const names = [...new Set([...mechanismRows.flatMap(namesOf), ...auth.map.keys()])];
  const known = names.filter((name) => usual.has(auth.map.get(name) ?? mechanismNamed(name)?.name ?? ""));
  if (known.some((name) => offered.includes(name))) return known.sort();
  return mechanismRows
    .filter((row) => !row.usual && row.secret === "password")
    .map(({ mechanism }) => mechanism.name);
}

const namesOf = ({ mechanism, aliases }: MechanismRow): readonly string[] => [mechanism.name, ...aliases];

const bindingOf = ({ journal }: ProbeSession): Uint8Array | undefined => journal.read().tls?.binding;

async function attempt(
  session: ProbeSession,
  auth: AuthPlan,
  { name, mechanism }: MechanismCandidate,
): Promise<RunEnding | "in" | "refused"> {
  const { conversation, transcript } = session;
  const binding = bindingOf(session);
  const exchange = mechanism.begin({
    user: auth.user,
    password: auth.password,
    extra: auth.extra,
    host: session.host ?? "",
    random: session.dependencies.random,
    ...(binding === undefined ? {} : { binding }),
  });
  const ways = { also: "235", ...(auth.plaintext ? { readAs: decoded } : {}) };
  const { initial } = exchange;
  const command = `AUTH ${name}`;
  const seen = initial === undefined ? {} : seenAs(initial, mechanism, auth, `${command} `);
  let answer = await conversation.ask("AUTH", opening(command, initial), "334", {
    ...ways,
    ...seen,
    recorded: command,
  });
  let isCancelled = false;
  while (answer.ok && !isIn(answer.lines) && !isCancelled) {
    const response = await exchange.answer(challengeIn(answer.lines));
    isCancelled = response === undefined;
    const line = response === undefined ? "*" : base64(response);
    const seen = response === undefined ? {} : seenAs(response, mechanism, auth);
    answer = await conversation.ask("AUTH", line, "334", { ...ways, ...seen, recorded: "(a response)" });
  }
  // Even after a 235: a server that has not proved that it knows the password may be any (RFC 5802 section 3).
  const objection = exchange.objection?.();
  if (answer.ok && !isCancelled && objection === undefined) return "in";
  if (objection !== undefined && (answer.ok || isCancelled)) transcript.error(`${name}: ${objection}`);
  if (answer.ok) return "refused";
  if (answer.ending !== undefined) return answer.ending;
  explainRefusal(transcript, answer.lines);
  // A server that does not answer will not answer another mechanism.
  return conversation.isLate() ? quit("auth") : "refused";
}

/** An initial response of no octets is "=" (RFC 4954 section 4). */
function opening(command: string, initial: Uint8Array | undefined): string {
  if (initial === undefined) return command;
  return `${command} ${initial.length === 0 ? "=" : base64(initial)}`;
}

/** A response as the transcript shows it: without the password or base64, where the options say so. */
function seenAs(
  response: Uint8Array,
  mechanism: SaslMechanism,
  auth: AuthPlan,
  front = "",
): Pick<CommandOptions, "shown" | "dumped"> {
  if (front !== "" && response.length === 0) return {};
  const octets =
    auth.hide === undefined || mechanism.hidden === undefined
      ? response
      : mechanism.hidden(response, auth.password, auth.hide);
  const plain = Buffer.from(octets).toString("utf8").replaceAll("\0", "\\0");
  return { shown: front + (auth.plaintext ? plain : base64(octets)), dumped: front + base64(octets) };
}

const base64 = (octets: Uint8Array): string => Buffer.from(octets).toString("base64");

const isIn = (lines: readonly string[]): boolean => lines.some((line) => /^235(?: |$)/.test(line));

/** The octets of the reply's last line. Of wrong base64 what can be read; the mechanism judges it. */
function challengeIn(lines: readonly string[]): Uint8Array {
  return Buffer.from((lines.at(-1) ?? "").slice(4), "base64");
}

/** "334 VXNlcm5hbWU6" as "334 Username:"; what is not base64 stays as it is. */
function decoded(line: Buffer): Buffer {
  const text = line.toString("latin1");
  const [, code = "", challenge = ""] =
    /^(334 )((?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?)$/.exec(text) ?? [];
  if (challenge === "") return line;
  return Buffer.concat([Buffer.from(code), Buffer.from(challenge, "base64")]);
}
