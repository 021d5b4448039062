/** A client at the door, before it has said anything. */
import type { Reply } from "../../../smtp/reply.ts";
import type { Door } from "../../observe/events.ts";

/** What was known of a client when it was let in. */
export interface Visit {
  readonly door: Door;
  readonly address: string;
  /** Until when it must have logged in, in milliseconds since the epoch. */
  readonly loginDue: number;
  /** Said in place of the greeting where the client cannot stay. */
  readonly refusal?: Reply | undefined;
  /** Called once, when the socket is gone. */
  readonly leave: () => void;
}
