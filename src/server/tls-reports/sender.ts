/**
 * Sends the reports of the days that are over, one domain after the other: to those who ask for them and nobody else. A
 * domain is taken out of the tally, and that is on the disk, before its report is sent: a crash may cost a report, and
 * sends none twice.
 */
import { errorText } from "../../failure.ts";
import type { Resolver } from "../delivery/dns/resolver.ts";
import { log } from "../log/log.ts";
import type { Envelope } from "../spool/envelope.ts";
import type { Spool } from "../spool/spool.ts";
import { packedReport, type Reporting, type ReportTarget, reportMail, targetsIn } from "./report.ts";
import type { DomainDay, TlsTally } from "./tally.ts";

export interface TlsReportDependencies {
  readonly tally: TlsTally;
  /** Makes durable what the tally has. Throws the system's error. */
  readonly save: () => Promise<void>;
  readonly resolver: Pick<Resolver, "txt">;
  readonly spool: Pick<Spool, "draft">;
  /** Called with every report that has entered the spool. */
  readonly wake: (envelope: Envelope) => void;
  /** Brings a report to a web server; says why it could not. Never rejects. */
  readonly post: (url: string, packed: Buffer) => Promise<string | undefined>;
  /** Waits before the next domain. */
  readonly pause: () => Promise<void>;
  readonly reporting: Reporting;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** Reports to one address or server in a round: whoever names somebody else's must not flood them. Our choice. */
const mostToOne = 100;

/** Sends what is due, until `signal` is raised. Throws the system's error where the tally or a report cannot be written. */
export async function sendDue(dependencies: TlsReportDependencies, signal: AbortSignal): Promise<void> {
  const { tally, save, resolver, pause } = dependencies;
  const sent = new Map<string, number>();
  for (const counted of tally.due()) {
    if (signal.aborted) return;
    const { day, domain } = counted;
    const answer = await resolver.txt(`_smtp._tls.${domain}`);
    if (answer.kind === "trouble") {
      log("tls-report-failed", { domain, reason: answer.reason }); // the next round asks again
      continue;
    }
    tally.take(day, domain);
    const targets = answer.kind === "found" ? targetsIn(answer.values) : [];
    if (targets.length === 0) continue;
    await save();
    for (const target of targets) {
      const name = target.kind === "mail" ? target.address.toLowerCase() : new URL(target.url).host;
      const before = sent.get(name) ?? 0;
      sent.set(name, before + 1);
      if (before < mostToOne) await sendTo(target, counted, dependencies);
      else log("tls-report-failed", { domain, reason: `there were ${mostToOne} reports to ${name}` });
    }
    await pause();
  }
}

async function sendTo(
  target: ReportTarget,
  counted: DomainDay,
  dependencies: TlsReportDependencies,
): Promise<void> {
  const { domain, day } = counted;
  if (target.kind === "mail") {
    await queue(target.address, counted, dependencies);
    log("tls-report", { domain, day, way: "mail" });
    return;
  }
  const trouble = await dependencies.post(target.url, packedReport(counted, dependencies.reporting));
  if (trouble === undefined) log("tls-report", { domain, day, way: "https" });
  else log("tls-report-failed", { domain, reason: trouble });
}

/** RFC 8460 section 5.3: an ordinary message. Nobody is told of its failure, and TLS is not demanded for it. */
async function queue(
  address: string,
  counted: DomainDay,
  { spool, wake, reporting, now }: TlsReportDependencies,
): Promise<void> {
  const draft = await spool.draft();
  const messageId = `${draft.id}.${now().toString(36)}@${reporting.hostname}`;
  try {
    await draft.write(reportMail(counted, reporting, address, messageId, now()));
    const accepted = await draft.accept({
      accepted: now(),
      login: null,
      sender: "",
      eightBit: false,
      smtputf8: false,
      tlsOptional: true,
      recipients: [{ address, state: "waiting", notify: ["NEVER"] }],
      attempts: 0,
      due: now(),
      warned: false,
    });
    log("message-id", { id: draft.id, messageId });
    log("queued", { id: draft.id, from: "", size: accepted.size, recipients: 1 });
    wake(accepted);
  } catch (error) {
    await draft.discard().catch(() => undefined); // the spool's own trouble is told by `error`
    throw error;
  }
}

/** Runs `sendDue`; a disk that fails costs what was taken, and no mail. Never rejects for that. */
export async function sendRound(dependencies: TlsReportDependencies, signal: AbortSignal): Promise<void> {
  try {
    await sendDue(dependencies, signal);
  } catch (error) {
    log("tls-reports-unsaved", { reason: errorText(error) });
  }
}
