/** What the reports of some days say together, and how well that is. Pure. */
import type { Grade } from "../result.ts";
import type { KeptReport } from "./condense.ts";
import type { DmarcRow } from "./report.ts";

export interface ReportSummary {
  readonly days: number;
  /** When the newest report ended, in milliseconds since the epoch; absent where there is none. */
  readonly newest?: number;
  readonly dmarc: {
    readonly reports: number;
    /** Each domain with the policy that the newest report saw. */
    readonly domains: readonly { readonly domain: string; readonly policy: string }[];
    readonly receivers: readonly MailTotals[];
    readonly sources: readonly (MailTotals & { readonly whose: Whose })[];
    /** Mail that passed neither by DKIM nor by SPF, alike, the most first; ours before others'. */
    readonly failures: readonly MailFailure[];
    /** Of our own sources together. */
    readonly own: MailTotals;
  };
  readonly tls: {
    readonly reports: number;
    readonly senders: readonly SessionTotals[];
    readonly failures: readonly TlsSessionFailure[];
    readonly all: SessionTotals;
  };
}

/** "unknown" where nobody said which addresses are ours, or the report does not say which one it was. */
export type Whose = "ours" | "others" | "unknown";

/** Messages. */
export interface MailTotals {
  readonly name: string;
  readonly messages: number;
  /** Passed DMARC: by DKIM, SPF or both. */
  readonly passed: number;
  readonly dkim: number;
  readonly spf: number;
  readonly quarantined: number;
  readonly rejected: number;
}

export interface MailFailure {
  readonly source: string;
  readonly whose: Whose;
  readonly receiver: string;
  readonly domain: string;
  readonly messages: number;
  readonly disposition: DmarcRow["disposition"];
  readonly via: string;
  readonly reason: string;
}

/** Sessions with our servers. */
export interface SessionTotals {
  readonly name: string;
  readonly sessions: number;
  readonly failed: number;
}

export interface TlsSessionFailure {
  readonly sender: string;
  readonly domain: string;
  readonly type: string;
  readonly mx: string;
  readonly sessions: number;
}

/** Lines of each list that are kept. Our choice. */
const mostListed = 50;

const day = 86_400_000;

/** `isOwn` is undefined where nobody said which addresses are ours; `now` is in milliseconds since the epoch. */
export function summaryOf(
  reports: Iterable<KeptReport>,
  isOwn: ((address: string) => boolean) | undefined,
  days: number,
  now: number,
): ReportSummary {
  const receivers = newMailTally();
  const sources = newMailTally();
  const own = newMailTally();
  const domains = new Map<string, { readonly policy: string; readonly to: number }>();
  const failures = new Map<string, MailFailure>();
  const senders = new Map<string, SessionTotals>();
  const broken = new Map<string, TlsSessionFailure>();
  let newest: number | undefined;
  let [dmarc, tls] = [0, 0];
  const whoseIs = (source: string): Whose =>
    isOwn === undefined || source === "" ? "unknown" : isOwn(source) ? "ours" : "others";

  for (const report of reports) {
    if (report.to < now - days * day) continue;
    newest = Math.max(newest ?? 0, report.to);
    if (report.kind === "dmarc") {
      dmarc++;
      const { domain, policy, organization, to } = report;
      if (to >= (domains.get(domain)?.to ?? 0)) domains.set(domain, { policy, to });
      for (const row of report.rows) {
        const whose = whoseIs(row.source);
        receivers.add(organization, row);
        sources.add(row.source, row);
        if (whose === "ours") own.add("ours", row);
        if (!row.dkim && !row.spf) addFailure(failures, row, whose, organization, domain);
      }
    } else {
      tls++;
      for (const { domain, good, bad, failures: details } of report.policies) {
        const before = senders.get(report.organization) ?? noSessions(report.organization);
        senders.set(report.organization, {
          ...before,
          sessions: before.sessions + good + bad,
          failed: before.failed + bad,
        });
        for (const { type, mx, count } of details) {
          const key = JSON.stringify([report.organization, domain, type, mx]);
          const sessions = (broken.get(key)?.sessions ?? 0) + count;
          broken.set(key, { sender: report.organization, domain, type, mx, sessions });
        }
      }
    }
  }
  const all = [...senders.values()];
  return {
    days,
    ...(newest !== undefined && { newest }),
    dmarc: {
      reports: dmarc,
      domains: [...domains].map(([domain, { policy }]) => ({ domain, policy })).slice(0, mostListed),
      receivers: receivers.largest(),
      sources: sources.largest().map((totals) => ({ ...totals, whose: whoseIs(totals.name) })),
      failures: [...failures.values()]
        .sort((one, other) => rank(one) - rank(other) || other.messages - one.messages)
        .slice(0, mostListed),
      own: own.largest()[0] ?? noMail("ours"),
    },
    tls: {
      reports: tls,
      senders: all.sort((one, other) => other.sessions - one.sessions).slice(0, mostListed),
      failures: [...broken.values()].sort((one, other) => other.sessions - one.sessions).slice(0, mostListed),
      all: {
        name: "all",
        sessions: all.reduce((sum, { sessions }) => sum + sessions, 0),
        failed: all.reduce((sum, { failed }) => sum + failed, 0),
      },
    },
  };
}

const rank = ({ whose }: MailFailure): number => (whose === "ours" ? 0 : 1);

const noMail = (name: string): MailTotals => ({
  name,
  messages: 0,
  passed: 0,
  dkim: 0,
  spf: 0,
  quarantined: 0,
  rejected: 0,
});

const noSessions = (name: string): SessionTotals => ({ name, sessions: 0, failed: 0 });

interface MailTally {
  add(name: string, row: DmarcRow): void;
  largest(): readonly MailTotals[];
}

function newMailTally(): MailTally {
  const totals = new Map<string, MailTotals>();
  return {
    add(name, { count, dkim, spf, disposition }) {
      const before = totals.get(name) ?? noMail(name);
      const more = (isCounted: boolean): number => (isCounted ? count : 0);
      totals.set(name, {
        name,
        messages: before.messages + count,
        passed: before.passed + more(dkim || spf),
        dkim: before.dkim + more(dkim),
        spf: before.spf + more(spf),
        quarantined: before.quarantined + more(disposition === "quarantine"),
        rejected: before.rejected + more(disposition === "reject"),
      });
    },
    largest: () =>
      [...totals.values()].sort((one, other) => other.messages - one.messages).slice(0, mostListed),
  };
}

function addFailure(
  failures: Map<string, MailFailure>,
  { source, count, disposition, via, reason }: DmarcRow,
  whose: Whose,
  receiver: string,
  domain: string,
): void {
  const key = JSON.stringify([source, receiver, domain, disposition, via, reason]);
  const messages = (failures.get(key)?.messages ?? 0) + count;
  failures.set(key, { source, whose, receiver, domain, messages, disposition, via, reason });
}

/** Between 0 and 1; undefined where there was nothing. */
export const shareOf = (part: number, whole: number): number | undefined =>
  whole === 0 ? undefined : part / whole;

/** Percent: below `warn` is a warning, below `crit` critical. */
export interface ReportThresholds {
  readonly warn: number;
  readonly crit: number;
}

export interface ReportVerdict {
  readonly grade: Grade;
  readonly words: string;
  /** Shares of our own mail that passed, and of TLS sessions that succeeded. */
  readonly own?: number;
  readonly tls?: number;
}

export function verdictOf(summary: ReportSummary, { warn, crit }: ReportThresholds): ReportVerdict {
  const { dmarc, tls, days } = summary;
  if (summary.newest === undefined) return { grade: 3, words: `no report of the last ${days} days was read` };
  const own = shareOf(dmarc.own.passed, dmarc.own.messages);
  const sessions = shareOf(tls.all.sessions - tls.all.failed, tls.all.sessions);
  const worst = Math.min(own ?? 1, sessions ?? 1);
  const shared: Grade = worst * 100 < crit ? 2 : worst * 100 < warn ? 1 : 0;
  const words = [
    ownWords(summary, own),
    ...(tls.reports === 0
      ? []
      : [
          sessions === undefined
            ? "no TLS sessions are told of"
            : `${percentage(sessions)} of ${tls.all.sessions} TLS sessions to us succeeded`,
        ]),
  ].join(", ");
  return {
    grade: shared,
    words,
    ...(own !== undefined && { own }),
    ...(sessions !== undefined && { tls: sessions }),
  };
}

function ownWords({ dmarc }: ReportSummary, own: number | undefined): string {
  if (dmarc.reports === 0) return "no DMARC report";
  const [known] = dmarc.sources.filter(({ whose }) => whose !== "unknown");
  if (own === undefined && known === undefined) return "which addresses are ours is not known";
  if (own === undefined) return "receivers saw no mail from our addresses";
  const { messages, quarantined, rejected } = dmarc.own;
  const kept = [
    ...(quarantined > 0 ? [`${quarantined} quarantined`] : []),
    ...(rejected > 0 ? [`${rejected} rejected`] : []),
  ];
  const lost = kept.length === 0 ? "" : ` (${kept.join(", ")})`;
  return `${percentage(own)} of ${messages} messages from our addresses passed DMARC${lost}`;
}

/** Rounded down: 99.96 % is not all. */
export const percentage = (share: number | undefined): string =>
  share === undefined ? "-" : share === 1 ? "100 %" : `${(Math.floor(share * 1000) / 10).toFixed(1)} %`;
