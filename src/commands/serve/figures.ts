/** What the relay tells of itself to monitoring: the gauges of /metrics, and /healthz. */
import type { Scheduler } from "../../server/delivery/schedule/scheduler.ts";
import type { Readings } from "../../server/observe/figures.ts";
import type { Health } from "../../server/observe/http.ts";
import { processReadings } from "../../server/observe/metrics.ts";
import { version } from "../../version.ts";

/** What the parts of the relay note about themselves as they start and change. */
export interface State {
  /** Undefined until there is a scheduler. */
  waiting: Scheduler["waiting"] | undefined;
  /** End of the certificate in use, in milliseconds since the epoch. */
  certificateUntil: number;
  /** Logins in the password file in use; 0 while none was ever good. */
  logins: number;
}

export const newState = (): State => ({ waiting: undefined, certificateUntil: 0, logins: 0 });

export function readingsOf(state: State): Readings {
  const single = (value: number) => [{ labels: [], value }];
  return {
    ...processReadings(Date.now() - process.uptime() * 1000),
    build: () => [{ labels: [version, process.version], value: 1 }],
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
    certificate: () => single(state.certificateUntil / 1000),
    logins: () => single(state.logins),
  };
}

/** Whether people can send mail, as far as the relay itself can tell. */
export function healthOf({ certificateUntil, logins }: State): Health {
  if (certificateUntil <= Date.now()) return { ok: false, reason: "the certificate has expired" };
  if (logins === 0) return { ok: false, reason: "no password file could be read yet, so nobody can log in" };
  return { ok: true };
}
