/**
 * The queue as mailq(1) of Postfix shows it, character by character: check_mailq and many a script read that, and look at
 * the last line first. Postfix's own short forms of a line are `%-11s %7ld %20.20s %s` and `%-11s %7s %-20s %s`.
 */
import { visible } from "../../cli/output.ts";
import type { Queued, Unreadable } from "../../server/control/order.ts";
import { reasonOf } from "./reason.ts";
import { waitingOf } from "./rows.ts";

/** asctime(3) without the year, in the zone of this host. */
function dateText(milliseconds: number): string {
  const [weekday, month, day, , time] = new Date(milliseconds).toString().split(" ");
  return `${weekday} ${month} ${String(Number(day)).padStart(2)} ${time}`;
}

const line = (id: string, size: string, date: string, rest: string): string =>
  `${id.padEnd(11)} ${size.padStart(7)} ${date.padEnd(20)} ${rest}\n`;

export async function* mailqLines(messages: AsyncIterable<Queued | Unreadable>): AsyncGenerator<string> {
  let count = 0;
  let octets = 0;
  for await (const message of messages) {
    yield count === 0 ? "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------\n" : "\n";
    count++;
    octets += "envelope" in message ? message.envelope.size : 0;
    yield* entry(message);
  }
  yield count === 0
    ? "Mail queue is empty\n"
    : `\n-- ${Math.floor(octets / 1024)} Kbytes in ${count} Request${count === 1 ? "" : "s"}.\n`;
}

/** What stands behind the ID. */
const marks: Readonly<Record<string, string>> = { active: "*", held: "!" };

function* entry(message: Queued | Unreadable): Generator<string> {
  if (message.status === "damaged") {
    yield line(message.id, "0", "", `(damaged: ${visible(message.reason)})`);
    return;
  }
  const { id, status, envelope } = message;
  const sender = envelope.sender === "" ? "MAILER-DAEMON" : envelope.sender;
  yield line(
    `${id}${marks[status] ?? " "}`,
    String(envelope.size),
    dateText(envelope.accepted),
    visible(sender),
  );
  let before = "";
  for (const { address, reply } of waitingOf(envelope)) {
    const reason = reply === undefined ? "" : visible(reasonOf(reply));
    if (reason !== before) yield reason === "" ? "" : `${`(${reason})`.padStart(78)}\n`;
    before = reason;
    yield line("", "", "", visible(address));
  }
}
