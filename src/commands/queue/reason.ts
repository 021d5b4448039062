/** Why a recipient still waits, in the words that Postfix's mailq has for it. */
import type { LastReply } from "../../server/spool/envelope.ts";
import { formatReply } from "../../smtp/reply.ts";

/** `host mx[192.0.2.1] said: 451 4.3.0 try later (in reply to RCPT TO command)`, or what we found ourselves. */
export function reasonOf(reply: LastReply): string {
  const { relay, command, text } = reply;
  if (relay === "none") return text;
  const host = relay.replace(/:\d+$/, "");
  return `host ${host} said: ${formatReply(reply)}${command === "" ? "" : ` (in reply to ${command} command)`}`;
}
