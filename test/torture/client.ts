/** A client that sends letters and writes down what it was told about each. */
import type { Relay } from "../../demo/relay.mjs";
import { type Conversation, enter } from "../commands/serve/conversation.ts";
import type { Chance } from "./chance.ts";
import type { Letter } from "./letter.ts";
import type { Sent } from "./story.ts";

/** What became of a letter, and the code of the refusal where it was one. */
export interface Posted {
  readonly sent: Sent;
  readonly code: string;
}

/** Connected and logged in at one of the doors. */
export const arrive = (relay: Relay, chance: Chance): Promise<Conversation> =>
  enter(relay, chance.percent(50) ? "submission" : "submissions");

/** Sends `letter`, by DATA or in chunks. Never throws for what the relay says or does not say. */
export async function post(talk: Conversation, letter: Letter, chance: Chance): Promise<Posted> {
  const { token, recipients } = letter;
  const became = (outcome: Sent["outcome"], said: string): Posted => ({
    sent: { token, recipients, outcome, ...idIn(outcome, said) },
    code: said.slice(0, 3),
  });
  const commands = [
    "MAIL FROM:<user1@example.org>",
    ...recipients.map((recipient) => `RCPT TO:<${recipient}>`),
  ];
  for (const command of commands) {
    const said = await talk.say(command);
    if (!said.startsWith("250")) return became(said === "" ? "unsent" : "refused", said);
  }
  if (chance.percent(50)) {
    const said = await talk.say("DATA");
    if (!said.startsWith("354")) return became(said === "" ? "unsent" : "refused", said);
    return ended(await talk.say(`${letter.text.replace(/^\./gm, "..")}.`));
  }
  const half = letter.text.length >> 1;
  const first = letter.text.slice(0, half);
  await talk.send(`BDAT ${String(first.length)}\r\n${first}`);
  const said = await talk.reply();
  if (!said.startsWith("250")) return became(said === "" ? "unsent" : "refused", said);
  const rest = letter.text.slice(half);
  await talk.send(`BDAT ${String(rest.length)} LAST\r\n${rest}`);
  return ended(await talk.reply());

  function ended(said: string): Posted {
    if (said.startsWith("250")) return became("promised", said);
    return became(said === "" ? "unknown" : "refused", said);
  }
}

function idIn(outcome: Sent["outcome"], said: string): { readonly id?: string } {
  const id = /queued as ([0-9A-F]{12})$/.exec(said)?.[1];
  return outcome === "promised" && id !== undefined ? { id } : {};
}
