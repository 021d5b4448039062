/** Real traffic beside what was measured: how the mail of people fares with each provider, in words. Pure. */
import { seconds } from "../result.ts";

/** As the relay's history counts it. */
export interface ProviderTraffic {
  readonly name: string;
  readonly delivered: number;
  readonly deferred: number;
  readonly refused: number;
  readonly reasons: readonly { readonly class: string; readonly times: number }[];
  /** Seconds. */
  readonly delay?: { readonly median: number; readonly percentile95: number };
  readonly tls: { readonly clear: number };
}

export interface Traffic {
  /** Days that it is of. */
  readonly days: number;
  readonly providers: readonly ProviderTraffic[];
}

/** Parts of a hundred of what was delivered, rounded down: 99.9 % is not all. */
export const securedText = ({ delivered, tls }: ProviderTraffic): string =>
  delivered === 0 ? "-" : `${Math.floor((1 - tls.clear / delivered) * 100)} %`;

/** `14 authentication, 1 rate` */
export const reasonsText = ({ reasons }: ProviderTraffic): string =>
  reasons.map(({ class: kind, times }) => `${times} ${kind}`).join(", ");

export const delayText = (value: number | undefined): string =>
  value === undefined ? "-" : seconds(value * 1000);

/** Characters of a name. */
const named = 20;
/** And of a line. */
const widest = 80;

/** For people at a terminal: lines with their ends, at most 80 characters each. */
export function trafficText({ days, providers }: Traffic): string {
  if (providers.length === 0) return "";
  const heading = `${`MAIL OF ${days} DAYS`.padEnd(named)}   SENT  DEFERRED  REFUSED   MEDIAN     95 %    TLS`;
  const lines = providers.flatMap((one) => {
    const { name, delivered, deferred, refused, delay } = one;
    const cells = [
      String(delivered).padStart(7),
      String(deferred).padStart(10),
      String(refused).padStart(9),
      delayText(delay?.median).padStart(9),
      delayText(delay?.percentile95).padStart(9),
      securedText(one).padStart(7),
    ];
    const why = reasonsText(one);
    const first = `${name.slice(0, named).padEnd(named)}${cells.join("")}`;
    return why === "" ? [first] : [first, `  why: ${why}`.slice(0, widest)];
  });
  return `${[heading, ...lines].join("\n")}\n`;
}
