/** The order of a run: connection, greeting, TLS, login, messages, goodbye; and the points where it may stop. */

import { keywordsIn } from "../../smtp/client/ehlo.ts";
import type { ExitReason } from "../exit-status.ts";
import type { ProbePlan, StopPoint } from "../plan.ts";
import { explainOffers, explainRefusal } from "../transcript/explain.ts";
import type { RunJournal } from "../transcript/journal.ts";
import type { Transcript } from "../transcript/transcript.ts";
import { drop, leave, openConversation, quit, type RunEnding } from "./conversation.ts";
import { dial, type ProbeConnection } from "./dial.ts";
import { logIn } from "./login.ts";
import type { ProbeDependencies, ProbeSession } from "./session.ts";
import { secure, startTls } from "./starttls.ts";
import { transfer } from "./transfer.ts";

/** Carries out `plan`. Returns the exit status (exit-status.ts). */
export async function run(
  plan: ProbePlan,
  transcript: Transcript,
  journal: RunJournal,
  dependencies: ProbeDependencies,
): Promise<number> {
  const connection = await dial(plan, transcript, dependencies);
  if (connection === undefined) return leave("connect").status;
  journal.connected(connection.to);
  const ending = await runConnection(plan, connection, { transcript, journal, dependencies });
  if (ending.how !== "again") return ending.status;
  // TLS was optional. The old connection may still carry half of a handshake, so this takes a new one.
  transcript.info("TLS did not come about; once more without it, on a new connection");
  const { tls: _, ...inClear } = plan;
  return run(inClear, transcript, journal, dependencies);
}

type SharedBySessions = Pick<ProbeSession, "transcript" | "journal" | "dependencies">;

/** Everything on one connection, to its end. */
async function runConnection(
  plan: ProbePlan,
  connection: ProbeConnection,
  shared: SharedBySessions,
): Promise<RunEnding> {
  const { protocol } = plan;
  const conversation = openConversation(connection.stream, {
    output: plan.output,
    transcript: shared.transcript,
    journal: shared.journal,
    timeout: protocol.timeout,
    peer: connection.peer,
    clock: shared.dependencies.clock,
    ...(protocol.dropAfterSend === undefined ? {} : { dropAfterSend: protocol.dropAfterSend }),
  });
  const session: ProbeSession = {
    plan,
    conversation,
    offers: new Map(),
    isHelloDue: true,
    ...shared,
    ...(connection.host === undefined ? {} : { host: connection.host }),
    ...(connection.port === undefined ? {} : { port: connection.port }),
  };
  const ending = await end(session, (await takeSteps(session)) ?? quit("ok"), connection);
  await conversation.close();
  return ending;
}

type TransactionStep = readonly [
  stop: StopPoint,
  act: (session: ProbeSession) => Promise<RunEnding | undefined>,
];

/** The steps of a session in their order, each followed by its stop point. */
async function takeSteps(session: ProbeSession): Promise<RunEnding | undefined> {
  const { plan } = session;
  const isAtOnce = plan.tls?.kind === "on-connect";
  const disguise: readonly TransactionStep[] = [
    ["XCLIENT", sendXclient],
    ["XCLIENT-HELO", (session) => helloWhereDue(session, "XCLIENT-HELO", "helloAfterXclient")],
  ];
  const order: readonly TransactionStep[] = [
    ["PROXY", sendProxyHeader],
    ...(isAtOnce ? ([["TLS", secureAtOnce]] as const) : []),
    ["CONNECT", hearGreeting],
    ["FIRST-HELO", (session) => helloWhereDue(session, "FIRST-HELO", "hello")],
    ...(plan.xclient?.beforeTls === true ? disguise : []),
    ...(isAtOnce ? [] : ([["TLS", startTls]] as const)),
    ["HELO", (session) => helloWhereDue(session, "HELO", "helloAfterTls")],
    ...(plan.xclient?.beforeTls === true ? [] : disguise),
    ["AUTH", logIn],
  ];
  for (const [stop, act] of order) {
    const ending = (await act(session)) ?? (await afterStop(session, stop));
    if (ending !== undefined) return ending;
  }
  for (let message = 0; message < plan.protocol.messages; message++) {
    const ending = await transfer(session, (stop) => afterStop(session, stop));
    if (ending !== undefined) return ending;
  }
  return undefined;
}

/** EHLO (again), where the server has forgotten the last one. */
async function helloWhereDue(
  session: ProbeSession,
  stop: StopPoint,
  outcome: ExitReason,
): Promise<RunEnding | undefined> {
  return session.isHelloDue ? sayHello(session, stop, outcome) : undefined;
}

/** Sends the raw lines for this point; returns an ending where the run stops here. */
async function afterStop(session: ProbeSession, stop: StopPoint): Promise<RunEnding | undefined> {
  const { rawLines, quitAfter, dropAfter, dropAfterSend } = session.plan.protocol;
  for (const { line } of rawLines.filter(({ after }) => after === stop)) {
    const octets = Buffer.from(`${line}\r\n`, "latin1");
    // After DATA it is part of the message, and gets no reply.
    if (stop === "DATA") session.conversation.prelude(octets, octets.toString());
    else {
      const answer = await session.conversation.ask(stop, line, "250", { octets });
      if (answer.ending !== undefined) return answer.ending;
      if (!answer.ok) explainRefusal(session.transcript, answer.lines, session.host);
    }
  }
  if (dropAfter === stop || dropAfterSend === stop) return drop;
  // The greeting comes first: QUIT right after a PROXY header would take it for its reply.
  const isHere = quitAfter === stop || (stop === "CONNECT" && quitAfter === "PROXY");
  return isHere && stop !== "PROXY" ? quit("ok") : undefined;
}

async function sendProxyHeader({
  plan: { proxy },
  conversation,
}: ProbeSession): Promise<RunEnding | undefined> {
  if (proxy === undefined) return undefined;
  const octets = Buffer.from(proxy.octets);
  const shown = proxy.version === 1 ? octets.toString("latin1") : octets.toString("base64");
  conversation.prelude(octets, shown);
  return undefined;
}

async function secureAtOnce(session: ProbeSession): Promise<RunEnding | undefined> {
  const { tls } = session.plan;
  return tls === undefined ? undefined : secure(session, tls, leave("tls"));
}

async function hearGreeting({
  conversation,
  plan,
  transcript,
  host,
}: ProbeSession): Promise<RunEnding | undefined> {
  if (plan.protocol.dropAfterSend === "CONNECT") return drop;
  const greeting = await conversation.hear("CONNECT", "220");
  if (greeting.ok) return undefined;
  explainRefusal(transcript, greeting.lines, host);
  return greeting.ending ?? quit("banner");
}

/** Ends the session. Returns the ending that counts: a connection lost after an error leaves the error's status. */
async function end(session: ProbeSession, ending: RunEnding, { peer }: ProbeConnection): Promise<RunEnding> {
  const { conversation, transcript } = session;
  switch (ending.how) {
    case "drop":
      transcript.info("Dropping connection");
      return ending;
    case "quit": {
      const goodbye = await conversation.quit();
      if (goodbye !== undefined) return ending.status === 0 ? goodbye : ending;
      transcript.info(
        `Connection closed with ${peer === "Child process" ? "child process" : "remote host"}.`,
      );
      return ending;
    }
    default:
      return ending;
  }
}

/**
 * Sends EHLO, LHLO or HELO; where EHLO is refused, HELO (RFC 5321 section 3.2). Returns an ending of `outcome` when
 * both are.
 */
async function sayHello(
  session: ProbeSession,
  stop: StopPoint,
  outcome: ExitReason,
): Promise<RunEnding | undefined> {
  const { core, helo } = session.plan.protocol;
  session.isHelloDue = false;
  const verb = ({ smtp: "HELO", esmtp: "EHLO", lmtp: "LHLO" } as const)[core];
  const answer = await session.conversation.ask(stop, `${verb} ${helo}`, "250");
  session.offers = answer.ok && verb !== "HELO" ? keywordsIn(answer.lines) : new Map();
  if (answer.ok) {
    explainOffers(session.transcript, session.offers);
    return undefined;
  }
  if (answer.ending !== undefined) return answer.ending;
  explainRefusal(session.transcript, answer.lines, session.host);
  if (core !== "esmtp" || session.conversation.isLate()) return quit(outcome);
  const second = await session.conversation.ask(stop, `HELO ${helo}`, "250");
  return second.ok ? undefined : (second.ending ?? quit(outcome));
}

/**
 * XCLIENT (Postfix' XCLIENT_README), where the plan has it: it tells a server that trusts us who the client is. A
 * server that accepts it begins a new session, which needs a new EHLO.
 */
async function sendXclient(session: ProbeSession): Promise<RunEnding | undefined> {
  const { conversation, transcript, offers } = session;
  const { xclient } = session.plan;
  if (xclient === undefined) return undefined;
  const offered = offers.get("XCLIENT");
  if (offered === undefined) {
    transcript.error("Host did not advertise XCLIENT");
    return xclient.need === "required" ? quit("xclient") : undefined;
  }
  const known = offered.map((name) => name.toUpperCase());
  const missing = xclient.attributes.filter((name) => !known.includes(name)).sort();
  if (missing.length > 0) {
    transcript.error(`Host did not advertise requested XCLIENT attributes (${missing.join(", ")})`);
    return xclient.need === "required" ? quit("xclient") : undefined;
  }
  for (const attributes of xclient.commands) {
    const answer = await conversation.ask("XCLIENT", `XCLIENT ${attributes}`, "220");
    if (answer.ok) continue;
    if (answer.ending !== undefined) return answer.ending;
    transcript.error("XCLIENT attempted but failed");
    return xclient.need === "optional" ? undefined : quit("xclient");
  }
  session.isHelloDue = true;
  return undefined;
}
