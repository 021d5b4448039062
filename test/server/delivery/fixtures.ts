/** Envelopes, letters and terms for the tests of delivery. */

import { Readable } from "node:stream";
import type {
  OutgoingMessage,
  RecipientOutcome,
} from "../../../src/server/delivery/message/outgoing-message.ts";
import type { NextHop } from "../../../src/server/delivery/next-hop.ts";
import type { TransportSettings } from "../../../src/server/delivery/transport-settings.ts";
import type { Envelope, Recipient } from "../../../src/server/spool/envelope.ts";

export const accepted = Date.UTC(2026, 10, 22, 13, 2, 46);

export const message =
  "From: user1@example.org\r\nSubject: hi\r\nMessage-ID: <m1@example.org>\r\n\r\n.dot\r\nbody\r\n";

export function envelope(more: Partial<Envelope> = {}): Envelope {
  return {
    id: "4F2A9C01B7E3",
    accepted,
    login: "user1",
    sender: "user1@example.org",
    size: message.length,
    eightBit: false,
    smtputf8: false,
    recipients: [recipient("a@example.net")],
    attempts: 0,
    due: accepted,
    warned: false,
    ...more,
  };
}

export function recipient(address: string, more: Partial<Recipient> = {}): Recipient {
  return { address, state: "waiting", ...more };
}

export function outgoing(more: Partial<Envelope> = {}, text = message, utf8Header = false): OutgoingMessage {
  const whole = envelope({ size: text.length, ...more });
  return {
    envelope: whole,
    recipients: whole.recipients,
    utf8Header,
    body: () => Readable.from([Buffer.from(text, "latin1")]),
  };
}

export const hop = (port: number): NextHop => ({ host: "localhost", address: "127.0.0.1", port });

export function transportSettings(more: Partial<TransportSettings> = {}): TransportSettings {
  return {
    protocol: "smtp",
    hostname: "submission.example.org",
    tls: "opportunistic",
    timeouts: { connect: 2000, reply: 2000, final: 2000, transaction: 5000 },
    now: Date.now,
    ...more,
  };
}

/** `code status text` of each outcome, as the log would quote it. */
export const replies = (outcomes: readonly RecipientOutcome[]): readonly string[] =>
  outcomes.map(({ reply }) => `${reply.code} ${reply.status} ${reply.text}`);
