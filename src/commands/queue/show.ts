/** `tpa-submit queue show`: messages with all that is known about them. */
import { buffer } from "node:stream/consumers";
import { argument, command, flag, parseOptions } from "../../cli/options.ts";
import { type Hang, hangingIn, visible, visibleLines } from "../../cli/output.ts";
import { widthOf } from "../../cli/table.ts";
import { headingFor } from "../../cli/terminal.ts";
import { exitStatus } from "../../failure.ts";
import type { DamagedMessage, QueuedMessage } from "../../server/control/protocol.ts";
import type { Envelope, Recipient } from "../../server/spool/envelope.ts";
import type { History, OperatorAct } from "../../server/spool/spool.ts";
import { explainReply } from "../../smtp/known-replies/explain.ts";
import { meaningText, operatorText, plainReply } from "../../smtp/known-replies/row.ts";
import { formatReply, type Reply } from "../../smtp/reply.ts";
import type { MessageWithOctets } from "./connection.ts";
import { config, idsOf, json } from "./options.ts";
import { ageText, jsonOf, printAll, say, time } from "./output.ts";

export const showCommand = command({
  name: "queue show",
  summary: "Show messages: envelope, history of every attempt, header, and on request the body.",
  options: { config, body: flag("-b, --body", "Show the body as well."), json },
  arguments: { ids: argument("<id...>", 'Queue IDs; "-" reads them from standard input.') },
  examples: ["tpa-submit queue show 65D3997B8000", "tpa-submit queue show --body 65D3997B8000"],
});

export async function run(argv: readonly string[]): Promise<number> {
  const chosen = parseOptions(showCommand, argv);
  if (!chosen) return exitStatus.ok;
  const { options } = chosen;
  const wanted = await idsOf(showCommand.name, chosen.arguments.ids);
  const { readConfig } = await import("../../config/config-file.ts");
  const { connectToQuery, readMessage } = await import("./connection.ts");
  const { api, close } = await connectToQuery(await readConfig(options.config));
  let status: number = exitStatus.ok;
  for (const id of wanted) {
    const message = await readMessage(api, id, options.body);
    if (!message) {
      say(`${id}: not in the queue`);
      status = exitStatus.noInput;
    } else await printAll(options.json ? asJson(message, options.body) : asText(message));
  }
  await close();
  return status;
}

async function* asJson({ about, history, octets }: MessageWithOctets, body: boolean): AsyncGenerator<string> {
  const content = (await buffer(octets)).toString("utf8");
  const noted = history.map((one) => ("leftOut" in one ? one : { ...one, at: time(one.at) }));
  yield `${JSON.stringify({ ...jsonOf(about, knownOf), history: noted, ...(await copiesIn(about, history)), [body ? "message" : "header"]: content })}\n`;
}

/** What the last reply about a recipient means, where that is known. */
function knownOf({ reply, state }: Recipient): object {
  const known = reply && explainReply(reply, reply.relay);
  return known === undefined ? {} : { known: plainReply(known, state !== "waiting") };
}

/** By recipient, where there are any. */
async function copiesIn(about: MessageWithOctets["about"], history: History): Promise<object> {
  if (about.status === "damaged") return {};
  const { possibleCopies } = await import("../../server/spool/history.ts");
  const counted = about.envelope.recipients
    .map(({ address }) => [address, possibleCopies(history, address)] as const)
    .filter(([, copies]) => copies > 0);
  return counted.length === 0 ? {} : { possible_copies: Object.fromEntries(counted) };
}

async function* asText({ about, history, octets }: MessageWithOctets): AsyncGenerator<string> {
  const heading = await headingFor(process.stdout);
  const hang = hangingIn(widthOf(process.stdout));
  const { possibleCopies } = await import("../../server/spool/history.ts");
  if (about.status === "damaged") {
    yield `${heading(about.id)}: damaged\n${visible(about.reason)}\n`;
    return;
  }
  yield `${heading(about.id)}\n`;
  for (const [name, text] of factsOf(about, Date.now()))
    yield `${hang(`  ${name.padEnd(11)} `, visible(text))}\n`;
  yield `${heading("Recipients")}\n`;
  for (const { address, state, reply, notify } of about.envelope.recipients) {
    yield `  ${visible(address)}: ${state}${notify ? `, NOTIFY=${notify.join(",")}` : ""}\n`;
    if (reply) yield `${hang("    ", replyLine(reply, reply.relay, reply.at))}\n`;
    const known = reply && explainReply(reply, reply.relay);
    if (known) {
      yield `${hang("    = ", meaningText(known, reply.code))}\n`;
      const act = operatorText(known);
      if (act !== "") yield `${hang("    => ", act)}\n`;
    }
    const copies = possibleCopies(history, address);
    if (copies > 0) yield `    possible copies: ${copies}, taken whole without an answer\n`;
  }
  yield* historyText(history, heading("History"), hang);
  yield `${heading("Message")}\n`;
  let last = "\n";
  const decoder = new TextDecoder();
  for await (const piece of octets) {
    const text = visibleLines(decoder.decode(piece, { stream: true }));
    if (text !== "") last = text;
    yield text;
  }
  if (!last.endsWith("\n")) yield "\n";
}

function* historyText(history: History, heading: string, hang: Hang): Generator<string> {
  if (history.length === 0) return;
  yield `${heading}\n`;
  for (const one of history) {
    if ("leftOut" in one) yield `  … ${one.leftOut} more\n`;
    else if ("act" in one) yield `${hang("  ", operatorActText(one))}\n`;
    else yield `${hang("  ", `${visible(one.recipient)} ${replyLine(one, one.relay, one.at)}`)}\n`;
  }
}

const operatorActText = ({ at, act, by, reason }: OperatorAct): string =>
  visible(`${time(at)} ${act} by ${by}${reason === "" ? "" : `: ${reason}`}`);

const replyLine = (reply: Reply, relay: string, at: number): string =>
  visible(`${time(at)} ${relay === "none" ? "" : `${relay}: `}${formatReply(reply)}`);

/** What the envelope says, in the order in which people ask. */
export function factsOf(
  { status, envelope, host }: Exclude<QueuedMessage | DamagedMessage, DamagedMessage>,
  now: number,
): readonly (readonly [string, string])[] {
  const { login, sender, accepted, size, attempts, due, warned, held, relay } = envelope;
  const next = due <= now ? "due now" : `next attempt in ${ageText(due - now)}, ${time(due)}`;
  return [
    ["status", status === "held" || status === "active" ? status : `${status}, ${next}`],
    ...(held
      ? [["held", `since ${time(held.at)} by ${held.by}${held.reason && `: ${held.reason}`}`] as const]
      : []),
    ...(host === undefined ? [] : [["host", host ?? "none at the moment"] as const]),
    ["login", login ?? "none, a report of this relay"],
    ["sender", `<${sender}>`],
    ["accepted", `${time(accepted)}, ${ageText(now - accepted)} ago`],
    ["size", `${size} octets`],
    ["attempts", `${attempts}${warned ? ", and the sender has been told that it is late" : ""}`],
    ...(relay === undefined ? [] : [["redirected", relay] as const]),
    ...parametersOf(envelope),
  ];
}

function parametersOf(envelope: Envelope): readonly (readonly [string, string])[] {
  const { eightBit, smtputf8, requireTls, tlsOptional, envid, ret } = envelope;
  const words = [
    eightBit ? "8BITMIME" : "",
    smtputf8 ? "SMTPUTF8" : "",
    requireTls ? "REQUIRETLS" : "",
    tlsOptional ? "TLS-Required: No" : "",
    ret === undefined ? "" : `RET=${ret}`,
    envid === undefined ? "" : `ENVID=${envid}`,
  ].filter((word) => word !== "");
  return words.length === 0 ? [] : [["asks for", words.join(" ")]];
}
