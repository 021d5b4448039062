/** The maildrop as the service will find it, and as the programs of this host find it. */
import { readFile } from "node:fs/promises";
import { errorText } from "../../failure.ts";
import { readLocalAliases } from "../../server/maildrop/aliases.ts";
import { dropNames, maildropFault, standardMaildrop } from "../../server/maildrop/folder.ts";
import { type Look, orUndefined } from "./context.ts";
import { fail, fine, type Judgement, warn } from "./rows.ts";
import { readOnlyBy } from "./unit.ts";

export const maildrop: Look = async ({ config, user, unit }) => {
  const { maildrop: folder, aliases } = config.sendmail;
  if (folder === "") return judgeForgotten();
  const fault = await maildropFault(folder, user.uid);
  if (fault !== undefined) return [fail(folder, fault)];
  const shut = unit && readOnlyBy(unit.sandbox, folder);
  if (shut !== undefined)
    return [fail(folder, `the service cannot write there: ${shut} of ${unit?.path ?? ""}`)];
  const waiting = (await orUndefined(dropNames(folder)))?.length ?? 0;
  const words = waiting === 0 ? "takes this host's mail" : `takes this host's mail; ${waiting} in it now`;
  return [fine(folder, words), ...(await judgeAliases(aliases))];
};

/** Programs call sendmail, and nobody takes what they leave. */
async function judgeForgotten(): Promise<readonly Judgement[]> {
  const names = (await orUndefined(dropNames(standardMaildrop))) ?? [];
  if (names.length === 0) return [fine("", "sendmail takes no mail of this host")];
  const words = `${names.length} messages of this host's programs wait there, and sendmail.maildrop names no folder`;
  return [warn(standardMaildrop, words)];
}

async function judgeAliases(file: string): Promise<readonly Judgement[]> {
  if (file === "") return [];
  try {
    const { aliases, ignored } = readLocalAliases(await readFile(file, "utf8"), file);
    if (ignored.length > 0) return ignored.map((line) => warn(file, line.slice(file.length + 1)));
    return [fine(file, `${aliases.size} aliases`)];
  } catch (error) {
    return [warn(file, `cannot be read (${errorText(error)}): no name is looked up`)];
  }
}
