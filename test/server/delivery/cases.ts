/** Reads the cases of hosts.txt. */
import type { Act, Moment, Script } from "../../tools/fakeserver.ts";

export interface Case {
  readonly name: string;
  readonly script: Script;
  readonly replies: readonly string[];
}

export function casesIn(text: string): readonly Case[] {
  return text.split(/^# /m).slice(1).map(readCase);
}

function readCase(text: string): Case {
  const [name = "", ...lines] = text.split("\n").filter((line) => line !== "");
  const script: { [At in Moment]?: Act[] } = {};
  const replies: string[] = [];
  for (const line of lines) {
    const [, expected, moment = "", say = "", fault] =
      /^(?:=> (.*)|(\S+)\s+(.*?)\s*(?:\((close|reset|silence|trickle)\))?)$/.exec(line) ?? [];
    if (expected !== undefined) replies.push(expected);
    else {
      const act = { say: say.replaceAll("|", "\n"), ...(fault !== undefined && { fault }) } as Act;
      script[moment as Moment] = [...(script[moment as Moment] ?? []), act];
    }
  }
  return { name, script, replies };
}
