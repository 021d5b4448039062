/** What became of a delivery, in the words of the mail log. */
import { formatReply, isPermanent, isPositive, type Reply } from "../../smtp/reply.ts";

export interface Delivery {
  readonly id: string;
  readonly to: string;
  /** `mx.example.net[192.0.2.1]:25`, or "none". */
  readonly relay: string;
  /** Seconds: before the queue manager, in the queue manager, connecting, transmitting. */
  readonly delays: readonly [number, number, number, number];
  readonly reply: Reply;
  /** The command that the reply answers, or "". */
  readonly command: string;
  /** How many deliveries the connection has served, where this one did not open it. */
  readonly use?: number;
}

/** RFC 3464 words as Postfix uses them: what became of one delivery. */
export function deliveryStatus(reply: Reply): "sent" | "bounced" | "deferred" {
  if (isPositive(reply)) return "sent";
  return isPermanent(reply) ? "bounced" : "deferred";
}

/** The line about one delivery, in Postfix's words. */
export function deliveryText({ id, to, relay, delays, reply, command, use }: Delivery): string {
  const total = delays.reduce((sum, part) => sum + part, 0);
  const quote = formatReply(reply);
  const said = relay === "none" ? reply.text : `host ${relay.replace(/:\d+$/, "")} said: ${quote}`;
  const reason = isPositive(reply)
    ? quote
    : `${said}${command === "" ? "" : ` (in reply to ${command} command)`}`;
  return (
    `${id}: to=<${to}>, relay=${relay}, ${use === undefined ? "" : `conn_use=${use}, `}delay=${seconds(total)}, delays=${delays.map(seconds).join("/")}, ` +
    `dsn=${reply.status}, status=${deliveryStatus(reply)} (${reason})`
  );
}

/** Two significant digits and at most two behind the point, as Postfix prints delays. */
function seconds(value: number): string {
  if (value < 0.005) return "0";
  return value < 10 ? String(Number(Number(value.toPrecision(2)).toFixed(2))) : value.toFixed(0);
}
