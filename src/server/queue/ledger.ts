/**
 * How one message stands while it is delivered, and the way of that to the disk. Reports enter the spool
 * before the envelope says that somebody was told, so that a crash in between tells twice rather than never.
 * What was tried in vain goes into the history of a message that stays, for people. Where the spool cannot be written,
 * the standing is kept, so that at least this process repeats nothing.
 */
import { errorCode, errorText } from "../../failure.ts";
import { isPositive } from "../../smtp/reply.ts";
import type { Outcome } from "../delivery/message/letter.ts";
import type { Occasion, Told } from "../dsn/report.ts";
import type { Reporter } from "../dsn/reporter.ts";
import { log, logBug } from "../log/log.ts";
import { possibleCopies } from "../spool/copies.ts";
import type { Envelope, Recipient } from "../spool/envelope.ts";
import type { Noted, Spool } from "../spool/spool.ts";
import { isDone, type Verdict, wanting, withOutcomes } from "./verdict.ts";

export interface Standing {
  readonly envelope: Envelope;
  /** Successes that the sender wants to hear of and has not been told. */
  readonly owed: readonly Told[];
}

export interface Ledger {
  standing(): Standing;
  note(outcomes: readonly Outcome[]): void;
  /** Records what was noted. False where that failed, which is logged; it never rejects. */
  save(): Promise<boolean>;
  /** Tells the sender what `verdict` finds and records it, or removes the message; false as above. */
  close(verdict: Verdict): Promise<boolean>;
}

/** Where a ledger writes. */
export interface Books {
  readonly spool: Spool;
  readonly report: Reporter;
  /** Milliseconds for which delivery is tried. */
  readonly lifetime: number;
  /** Called with every report that has entered the spool. */
  readonly wake: (envelope: Envelope) => void;
}

export function openLedger(standing: Standing, { spool, report, lifetime, wake }: Books): Ledger {
  let { envelope, owed } = standing;
  let writing: Promise<unknown> = Promise.resolve();
  let vain: readonly Noted[] = [];
  const { id } = envelope;

  /** One write after the other, each of what is known when its turn has come. */
  function write(work: () => Promise<void>): Promise<boolean> {
    const mine = writing.then(async () => {
      try {
        await work();
        return true;
      } catch (error) {
        if (errorCode(error) === "") logBug(`the books of ${id}`, error);
        else log("spool-trouble", { id, reason: errorText(error) });
        return false;
      }
    });
    writing = mine;
    return mine;
  }

  async function tell(kind: Occasion["kind"], told: readonly Told[]): Promise<void> {
    if (told.length === 0) return;
    wake(await report({ kind, told }, envelope, envelope.accepted + lifetime));
  }

  /** `recipients` with the copies that they may have already. */
  async function told(
    action: "failed" | "delayed",
    recipients: readonly Recipient[],
  ): Promise<readonly Told[]> {
    if (recipients.length === 0) return [];
    // What is only for people keeps no report back.
    const history = [...(await spool.history(id).catch(() => [])), ...vain];
    return recipients.map((recipient) => {
      const copies = possibleCopies(history, recipient.address);
      return { recipient, action, ...(copies > 0 && { copies }) };
    });
  }

  async function tellSuccesses(): Promise<void> {
    const told = owed;
    await tell("success", told);
    owed = owed.filter((one) => !told.includes(one));
  }

  async function record(): Promise<void> {
    await spool.record(envelope);
    const noted = vain;
    vain = [];
    const trouble = noted.length > 0 ? await spool.note(id, noted) : undefined;
    if (trouble !== undefined) log("history-lost", { id, reason: trouble });
  }

  return {
    standing: () => ({ envelope, owed }),
    note(outcomes) {
      const wished = new Set(
        wanting(
          "SUCCESS",
          envelope,
          outcomes.map(({ recipient }) => recipient),
        ),
      );
      const told = outcomes.flatMap(({ recipient, reply, taken }): readonly Told[] =>
        wished.has(recipient) && (taken === "delivered" || taken === "relayed")
          ? [{ recipient: { ...recipient, reply }, action: taken }]
          : [],
      );
      owed = [...owed, ...told];
      const failed = outcomes.filter(({ reply }) => !isPositive(reply));
      vain = [...vain, ...failed.map(({ recipient, reply }) => ({ ...reply, recipient: recipient.address }))];
      envelope = withOutcomes(envelope, outcomes);
    },
    save: () =>
      write(async () => {
        await tellSuccesses();
        await record();
      }),
    close: ({ envelope: next, failed, late }) =>
      write(async () => {
        await tellSuccesses();
        if (envelope.sender === "" && failed.length > 0) log("report-dropped", { id });
        await tell("failure", await told("failed", wanting("FAILURE", envelope, failed)));
        envelope = { ...next, warned: envelope.warned };
        await tell("delay", await told("delayed", wanting("DELAY", envelope, late)));
        envelope = next;
        if (!isDone(envelope)) return record();
        await spool.remove(id); // the promise is kept
        log("removed", { id });
      }),
  };
}
