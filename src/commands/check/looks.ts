/** Which function looks for which row. Those of one side are asked together: none of them changes anything. */
import { setTimeout as pause } from "node:timers/promises";
import { certificate, renewal } from "./certificate.ts";
import type { CheckContext, Look } from "./context.ts";
import { dkim, selectors } from "./dkim.ts";
import { dns } from "./dns.ts";
import { files, program } from "./files.ts";
import { clock, limits, ports } from "./host.ts";
import { log } from "./log.ts";
import { ldap, passwords, senders } from "./logins.ts";
import { maildrop } from "./maildrop.ts";
import { milters } from "./milters.ts";
import { reach, resolver, routes } from "./outgoing.ts";
import { portal } from "./portal.ts";
import { relay } from "./relay.ts";
import { type CheckId, type CheckRowResult, cannotTell, checkIds, type Judgement } from "./rows.ts";
import { service } from "./service.ts";
import { control, room, spool } from "./spool.ts";
import { store } from "./store.ts";

const looks: Readonly<Record<Exclude<CheckId, "config">, Look>> = {
  service,
  program,
  files,
  certificate,
  renewal,
  passwords,
  senders,
  ldap,
  spool,
  store,
  room,
  routes,
  dkim,
  milters,
  log,
  control,
  maildrop,
  portal,
  ports,
  limits,
  clock,
  relay,
  resolver,
  dns,
  selectors,
  reach,
};

/** What the checks `ids` find. */
export async function lookAt(
  context: CheckContext,
  ids: readonly CheckId[],
): Promise<readonly CheckRowResult[]> {
  const found = await Promise.all(
    ids.map(async (check) => {
      if (check === "config") return []; // whoever has a context has read it
      return (await inTime(looks[check](context), context.patience)).map(
        (one): CheckRowResult => ({ check, ...one }),
      );
    }),
  );
  return found.flat();
}

/** What `look` finds, or that it took too long: a folder on a host that is away is waited for without an end. */
async function inTime(
  look: Promise<readonly Judgement[]>,
  patience: number | null,
): Promise<readonly Judgement[]> {
  if (patience === null) return look;
  const done = new AbortController();
  const late = pause(patience, [cannotTell("", `nothing found within ${patience / 1000} s`)], {
    signal: done.signal,
  }).catch(() => []);
  try {
    return await Promise.race([look, late]);
  } finally {
    done.abort();
  }
}

/** In the order of the rows. */
export const inOrder = (findings: readonly CheckRowResult[]): readonly CheckRowResult[] =>
  checkIds.flatMap((id) => findings.filter(({ check }) => check === id));
