/** A client that writes at great length, where it should and where it should not. */
import type { Relay } from "../../demo/relay.mjs";
import { authPlain, greet } from "../commands/serve/conversation.ts";
import { lines, messages } from "../tools/long-forms.ts";
import type { Chance } from "./chance.ts";

/** Octets of a line: some above the longest that is read. */
const sizes = [97, 2_000, 11_000, 12_300, 60_000] as const;

/** So many lines come in one go; after 20 bad ones the relay hangs up. */
const times = 15;

/** A message of a form, up to so many octets; most are shorter. */
const largest = 600_000;

/** Octets of a line in a body: as long as anybody would dare. */
const longLine = 150_000;

/** One visit. Resolves to what was written, and whether it was answered; never rejects for what the relay does. */
export async function intrude(relay: Relay, chance: Chance): Promise<string> {
  const talk = await greet(relay, chance.percent(50) ? "submission" : "submissions");
  try {
    const [name, line] = pick(lines, chance);
    const known = chance.percent(60); // paths are read of those who are logged in only
    if (known) await talk.say(authPlain(relay.login, relay.password));
    if (!known || chance.percent(30)) {
      await talk.send(`${line(chance.one(sizes))}\r\n`.repeat(times));
      const said: string[] = [];
      while (said.length < times && said.at(-1) !== "") said.push(await talk.reply());
      return told(name, said[0] ?? "");
    }
    const [form, message] = pick(messages, chance);
    await talk.say("MAIL FROM:<user1@example.org> BODY=8BITMIME");
    await talk.say("RCPT TO:<long@example.net>");
    if (!(await talk.say("DATA")).startsWith("354")) return told(form, "");
    const size = chance.percent(10) ? largest : longLine;
    return told(form, await talk.say(`${message(size).replace(/^\./gm, "..")}.`));
  } finally {
    talk.close();
  }
}

function pick<Form>(forms: Readonly<Record<string, Form>>, chance: Chance): readonly [string, Form] {
  const [first, ...others] = Object.entries(forms);
  if (first === undefined) throw new Error("there are no forms");
  return chance.one([first, ...others]);
}

const told = (name: string, said: string): string => `${name}: ${said === "" ? "hung up" : said.slice(0, 3)}`;
