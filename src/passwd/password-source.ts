/**
 * The password file on disk, read again whenever it changed: replaced or rewritten, within the same second or with
 * the same size. A version that cannot be used is refused, and the last good one stays.
 */
import { open, stat } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";
import { errorCode, errorText, Failure } from "../failure.ts";
import { indexLogins, type Logins } from "./logins.ts";
import { decodePasswordFile, parsePasswordFile } from "./password-file.ts";

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
}

/** Milliseconds that a changed file must stay the same before it is used: a writer may still be at work in place. */
const stillness = 100;

/** How often a file that keeps changing is read before it is refused. */
const mostReads = 10;

/** `report` gets each version once, and each line that lets nobody in when it appears. */
export function openPasswordSource(
  file: string,
  domain: string,
  report: (event: PasswordEvent) => void,
): PasswordSource {
  let logins: Logins | undefined;
  let examined = ""; // signature of the version that was read last, good or not
  let complaint = "";
  let reportedLines = new Set<string>();
  let loading: Promise<void> | undefined;

  async function load(): Promise<void> {
    try {
      const { signature, octets } = await readStable(file);
      examined = signature;
      const next = indexLogins(parsePasswordFile(decodePasswordFile(octets)), domain);
      if (next.decoy === undefined)
        throw new Failure(65, octets.length === 0 ? "it is empty" : "no line lets anybody in");
      logins = next; // the whole new file takes over in one step
      complaint = "";
      announce(next);
    } catch (error) {
      if (!(error instanceof Failure) && errorCode(error) === "") throw error;
      refuse(errorText(error));
    }
  }

  function announce(next: Logins): void {
    report({ kind: "loaded", logins: next.entries.size, ignored: next.ignored.length });
    const lines = new Set<string>();
    for (const { number, login, reason } of next.ignored) {
      const text = `${login}: ${reason}`;
      if (!reportedLines.has(text)) report({ kind: "line", line: number, login, reason });
      lines.add(text);
    }
    reportedLines = lines;
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
      complaint = "";
      reportedLines = new Set();
      await loadOnce();
    },
  };
}

/**
 * The file's octets once it stays the same. Throws the system's error, or {@link Failure} where it never does.
 */
async function readStable(file: string): Promise<{ readonly signature: string; readonly octets: Buffer }> {
  for (let time = 0; time < mostReads; time += 1) {
    const signature = await signatureOf(file);
    const octets = await readWhole(file);
    await pause(stillness);
    if ((await signatureOf(file)) === signature) return { signature, octets };
  }
  throw new Failure(75, "it keeps changing while it is read");
}

async function readWhole(file: string): Promise<Buffer> {
  const handle = await open(file, "r");
  try {
    return await handle.readFile();
  } finally {
    await handle.close();
  }
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
