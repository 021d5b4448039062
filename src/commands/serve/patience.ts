/** How long delivery is tried, and how often, as the configuration has it. */
import type { Config } from "../../config/settings.ts";
import type { Patience } from "../../server/delivery/schedule/verdict.ts";

export function patienceOf({ delivery, spool }: Config): Patience {
  return {
    first: delivery["retry-first"],
    longest: delivery["retry-longest"],
    lifetime: spool.lifetime,
    reportLifetime: spool["report-lifetime"],
    warnAfter: spool["warn-after"],
    concurrency: delivery.concurrency,
    destinationConcurrency: delivery["destination-concurrency"],
  };
}
