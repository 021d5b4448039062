/** What is not well, and what to do about it: a row for each thing that an operator should hear of. Pure. */
import { sumOf } from "../../server/history/activity.ts";
import { ageText } from "../queue/output.ts";
import type { StatusFacts } from "./facts.ts";

export interface StatusFinding {
  readonly grade: "warning" | "critical";
  /** What is wrong, and what to do: a line without an end. */
  readonly text: string;
}

const hour = 3_600_000;
const day = 24 * hour;

// From when something is worth a word. Our choice, all of them; the alert rules in etc/prometheus have the same.
const certificateDays = { warning: 14, critical: 3 } as const;
const syncedWithin = day;
const keyDays = 400;
const slowLoop = 1;
const mostReturned = 0.2;
const leastReturned = 20;

type Judge = (facts: StatusFacts) => StatusFinding | undefined;

const judges: readonly Judge[] = [
  ({ relay }) =>
    relay === undefined
      ? {
          grade: "critical",
          text: "no relay runs here; see systemctl status tpa-submit, or tpa-submit serve --check",
        }
      : undefined,
  ({ relay }) =>
    relay !== undefined && relay.trouble !== "" ? { grade: "critical", text: relay.trouble } : undefined,
  ({ relay, at }) => {
    if (relay === undefined || relay.certificateUntil === 0) return undefined;
    const left = Math.floor((relay.certificateUntil - at) / day);
    if (left >= certificateDays.warning) return undefined;
    const grade = left < certificateDays.critical ? "critical" : "warning";
    const what = left < 0 ? "the certificate has ended" : `the certificate ends in ${left} days`;
    return { grade, text: `${what}; renew it, the relay notices the new file by itself` };
  },
  ({ relay, at }) => {
    const old = relay?.dkim?.find(({ made }) => at - made > keyDays * day);
    if (old === undefined) return undefined;
    const age = Math.floor((at - old.made) / day);
    return {
      grade: "warning",
      text: `the DKIM key ${old.selector} of ${old.domain} is ${age} days old; tpa-submit dkim new ${old.domain}, publish, rotate`,
    };
  },
  ({ passwords }) =>
    passwords.fault === undefined
      ? undefined
      : { grade: "critical", text: `no password file: ${passwords.fault}` },
  ({ passwords: { synced, written }, at }) =>
    synced && written !== undefined && at - written > syncedWithin
      ? {
          grade: "warning",
          text: `the password file is ${ageText(at - written)} old; is sync running? tpa-submit sync tells`,
        }
      : undefined,
  ({ queue: { oldest }, at, warnAfter }) =>
    warnAfter !== null && oldest !== undefined && at - oldest > warnAfter
      ? {
          grade: "warning",
          text: `mail waits since ${ageText(at - oldest)}; the destinations below tell why`,
        }
      : undefined,
  ({ relay }) =>
    relay !== undefined && relay.loopDelay > slowLoop
      ? {
          grade: "warning",
          text: `everybody waits ${relay.loopDelay.toFixed(1)} s for their turn: the machine is overloaded`,
        }
      : undefined,
  ({ activity }) => {
    const { delivered, returned } = sumOf(activity?.slots.slice(-1) ?? []);
    if (returned < leastReturned || returned < mostReturned * (delivered + returned)) return undefined;
    return {
      grade: "warning",
      text: `${returned} recipients refused by the other side within the hour; a stolen password? tpa-submit login list --by trouble`,
    };
  },
];

/** What is not well, the worst first. */
export function findings(facts: StatusFacts): readonly StatusFinding[] {
  const found = judges.flatMap((judge) => judge(facts) ?? []);
  return [
    ...found.filter(({ grade }) => grade === "critical"),
    ...found.filter(({ grade }) => grade === "warning"),
  ];
}
