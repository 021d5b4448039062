/** `tpa-submit passwd`: what doveadm pw does, and the things that admins do next. man/tpa-submit-passwd.1 */
import { parseOptions, usageMistake } from "../cli/options.ts";
import { isPasswordName } from "../passwd/password-names.ts";
import type { NamedDeed } from "./passwd/ldap.ts";
import { line, type PasswdOptions } from "./passwd/options.ts";

/** The options that say what to do, and who does it; at most one is given, and without any a hash is made. */
const deeds = {
  testHash: async (options: PasswdOptions, hash: string) =>
    (await import("./passwd/hash.ts")).testHash(options, hash),
  check: async (options: PasswdOptions, what: string) =>
    (await import("./passwd/check.ts")).check(options, what),
  set: async (options: PasswdOptions, user: string) =>
    (await import("./passwd/file.ts")).setUser(options, user),
  delete: async (options: PasswdOptions, user: string) =>
    (await import("./passwd/file.ts")).deleteUser(options, user),
  freeze: async (options: PasswdOptions, user: string) =>
    (await import("./passwd/file.ts")).lockPassword(options, user, true),
  thaw: async (options: PasswdOptions, user: string) =>
    (await import("./passwd/file.ts")).lockPassword(options, user, false),
  verify: async (options: PasswdOptions, user: string) =>
    (await import("./passwd/file.ts")).verifyUser(options, user),
  ldap: async (options: PasswdOptions, user: string) =>
    (await import("./passwd/ldap.ts")).setInDirectory(options, user),
} as const;

const sources = ["plaintext", "stdin", "generate"] as const;

/** Runs the command; the exit statuses are doveadm's. */
export async function run(argv: readonly string[]): Promise<number> {
  const options = parseOptions(line, argv)?.options;
  if (options === undefined) return 0;
  if (options.list) return (await import("./passwd/hash.ts")).listSchemes(options);
  refuseTwo(sources.filter((key) => options[key] !== undefined && options[key] !== false));
  const asked = (Object.keys(deeds) as (keyof typeof deeds)[]).filter((key) => options[key] !== undefined);
  refuseTwo(asked);
  const [deed] = asked;
  refuseWrongName(deed, options.name);
  if (options.asAdmin && options.name !== undefined && deed !== undefined && isNamedDeed(deed))
    return (await import("./passwd/ldap.ts")).changeInDirectory(options, options[deed] ?? "", deed);
  if (deed === undefined) return (await import("./passwd/hash.ts")).printHash(options);
  return deeds[deed](options, options[deed] ?? "");
}

/** What is done to one password of a login; those of `needName` to nothing else. */
const mayName: readonly (keyof typeof deeds | undefined)[] = ["set", "delete", "freeze", "thaw"];
const needName: typeof mayName = ["freeze", "thaw"];

const isNamedDeed = (deed: keyof typeof deeds): deed is NamedDeed => mayName.includes(deed);

function refuseWrongName(deed: keyof typeof deeds | undefined, name: string | undefined): void {
  if (name === undefined && needName.includes(deed)) {
    throw usageMistake(
      line.name,
      `--${deed} is for one password, with --name; tpa-submit login ${deed} is for a login`,
    );
  }
  if (name !== undefined && !mayName.includes(deed)) {
    throw usageMistake(line.name, "--name goes with --set, --delete, --freeze or --thaw");
  }
  if (name !== undefined && !isPasswordName(name)) {
    throw usageMistake(
      line.name,
      `--name: expected letters, digits, full stops, hyphens and underscores, at most 32, found ${JSON.stringify(name)}`,
    );
  }
}

function refuseTwo(keys: readonly (keyof typeof line.options)[]): void {
  if (keys.length < 2) return;
  const flags = keys.map((key) => line.options[key].flags.replace(/ [<[].*/, ""));
  throw usageMistake(line.name, `${flags.join(" and ")} do not go together`);
}
