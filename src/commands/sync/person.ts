/** `--explain`: gathers what there is about one person. */
import { print } from "../../cli/output.ts";
import type { Config } from "../../config/settings.ts";
import { exitStatus, Failure } from "../../failure.ts";
import { attributesOf } from "../../ldap/account.ts";
import { withDirectory } from "../../ldap/connection.ts";
import { explain } from "../../ldap/explain.ts";
import { type Found, findFile } from "../../ldap/file.ts";
import { readPasswordFile } from "../../ldap/lines.ts";
import { entriesOf } from "../../ldap/search.ts";
import { canonicalLogin } from "../../passwd/passwordfile.ts";
import { explanationText } from "./output.ts";
import { readTask, termsOf } from "./task.ts";

const nothingAllowed = {
  dryRun: true,
  allowShrink: false,
  allowEmpty: false,
  allowPartial: false,
  allowReferral: false,
  allowAnonymous: false,
};

/** `user` as it is typed at the login prompt, with the domain or without. */
export async function explainPerson(config: Config, user: string, json: boolean): Promise<number> {
  const terms = termsOf(config);
  const login = canonicalLogin(user, config.domain) ?? user;
  const { access, task } = await readTask(config, nothingAllowed);
  const found = await findFile(task.passwords);
  const attribute = terms["login-attribute"];
  const entries = await withDirectory(access, new AbortController().signal, async (directory) => {
    const who = { attribute, login, filter: "" };
    const all = await entriesOf(directory, task.where, who, [...attributesOf(terms), "modifyTimestamp"]);
    const wanted = await entriesOf(directory, task.where, { ...who, filter: task.where.filter }, [attribute]);
    return all.map((entry) => ({ entry, wanted: wanted.some(({ dn }) => dn === entry.dn) }));
  });
  const file = { path: task.passwords, modified: found?.modified, hashes: found && linesOf(found, login) };
  const explanation = explain({ login, base: task.where.base, entries, file }, terms, Date.now());
  print(json ? `${JSON.stringify(explanation)}\n` : explanationText(explanation));
  return exitStatus.ok;
}

/** The login's hashes in the file; none where the file is damaged and lets nobody in. */
function linesOf({ octets }: Found, login: string): readonly string[] | undefined {
  try {
    return readPasswordFile(octets).get(login);
  } catch (error) {
    if (error instanceof Failure && error.status === exitStatus.data) return undefined;
    throw error;
  }
}
