/** What the relay tells of itself to monitoring: the gauges of /metrics. */

import type { Readings } from "../../server/log/figures.ts";
import { processReadings } from "../../server/log/metrics.ts";
import type { Scheduler } from "../../server/queue/scheduler.ts";
import type { FreeSpace } from "../../server/spool/spool.ts";
import { version } from "../../version.ts";
import type { Checkup } from "./health.ts";

/** What the parts of the relay note about themselves as they start and change. */
export interface State {
  /** Undefined until there is a scheduler. */
  waiting: Scheduler["waiting"] | undefined;
  /** End of the certificate in use, in milliseconds since the epoch; 0 while there is none. */
  certificateUntil: number;
  /** Logins in the password file in use; 0 while none was ever good. */
  logins: number;
  stopping: boolean;
  /** Why the spool can promise nothing any more. */
  broken: string | undefined;
  /** Of the event loop, in seconds. */
  delay: () => number;
  /** What was found when somebody looked last. */
  checkup: Checkup | undefined;
}

export const newState = (): State => ({
  waiting: undefined,
  certificateUntil: 0,
  logins: 0,
  stopping: false,
  broken: undefined,
  delay: () => 0,
  checkup: undefined,
});

export function readingsOf(state: State, reserve: FreeSpace): Readings {
  const single = (value: number) => [{ labels: [], value }];
  const known = (value: number | undefined) => (value === undefined ? [] : single(value));
  return {
    ...processReadings(Date.now() - process.uptime() * 1000),
    build: () => [{ labels: [version, process.version], value: 1 }],
    loopDelay: () => single(state.delay()),
    queueMessages: () => {
      const { messages, held } = state.waiting?.() ?? { messages: 0, held: 0 };
      return [
        { labels: ["waiting"], value: messages - held },
        { labels: ["held"], value: held },
      ];
    },
    queueOldest: () => {
      const oldest = state.waiting?.().oldest ?? null;
      return single(oldest === null ? 0 : (Date.now() - oldest) / 1000);
    },
    freeOctets: () => known(state.checkup?.free?.octets),
    freeInodes: () => known(state.checkup?.free?.inodes),
    reserveOctets: () => single(reserve.octets),
    reserveInodes: () => single(reserve.inodes),
    healthy: () => single(state.checkup?.health.ok === true ? 1 : 0),
    certificate: () => single(state.certificateUntil / 1000),
    logins: () => single(state.logins),
  };
}
