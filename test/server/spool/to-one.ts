import type { NewEnvelope } from "../../../src/server/spool/spool.ts";

/** An envelope for tests that care about the spool and not about what it holds. */
export const toOne: NewEnvelope = {
  accepted: Date.parse("2026-11-22T14:11:00.000Z"),
  login: "user1",
  sender: "user1@example.org",
  eightBit: false,
  smtputf8: false,
  recipients: [{ address: "x@example.net", state: "waiting" }],
  attempts: 0,
  due: Date.parse("2026-11-22T14:11:00.000Z"),
  warned: false,
};
