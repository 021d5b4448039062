/** `tpa-submit queue show`: messages with all that is known about them. */
import { buffer } from "node:stream/consumers";
import { argument, command, flag, parseOptions } from "../../cli/options.ts";
import { headingFor } from "../../cli/terminal.ts";
import { visible, visibleLines } from "../../cli/visible.ts";
import { readConfig } from "../../config/read.ts";
import { exitStatus } from "../../failure.ts";
import type { Queued, Unreadable } from "../../server/control/order.ts";
import type { Envelope } from "../../server/spool/envelope.ts";
import { possibleCopies } from "../../server/spool/history.ts";
import type { History, OperatorAct } from "../../server/spool/spool.ts";
import { formatReply, type Reply } from "../../smtp/reply.ts";
import { jsonOf, time } from "./json.ts";
import { type Message, readMessage } from "./message.ts";
import { config, idsOf, json } from "./options.ts";
import { print, say } from "./print.ts";
import { reachWindow } from "./reach.ts";
import { ageText } from "./rows.ts";

export const line = command({
  name: "queue show",
  summary: "Show messages: envelope, history of every attempt, header, and on request the body.",
  options: { config, body: flag("-b, --body", "Show the body as well."), json },
  arguments: { ids: argument("<id...>", 'Queue IDs; "-" reads them from standard input.') },
  examples: ["tpa-submit queue show 65D3997B8000", "tpa-submit queue show --body 65D3997B8000"],
});

export async function run(argv: readonly string[]): Promise<number> {
  const chosen = parseOptions(line, argv);
  if (!chosen) return exitStatus.ok;
  const { options } = chosen;
  const wanted = await idsOf(line.name, chosen.arguments.ids);
  const { desk, close } = await reachWindow(await readConfig(options.config));
  let status: number = exitStatus.ok;
  for (const id of wanted) {
    const message = await readMessage(desk, id, options.body);
    if (!message) {
      say(`${id}: not in the queue`);
      status = exitStatus.noInput;
    } else await print(options.json ? asJson(message, options.body) : asText(message));
  }
  await close();
  return status;
}

async function* asJson({ about, history, octets }: Message, body: boolean): AsyncGenerator<string> {
  const content = (await buffer(octets)).toString("utf8");
  const noted = history.map((one) => ("leftOut" in one ? one : { ...one, at: time(one.at) }));
  yield `${JSON.stringify({ ...jsonOf(about), history: noted, ...copiesIn(about, history), [body ? "message" : "header"]: content })}\n`;
}

/** By recipient, where there are any. */
function copiesIn(about: Message["about"], history: History): object {
  if (about.status === "damaged") return {};
  const counted = about.envelope.recipients
    .map(({ address }) => [address, possibleCopies(history, address)] as const)
    .filter(([, copies]) => copies > 0);
  return counted.length === 0 ? {} : { possible_copies: Object.fromEntries(counted) };
}

async function* asText({ about, history, octets }: Message): AsyncGenerator<string> {
  const heading = await headingFor(process.stdout);
  if (about.status === "damaged") {
    yield `${heading(about.id)}: damaged\n${visible(about.reason)}\n`;
    return;
  }
  yield `${heading(about.id)}\n`;
  for (const [name, text] of factsOf(about, Date.now())) yield `  ${name.padEnd(11)} ${visible(text)}\n`;
  yield `${heading("Recipients")}\n`;
  for (const { address, state, reply, notify } of about.envelope.recipients) {
    yield `  ${visible(address)}: ${state}${notify ? `, NOTIFY=${notify.join(",")}` : ""}\n`;
    if (reply) yield `    ${saidBy(reply, reply.relay, reply.at)}\n`;
    const copies = possibleCopies(history, address);
    if (copies > 0) yield `    possible copies: ${copies}, taken whole without an answer\n`;
  }
  yield* historyText(history, heading("History"));
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

function* historyText(history: History, heading: string): Generator<string> {
  if (history.length === 0) return;
  yield `${heading}\n`;
  for (const one of history) {
    if ("leftOut" in one) yield `  … ${one.leftOut} more\n`;
    else if ("act" in one) yield `  ${handledBy(one)}\n`;
    else yield `  ${visible(one.recipient)} ${saidBy(one, one.relay, one.at)}\n`;
  }
}

const handledBy = ({ at, act, by, reason }: OperatorAct): string =>
  visible(`${time(at)} ${act} by ${by}${reason === "" ? "" : `: ${reason}`}`);

const saidBy = (reply: Reply, relay: string, at: number): string =>
  visible(`${time(at)} ${relay === "none" ? "" : `${relay}: `}${formatReply(reply)}`);

/** What the envelope says, in the order in which people ask. */
export function factsOf(
  { status, envelope }: Exclude<Queued | Unreadable, Unreadable>,
  now: number,
): readonly (readonly [string, string])[] {
  const { login, sender, accepted, size, attempts, due, warned, held, relay } = envelope;
  const next = due <= now ? "due now" : `next attempt in ${ageText(due - now)}, ${time(due)}`;
  return [
    ["status", status === "held" || status === "active" ? status : `${status}, ${next}`],
    ...(held
      ? [["held", `since ${time(held.at)} by ${held.by}${held.reason && `: ${held.reason}`}`] as const]
      : []),
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
