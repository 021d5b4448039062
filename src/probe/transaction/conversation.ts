/**
 * Commands and replies on one connection: it sends, waits, shows both in the transcript and records them. It knows
 * which reply was expected; what follows from it is decided by the steps of the transaction.
 */
import type { Duplex } from "node:stream";
import { openWire, type ReceivedReply, type Wire } from "../../smtp/client/wire.ts";
import { type ExitReason, statusOf } from "../exit-status.ts";
import type { OutputPlan, StopPoint } from "../plan.ts";
import type { RecordedPoint, RunJournal } from "../transcript/journal.ts";
import type { Transcript } from "../transcript/transcript.ts";

/** How a run ends, and with which status. A step of the transaction that returns one ends the run. */
export interface RunEnding {
  /**
   * quit: with QUIT. drop: without, and the transcript says so. leave: silently. again: silently, to be tried once more
   * in clear, on another connection.
   */
  readonly how: "quit" | "drop" | "leave" | "again";
  readonly status: number;
}

export const quit = (outcome: ExitReason): RunEnding => ({ how: "quit", status: statusOf(outcome) });
export const leave = (outcome: ExitReason): RunEnding => ({ how: "leave", status: statusOf(outcome) });
export const drop: RunEnding = { how: "drop", status: statusOf("ok") };
export const again: RunEnding = { how: "again", status: statusOf("tls") };

/** What became of a command. */
export interface CommandResult {
  /** The reply had the expected code. */
  readonly ok: boolean;
  /** The reply's lines, codes and all; none where there was no reply. */
  readonly lines: readonly string[];
  /** Present where the run ends here whatever the reply: the connection is lost, or was to be dropped. */
  readonly ending?: RunEnding;
}

/** What is special about a command. */
export interface CommandOptions {
  /** Shown in its place. */
  readonly shown?: string;
  /** The same for --show-raw-text, octet by octet; absent: what is shown. */
  readonly dumped?: string;
  /** Sent in its place, with its line end, where the command is no UTF-8 text. */
  readonly octets?: Uint8Array;
  /** Another code that is as good. */
  readonly also?: string;
  /** Recorded in its place, where it holds a secret. */
  readonly recorded?: string;
  /** How a line of the reply is shown. */
  readonly readAs?: (line: Buffer) => Buffer;
}

export interface Conversation {
  /** Sends `command` and waits for a reply with `code`. */
  ask(stop: StopPoint, command: string, code: string, manner?: CommandOptions): Promise<CommandResult>;
  /** Sends several commands at once, without waiting. */
  pipeline(stop: StopPoint, commands: readonly string[]): RunEnding | undefined;
  /** Sends the octets of a message and what ends it; with `command` (BDAT) in front. */
  message(stop: StopPoint, octets: Uint8Array, command?: string): RunEnding | undefined;
  /** Sends octets that are no lines, shown as `shown`. */
  prelude(octets: Uint8Array, shown: string): void;
  hear(stop: RecordedPoint, code: string, manner?: CommandOptions): Promise<CommandResult>;
  /** Gives the stream to `work`, and goes on over the one it returns; undefined means that the connection is lost. */
  wrap(work: (stream: Duplex) => Promise<Duplex | undefined>): Promise<boolean>;
  /** Sends QUIT. Returns an ending where the connection is lost then; after a late reply it waits for none. */
  quit(): Promise<RunEnding | undefined>;
  /** A reply did not come in time: no other is waited for. */
  isLate(): boolean;
  close(): Promise<void>;
}

/** What a conversation needs. */
export interface ConversationSettings {
  readonly output: OutputPlan;
  readonly transcript: Transcript;
  readonly journal: RunJournal;
  /** Milliseconds for a reply; 0: no limit. */
  readonly timeout: number;
  readonly dropAfterSend?: StopPoint;
  /** Who is at the other end, for "closed connection unexpectedly". */
  readonly peer: "Remote host" | "Socket" | "Child process";
  /** Milliseconds, from any beginning. */
  readonly clock: () => number;
}

/** Milliseconds that a connection may take to close: our choice. */
const closingPatience = 1000;

export function openConversation(stream: Duplex, setting: ConversationSettings): Conversation {
  const { output, transcript, journal, timeout, clock } = setting;
  let wire: Wire = take(stream);
  let secure = false;
  let late = false;

  function take(next: Duplex): Wire {
    return openWire(next, { tap: (octets) => transcript.dump("received", octets) });
  }

  function send(octets: Uint8Array, shown: Uint8Array = octets, dumped: Uint8Array = shown): void {
    transcript.sent(shown, secure);
    transcript.dump("sent", dumped);
    wire.send(octets);
  }

  const droppedAt = (stop: StopPoint): RunEnding | undefined =>
    setting.dropAfterSend === stop ? drop : undefined;

  function judge(
    heard: ReceivedReply,
    code: string,
    { also = code, readAs = (line) => line }: CommandOptions,
  ): CommandResult {
    switch (heard.kind) {
      case "gone":
        transcript.error(`${setting.peer} closed connection unexpectedly.`);
        return { ok: false, lines: [], ending: leave("lost") };
      case "late":
        late = true;
        transcript.received([Buffer.from(lateness(timeout))], false, secure);
        return { ok: false, lines: [] };
      case "endless":
        transcript.received(heard.lines, false, secure);
        transcript.error("The reply is longer than a reply can be.");
        late = true;
        return { ok: false, lines: [] };
      default: {
        const lines = heard.lines.map((line) => line.toString("utf8"));
        const ok = lines.some((line) => isLast(line, code) || isLast(line, also));
        transcript.received(ok ? heard.lines.map(readAs) : heard.lines, ok, secure);
        return { ok, lines };
      }
    }
  }

  async function hear(
    stop: RecordedPoint,
    code: string,
    manner: CommandOptions = {},
  ): Promise<CommandResult> {
    const begun = clock();
    const heard = await wire.readReply(timeout);
    const took = clock() - begun;
    if (output.timeLapse !== undefined && heard.kind !== "gone") {
      const seconds = took / 1000;
      const shown = output.timeLapse === "integer" ? String(Math.floor(seconds)) : seconds.toFixed(3);
      transcript.info(`response in ${shown}s`);
    }
    const answer = judge(heard, code, manner);
    journal.heard(stop, {
      lines: answer.lines,
      expected: answer.ok,
      late: heard.kind === "late",
      took,
      secure,
    });
    return answer;
  }

  return {
    async ask(stop, command, code, manner = {}) {
      if (late) return { ok: false, lines: [] };
      const octets = manner.octets ?? asLine(command);
      const { shown, dumped = shown } = manner;
      send(
        octets,
        shown === undefined ? octets : asLine(shown),
        dumped === undefined ? octets : asLine(dumped),
      );
      journal.sent(manner.recorded ?? command);
      const ending = droppedAt(stop);
      return ending === undefined ? hear(stop, code, manner) : { ok: false, lines: [], ending };
    },
    pipeline(stop, commands) {
      for (const command of commands) {
        transcript.sent(asLine(command), secure);
        journal.sent(command);
      }
      const octets = asLine(commands.join("\r\n"));
      transcript.dump("sent", octets);
      wire.send(octets);
      return droppedAt(stop);
    },
    message(stop, octets, command) {
      if (command !== undefined) send(asLine(command));
      transcript.message(octets, secure);
      transcript.dump("sent", octets);
      wire.send(octets);
      journal.sent(command ?? `(a message of ${octets.length} octets)`);
      return droppedAt(stop);
    },
    prelude(octets, shown) {
      const text = Buffer.from(shown);
      transcript.sent(text, secure);
      transcript.dump("sent", octets);
      wire.send(octets);
      journal.sent(shown);
    },
    hear,
    async wrap(work) {
      const wrapped = await work(wire.release());
      if (wrapped === undefined) return false;
      wire = take(wrapped);
      secure = true;
      return true;
    },
    async quit() {
      send(asLine("QUIT"));
      journal.sent("QUIT");
      return late ? undefined : (await hear("QUIT", "221")).ending;
    },
    isLate: () => late,
    close: () => wire.close(late ? 0 : closingPatience),
  };
}

/** The line that ends a reply of this code (RFC 5321 section 4.2.1). */
const isLast = (line: string, code: string): boolean => line === code || line.startsWith(`${code} `);

const asLine = (text: string): Buffer => Buffer.from(`${text}\r\n`);

const lateness = (timeout: number): string => `Timeout (${timeout / 1000} secs) waiting for server response`;
