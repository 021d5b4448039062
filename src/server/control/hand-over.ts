/**
 * `queue drain` of a host that shares a database: it gives up what it has, so that the others deliver it. What is being sent at
 * that moment follows when it has ended, and so does what still comes.
 */
import { errorCode, exitStatus, Failure } from "../../failure.ts";
import type { Database } from "../../postgres/database.ts";
import { log, logBug } from "../log/log.ts";
import type { SharedSpool } from "../spool/postgres/spool.ts";
import type { Wait } from "./api.ts";
import { livingPeers } from "./peers.ts";
import { type HandOverRequest, type HandOverState, nameOperator } from "./protocol.ts";

export interface HandingOver {
  readonly database: Database;
  readonly spool: Pick<SharedSpool, "lease" | "handOver">;
  /** The messages for which an attempt is under way. */
  readonly active: () => ReadonlySet<string>;
  /** Takes no new mail from its call on, and resolves when the last session has ended. */
  readonly shut: (to: string) => Promise<void>;
  readonly wait: Wait;
}

/** Milliseconds between two looks, and looks for which the command waits. Our choices: most attempts are shorter. */
const lookEvery = 500;
const mostLooks = 60;

const others = "the other hosts";

export interface HandOver {
  readonly handle: (request: HandOverRequest) => AsyncIterable<HandOverState>;
  /** Ends it: the lease ends next, and with it all that is left. */
  close(): void;
}

export function newHandOver({ database, spool, active, shut, wait }: HandingOver): HandOver {
  let isClosed = false;
  let isFollowing = false;

  async function give(): Promise<HandOverState> {
    const held = new Set(active());
    const given = await spool.handOver(held);
    return { given, left: held.size };
  }

  /** What ends or comes later. Never rejects. */
  async function follow(): Promise<void> {
    while (!isClosed) {
      await wait(lookEvery);
      try {
        if (!isClosed) await give();
      } catch (error) {
        if (errorCode(error) === "") logBug("handing messages over", error);
      }
    }
  }

  return {
    async *handle({ listening, by }) {
      const there = (await livingPeers(database)).some(({ lease }) => lease !== spool.lease());
      if (!there)
        throw new Failure(
          exitStatus.temporary,
          "no other host is at work with this database, so nobody would take the messages",
        );
      if (!listening) await shut(others);
      let sum = 0;
      for (let looks = 0; looks < mostLooks; looks += 1) {
        const { given, left } = await give();
        sum += given;
        yield { given: sum, left };
        if (left === 0) break;
        await wait(lookEvery);
      }
      log("operator-done", { act: "drain", messages: sum, by: nameOperator(by) });
      if (!isFollowing) void follow();
      isFollowing = true;
    },
    close() {
      isClosed = true;
    },
  };
}
