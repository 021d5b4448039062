/** `tpa-submit dkim new`: the next two keys of a domain, which wait until their records are published. */
import { generateKeyPair, type KeyObject } from "node:crypto";
import { chmod, chown, mkdir, readFile, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { command, parseOptions } from "../../cli/options.ts";
import { print } from "../../cli/output.ts";
import type { Config } from "../../config/settings.ts";
import { exitStatus, Failure } from "../../failure.ts";
import type { KeyKind } from "../../smtp/dkim/record.ts";
import type { SystemUser } from "../system-user.ts";
import { callOf, config, domain } from "./options.ts";

export const newCommand = command({
  name: "dkim new",
  summary:
    "Make the next keys of a domain, RSA and Ed25519. They sign when their records are published and rotate has found them.",
  options: { config },
  arguments: { domain },
  examples: ["tpa-submit dkim new", "tpa-submit dkim new example.org"],
});

export async function run(argv: readonly string[]): Promise<number> {
  const chosen = parseOptions(newCommand, argv);
  if (!chosen) return exitStatus.ok;
  const { config: file } = chosen.options;
  const { readConfig } = await import("../../config/config-file.ts");
  const { domainOrOwn, keyFolderOrNone, orUnwritable } = await import("./folder.ts");
  const configuration = await readConfig(file);
  const name = domainOrOwn(chosen.arguments.domain, configuration);
  const owner = await ownerOf(configuration, file);
  const known = keyFolderOrNone(configuration, file, name);
  const isFirst = known === "";
  const folder = isFirst ? join(dirname(file), "dkim") : known;
  const isUnknown = await orUnwritable(folder, makeFolders([folder, join(folder, name)], owner));
  const made = await makeKeys(folder, name, owner);
  for (const path of made) print(`made ${path}\n`);
  if (isFirst) await setFolder(file, folder);
  print(
    `Nothing is signed with them yet. Next:\n` +
      (isFirst || isUnknown ? "  systemctl reload tpa-submit\n" : "") +
      `  ${callOf(`dkim publish ${name}`, file)}   # the records; add them to the DNS\n` +
      `  ${callOf(`dkim rotate ${name}`, file)}    # when they are there\n`,
  );
  return exitStatus.ok;
}

/** Who shall read the keys: the group of the service. Undefined where it is whoever runs this. */
async function ownerOf(configuration: Config, file: string): Promise<SystemUser | undefined> {
  if (process.geteuid?.() !== 0) return undefined;
  const { serviceUser } = await import("../check/service-user.ts");
  const { unitOf } = await import("../check/unit.ts");
  return serviceUser(configuration, await unitOf(file));
}

/**
 * Root's, and open to the group of `owner`. Folders that are there stay as they are. Tells whether the first is new: then no
 * relay can have been started with it.
 */
async function makeFolders(
  [top, own]: readonly [string, string],
  owner: SystemUser | undefined,
): Promise<boolean> {
  const make = async (folder: string): Promise<boolean> => {
    const first = await mkdir(folder, { recursive: true, mode: 0o750 });
    if (first === undefined) return false;
    if (owner) await chown(folder, 0, owner.gids[0] ?? owner.uid);
    await chmod(folder, 0o750); // whatever the umask
    return true;
  };
  const isNew = await make(top);
  await make(own);
  return isNew;
}

/** Those that are missing of the two; a run that was cut short is completed. Returns their files. */
async function makeKeys(
  folder: string,
  domainName: string,
  owner: SystemUser | undefined,
): Promise<readonly string[]> {
  const { replaceFile } = await import("../../durable.ts");
  const { writeKeyFileName } = await import("../../server/delivery/dkim/key-file.ts");
  const { keysOnDisk, withKeysLocked } = await import("./folder.ts");
  const { newSelectors } = await import("./plan.ts");
  return withKeysLocked(folder, domainName, newCommand.name, async () => {
    const there = await keysOnDisk(folder, domainName);
    const waiting = there.filter(({ state }) => state.name === "new");
    const kinds = (["rsa", "ed25519"] as const).filter((kind) => !waiting.some((key) => key.kind === kind));
    if (kinds.length === 0) {
      const selectors = waiting.map(({ selector }) => selector).join(" and ");
      throw new Failure(
        exitStatus.cannotCreate,
        `${domainName} has new keys that wait for their records, ${selectors}: publish and rotate them, or retire them by name`,
      );
    }
    const selectors = newSelectors(
      Date.now(),
      there.map(({ selector }) => selector),
    );
    const paths: string[] = [];
    for (const kind of kinds) {
      const name = writeKeyFileName({ selector: selectors[kind], kind, state: { name: "new" } });
      const path = join(folder, domainName, name);
      const pem = (await newKey(kind)).export({ type: "pkcs8", format: "pem" });
      const owned = owner && { uid: 0, gid: owner.gids[0] ?? owner.uid };
      await replaceFile(path, pem, { mode: 0o640, ...owned }); // the moment of commitment
      paths.push(path);
    }
    return paths;
  });
}

async function newKey(kind: KeyKind): Promise<KeyObject> {
  const pair =
    kind === "rsa"
      ? await promisify(generateKeyPair)("rsa", { modulusLength: 2048 })
      : await promisify(generateKeyPair)("ed25519");
  return pair.privateKey;
}

/** Writes dkim.folder into the configuration: the relay signs nothing before there is an active key. */
async function setFolder(file: string, folder: string): Promise<void> {
  const { parseConfig } = await import("../../config/config-file.ts");
  const { setValues } = await import("../../config/edit.ts");
  const { replaceFile } = await import("../../durable.ts");
  const { orUnwritable } = await import("./folder.ts");
  const { text } = setValues(await readFile(file, "utf8"), file, [
    { table: "dkim", key: "folder", value: folder },
  ]);
  const reading = parseConfig(text, file);
  if (!("config" in reading)) throw new Failure(exitStatus.config, reading.mistakes.join("\n"));
  const { mode, uid, gid } = await stat(file);
  await orUnwritable(file, replaceFile(file, text, { mode: mode & 0o7777, uid, gid }));
  print(`${file}: dkim.folder is now ${folder}\n`);
}
