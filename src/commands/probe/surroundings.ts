/** What conversations of the probe's words take from this host. Their servers are named, so no way to them is looked up. */
import { randomBytes } from "node:crypto";
import type { World } from "../../probe/transaction/session.ts";
import { systemCa } from "./system-ca.ts";

export const surroundings: World = {
  clock: () => performance.now(),
  now: Date.now,
  random: randomBytes,
  systemCa,
  route: async (domain) => [domain],
  save: () => undefined,
};
