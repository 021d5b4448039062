/** The spool as the service will open it, the room it has, and the folder of the control socket. */
import { constants, type Stats } from "node:fs";
import { readdir, readFile, stat, statfs } from "node:fs/promises";
import { dirname, join } from "node:path";
import { errorCode, errorText } from "../../failure.ts";
import { readableFormats } from "../../server/spool/open.ts";
import { requireShortPath } from "../../unix-socket.ts";
import { controlSocket } from "../serve/places.ts";
import { reserveOf } from "../serve/session-rules.ts";
import { type CheckContext, type Look, nearestThere, orFailures, orUndefined, whyClosed } from "./context.ts";
import { cannotTell, fail, fine, type Judgement, warn } from "./rows.ts";
import { readOnlyBy } from "./unit.ts";

const all = constants.R_OK | constants.W_OK | constants.X_OK;

export const spool: Look = async (context) => {
  const { directory } = context.config.spool;
  let found: Stats;
  try {
    found = await stat(directory);
  } catch (error) {
    if (errorCode(error) === "ENOENT") return [await judgeMissing(directory, context)];
    if (errorCode(error) === "") throw error;
    return [fail(directory, `cannot be used (${errorText(error)}); spool.directory names it`)];
  }
  if (!found.isDirectory()) return [fail(directory, "is no folder; spool.directory names it")];
  const closed = await whyClosed(directory, all);
  if (closed !== undefined) return [fail(directory, `cannot be used (${closed}); spool.directory names it`)];
  const fault =
    sandboxFault(directory, context) ?? ownerFault(found, context) ?? (await formatFault(directory));
  return [fault === undefined ? fine(directory, "can be used") : fail(directory, fault)];
};

/** The relay makes the spool, but not the folders above it. */
async function judgeMissing(directory: string, context: CheckContext): Promise<Judgement> {
  const above = dirname(directory);
  const closed = await whyClosed(above, constants.W_OK | constants.X_OK);
  const words = "is not there, and the service cannot make it";
  if ((await nearestThere(above)) !== above)
    return fail(directory, `${words}: make the folder above it first`);
  if (closed !== undefined) return fail(directory, `${words} (${closed})`);
  const fault = sandboxFault(directory, context);
  return fault === undefined ? fine(directory, "will be made at the first start") : fail(directory, fault);
}

function sandboxFault(directory: string, { unit }: CheckContext): string | undefined {
  const shut = unit && readOnlyBy(unit.sandbox, directory);
  return shut === undefined ? undefined : `the service cannot write there: ${shut} of ${unit?.path ?? ""}`;
}

/** As the spool itself wants it: who else may write into it may send mail as anybody. */
function ownerFault({ uid, mode }: Stats, { user }: CheckContext): string | undefined {
  if (uid !== user.uid) return `belongs to the user ${uid}, and the service runs as ${user.name}`;
  const bits = (mode & 0o7777).toString(8);
  return (mode & 0o022) === 0 ? undefined : `others may write into it (mode 0${bits}); chmod 0700 it`;
}

async function formatFault(directory: string): Promise<string | undefined> {
  const text = await orUndefined(readFile(join(directory, "format"), "utf8"));
  if (text !== undefined) {
    const format = text.trimEnd();
    if (readableFormats.includes(format)) return undefined;
    const shown = JSON.stringify(format.slice(0, 60));
    return `of the format ${shown}, which this version does not know; run the version that wrote it`;
  }
  const names = (await orUndefined(readdir(directory))) ?? [];
  const stranger = names.find((name) => !["lock", "format.new", "lost+found"].includes(name));
  return stranger === undefined
    ? undefined
    : `not a spool: it holds ${JSON.stringify(stranger)} but no file "format"; name an empty folder`;
}

/** Messages of the largest size that should find room. Our choice. */
const roomFor = 20;

export const room: Look = async ({ config }) => {
  const { directory } = config.spool;
  const reserve = reserveOf(config);
  const there = await nearestThere(directory);
  const disk = await orUndefined(statfs(there));
  if (disk === undefined) return [cannotTell(there, "cannot be asked for its free room")];
  const octets = disk.bavail * disk.bsize;
  const words = `${mebibytes(octets)} free, of which spool.reserve keeps ${mebibytes(reserve.octets)}`;
  const wanted = reserve.octets + roomFor * config.limits["message-size"];
  return [
    octets < reserve.octets
      ? fail(there, `${words}: every message is refused`)
      : octets < wanted
        ? warn(there, `${words}: less than ${roomFor} of the largest messages fit`)
        : fine(there, words),
    ...judgeInodes(there, disk.files, disk.ffree, reserve.inodes),
  ];
};

function judgeInodes(there: string, all: number, free: number, reserve: number): readonly Judgement[] {
  if (all === 0) return []; // the file system makes them as it needs them
  const words = `${free} inodes free, of which spool.reserve-inodes keeps ${reserve}`;
  if (free < reserve) return [fail(there, `${words}: every message is refused`)];
  return [free < 2 * reserve ? warn(there, words) : fine(there, words)];
}

const mebibytes = (octets: number): string => `${Math.floor(octets / 2 ** 20)} MiB`;

export const control: Look = ({ config, unit }) =>
  orFailures(async () => {
    const path = controlSocket(config);
    requireShortPath(path, "control.socket");
    const folder = dirname(path);
    // The spool is made at the first start, with its socket.
    if (folder === config.spool.directory) return [fine(path, "will be the control socket")];
    // systemd makes it when the service starts, and removes it when it stops.
    if (unit?.sandbox.writable.includes(folder)) return [fine(path, "will be the control socket")];
    const found = await orUndefined(stat(folder));
    if (!found?.isDirectory()) {
      return [fail(path, "its folder is not there; make it, or name another path in control.socket")];
    }
    const closed = await whyClosed(folder, constants.W_OK | constants.X_OK);
    const shut = unit && readOnlyBy(unit.sandbox, folder);
    const why = closed ?? (shut === undefined ? undefined : `${shut} of ${unit?.path ?? ""}`);
    return [
      why === undefined
        ? fine(path, "will be the control socket")
        : fail(path, `the service cannot make it there (${why})`),
    ];
  });
