/**
 * A scheduler on a real spool in a temporary folder, with a clock that the test turns and a transport of its
 * choice.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, vi } from "vitest";
import { unreached } from "../../../src/server/delivery/attempt.ts";
import type {
  OutgoingMessage,
  RecipientOutcome,
} from "../../../src/server/delivery/message/outgoing-message.ts";
import { type ReportActivity, reportNothing } from "../../../src/server/delivery/transaction.ts";
import type { Transport } from "../../../src/server/delivery/transport.ts";
import { type LogEntry, logTo } from "../../../src/server/log/log.ts";
import { type Clock, type Scheduler, startScheduler } from "../../../src/server/queue/scheduler.ts";
import type { RetryPolicy } from "../../../src/server/queue/verdict.ts";
import type { Envelope } from "../../../src/server/spool/envelope.ts";
import { openSpool, type Spool } from "../../../src/server/spool/spool.ts";
import { reply } from "../../../src/smtp/reply.ts";
import { accepted, envelope, message } from "../delivery/fixtures.ts";

const minute = 60_000;

export const patience: RetryPolicy = {
  first: 5 * minute,
  longest: 240 * minute,
  lifetime: 5 * 24 * 60 * minute,
  reportLifetime: 24 * 60 * minute,
  warnAfter: 240 * minute,
  concurrency: 4,
  underWay: 80,
  destinationConcurrency: 4,
};

/** Time stands still until `turn`ed; alarms ring then. */
export interface TurnableClock extends Clock {
  turn(milliseconds: number): void;
  /** Somebody sets it, forward or back. */
  set(by: number): void;
  /** How many alarms are set. */
  alarms(): number;
}

export function turnableClock(start: number): TurnableClock {
  let time = start;
  let step = 0;
  const alarms = new Set<{ readonly at: number; readonly ring: () => void }>();
  return {
    now: () => time + step,
    steady: () => time,
    set(by) {
      step += by;
    },
    random: () => 0.5,
    alarm(after, ring) {
      const alarm = { at: time + after, ring };
      alarms.add(alarm);
      return () => alarms.delete(alarm);
    },
    alarms: () => alarms.size,
    turn(milliseconds) {
      time += milliseconds;
      for (const alarm of [...alarms].filter(({ at }) => at <= time)) {
        alarms.delete(alarm);
        alarm.ring();
      }
    },
  };
}

/**
 * What a transport was given, and what it shall answer: a reply by address, "250 2.0.0 ok" where none is named.
 */
export interface FakeTransport extends Transport {
  readonly delivered: { readonly id: string; readonly to: readonly string[]; readonly text: string }[];
  answers: Readonly<Record<string, string>>;
  /** Destinations that nobody answers at. */
  readonly down: Set<string>;
  /** What is said of them. */
  trouble: string;
  /** What happens before each answer; a test may wait here, or throw. */
  before: (message: OutgoingMessage, signal: AbortSignal, report: ReportActivity) => Promise<void>;
}

export function fakeTransport(now: () => number): FakeTransport {
  return {
    delivered: [],
    answers: {},
    down: new Set(),
    trouble: "connect to mx: Connection refused",
    before: async () => undefined,
    destination: (_, address) => address.replace(/^.*@/, ""),
    async deliver(
      message: OutgoingMessage,
      signal: AbortSignal,
      report = reportNothing,
    ): Promise<readonly RecipientOutcome[]> {
      await this.before(message, signal, report);
      if (signal.aborted) return [];
      if (message.mayEnd?.() === false)
        return unreached(message.recipients, reply(451, "4.3.0", "not sent to its end"), now());
      const chunks: Buffer[] = [];
      for await (const chunk of message.body()) chunks.push(chunk as Buffer);
      const to = message.recipients.map(({ address }) => address);
      this.delivered.push({ id: message.envelope.id, to, text: Buffer.concat(chunks).toString("latin1") });
      if (this.down.has(this.destination(message.envelope, to[0] ?? ""))) {
        const refused = reply(451, "4.4.1", this.trouble);
        return unreached(message.recipients, refused, now());
      }
      return message.recipients.map((recipient) => {
        const [code = "", status = "", ...text] = (this.answers[recipient.address] ?? "250 2.0.0 ok").split(
          " ",
        );
        const positive = code.startsWith("2");
        return {
          recipient,
          reply: {
            code: Number(code),
            status,
            text: text.join(" "),
            relay: "mx.example.net[192.0.2.1]:25",
            command: positive ? "end of DATA" : "RCPT TO",
            at: now(),
          },
          transmitting: 0,
          ...(positive && { taken: "relayed" as const }),
        };
      });
    },
  };
}

export interface TestScheduler {
  readonly spool: Spool;
  readonly clock: TurnableClock;
  readonly transport: FakeTransport;
  readonly scheduler: Scheduler;
  /** The log, as Postfix would write it. */
  readonly lines: string[];
  /** Puts a message into the spool and wakes the scheduler. */
  submit(more?: Partial<Envelope>, text?: string): Promise<Envelope>;
  close(): Promise<void>;
}

/** Puts a message into `spool`, as the submission side does. */
export async function put(spool: Spool, more: Partial<Envelope> = {}, text = message): Promise<Envelope> {
  const draft = await spool.draft();
  await draft.write(Buffer.from(text, "latin1"));
  const { id: _, size: __, ...fields } = envelope(more);
  return draft.accept(fields);
}

/** Waits until the log has a line with `words`. */
export function logged({ lines }: TestScheduler, words: string | RegExp): Promise<void> {
  return vi.waitFor(() => expect(lines.join("\n")).toMatch(words), 60_000);
}

/** `wrap` may make the spool fail; `before` puts something into it first. */
export async function openTestScheduler(
  wrap: (spool: Spool) => Spool = (spool) => spool,
  before: (spool: Spool) => Promise<void> = async () => undefined,
): Promise<TestScheduler> {
  const folder = await mkdtemp(join(tmpdir(), "tpa-submit-delivery-"));
  const clock = turnableClock(accepted);
  const spool = wrap(await openSpool(join(folder, "spool"), clock.now));
  await before(spool);
  const transport = fakeTransport(clock.now);
  const lines: string[] = [];
  logTo(({ text }: LogEntry) => lines.push(text));
  const scheduler = startScheduler({ spool, transport, hostname: "submission.example.org" }, patience, clock);
  return {
    spool,
    clock,
    transport,
    scheduler,
    lines,
    async submit(more, text) {
      const accepted = await put(spool, more, text);
      scheduler.wake(accepted);
      return accepted;
    },
    async close() {
      await scheduler.drain(0);
      logTo(() => undefined);
      await spool.close();
      await rm(folder, { recursive: true });
    },
  };
}
