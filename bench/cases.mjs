/** All cases, in the order in which they run: those that want a fresh disk first, those that wear it out last. */
import { bulkCases } from "./cases/bulk.mjs";
import { ceilingCase } from "./cases/ceiling.mjs";
import { directoryCase } from "./cases/directory.mjs";
import { drainCases } from "./cases/drain.mjs";
import { historyCase } from "./cases/history.mjs";
import { loginCases } from "./cases/logins.mjs";
import { promisesCase } from "./cases/promises.mjs";
import { queueCase } from "./cases/queue.mjs";
import { reloadCase } from "./cases/reload.mjs";
import { sessionsCase } from "./cases/sessions.mjs";
import { severalHostsCase } from "./cases/several-hosts.mjs";
import { startCase } from "./cases/start.mjs";
import { twoRelaysCase } from "./cases/two-relays.mjs";

/** @type {readonly import("./bench.mjs").Case[]} */
const listed = [
  startCase,
  ceilingCase,
  ...bulkCases,
  ...drainCases,
  ...loginCases,
  reloadCase,
  sessionsCase,
  promisesCase,
  queueCase,
  directoryCase,
  twoRelaysCase,
  severalHostsCase,
  historyCase,
];

const order = [
  "start",
  "ceiling",
  "spool",
  "drain",
  "deliver",
  "one-core",
  "logins",
  "remembered",
  "reload",
  "idle",
  "sizes",
];

/** @param {{ name: string }} one */
const place = ({ name }) => (order.includes(name) ? order.indexOf(name) : order.length);

export const cases = listed.toSorted((one, other) => place(one) - place(other));
