/** What people are told of the certificates in use: when they are read, when one is not whole, before one ends. */
import type { Config } from "../../config/settings.ts";
import { log } from "../../server/log/log.ts";
import type { Certificate, Certificates } from "../../server/submission/certificate.ts";

const day = 86_400_000;

/** Days before its end from which a certificate is warned of. Our choice: whoever renews does so 30 days before. */
const warned = 14;

/** All of them, that of the host first. */
export const each = (certificates: Certificates): readonly Certificate[] => [
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
export function tellOf(certificates: Certificates, now: number): void {
  for (const { file, names, until, gap } of each(certificates)) {
    log("certificate-loaded", { file, names, until: new Date(until).toISOString() });
    if (gap !== undefined) log("certificate-chain", { file, gap });
  }
  warnOfEnds(certificates, now);
}

function warnOfEnds(certificates: Certificates, now: number): void {
  for (const certificate of each(certificates)) {
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
