/** A client at the door, before it has said anything. */
import type { Reply } from "../../../smtp/reply.ts";
import type { ListenerName } from "../../log/events.ts";

/** What was known of a client when it was let in. */
export interface Visit {
  readonly door: ListenerName;
  readonly address: string;
  /** Until when it must have logged in, in milliseconds since the epoch. */
  readonly loginDue: number;
  /** Whether patience is short because there are so many connections. */
  readonly isStressed: () => boolean;
  /** A command came. */
  readonly heard: () => void;
  /** It has logged in. */
  readonly known: () => void;
  /** Ends it to make room for another one; who can say goodbye takes this over. */
  giveWay: () => void;
  /** Said in place of the greeting where the client cannot stay. */
  readonly refusal?: Reply | undefined;
  /** Called once, when the socket is gone. */
  readonly leave: () => void;
}
