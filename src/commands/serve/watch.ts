/**
 * Notices that files were replaced: certificates are links into folders that certbot and its like fill anew,
 * which inotify on the link does not tell.
 */
import { stat } from "node:fs/promises";
import { logBug } from "../../server/log/log.ts";

/** How the next look is taken. */
export interface Look {
  /** Milliseconds until then. */
  readonly interval: number;
  /** Whether `changed` is called in any case. */
  readonly regardless: boolean;
}

/** Calls `changed` when one of the files that `paths` names is another than at the look before. */
export function watchFiles(
  paths: () => readonly string[],
  changed: () => Promise<void>,
  next: () => Look,
): { readonly stop: () => void } {
  let known: string | undefined;
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  const look = async (): Promise<void> => {
    const found = (await Promise.all(paths().map(signature))).join(" ");
    const isNew = known !== undefined && (known !== found || next().regardless);
    known = found;
    if (isNew && !stopped) await changed();
  };
  const begin = (): void =>
    void look()
      .catch((error: unknown) => logBug("watching the certificate", error))
      .finally(() => {
        if (!stopped) timer = setTimeout(begin, next().interval).unref();
      });
  begin();
  return {
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}

/** What changes when a file is replaced or rewritten; "" while it is missing. Follows links. */
async function signature(path: string): Promise<string> {
  try {
    const { ino, size, mtimeNs } = await stat(path, { bigint: true });
    return `${ino}:${size}:${mtimeNs}`;
  } catch {
    return ""; // whoever reads it next tells why
  }
}
