/** `tpa-submit queue verify`: finds damage in the spool, and repairs it on request. */
import { command, flag, parseOptions } from "../../cli/options.ts";
import { print, visible } from "../../cli/output.ts";
import { isConfirmed } from "../../cli/prompt.ts";
import { exitStatus } from "../../failure.ts";
import { config, json, yes } from "./options.ts";
import { plural, say } from "./output.ts";

export const verifyCommand = command({
  name: "queue verify",
  summary:
    "Look at every file of the spool for damage, and repair what can be: what nobody can use is set aside in the folder damaged.",
  options: { config, repair: flag("--repair", "Repair what is found, after asking."), yes, json },
  arguments: {},
  examples: ["tpa-submit queue verify", "tpa-submit queue verify --repair"],
});

/** Status 65 while damage is left. */
export async function run(argv: readonly string[]): Promise<number> {
  const options = parseOptions(verifyCommand, argv)?.options;
  if (!options) return exitStatus.ok;
  const { readConfig } = await import("../../config/config-file.ts");
  const { connectToVerify, currentOperator } = await import("./connection.ts");
  const configuration = await readConfig(options.config);
  const by = currentOperator();
  const { api, close } = await connectToVerify(configuration);
  let left = 0;
  let repairable = 0;
  for await (const checked of api({ verb: "verify", repair: false, by })) {
    left++;
    if (checked.repairable) repairable++;
    if (options.json && !options.repair) print(`${JSON.stringify(checked)}\n`);
    else say(visible(`${checked.fault}; a repair would ${checked.remedy}`));
  }
  say(left === 0 ? "no damage" : `${plural(left, "fault")}, of which ${repairable} can be repaired`);
  const what = `repair ${plural(repairable, "fault")}`;
  if (options.repair && repairable > 0 && (options.yes || (await isConfirmed(`${what}?`, what)))) {
    for await (const checked of api({ verb: "verify", repair: true, by })) {
      if (checked.repaired) left--;
      const text = `${checked.fault}; ${checked.repaired ? "repaired" : "left"}: ${checked.remedy}\n`;
      print(options.json ? `${JSON.stringify(checked)}\n` : visible(text.trimEnd()).concat("\n"));
    }
  }
  await close();
  return left === 0 ? exitStatus.ok : exitStatus.data;
}
