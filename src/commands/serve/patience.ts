/** How long delivery is tried, and how often, as the configuration has it. */
import type { Config } from "../../config/settings.ts";
import type { RetryPolicy } from "../../server/queue/verdict.ts";
import { descriptorLimit } from "./descriptors.ts";

/** So many deliveries may be under way for each that moves, and part of all descriptors. Our choices. */
const waitingForEach = 20;
const shareOfDescriptors = 0.5;

export function patienceOf({ delivery, spool }: Config, descriptors = descriptorLimit()): RetryPolicy {
  const { concurrency } = delivery;
  const room = Math.min(waitingForEach * concurrency, Math.floor(shareOfDescriptors * descriptors));
  return {
    first: delivery["retry-first"],
    longest: delivery["retry-longest"],
    lifetime: spool.lifetime,
    reportLifetime: spool["report-lifetime"],
    warnAfter: spool["warn-after"],
    concurrency,
    underWay: Math.max(concurrency, room),
    destinationConcurrency: delivery["destination-concurrency"],
  };
}
