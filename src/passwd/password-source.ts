/**
 * The password file on disk, read again whenever it changed: replaced or rewritten, within the same second or with
 * the same size. A version that cannot be used is refused, and the last good one stays.
 */
import { open, stat } from "node:fs/promises";
import { setImmediate as nextTurn, setTimeout as pause } from "node:timers/promises";
import { errorCode, errorText } from "../failure.ts";
import type { FileReader, ReadAnswer } from "./file-reader.ts";
import { disabledLines } from "./login-table.ts";
import { type Logins, loginsIn } from "./logins.ts";
import type { DisabledLine } from "./password-file.ts";

/** What happened with the file; never contains a hash. */
export type PasswordEvent =
  | { readonly kind: "loaded"; readonly logins: number; readonly ignored: number }
  | { readonly kind: "refused"; readonly reason: string }
  | { readonly kind: "line"; readonly line: number; readonly login: string; readonly reason: string };

export interface PasswordSource {
  /** The logins of the file as it is now, or of its last good version; undefined where there was none. */
  current(): Promise<Logins | undefined>;
  /** The same without a look at the file. */
  latest(): Logins | undefined;
  /** Reads the file whether it changed or not, and reports everything about it again. */
  reload(): Promise<void>;
  /** Reads and reports nothing more. */
  close(): Promise<void>;
}

/** Milliseconds that a changed file must stay the same before it is used: a writer may still be at work in place. */
const stillness = 100;

/** How often a file that keeps changing is read before it is refused. */
const mostReads = 10;

/** Lines reported in one turn of the event loop: a millisecond or two of log. */
const linesPerTurn = 100;

/** `report` gets each version once, and each line that lets nobody in when it appears. */
export function openPasswordSource(
  file: string,
  domain: string,
  reader: FileReader,
  report: (event: PasswordEvent) => void,
): PasswordSource {
  let logins: Logins | undefined;
  let examined = ""; // signature of the version that was read last, good or not
  let complaint = "";
  let reported = new Uint8Array(); // the lines that let nobody in, as file-worker.ts wrote them down
  let loading: Promise<void> | undefined;
  let announcing: Promise<void> = Promise.resolve();
  let isClosed = false;

  async function load(): Promise<void> {
    await announcing;
    try {
      const answer = await readStable();
      if (isClosed) return;
      if (answer.kind !== "read") return refuse(answer.reason);
      const { table, news } = answer.read;
      const next = loginsIn(table, domain);
      if (next.decoy === undefined)
        return refuse(table.octets.length === 0 ? "it is empty" : "no line lets anybody in");
      logins = next; // the whole new file takes over in one step
      complaint = "";
      reported = answer.read.reported;
      report({ kind: "loaded", logins: table.size, ignored: table.ignored });
      announcing = announce(disabledLines(table, news, domain));
    } catch (error) {
      if (errorCode(error) === "") throw error;
      refuse(errorText(error));
    }
  }

  /** The first of the lines at once, the others in the turns that follow. */
  async function announce(lines: Iterable<DisabledLine>): Promise<void> {
    let count = 0;
    for (const { number, login, reason } of lines) {
      if (count > 0 && count % linesPerTurn === 0) await nextTurn();
      if (isClosed) return;
      report({ kind: "line", line: number, login, reason });
      count += 1;
    }
  }

  function refuse(reason: string): void {
    const stays = logins
      ? `the last good one, with ${logins.entries.size} logins, stays in use`
      : "nobody can log in";
    const text = `password file ${file}: ${reason}; ${stays}`;
    const version = `${examined} ${text}`;
    if (version !== complaint) report({ kind: "refused", reason: text });
    complaint = version;
  }

  /** What the file holds once it stays the same. Throws the system's error. */
  async function readStable(): Promise<ReadAnswer> {
    for (let time = 0; time < mostReads && !isClosed; time += 1) {
      const signature = await signatureOf(file);
      const still = pause(stillness);
      const answer = await readOpened();
      if (answer.kind === "unreadable") return answer;
      await still;
      if ((await signatureOf(file)) !== signature) continue;
      examined = signature;
      return answer;
    }
    return { kind: "unreadable", reason: "it keeps changing while it is read" };
  }

  async function readOpened(): Promise<ReadAnswer> {
    const handle = await open(file, "r");
    try {
      return await reader.read({ descriptor: handle.fd, domain, reported });
    } finally {
      await handle.close();
    }
  }

  function loadOnce(): Promise<void> {
    loading ??= load().finally(() => {
      loading = undefined;
    });
    return loading;
  }

  return {
    async current() {
      // A load that was under way may have read an older version: then once more.
      for (let time = 0; time < 2 && (await signatureOf(file)) !== examined; time += 1) await loadOnce();
      return logins;
    },
    latest: () => logins,
    async reload() {
      await loading;
      await announcing;
      complaint = "";
      reported = new Uint8Array();
      await loadOnce();
      await announcing;
    },
    async close() {
      isClosed = true;
      await reader.close();
    },
  };
}

/** Differs between versions of a file. */
async function signatureOf(file: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(file, { bigint: true });
    return [dev, ino, size, mtimeNs, ctimeNs].join(" ");
  } catch (error) {
    if (errorCode(error) === "") throw error;
    return "unreadable"; // the read that follows says why
  }
}
