/** What is not well, and what to do about it: a row for each thing that an operator should hear of. Pure. */
import { sumOf } from "../../server/history/activity.ts";
import type { CheckId } from "../check/rows.ts";
import { ageText } from "../queue/output.ts";
import type { CheckConcern } from "./checks.ts";
import type { StatusFacts } from "./facts.ts";

export interface StatusFinding {
  readonly grade: "warning" | "critical";
  /** What is wrong, and what to do: a line without an end. */
  readonly text: string;
  /** The check of `tpa-submit check` that found it. */
  readonly check?: CheckId;
  /** What to do, where the text does not say. */
  readonly advice?: string;
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
const takenOverWithin = 120_000;

type Judged = StatusFinding & Told;

type Judge = (facts: StatusFacts) => Judged | readonly Judged[] | undefined;

interface Told {
  /** What a check would say once more. */
  readonly tells?: readonly CheckId[];
}

const judges: readonly Judge[] = [
  ({ relay }) =>
    relay === undefined
      ? {
          grade: "critical",
          text: "no relay runs here; see systemctl status tpa-submit, or tpa-submit check",
        }
      : undefined,
  ({ relay }) =>
    relay !== undefined && relay.trouble !== ""
      ? { grade: "critical", text: relay.trouble, tells: ["spool", "room"] }
      : undefined,
  ({ relay, at }) => {
    if (relay === undefined || relay.certificateUntil === 0) return undefined;
    const left = Math.floor((relay.certificateUntil - at) / day);
    if (left >= certificateDays.warning) return undefined;
    const grade = left < certificateDays.critical ? "critical" : "warning";
    const what = left < 0 ? "the certificate has ended" : `the certificate ends in ${left} days`;
    return {
      grade,
      text: `${what}; renew it, the relay notices the new file by itself`,
      tells: ["certificate"],
    };
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
  ({ relay, at }) => {
    if (relay?.store?.there !== false) return undefined;
    const { since, reason = "look at PostgreSQL there, or promote its standby" } = relay.store;
    const text = `the database is away since ${ageText(at - since)}, and nobody can send: ${reason}`;
    return { grade: "critical", text, tells: ["store"] };
  },
  ({ relay, at }) =>
    (relay?.store?.frozenHere ?? []).map(({ login, at: since }) => ({
      grade: "critical",
      text: `${login} is frozen on this host only, since ${ageText(at - since)}: the others are told as soon as the database is there`,
    })),
  ({ hosts = [], relay, at }) =>
    hosts.flatMap(({ name, live, seen, waiting }): readonly Judged[] => {
      if (live || seen === null || relay?.store?.there === false) return [];
      const away = at - seen;
      if (waiting > 0 && away > takenOverWithin) {
        const text = `${waiting} messages of ${name} wait for nobody, which is gone since ${ageText(away)}: start a relay on one of the hosts`;
        return [{ grade: "critical", text }];
      }
      return away > day
        ? []
        : [
            {
              grade: "warning",
              text: `the relay of ${name} is gone since ${ageText(away)}; the others have its messages`,
            },
          ];
    }),
  ({ queue: { fault } }) =>
    fault === undefined ? undefined : { grade: "critical", text: `the queue is not known: ${fault}` },
  ({ passwords }) =>
    passwords.fault === undefined
      ? undefined
      : { grade: "critical", text: `no password file: ${passwords.fault}`, tells: ["passwords"] },
  ({ passwords: { synced, written }, at }) =>
    synced && written !== undefined && at - written > syncedWithin
      ? {
          grade: "warning",
          text: `the password file is ${ageText(at - written)} old; is sync running? tpa-submit sync tells`,
        }
      : undefined,
  ({ domains = [], at }) =>
    domains.slice(1).flatMap(({ name, passwords: { fault, synced, written } }): readonly Judged[] => {
      if (fault !== undefined) {
        return [{ grade: "critical", text: `no password file of ${name}: ${fault}`, tells: ["passwords"] }];
      }
      if (!synced || written === undefined || at - written <= syncedWithin) return [];
      const age = ageText(at - written);
      return [
        { grade: "warning", text: `the password file of ${name} is ${age} old; tpa-submit sync tells` },
      ];
    }),
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
  const own = judges.flatMap((judge) => judge(facts) ?? []);
  const told = own.flatMap(({ tells = [] }) => tells);
  const concerns = facts.checks?.concerns.filter(({ check }) => !told.includes(check)) ?? [];
  const found: readonly StatusFinding[] = own.map(({ grade, text }) => ({ grade, text }));
  return [
    ...found.filter(({ grade }) => grade === "critical"),
    ...found.filter(({ grade }) => grade === "warning"),
    ...concerns.map(findingOf),
  ];
}

/** A warning and no more, whatever the check calls it: how the relay works now is told by the others. */
function findingOf({ check, words, advice, more }: CheckConcern): StatusFinding {
  if (words === "") return { grade: "warning", check, text: `${check}: see tpa-submit check` };
  const besides = more === 0 ? "" : ` (and ${more} more)`;
  return { grade: "warning", check, text: `${check}: ${words}${besides}`, ...(advice !== "" && { advice }) };
}

/** What is wrong and what to do, in one line without an end. */
export const lineOf = ({ text, advice }: StatusFinding): string =>
  advice === undefined ? text : `${text} -> ${advice.replace(/\.$/, "")}`;
