/** What the mail log tells of a session. The texts are in log/events.ts. */
import { type Reply, reply } from "../../smtp/reply.ts";
import type { ListenerName } from "../log/events.ts";
import { log } from "../log/log.ts";
import { clientName, type SubmissionSession } from "./session.ts";
import { knownVerbOf } from "./verbs.ts";

/** Where a session stands: at a command, in a message of so many octets, or at the end of a message. */
export type SessionStage = "command" | "message" | { readonly octets: number };

export interface SessionLog {
  /** A command came. */
  command(line: string): void;
  /** The replies to it. `session` is the one before it. */
  answered(session: SubmissionSession, replies: readonly Reply[]): void;
  /** More came before the client could know the answer to the command. Logged once. */
  pipelined(): void;
  /** The client sent so many octets before the greeting. */
  earlyTalker(octets: number): void;
  /** Logs nothing where there is no cipher. */
  secured(cipher: { readonly name: string; readonly version: string } | undefined): void;
  handshakeFailed(reason: string): void;
  /** How the session ended early. */
  aborted(event: "connection-lost" | "timeout" | "too-many-errors", stage: SessionStage): void;
  /** The session ended by `reply` because what came is not SMTP. */
  turnedAway(reply: Reply): void;
  /** The hash that let the login in is no longer in the password file. */
  loginChanged(login: string): void;
  closed(): void;
}

/** A client that wanted mail to be relayed without a login. */
interface RelayAttempt {
  readonly from: string;
  readonly helo: string;
}

const relayDenied = (to: string): Reply => reply(554, "5.7.1", `<${to}>: Relay access denied`);

/** The log of a session of the client at `address`. */
export function newSessionLog(listener: ListenerName, address: string): SessionLog {
  const at = { door: listener, client: clientName({ address }) };
  const counts: CommandCounts = new Map();
  let verb = "CONNECT";
  let isPipeliningLogged = false;
  let path = "";
  /** Not logged yet. */
  let relayAttempt: RelayAttempt | undefined;
  let isReported = false;

  /** RFC 6409 section 5.2: refusals of mail. The limit of recipients is logged once, not for each. */
  function noteRefusal({ login, transaction, helo }: SubmissionSession, reply: Reply): void {
    if (!login || !["MAIL", "RCPT", "DATA", "BDAT"].includes(verb) || (transaction?.overshoot ?? 0) > 0)
      return;
    const stage = (verb === "DATA" || verb === "BDAT") && transaction ? "END-OF-MESSAGE" : verb;
    const from = verb === "MAIL" ? path : (transaction?.sender ?? "");
    log("reject", { ...at, login: login.name, stage, reply, from, to: verb === "RCPT" ? path : "", helo });
  }

  /** Logged once for a session, in Postfix's words, which fail2ban's stock filter counts. */
  function deny({ from, helo }: RelayAttempt, to: string): void {
    relayAttempt = undefined;
    isReported = true;
    log("reject", { ...at, stage: "RCPT", reply: relayDenied(to), from, to, helo });
  }

  /** Postfix logs this at RCPT. MAIL alone is logged when the session ends without a login. */
  function noteRelayAttempt({ helo }: SubmissionSession): void {
    if (isReported) return;
    if (verb === "RCPT") deny(relayAttempt ?? { from: "", helo }, path);
    else if (verb === "MAIL") relayAttempt ??= { from: path, helo };
  }

  return {
    command(line) {
      verb = knownVerbOf(listener, line) ?? "UNKNOWN";
      path = pathIn(line);
    },
    answered(session, [first]) {
      if (!first || (first.code >= 300 && first.code < 400)) return;
      withCommand(counts, verb, first.code < 400);
      if (session.login || first.code === 235) relayAttempt = undefined;
      else if (first.code >= 400) noteRelayAttempt(session);
      if (first.code >= 400) noteRefusal(session, first);
    },
    pipelined() {
      if (!isPipeliningLogged) log("pipelining", { ...at, stage: verb });
      isPipeliningLogged = true;
    },
    earlyTalker: (octets) => log("early-talker", { ...at, octets }),
    secured(cipher) {
      if (!cipher) return;
      const { name, version } = cipher;
      // Node does not tell the bits. All allowed ciphers have 128 or 256.
      log("tls-inbound", { ...at, protocol: version, cipher: name, bits: name.includes("128") ? 128 : 256 });
    },
    handshakeFailed: (reason) => log("tls-inbound-failed", { ...at, reason }),
    aborted(event, stage) {
      if (stage === "command") log(event, { ...at, stage: verb });
      else if (stage === "message") log(event, { ...at, stage: "END-OF-MESSAGE" });
      else log(event, { ...at, stage: verb, ...stage });
    },
    turnedAway: (reply) => log("turned-away", { ...at, stage: verb, reply }),
    loginChanged: (login) => log("session-outdated", { ...at, login }),
    closed() {
      if (relayAttempt) deny(relayAttempt, "");
      log("disconnect", { ...at, commands: formatCounts(counts) });
    },
  };
}

/** What a command has between its first angle brackets, or without them after its colon, cut to the length of an address. */
function pathIn(line: string): string {
  const open = line.indexOf("<");
  if (open < 0) return /^[A-Za-z]+[ \t]+[A-Za-z]+:[ \t]*([^ \t]{1,320})/.exec(line)?.[1] ?? "";
  const close = open < 0 ? -1 : line.indexOf(">", open);
  return close < 0 ? "" : line.slice(open + 1, Math.min(close, open + 321));
}

interface CommandCount {
  good: number;
  all: number;
}

/** The commands of a session by verb, as Postfix's `disconnect` line has them: `ehlo=2 auth=0/1 commands=2/3`. */
export type CommandCounts = Map<string, CommandCount>;

// In Postfix's order.
const countedVerbs = [
  "EHLO",
  "HELO",
  "STARTTLS",
  "XCLIENT",
  "AUTH",
  "MAIL",
  "RCPT",
  "DATA",
  "RSET",
  "NOOP",
  "VRFY",
  "HELP",
  "QUIT",
];

/** Counts one more command, in `counts` itself. A verb that is not ours counts as "unknown". */
export function withCommand(counts: CommandCounts, verb: string, good: boolean): CommandCounts {
  const name = countedVerbs.includes(verb) ? verb : "unknown";
  const count = counts.get(name) ?? { good: 0, all: 0 };
  count.all += 1;
  if (good) count.good += 1;
  return counts.set(name, count);
}

export function formatCounts(counts: CommandCounts): string {
  const rows = [...countedVerbs, "unknown"].flatMap((name) => {
    const count = counts.get(name);
    return count ? [`${name.toLowerCase()}=${countText(count)}`] : [];
  });
  const total = [...counts.values()].reduce(
    (sum, { good, all }) => ({ good: sum.good + good, all: sum.all + all }),
    { good: 0, all: 0 },
  );
  return [...rows, `commands=${countText(total)}`].join(" ");
}

const countText = ({ good, all }: CommandCount): string => (good === all ? `${all}` : `${good}/${all}`);
