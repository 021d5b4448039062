/** `tpa-submit passwd`: what doveadm pw does, and the things that admins do next. man/tpa-submit-passwd.1 */
import { parseOptions, usageMistake } from "../cli/options.ts";
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
  if (deed === undefined) return (await import("./passwd/hash.ts")).printHash(options);
  return deeds[deed](options, options[deed] ?? "");
}

function refuseTwo(keys: readonly (keyof typeof line.options)[]): void {
  if (keys.length < 2) return;
  const flags = keys.map((key) => line.options[key].flags.replace(/ [<[].*/, ""));
  throw usageMistake(line.name, `${flags.join(" and ")} do not go together`);
}
