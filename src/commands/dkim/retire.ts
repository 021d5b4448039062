/** `tpa-submit dkim retire`: old keys are deleted when the mail that they signed has had its time. */
import { unlink } from "node:fs/promises";
import { join } from "node:path";
import { argument, command, flag, parseOptions } from "../../cli/options.ts";
import { print } from "../../cli/output.ts";
import type { Config } from "../../config/settings.ts";
import { exitStatus, Failure } from "../../failure.ts";
import type { KeyOnDisk } from "./folder.ts";
import { callOf, config, domain } from "./options.ts";

export const retireCommand = command({
  name: "dkim retire",
  summary:
    "Delete the keys of a domain that sign no more and whose mail has had its time; then their records may go from the DNS.",
  options: {
    config,
    now: flag(
      "--now",
      "Do not wait; of a key that still signs: let it sign no more. For a key that was stolen.",
    ),
  },
  arguments: {
    domain,
    selectors: argument("[selector...]", "These keys only; new ones are deleted by name."),
  },
  examples: [
    "tpa-submit dkim retire example.org",
    "tpa-submit dkim retire --now example.org 20261129-rsa 20261129-ed25519",
  ],
});

export async function run(argv: readonly string[]): Promise<number> {
  const chosen = parseOptions(retireCommand, argv);
  if (!chosen) return exitStatus.ok;
  const { config: file, now: atOnce } = chosen.options;
  const { readConfig } = await import("../../config/config-file.ts");
  const { domainOrOwn, keyFolder, keysOnDisk, withKeysLocked } = await import("./folder.ts");
  const { mayGoAt } = await import("./plan.ts");
  const configuration = await readConfig(file);
  const name = domainOrOwn(chosen.arguments.domain, configuration);
  const folder = keyFolder(configuration, file, name);
  const { selectors } = chosen.arguments;
  await withKeysLocked(folder, name, retireCommand.name, async () => {
    const keys = await keysOnDisk(folder, name);
    const unknown = selectors.find((one) => !keys.some(({ selector }) => selector === one));
    if (unknown !== undefined)
      throw new Failure(
        exitStatus.usage,
        `${name} has no key ${JSON.stringify(unknown)}; dkim list shows all`,
      );
    const ceased = keys.filter(({ state }) => state.name === "retired");
    const due = ceased.filter((key) => atOnce || (mayGoAt(key, configuration) ?? 0) <= Date.now());
    const named =
      selectors.length > 0
        ? keys.filter(({ selector }) => selectors.includes(selector))
        : due.length > 0
          ? due
          : ceased; // too early for all: mayGo tells until when
    if (named.length === 0)
      throw new Failure(exitStatus.unavailable, `${name} has no keys that have ceased to sign`);
    await mayGo(named, { atOnce, configuration, file });
    const isSigning = ({ state }: KeyOnDisk): boolean => state.name === "active";
    await cease(named.filter(isSigning), name);
    await remove(named.filter((key) => !isSigning(key)));
    const { syncDirectory } = await import("../../durable.ts");
    await syncDirectory(join(folder, name));
  });
  const { untilInUse } = await import("./relay.ts");
  const left = (await keysOnDisk(folder, name)).filter(({ state }) => state.name === "active");
  if (left.length === 0) print(`no key of ${name} signs: its mail leaves without a signature\n`);
  const found = await untilInUse(
    configuration,
    name,
    left.map(({ selector }) => selector),
  );
  if (found !== "not") return exitStatus.ok;
  throw new Failure(
    exitStatus.temporary,
    `${name}: the running relay still signs as before: systemctl reload tpa-submit, and see its log`,
  );
}

interface Wish {
  readonly atOnce: boolean;
  readonly configuration: Config;
  readonly file: string;
}

/** Throws a Failure, with nothing changed, where one of them is still needed. */
async function mayGo(keys: readonly KeyOnDisk[], { atOnce, configuration, file }: Wish): Promise<void> {
  const { mayGoAt } = await import("./plan.ts");
  const { keysInUse } = await import("./relay.ts");
  const inUse = (await keysInUse(configuration)) ?? [];
  for (const key of keys) {
    const { domain: name, selector, state } = key;
    if (state.name === "active" && !atOnce)
      throw new Failure(
        exitStatus.unavailable,
        `${name}: ${selector} signs; ${callOf(`dkim rotate ${name}`, file)} puts another in its place, --now takes it away`,
      );
    const until = mayGoAt(key, configuration) ?? 0;
    if (until > Date.now() && !atOnce)
      throw new Failure(
        exitStatus.temporary,
        `${name}: mail that ${selector} signed may be under way until ${new Date(until).toISOString().slice(0, 10)}; --now does not wait`,
      );
    const isUsed = inUse.some((one) => one.domain === name && one.selector === selector);
    if (state.name === "retired" && isUsed)
      throw new Failure(
        exitStatus.temporary,
        `${name}: the running relay still signs with ${selector}: systemctl reload tpa-submit, and see its log`,
      );
  }
}

/** A key that was stolen signs no more; its record is to go as well, so that nobody else's signature counts. */
async function cease(keys: readonly KeyOnDisk[], name: string): Promise<void> {
  const { recordName } = await import("../../smtp/dkim/record.ts");
  const { put } = await import("./rotate.ts");
  for (const key of keys) await put(key, { name: "retired", since: Date.now() });
  for (const { selector } of keys)
    print(
      `${selector} signs no more; if it was stolen, publish ${recordName(selector, name)} TXT "v=DKIM1; p=" at once\n`,
    );
}

async function remove(keys: readonly KeyOnDisk[]): Promise<void> {
  const { recordName } = await import("../../smtp/dkim/record.ts");
  for (const { path, selector, domain: name } of keys) {
    await unlink(path); // the moment of commitment
    print(`deleted ${path}; remove ${recordName(selector, name)} from the DNS\n`);
  }
}
