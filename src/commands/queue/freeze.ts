/** `tpa-submit queue freeze`: shuts a login out in one step. It does not ask: haste is what it is for, and thaw undoes it. */
import { argument, command, flag, parseOptions } from "../../cli/options.ts";
import { visible } from "../../cli/output.ts";
import { readConfig } from "../../config/config-file.ts";
import type { Config } from "../../config/settings.ts";
import { exitStatus } from "../../failure.ts";
import type { Frost, Share } from "../../server/control/order.ts";
import { time } from "./json.ts";
import { config, json, loginOf, reason } from "./options.ts";
import { print, say } from "./print.ts";
import { operatorHere, reachDesk, reachWindow } from "./reach.ts";
import { plural } from "./rows.ts";

export const line = command({
  name: "queue freeze",
  summary:
    "Shut a login out at once: nobody logs in with it, its sessions end, and all that it has queued is held. Without a login: tell who is frozen.",
  options: { config, reason, yes: flag("-y, --yes", "Changes nothing: this never asks."), json },
  arguments: { login: argument("[login]", "Whom to shut out.") },
  examples: ['tpa-submit queue freeze user1 --reason "password stolen"', "tpa-submit queue freeze"],
});

export async function run(argv: readonly string[]): Promise<number> {
  const chosen = parseOptions(line, argv);
  if (!chosen) return exitStatus.ok;
  const { options } = chosen;
  const configuration = await readConfig(options.config);
  const { login } = chosen.arguments;
  if (login === undefined) return tellFrozen(configuration, options.json);
  const by = operatorHere();
  const { desk, close } = await reachDesk(configuration);
  const order = {
    word: "freeze",
    login: loginOf(login, configuration.domain),
    reason: options.reason,
    by,
  } as const;
  for await (const frost of desk(order)) {
    if (frost.unheardOf !== "") {
      say(`warning: nobody can log in as ${visible(frost.login)} anyway: ${visible(frost.unheardOf)}`);
    }
    await print(options.json ? once(`${JSON.stringify(frost)}\n`) : once(frostText(frost)));
  }
  await close();
  return exitStatus.ok;
}

async function* once(text: string): AsyncGenerator<string> {
  yield text;
}

export function frostText({ login, already, sessions, held, active, lastHour, lastDay }: Frost): string {
  const busy = active === 0 ? "" : `, ${active} of them being delivered at this moment`;
  return [
    `${visible(login)} ${already ? "was frozen already, and stays so" : "is frozen"}: no login, and nothing goes out.`,
    `sessions ended: ${sessions}`,
    `messages held: ${held}${busy}`,
    `messages of the last hour: ${shareText(lastHour)}`,
    `recipients of the last 24 hours: ${shareText(lastDay)}`,
    "",
  ].join("\n");
}

/** Counts are kept by sixtieths of the span, so that the two may differ a little at its far end. */
function shareText({ accepted, here }: Share): string {
  return `${accepted} accepted, ${here} still here, ${Math.max(0, accepted - here)} already gone`;
}

async function tellFrozen(configuration: Config, asJson: boolean): Promise<number> {
  const { desk, close } = await reachWindow(configuration);
  let count = 0;
  async function* told(): AsyncGenerator<string> {
    for await (const { login, at, by, reason } of desk({ word: "frozen" })) {
      count++;
      if (asJson) yield `${JSON.stringify({ login, since: time(at), by, reason })}\n`;
      else
        yield visible(
          `${login}: frozen since ${time(at)} by ${by}${reason === "" ? "" : `: ${reason}`}`,
        ).concat("\n");
    }
  }
  await print(told());
  await close();
  if (!asJson) say(`${plural(count, "login")} frozen`);
  return exitStatus.ok;
}
