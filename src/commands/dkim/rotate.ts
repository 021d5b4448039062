/**
 * `tpa-submit dkim rotate`: the new keys sign in place of the old ones, if the DNS has their records. First the new ones
 * begin, then the old ones cease, a rename each: wherever that is cut short, every key that signs has its record.
 */
import { rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import { command, parseOptions } from "../../cli/options.ts";
import { print } from "../../cli/output.ts";
import type { Config } from "../../config/settings.ts";
import { exitStatus, Failure } from "../../failure.ts";
import type { KeyState } from "../../server/delivery/dkim/key-file.ts";
import type { KeyOnDisk } from "./folder.ts";
import { callOf, config, domain } from "./options.ts";
import type { Rotation } from "./plan.ts";

export const rotateCommand = command({
  name: "dkim rotate",
  summary: "Let the new keys of a domain sign, and the old ones no more. The DNS must have the new ones.",
  options: { config },
  arguments: { domain },
  examples: ["tpa-submit dkim rotate", "tpa-submit dkim rotate example.org"],
});

export async function run(argv: readonly string[]): Promise<number> {
  const chosen = parseOptions(rotateCommand, argv);
  if (!chosen) return exitStatus.ok;
  const { config: file } = chosen.options;
  const { readConfig } = await import("../../config/config-file.ts");
  const { domainOrOwn, keyFolder, withKeysLocked } = await import("./folder.ts");
  const configuration = await readConfig(file);
  const name = domainOrOwn(chosen.arguments.domain, configuration);
  const folder = keyFolder(configuration, file, name);
  const { signing, retired } = await withKeysLocked(folder, name, rotateCommand.name, () =>
    rotated(folder, name, configuration, file),
  );
  const selectors = signing.map(({ selector }) => selector);
  const { untilInUse } = await import("./relay.ts");
  const found = await untilInUse(configuration, name, selectors);
  print(`${name}: ${selectors.join(" and ")} ${found === "none" ? "sign when the relay starts" : "sign"}\n`);
  if (retired.length > 0) await tellOfOld(retired, name, configuration, file);
  if (found !== "not") return exitStatus.ok;
  throw new Failure(
    exitStatus.temporary,
    `${name}: the running relay has not taken the new keys over: systemctl reload tpa-submit, and see its log`,
  );
}

/** Throws a Failure, with nothing changed, where there is nothing to do or the DNS lacks a record. */
async function rotated(folder: string, name: string, configuration: Config, file: string): Promise<Rotation> {
  const { syncDirectory } = await import("../../durable.ts");
  const { keysOnDisk } = await import("./folder.ts");
  const { planRotation } = await import("./plan.ts");
  const { faultsText, publishedOf } = await import("./published.ts");
  const keys = await keysOnDisk(folder, name);
  const plan = planRotation(keys);
  if (plan === undefined)
    throw new Failure(
      exitStatus.unavailable,
      `${name} has no new keys: ${callOf(`dkim new ${name}`, file)} makes them`,
    );
  const twice = plan.activated.find((one) =>
    keys.some((other) => other !== one && other.selector === one.selector),
  );
  if (twice)
    throw new Failure(
      exitStatus.config,
      `${twice.path}: another key has the selector ${twice.selector}, and receivers may know it; rename this one`,
    );
  const faults = faultsText(plan.signing, await publishedOf(plan.signing, configuration));
  if (faults !== "") {
    const held = plan.retired.length > 0 ? "the old keys sign on" : "nothing is signed";
    throw new Failure(
      exitStatus.unavailable,
      `${name}: not rotated, ${held}; publish what "${callOf(`dkim publish ${name}`, file)}" prints: ${faults}`,
    );
  }
  for (const key of plan.activated) await put(key, { name: "active" });
  await syncDirectory(join(folder, name)); // the new ones sign, before the old ones cease
  for (const key of plan.retired) await put(key, { name: "retired", since: Date.now() });
  await syncDirectory(join(folder, name));
  return plan;
}

/** The moment of commitment. */
export async function put(key: KeyOnDisk, state: KeyState): Promise<void> {
  const { writeKeyFileName } = await import("../../server/delivery/dkim/key-file.ts");
  await rename(key.path, join(dirname(key.path), writeKeyFileName({ ...key, state })));
}

async function tellOfOld(
  retired: readonly KeyOnDisk[],
  name: string,
  configuration: Config,
  file: string,
): Promise<void> {
  const { recordName } = await import("../../smtp/dkim/record.ts");
  const { afterlife } = await import("./plan.ts");
  const date = new Date(Date.now() + afterlife(configuration)).toISOString().slice(0, 10);
  for (const { selector } of retired)
    print(`leave ${recordName(selector, name)} in the DNS until ${date}: mail that it signed is under way\n`);
  print(`then: ${callOf(`dkim retire ${name}`, file)}\n`);
}
