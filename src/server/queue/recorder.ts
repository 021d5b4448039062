/**
 * How one message stands while it is delivered, and the way of that to the disk. Reports enter the spool
 * before the envelope says that somebody was told, so that a crash in between tells twice rather than never.
 * What was tried in vain goes into the history of a message that stays, for people. Where the spool cannot be written,
 * the state is kept, so that at least this process repeats nothing.
 *
 * Where several hosts share the spool, the message may be another's meanwhile: that one tells the sender, and nothing is recorded
 * here.
 *
 * A message with nobody left to tell anything is let go in the very turn in which the last next hop took it: between the two
 * a kill would deliver it again.
 */
import { errorCode, errorText } from "../../failure.ts";
import { isPositive } from "../../smtp/reply.ts";
import type { RecipientOutcome } from "../delivery/message/outgoing-message.ts";
import type { ReportContent } from "../dsn/explanation.ts";
import type { Reporter } from "../dsn/report.ts";
import type { ReportedRecipient } from "../dsn/status-fields.ts";
import { log, logBug } from "../log/log.ts";
import type { Envelope, Recipient } from "../spool/envelope.ts";
import { possibleCopies } from "../spool/history.ts";
import type { FailedAttempt, RecordOutcome, Spool } from "../spool/spool.ts";
import { isDone, type RoundVerdict, wanting, withOutcomes } from "./verdict.ts";

export interface DeliveryState {
  readonly envelope: Envelope;
  /** Successes that the sender wants to hear of and has not been told. */
  readonly unreported: readonly ReportedRecipient[];
}

export interface Recorder {
  state(): DeliveryState;
  note(outcomes: readonly RecipientOutcome[]): void;
  /** Records what was noted. False where that failed, which is logged; it never rejects. Nothing is left to do for what is lost. */
  save(): Promise<boolean>;
  /** Tells the sender what `verdict` finds and records it, or removes the message; false as above. */
  close(verdict: RoundVerdict): Promise<boolean>;
  /** Whether another host has the message, so that nothing of this was recorded. */
  isLost(): boolean;
}

/** Where a ledger writes. */
export interface RecorderDependencies {
  readonly spool: Spool;
  readonly report: Reporter;
  /** Milliseconds for which delivery is tried. */
  readonly lifetime: number;
  /** Called with every report that has entered the spool. */
  readonly wake: (envelope: Envelope) => void;
}

export function openRecorder(
  state: DeliveryState,
  { spool, report, lifetime, wake }: RecorderDependencies,
): Recorder {
  let { envelope, unreported } = state;
  let writing: Promise<unknown> = Promise.resolve();
  /** Writes begun and not ended. */
  let underWay = 0;
  /** The end of a message that is done with, from its beginning to its success. */
  let removal: Promise<RecordOutcome> | undefined;
  let isLost = false;
  let failed: readonly FailedAttempt[] = [];
  const { id } = envelope;

  /** One write after the other, each of what is known when it begins. */
  function write(work: () => Promise<void>): Promise<boolean> {
    underWay += 1;
    const mine = underWay > 1 ? writing.then(() => attempt(work)) : attempt(work);
    writing = mine;
    return mine;
  }

  async function attempt(work: () => Promise<void>): Promise<boolean> {
    try {
      if (!isLost) await work();
      return true;
    } catch (error) {
      removal = undefined;
      if (errorCode(error) === "") logBug(`recording ${id}`, error);
      else log("spool-trouble", { id, reason: errorText(error) });
      return false;
    } finally {
      underWay -= 1;
    }
  }

  function lose(): void {
    if (!isLost) log("lease-lost", { id });
    isLost = true;
  }

  /** Whether it is ours to tell the sender anything; asked before each report. */
  async function isOurs(): Promise<boolean> {
    if (!isLost && !(await spool.owns(id))) lose();
    return !isLost;
  }

  async function tell(kind: ReportContent["kind"], told: readonly ReportedRecipient[]): Promise<void> {
    if (!(await isOurs())) return;
    wake(await report({ kind, recipients: told }, envelope, envelope.accepted + lifetime));
  }

  /** Tells of `recipients`, and of the copies that they may have already. */
  async function tellTrouble(
    kind: "failure" | "delay",
    action: "failed" | "delayed",
    recipients: readonly Recipient[],
  ): Promise<void> {
    // What is only for people keeps no report back.
    const history = [...(await spool.history(id).catch(() => [])), ...failed];
    const told = recipients.map((recipient) => {
      const copies = possibleCopies(history, recipient.address);
      return { recipient, action, ...(copies > 0 && { copies }) };
    });
    await tell(kind, told);
  }

  async function tellSuccesses(): Promise<void> {
    const told = unreported;
    await tell("success", told);
    unreported = unreported.filter((one) => !told.includes(one));
  }

  async function remove(): Promise<void> {
    removal ??= spool.remove(id);
    if ((await removal) === "lost") lose();
  }

  async function record(): Promise<void> {
    if (isLost) return;
    if (removal !== undefined) return remove();
    if ((await spool.record(envelope)) === "lost") return lose();
    const noted = failed;
    failed = [];
    const trouble = noted.length > 0 ? await spool.note(id, noted) : undefined;
    if (trouble !== undefined) log("history-lost", { id, reason: trouble });
  }

  return {
    state: () => ({ envelope, unreported }),
    note(outcomes) {
      const wished = new Set(
        wanting(
          "SUCCESS",
          envelope,
          outcomes.map(({ recipient }) => recipient),
        ),
      );
      const told = outcomes.flatMap(({ recipient, reply, taken }): readonly ReportedRecipient[] =>
        wished.has(recipient) && (taken === "delivered" || taken === "relayed")
          ? [{ recipient: { ...recipient, reply }, action: taken }]
          : [],
      );
      unreported = [...unreported, ...told];
      const refused = outcomes.filter(({ reply }) => !isPositive(reply));
      failed = [
        ...failed,
        ...refused.map(({ recipient, reply }) => ({ ...reply, recipient: recipient.address })),
      ];
      envelope = withOutcomes(envelope, outcomes);
      if (underWay > 0 || unreported.length > 0 || !isDone(envelope)) return;
      removal ??= spool.remove(id);
      removal.catch(() => undefined); // `close` tells
    },
    save: () =>
      write(async () => {
        if (unreported.length > 0) await tellSuccesses();
        await record();
      }),
    // Most messages have nobody to be told anything: each step that is not needed is left out, and not only empty.
    close: ({ envelope: next, failed, delayed }) =>
      write(async () => {
        if (unreported.length > 0) await tellSuccesses();
        if (envelope.sender === "" && failed.length > 0) log("report-dropped", { id });
        const refused = wanting("FAILURE", envelope, failed);
        if (refused.length > 0) await tellTrouble("failure", "failed", refused);
        envelope = { ...next, warned: envelope.warned };
        const late = wanting("DELAY", envelope, delayed);
        if (late.length > 0) await tellTrouble("delay", "delayed", late);
        envelope = next;
        if (isLost) return;
        if (!isDone(envelope)) return record();
        await remove(); // the promise is kept
        if (!isLost) log("removed", { id });
      }),
    isLost: () => isLost,
  };
}
