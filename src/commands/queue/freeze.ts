/**
 * `tpa-submit queue freeze` shuts a login out in one step and does not ask, because haste is what it is for.
 * `tpa-submit queue thaw` undoes it; what the login had queued goes out then, so it asks.
 */
import { argument, command, flag, parseOptions } from "../../cli/options.ts";
import { visible } from "../../cli/output.ts";
import { isConfirmed } from "../../cli/prompt.ts";
import type { Config } from "../../config/settings.ts";
import { exitStatus, Failure } from "../../failure.ts";
import type { FreezeResult, RecentMail } from "../../server/control/protocol.ts";
import { config, json, loginOf, reason, yes } from "./options.ts";
import { newCounts, plural, printAll, say, time } from "./output.ts";

export const freezeCommand = command({
  name: "queue freeze",
  summary:
    "Shut a login out at once: nobody logs in with it, its sessions end, and all that it has queued is held. Without a login, list those that are frozen.",
  options: { config, reason, yes: flag("-y, --yes", "Changes nothing: this never asks."), json },
  arguments: { login: argument("[login]", "Whom to shut out.") },
  examples: ['tpa-submit queue freeze user1 --reason "password stolen"', "tpa-submit queue freeze"],
});

export async function freeze(argv: readonly string[]): Promise<number> {
  const chosen = parseOptions(freezeCommand, argv);
  if (!chosen) return exitStatus.ok;
  const { options } = chosen;
  const { readConfig } = await import("../../config/config-file.ts");
  const { connectToControl, currentOperator } = await import("./connection.ts");
  const configuration = await readConfig(options.config);
  const { login } = chosen.arguments;
  if (login === undefined) return listFrozen(configuration, options.json);
  const by = currentOperator();
  const { api, close } = await connectToControl(configuration);
  const order = {
    verb: "freeze",
    login: loginOf(login, configuration.domain),
    reason: options.reason,
    by,
  } as const;
  for await (const result of api(order)) {
    if (result.unheardOf !== "") {
      say(`warning: nobody can log in as ${visible(result.login)} anyway: ${visible(result.unheardOf)}`);
    }
    await printAll(options.json ? once(`${JSON.stringify(result)}\n`) : once(freezeText(result)));
  }
  await close();
  return exitStatus.ok;
}

export function freezeText({
  login,
  already,
  sessions,
  held,
  active,
  lastHour,
  lastDay,
  silent = [],
}: FreezeResult): string {
  const busy = active === 0 ? "" : `, ${active} of them being delivered at this moment`;
  return [
    `${visible(login)} ${already ? "was frozen already, and stays so" : "is frozen"}: no login, and nothing goes out.`,
    `sessions ended: ${sessions}`,
    `messages held: ${held}${busy}`,
    `messages of the last hour: ${recentText(lastHour)}`,
    `recipients of the last 24 hours: ${recentText(lastDay)}`,
    ...silent.map((host) => `no answer from ${host}: it shuts the login out when it hears of it`),
    "",
  ].join("\n");
}

/** The limits count by sixtieths of the hour or day, so the two may differ a little at its beginning. */
function recentText({ accepted, here }: RecentMail): string {
  return `${accepted} accepted, ${here} still here, ${Math.max(0, accepted - here)} already gone`;
}

async function listFrozen(configuration: Config, asJson: boolean): Promise<number> {
  const { connectToQuery } = await import("./connection.ts");
  const { api, close } = await connectToQuery(configuration);
  let count = 0;
  async function* lines(): AsyncGenerator<string> {
    for await (const { login, at, by, reason } of api({ verb: "frozen" })) {
      count++;
      if (asJson) yield `${JSON.stringify({ login, since: time(at), by, reason })}\n`;
      else
        yield visible(
          `${login}: frozen since ${time(at)} by ${by}${reason === "" ? "" : `: ${reason}`}`,
        ).concat("\n");
    }
  }
  await printAll(lines());
  await close();
  if (!asJson) say(`${plural(count, "login")} frozen`);
  return exitStatus.ok;
}

export const thawCommand = command({
  name: "queue thaw",
  summary:
    "Let a frozen login in again, and its messages go on, except those that are held for another reason.",
  options: { config, yes, json },
  arguments: { login: argument("<login>", "Whom to let in.") },
  examples: ["tpa-submit queue list --user user1", "tpa-submit queue thaw user1"],
});

export async function thaw(argv: readonly string[]): Promise<number> {
  const chosen = parseOptions(thawCommand, argv);
  if (!chosen) return exitStatus.ok;
  const { options } = chosen;
  const { readConfig } = await import("../../config/config-file.ts");
  const { connectToControl, currentOperator } = await import("./connection.ts");
  const configuration = await readConfig(options.config);
  const login = loginOf(chosen.arguments.login, configuration.domain);
  const by = currentOperator();
  const { api, close } = await connectToControl(configuration);
  const counts = newCounts();
  for await (const _ of counts.of(api({ verb: "list", filter: { user: login, status: "held" } })));
  const what = `thaw ${visible(login)}, who has queued ${counts.text()}`;
  if (options.yes || (await isConfirmed(`${what}?`, what))) {
    for await (const result of api({ verb: "thaw", login, by })) {
      if (!result.wasFrozen) throw new Failure(exitStatus.noInput, `${visible(login)} is not frozen`);
      const { released, stillHeld } = result;
      const kept = stillHeld === 0 ? "" : `, ${stillHeld} stay held for another reason`;
      const text = `${visible(login)} is thawed: ${plural(released, "message")} released${kept}\n`;
      await printAll(once(options.json ? `${JSON.stringify(result)}\n` : text));
    }
  } else say("nothing was done");
  await close();
  return exitStatus.ok;
}

async function* once(text: string): AsyncGenerator<string> {
  yield text;
}
