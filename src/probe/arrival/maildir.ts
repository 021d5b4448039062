/** A Maildir as a mailbox: `new` and `cur`, and Maildir++ folders whose names say that they hold spam. */
import { lstat, open, readdir, unlink } from "node:fs/promises";
import { join } from "node:path";
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";
import {
  type FoundMessage,
  type Mailbox,
  meetsCriteria,
  mostMessages,
  mostOctets,
  mostSeen,
} from "./mailbox.ts";
import { markOf } from "./mark.ts";

/** Names of spam folders, as Dovecot, Courier and people choose them. */
const spamName = /^\.(?:INBOX\.)?(?:junk|spam)(?: e?-?mails?)?$/i;

interface MaildirFolder {
  readonly place: FoundMessage["place"];
  readonly folder: string;
  readonly path: string;
}

interface MaildirFile extends MaildirFolder {
  readonly file: string;
  readonly at: number;
  readonly size: number;
}

/** Opens the Maildir in `directory`. Throws a Failure where there is none that can be read. */
export async function openMaildir(directory: string): Promise<Mailbox> {
  const seen = new Set<string>();
  await list(directory, 0); // a wrong name is reported before anything is sent

  return {
    async look(since, wanted) {
      const found = await list(directory, since);
      const fresh = found.filter(({ file }) => !seen.has(uniqueName(file)));
      const messages: FoundMessage[] = [];
      for (const one of fresh.sort((a, b) => b.at - a.at).slice(0, mostSeen)) {
        const octets = await beginning(one);
        if (octets === undefined) continue;
        seen.add(uniqueName(one.file));
        if (!meetsCriteria(octets, wanted)) continue;
        messages.push({ place: one.place, folder: one.folder, at: one.at, octets, size: one.size });
        if (messages.length === mostMessages) break;
      }
      return messages;
    },
    async tidy(before, isOurs) {
      let gone = 0;
      for (const one of await list(directory, 0)) {
        if (one.at >= before) continue;
        const octets = await beginning(one);
        if (!octets || !isOurs(markOf(octets))) continue;
        await unlink(join(one.path, one.file)).catch(unlessGone);
        gone++;
      }
      return gone;
    },
    close: async () => undefined,
  };
}

/** A message that a reader moves from `new` to `cur` keeps its name up to the flags. */
const uniqueName = (file: string): string => file.split(":", 1)[0] ?? file;

async function list(directory: string, since: number): Promise<readonly MaildirFile[]> {
  const found: MaildirFile[] = [];
  for (const place of await placesIn(directory)) {
    for (const file of await names(place.path, directory)) {
      const status = await lstat(join(place.path, file)).catch(unlessGone);
      // Dates of files have the precision of the disk: a second's grace.
      if (status?.isFile() && status.mtimeMs >= since - 1000)
        found.push({ ...place, file, at: status.mtimeMs, size: status.size });
    }
  }
  return found;
}

async function placesIn(directory: string): Promise<readonly MaildirFolder[]> {
  const folders = (await names(directory, directory)).filter((name) => spamName.test(name));
  const roots = [
    { place: "inbox" as const, folder: "INBOX", root: directory },
    ...folders.map((name) => ({
      place: "spam" as const,
      folder: name.slice(1),
      root: join(directory, name),
    })),
  ];
  return roots.flatMap(({ place, folder, root }) =>
    ["new", "cur"].map((part) => ({ place, folder, path: join(root, part) })),
  );
}

async function names(path: string, directory: string): Promise<readonly string[]> {
  try {
    return await readdir(path);
  } catch (error) {
    if (errorCode(error) === "") throw error;
    const words = `${path}: cannot be read (${errorText(error)}); ${directory} is to be a Maildir, with the folders new and cur`;
    throw new Failure(exitStatus.noInput, words);
  }
}

async function beginning({ path, file, size }: MaildirFile): Promise<Buffer | undefined> {
  const handle = await open(join(path, file)).catch(unlessGone);
  if (!handle) return undefined; // moved: the next look finds it in its new place
  try {
    const octets = Buffer.alloc(Math.min(size, mostOctets));
    const { bytesRead } = await handle.read(octets, 0, octets.length, 0);
    // Maildirs of many programs have LF alone.
    return Buffer.from(octets.toString("latin1", 0, bytesRead).replace(/\r?\n/g, "\r\n"), "latin1");
  } finally {
    await handle.close();
  }
}

function unlessGone(error: unknown): undefined {
  if (errorCode(error) === "ENOENT") return undefined;
  if (errorCode(error) === "") throw error;
  throw new Failure(exitStatus.noInput, errorText(error));
}
