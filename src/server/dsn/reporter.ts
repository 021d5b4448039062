/** Brings reports to the spool, by the same door as every message. */

import { asciiAddress } from "../delivery/message/letter.ts";
import { inHand } from "../log/in-hand.ts";
import { log } from "../log/log.ts";
import type { Envelope } from "../spool/envelope.ts";
import type { Spool } from "../spool/spool.ts";
import { type Occasion, octetsWanted, writeReport } from "./report.ts";

const eventFor = { failure: "failure-report", delay: "delay-report", success: "success-report" } as const;

/**
 * Tells the sender of `envelope` what `occasion` says; the report's envelope when it is durable in the spool.
 * Throws the system's error where the spool cannot be read or written. `until` as in the report's frame.
 */
export type Reporter = (occasion: Occasion, envelope: Envelope, until: number) => Promise<Envelope>;

/** A reporter for the host `hostname`; `now` is in milliseconds since the epoch. */
export function newReporter(spool: Spool, hostname: string, now: () => number): Reporter {
  return async (occasion, envelope, until) => {
    const start = await spool.bodyStart(envelope.id, octetsWanted);
    const draft = await spool.draft();
    const messageId = `${draft.id}.${now().toString(36)}@${hostname}`;
    try {
      const frame = { hostname, messageId, now: now(), until };
      const message = inHand(envelope.id, () => writeReport(occasion, envelope, start, frame));
      await draft.write(message);
      const accepted = await draft.accept({
        accepted: now(),
        login: null,
        sender: "",
        eightBit: message.some((octet) => octet > 0x7f),
        smtputf8: asciiAddress(envelope.sender) === undefined,
        ...(envelope.requireTls && { requireTls: true }), // RFC 8689 section 5
        // RFC 3461 section 6.1
        recipients: [{ address: envelope.sender, state: "waiting", notify: ["NEVER"] }],
        attempts: 0,
        due: now(),
        warned: false,
      });
      log("message-id", { id: draft.id, messageId });
      log("queued", { id: draft.id, from: "", size: accepted.size, recipients: 1 });
      log(eventFor[occasion.kind], { id: envelope.id, report: draft.id });
      return accepted;
    } catch (error) {
      await draft.discard().catch(() => undefined); // the spool's own trouble is told by `error`
      throw error;
    }
  };
}
