/** Whether the log gets to where it shall go: as the service's user, and in the sandbox that its unit gives it. */
import { lookup } from "node:dns/promises";
import { constants } from "node:fs";
import { realpath, stat } from "node:fs/promises";
import { dirname } from "node:path";
import type { Config } from "../../config/settings.ts";
import { type CheckContext, type Look, orUndefined, whyClosed } from "./context.ts";
import { fail, fine, type Judgement, warn } from "./rows.ts";
import { readOnlyBy } from "./unit.ts";

/** The journal's stream socket. */
const journal = "/run/systemd/journal/stdout";

export const log: Look = async (context) => {
  const { target, "ban-target": banTarget } = context.config.log;
  return [
    ...(await judgeTarget(target, context)),
    ...(banTarget === null ? [] : await judgeTarget(banTarget, context)),
  ];
};

async function judgeTarget(
  target: Config["log"]["target"],
  context: CheckContext,
): Promise<readonly Judgement[]> {
  switch (target.kind) {
    case "stdout":
      return [
        fine("stdout", context.unit ? "which systemd takes into the journal" : "where the relay is started"),
      ];
    case "journal":
      return [await judgeSocket(journal)];
    case "socket":
      return [await judgeSocket(target.path)];
    case "file":
      return [await judgeFile(target.path, context)];
    case "syslog":
      return [await judgeServer(target.host, target.port, context.isOffline)];
  }
}

async function judgeSocket(path: string): Promise<Judgement> {
  const closed = await whyClosed(path, constants.W_OK);
  return closed === undefined ? fine(path, "takes the log") : fail(path, `does not take the log: ${closed}`);
}

/** A file that is there must be open to us; one that is not, its folder. */
async function judgeFile(path: string, { user, unit }: CheckContext): Promise<Judgement> {
  const isThere = (await orUndefined(stat(path))) !== undefined;
  const closed = isThere
    ? await whyClosed(path, constants.W_OK)
    : await whyClosed(dirname(path), constants.W_OK | constants.X_OK);
  if (closed !== undefined) return fail(path, `the service's user ${user.name} cannot write it: ${closed}`);
  const folder = (await orUndefined(realpath(dirname(path)))) ?? dirname(path);
  const shut = unit && readOnlyBy(unit.sandbox, `${folder}/`.replace("//", "/"));
  if (shut !== undefined) {
    return fail(
      path,
      `the service cannot write it: ${shut} of ${unit?.path ?? ""}`,
      `Add ReadWritePaths=${folder} in a drop-in (systemctl edit), or name another target.`,
    );
  }
  return fine(path, "can be written");
}

async function judgeServer(host: string, port: number, isOffline: boolean): Promise<Judgement> {
  const name = `${host}:${port}`;
  const found = isOffline ? true : await orUndefined(lookup(host));
  return found === undefined
    ? warn(name, "the server's name has no address now, so the log would go to standard error")
    : fine(name, `is sent the log by UDP, which tells nobody whether it arrives`);
}
