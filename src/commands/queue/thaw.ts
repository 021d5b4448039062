/** `tpa-submit queue thaw`: undoes a freeze. What the login had queued goes out then, so it asks. */
import { argument, command, parseOptions } from "../../cli/options.ts";
import { print, visible } from "../../cli/output.ts";
import { readConfig } from "../../config/config-file.ts";
import { exitStatus, Failure } from "../../failure.ts";
import { isWanted } from "./ask.ts";
import { newCounts } from "./list.ts";
import { config, json, loginOf, yes } from "./options.ts";
import { say } from "./print.ts";
import { operatorHere, reachDesk } from "./reach.ts";
import { plural } from "./rows.ts";

export const line = command({
  name: "queue thaw",
  summary:
    "Let a frozen login in again, and its messages go on, but for those that were held for a reason of their own.",
  options: { config, yes, json },
  arguments: { login: argument("<login>", "Whom to let in.") },
  examples: ["tpa-submit queue list --user user1", "tpa-submit queue thaw user1"],
});

export async function run(argv: readonly string[]): Promise<number> {
  const chosen = parseOptions(line, argv);
  if (!chosen) return exitStatus.ok;
  const { options } = chosen;
  const configuration = await readConfig(options.config);
  const login = loginOf(chosen.arguments.login, configuration.domain);
  const by = operatorHere();
  const { desk, close } = await reachDesk(configuration);
  const counts = newCounts();
  for await (const _ of counts.of(desk({ word: "list", filter: { user: login, status: "held" } })));
  const what = `thaw ${visible(login)}, who has queued ${counts.text()}`;
  if (options.yes || (await isWanted(`${what}?`, what))) {
    for await (const melt of desk({ word: "thaw", login, by })) {
      if (!melt.wasFrozen) throw new Failure(exitStatus.noInput, `${visible(login)} is not frozen`);
      const { released, stillHeld } = melt;
      const kept = stillHeld === 0 ? "" : `, ${stillHeld} stay held for a reason of their own`;
      const text = `${visible(login)} is thawed: ${plural(released, "message")} released${kept}\n`;
      print(options.json ? `${JSON.stringify(melt)}\n` : text);
    }
  } else say("nothing was done");
  await close();
  return exitStatus.ok;
}
