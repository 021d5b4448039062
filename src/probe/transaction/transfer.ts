/** MAIL, RCPT and the message: one transaction of RFC 5321 section 3.3, of LMTP (RFC 2033), with PRDR or BDAT. */

import type { MessageData, StopPoint } from "../plan.ts";
import { explainRefusal } from "../transcript/explain.ts";
import { type CommandResult, quit, type RunEnding } from "./conversation.ts";
import type { ProbeSession } from "./session.ts";

/** Called after a stop point; undefined where the run goes on. */
export type AfterStop = (stop: StopPoint) => Promise<RunEnding | undefined>;

/** One message, from MAIL to the last reply about it. */
export async function transfer(session: ProbeSession, afterStop: AfterStop): Promise<RunEnding | undefined> {
  const { plan, transcript, offers } = session;
  if (plan.protocol.prdr && !offers.has("PRDR")) {
    transcript.error("Host did not advertise PRDR support");
    return quit("prdr");
  }
  if (plan.protocol.chunk !== undefined && !offers.has("CHUNKING")) {
    transcript.error("Host did not advertise CHUNKING");
    return quit("data");
  }
  const envelope = plan.protocol.pipeline && offers.has("PIPELINING") ? pipelined : oneByOne;
  const accepted = await envelope(session, afterStop);
  if (typeof accepted !== "number") return accepted;
  const data = plan.data ?? { octets: new Uint8Array(), fixup: true };
  const sent =
    plan.protocol.chunk === undefined
      ? await byData(session, data, accepted, afterStop)
      : await byChunks(session, data, plan.protocol.chunk, accepted);
  return sent ?? afterStop("DOT");
}

const mailLine = ({ plan: { protocol }, offers }: ProbeSession): string =>
  [
    `MAIL FROM:<${protocol.from}>`,
    ...(protocol.prdr ? ["PRDR"] : []),
    ...(protocol.envid !== undefined && offers.has("DSN") ? ["RET=HDRS", `ENVID=${protocol.envid}`] : []),
    ...protocol.mailParameters,
  ].join(" ");

const rcptLines = ({ plan: { protocol } }: ProbeSession): readonly string[] =>
  protocol.to.map((to) => [`RCPT TO:<${to}>`, ...protocol.rcptParameters].join(" "));

/** How many recipients were accepted, or how the run ends. */
async function oneByOne(session: ProbeSession, afterStop: AfterStop): Promise<RunEnding | number> {
  const { conversation, plan } = session;
  const mail = await conversation.ask("MAIL", mailLine(session), "250");
  if (!mail.ok) return refused(session, mail, quit("mail"));
  const mailEnding = await afterStop("MAIL");
  if (mailEnding !== undefined) return mailEnding;
  let accepted = 0;
  for (const line of rcptLines(session)) {
    const rcpt = await conversation.ask("RCPT", line, "250");
    if (rcpt.ending !== undefined) return rcpt.ending;
    if (rcpt.ok) accepted++;
    else explainRefusal(session.transcript, rcpt.lines, session.host);
  }
  if (accepted === 0) return quit("rcpt");
  const rcptEnding = await afterStop("RCPT");
  if (rcptEnding !== undefined) return rcptEnding;
  if (plan.protocol.chunk !== undefined) return accepted;
  const data = await conversation.ask("DATA", "DATA", "354");
  return data.ok ? accepted : refused(session, data, quit("data"));
}

/** RFC 2920: all commands at once up to where the run may stop, then all the replies. */
async function pipelined(session: ProbeSession, afterStop: AfterStop): Promise<RunEnding | number> {
  const { conversation, plan } = session;
  const { quitAfter, dropAfter, chunk } = plan.protocol;
  const stopsAt = (stop: StopPoint): boolean => quitAfter === stop || dropAfter === stop;
  if (stopsAt("MAIL")) return oneByOne(session, afterStop);
  const hasData = chunk === undefined && !stopsAt("RCPT");
  const rcpts = rcptLines(session);
  const commands = [mailLine(session), ...rcpts, ...(hasData ? ["DATA"] : [])];
  const stops = plan.protocol.dropAfterSend;
  const last: StopPoint = hasData ? "DATA" : "RCPT";
  const dropped = conversation.pipeline(stops === "MAIL" || stops === "RCPT" ? stops : last, commands);
  if (dropped !== undefined) return dropped;
  const mail = await conversation.hear("MAIL", "250");
  let ending = mail.ending;
  let accepted = 0;
  for (const _ of rcpts) {
    const rcpt =
      ending === undefined && !conversation.isLate() ? await conversation.hear("RCPT", "250") : mail;
    ending ??= rcpt.ending;
    if (rcpt.ok && rcpt !== mail) accepted++;
  }
  if (ending !== undefined) return ending;
  if (conversation.isLate()) return quit(mail.ok ? "rcpt" : "mail");
  const trouble = !mail.ok ? quit("mail") : accepted === 0 ? quit("rcpt") : undefined;
  if (!hasData) return trouble ?? (await afterStop("RCPT")) ?? accepted;
  const data = await conversation.hear("DATA", "354");
  if (data.ending !== undefined) return data.ending;
  // RFC 2920 section 3.1: a 354 after all recipients were refused is answered with an empty message.
  if (trouble !== undefined && data.ok) await finish(session, Buffer.from(".\r\n"));
  if (trouble !== undefined) return trouble;
  return data.ok ? accepted : refused(session, data, quit("data"));
}

async function finish({ conversation }: ProbeSession, octets: Uint8Array): Promise<void> {
  conversation.message("DOT", octets);
  await conversation.hear("DOT", "250");
}

async function byData(
  session: ProbeSession,
  { octets, fixup }: MessageData,
  accepted: number,
  afterStop: AfterStop,
): Promise<RunEnding | undefined> {
  const ending = await afterStop("DATA");
  if (ending !== undefined) return ending;
  const whole = fixup ? Buffer.concat([octets, Buffer.from(".\r\n")]) : octets;
  return session.conversation.message("DOT", whole) ?? verdicts(session, accepted);
}

/** RFC 3030 section 2: no dot-stuffing, so the dots that were doubled for DATA are single again. */
async function byChunks(
  session: ProbeSession,
  { octets, fixup }: MessageData,
  size: number,
  accepted: number,
): Promise<RunEnding | undefined> {
  const stuffed = Buffer.from(octets).toString("latin1");
  const whole = Buffer.from(fixup ? stuffed.replace(/(^|\r\n)\.\./g, "$1.") : stuffed, "latin1");
  for (let from = 0; ; from += size) {
    const chunk = whole.subarray(from, from + size);
    const isLast = from + size >= whole.length;
    const command = `BDAT ${chunk.length}${isLast ? " LAST" : ""}`;
    const dropped = session.conversation.message(isLast ? "DOT" : "DATA", chunk, command);
    if (dropped !== undefined) return dropped;
    if (isLast) return verdicts(session, accepted);
    const answer = await session.conversation.hear("DATA", "250");
    if (!answer.ok) return refused(session, answer, quit("data"));
  }
}

/** The replies to the message: one, or one for each recipient (RFC 2033 section 4.2, PRDR). */
async function verdicts(session: ProbeSession, accepted: number): Promise<RunEnding | undefined> {
  const { conversation, plan } = session;
  if (plan.protocol.core === "lmtp") {
    const answers = await forEach(session, accepted);
    const taken = answers.some(({ ok }) => ok);
    return (
      answers.find(({ ending }) => ending !== undefined)?.ending ?? (taken ? undefined : quit("message"))
    );
  }
  // With one accepted recipient there is one reply.
  const isPrdr = plan.protocol.prdr && accepted > 1;
  const first = await conversation.hear("DOT", "250", isPrdr ? { also: "353" } : {});
  if (!first.ok) return refused(session, first, quit("message"));
  if (!first.lines.some((line) => line.startsWith("353 "))) return undefined;
  const answers = await forEach(session, accepted);
  const lost = answers.find(({ ending }) => ending !== undefined);
  if (lost !== undefined) return lost.ending;
  const last = await conversation.hear("DOT", "250");
  return last.ok ? undefined : refused(session, last, quit("message"));
}

async function forEach(
  { conversation, transcript, host }: ProbeSession,
  count: number,
): Promise<readonly CommandResult[]> {
  const answers: CommandResult[] = [];
  while (answers.length < count && !conversation.isLate() && answers.at(-1)?.ending === undefined) {
    const answer = await conversation.hear("DOT", "250");
    if (!answer.ok) explainRefusal(transcript, answer.lines, host);
    answers.push(answer);
  }
  return answers;
}

function refused({ transcript, host }: ProbeSession, answer: CommandResult, otherwise: RunEnding): RunEnding {
  if (answer.ending === undefined) explainRefusal(transcript, answer.lines, host);
  return answer.ending ?? otherwise;
}
