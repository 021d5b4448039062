/**
 * Notices that files were replaced: certificates are links into folders that certbot and its like fill anew,
 * which inotify on the link does not tell.
 */
import { stat } from "node:fs/promises";
import { logBug } from "../../server/observe/log.ts";

/** Milliseconds between two looks: a certificate is renewed weeks before its end. */
const interval = 60_000;

/** Calls `changed` when one of the files that `paths` names is another than at the look before. */
export function watchFiles(
  paths: () => readonly string[],
  changed: () => Promise<void>,
): { readonly stop: () => void } {
  let known: string | undefined;
  const look = async (): Promise<void> => {
    const found = (await Promise.all(paths().map(signature))).join(" ");
    const isNew = known !== undefined && known !== found;
    known = found;
    if (isNew) await changed();
  };
  const begin = (): void => void look().catch((error: unknown) => logBug("watching the certificate", error));
  begin();
  const timer = setInterval(begin, interval).unref();
  return { stop: () => clearInterval(timer) };
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
