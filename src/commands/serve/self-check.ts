/**
 * What `tpa-submit check` says of the running relay, for its status page. It is asked in a process of its own, at a low
 * priority: reading a large password file takes a second in which nobody else would be served.
 */
import { logBug } from "../../server/log/log.ts";
import type { CheckId } from "../check/rows.ts";
import type { StatusChecks } from "../status/checks.ts";

export interface SelfCheck {
  /** What was found last; undefined before that. Where it is old it is looked for again, behind the answer. */
  readonly latest: () => StatusChecks | undefined;
  close(): Promise<void>;
}

/** Milliseconds for which findings are good, and that a check has. Our choice, both of them. */
const good = 300_000;
const patience = 30_000;

/** Checks that are no business of a relay at work: its ports are its own, and what renews certificates is root's. */
const leftOut: readonly CheckId[] = ["ports", "renewal"];

/** Of the configuration in `file`. Nothing is done before somebody asks. */
export function openSelfCheck(file: string, now: () => number): SelfCheck {
  const closing = new AbortController();
  let last: StatusChecks | undefined;
  let asked = Number.NEGATIVE_INFINITY;
  let running = Promise.resolve();
  return {
    latest() {
      if (!closing.signal.aborted && Math.abs(now() - asked) >= good) {
        asked = now();
        running = ask(file, closing.signal).then(
          (found) => {
            last = found;
          },
          (error: unknown) => logBug("check", error),
        );
      }
      return last;
    },
    async close() {
      closing.abort();
      await running;
    },
  };
}

async function ask(file: string, signal: AbortSignal): Promise<StatusChecks> {
  const { checksIn, statusCheckIds } = await import("../status/checks.ts");
  const { lookApart } = await import("../check/apart.ts");
  const ids = statusCheckIds.filter((id) => !leftOut.includes(id));
  return checksIn(await lookApart({ file, ids, patience }, { signal, isUnhurried: true }));
}
