/** Freezing a login and thawing it: what that means for who is at the doors and what is in the queue. */
import { errorCode, errorText, Failure } from "../../failure.ts";
import { log, logBug } from "../log/log.ts";
import type { Envelope } from "../spool/envelope.ts";
import type { Floor } from "./floor.ts";
import { nameOperator } from "./operator.ts";
import type { FreezeOrder, Frost, Melt, ThawOrder } from "./order.ts";
import { sentBy } from "./reading.ts";

const hour = 3_600_000;
const day = 24 * hour;

/**
 * From the first line on nobody logs in as `login`, and nothing of it is accepted or sent; when the answer comes, that
 * survives a power cut.
 */
export async function* freeze({ login, reason, by }: FreezeOrder, floor: Floor): AsyncGenerator<Frost> {
  const { frozen, people, now } = floor;
  const already = frozen.of(login) !== undefined;
  const durable = frozen.freeze({ login, at: now(), by: nameOperator(by), reason });
  let sessions = people.endSessions(login);
  await durable;
  sessions += people.endSessions(login); // a login that was being answered in that moment
  const unheardOf = await people.unheardOf(login);
  const here = { held: 0, active: 0, lastHour: 0, lastDay: 0 };
  for await (const { id, status, envelope } of sentBy(login, floor)) {
    if (status === "active") here.active++;
    here.held++;
    goOn(id, floor);
    const age = now() - envelope.accepted;
    if (age < hour) here.lastHour++;
    if (age < day) here.lastDay += waiting(envelope);
  }
  const sent = people.sent(login);
  log("login-frozen", { login, by: nameOperator(by), reason, sessions, held: here.held });
  yield {
    login,
    unheardOf,
    already,
    sessions,
    held: here.held,
    active: here.active,
    lastHour: { accepted: sent.messages, here: here.lastHour },
    lastDay: { accepted: sent.recipients, here: here.lastDay },
  };
}

/** Lets `login` in again, and its messages go on, but for those that are held for a reason of their own. */
export async function* thaw({ login, by }: ThawOrder, floor: Floor): AsyncGenerator<Melt> {
  const wasFrozen = await floor.frozen.thaw(login);
  const melt = { released: 0, stillHeld: 0 };
  if (wasFrozen) {
    for await (const { id, envelope } of sentBy(login, floor)) {
      if (envelope.held === undefined) melt.released++;
      else melt.stillHeld++;
      goOn(id, floor);
    }
    log("login-thawed", { login, by: nameOperator(by), ...melt });
  }
  yield { login, wasFrozen, ...melt };
}

/** Nothing to write: the scheduler goes on by what it reads now. An attempt that hangs is not waited for. */
function goOn(id: string, { change }: Floor): void {
  change(id, async (unchanged) => unchanged).catch((error: unknown) => {
    if (error instanceof Failure || errorCode(error) !== "")
      log("spool-trouble", { id, reason: errorText(error) });
    else logBug(`freezing or thawing ${id}`, error);
  });
}

const waiting = ({ recipients }: Envelope): number =>
  recipients.filter(({ state }) => state === "waiting").length;
