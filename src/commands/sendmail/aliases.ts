/** `sendmail -bi`, `newaliases`: nothing has to be rebuilt, so the file is read and what is wrong with it is told. */
import { readFile } from "node:fs/promises";
import { readConfig } from "../../config/config-file.ts";
import { errorText, exitStatus, Failure } from "../../failure.ts";
import { readLocalAliases } from "../../server/maildrop/aliases.ts";

/** Returns the exit status. */
export async function checkAliases(file = "/etc/tpa-submit/tpa-submit.toml"): Promise<number> {
  const { sendmail } = await readConfig(file);
  if (sendmail.aliases === "") {
    throw new Failure(exitStatus.config, `${file}: sendmail.aliases names no file`);
  }
  const text = await readFile(sendmail.aliases, "utf8").catch((error: unknown) => {
    throw new Failure(exitStatus.noInput, `${sendmail.aliases}: cannot be read: ${errorText(error)}`);
  });
  const { ignored } = readLocalAliases(text, sendmail.aliases);
  for (const line of ignored) process.stderr.write(`newaliases: ${line}\n`);
  return ignored.length === 0 ? exitStatus.ok : exitStatus.data;
}
