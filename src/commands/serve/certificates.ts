/** The certificates in use: what is logged of them, and when their files changed. */

import { stat } from "node:fs/promises";
import type { Config } from "../../config/settings.ts";
import { log, logBug } from "../../server/log/log.ts";
import type { Certificate, Certificates } from "../../server/submission/certificate.ts";

const day = 86_400_000;

/** Days before its end from which a certificate is warned of. Our choice: whoever renews does so 30 days before. */
const warned = 14;

/** All of them, that of the host first. */
export const allOf = (certificates: Certificates): readonly Certificate[] => [
  certificates,
  ...certificates.others,
];

/** Whole days that are left of it at `now`. */
export const daysLeft = ({ until }: Certificate, now: number): number => Math.floor((until - now) / day);

/** The files that must be looked at for changes; "" where there is none. */
export function filesOf({ more, certificate, key, "client-ca": ca }: Config["tls"]): readonly string[] {
  return [certificate, key, ca, ...more.flatMap((pair) => [pair.certificate, pair.key])];
}

/** Logs what was read. */
export function logCertificates(certificates: Certificates, now: number): void {
  for (const { file, names, until, gap } of allOf(certificates)) {
    log("certificate-loaded", { file, names, until: new Date(until).toISOString() });
    if (gap !== undefined) log("certificate-chain", { file, gap });
  }
  warnOfEnds(certificates, now);
}

function warnOfEnds(certificates: Certificates, now: number): void {
  for (const certificate of allOf(certificates)) {
    const days = daysLeft(certificate, now);
    const { file, names, until } = certificate;
    if (until <= now) log("certificate-expired", { file, names, until: new Date(until).toISOString() });
    else if (days < warned) log("certificate-ending", { file, names, days });
  }
}

/** Warns once a day of those that end soon, until it is stopped. */
export function warnDaily(
  certificates: () => Certificates | undefined,
  now: () => number,
): { readonly stop: () => void } {
  const warn = (): void => {
    const known = certificates();
    if (known) warnOfEnds(known, now());
  };
  const timer = setInterval(warn, day);
  return { stop: () => clearInterval(timer) };
}

// Notices that files were replaced: certificates are links into folders that certbot and its like fill anew,
// which inotify on the link does not tell.

/** How the next look is taken. */
export interface FileCheck {
  /** Milliseconds until then. */
  readonly interval: number;
  /** Whether `changed` is called in any case. */
  readonly regardless: boolean;
}

/** Calls `changed` when one of the files or folders that `paths` names is another than at the look before. */
export function watchFiles(
  paths: () => readonly string[] | Promise<readonly string[]>,
  changed: () => Promise<void>,
  next: () => FileCheck,
): { readonly stop: () => void } {
  let known: string | undefined;
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  const look = async (): Promise<void> => {
    const found = (await Promise.all((await paths()).map(signature))).join(" ");
    const isNew = known !== undefined && (known !== found || next().regardless);
    known = found;
    if (isNew && !stopped) await changed();
  };
  const begin = (): void =>
    void look()
      .catch((error: unknown) => logBug("watching files", error))
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
