/**
 * Who answers what reads the queue: this process, or the relay where the spool may not be read. Light, for a list of what waits
 * is often wanted and nothing else.
 */
import { access, constants } from "node:fs/promises";
import { join } from "node:path";
import type { Config } from "../../config/settings.ts";
import { errorCode } from "../../failure.ts";
import { connectControlApi, knownToRelay } from "../../server/control/client.ts";
import { openFrozenLogins } from "../../server/control/frozen-logins.ts";
import type { ControlApi, MessageFilter, QueryApi, RelayState } from "../../server/control/protocol.ts";
import { viewSpool } from "../../server/spool/reader.ts";
import { version } from "../../version.ts";
import { controlSocket, frozenFile } from "../serve/places.ts";
import { listKnown, listSpool, type Settled } from "./listing.ts";
import { patientDisk } from "./listing-task.ts";
import { type ListedRow, type RowForm, rowMaker } from "./rows.ts";

/**
 * All messages that `filter` means, as rows in batches, oldest first. Throws a Failure where there is neither a relay nor a spool
 * that may be read.
 */
export async function* rowsOfQueue(
  config: Config,
  filter: MessageFilter,
  form: RowForm,
  settled: Settled = () => undefined,
): AsyncGenerator<readonly ListedRow[]> {
  const { directory } = config.spool;
  const now = Date.now();
  const found = await whoAnswers(config);
  if ("api" in found || config.spool.store !== "") {
    const rowOf = rowMaker(form, now);
    const asked: { readonly api: QueryApi; readonly close?: () => Promise<void> } =
      "api" in found ? found : await (await import("./store-connection.ts")).openStoreQuery(config);
    try {
      for await (const one of asked.api({ verb: "list", filter }))
        if (one.status !== "unknown") yield [rowOf(one)];
    } finally {
      await asked.close?.();
    }
    return;
  }
  await viewSpool(directory, patientDisk);
  const frozen = (await openFrozenLogins(frozenFile(directory))).all();
  const order = { directory, filter, form, now, frozen, active: found.active };
  const known = found.isRunning ? await knownToRelay(controlSocket(config)) : undefined;
  yield* known === undefined ? listSpool(order, settled) : listKnown(order, known, settled);
}

/** Who may read the spool, for which messages an attempt is under way there, and whether a relay runs. */
interface OwnEyes {
  readonly active: readonly string[];
  readonly isRunning: boolean;
}

/** The relay that runs, where this process may not read the spool. */
export async function whoAnswers(config: Config): Promise<{ readonly api: ControlApi } | OwnEyes> {
  const running = await connectControlApi(controlSocket(config), version);
  if (running && !(await isReadable(config.spool.directory))) return { api: running };
  const active: string[] = [];
  if (running) for await (const { id } of running({ verb: "active" })) active.push(id);
  return { active, isRunning: running !== undefined };
}

/** If so, reading costs the relay nothing, and what it knows is only a shorter way. Users who are only in the group of its socket ask the relay. */
async function isReadable(directory: string): Promise<boolean> {
  try {
    await access(join(directory, "queue"), constants.R_OK | constants.X_OK);
    return true;
  } catch (error) {
    if (errorCode(error) === "") throw error;
    return false;
  }
}

/** The providers that get nothing for a while, as far as a relay runs that can tell. */
export async function providerPauses(config: Config): Promise<RelayState["pauses"]> {
  const running = await connectControlApi(controlSocket(config), version);
  if (running) for await (const { pauses } of running({ verb: "status" })) return pauses;
  return [];
}
