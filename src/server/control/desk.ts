/**
 * The desk: does what operators ask, whether a relay runs or not. What is to be changed is changed between two attempts;
 * each change is in the log with the name of who asked for it.
 */
import { errorCode, errorText, Failure } from "../../failure.ts";
import { log, logBug } from "../log/log.ts";
import type { KeptFile } from "../spool/fsck.ts";
import { deeds } from "./acts.ts";
import { verify } from "./care.ts";
import type { Floor, View } from "./floor.ts";
import { freeze, thaw } from "./frost.ts";
import { nameOperator } from "./operator.ts";
import type { ActOrder, Answers, AnswerTo, Desk, Done, LookOrder, Order, Window } from "./order.ts";
import { inOrder, list, look, read } from "./reading.ts";

/** Resolves after so many milliseconds. Nothing else waits for it: a program may end before. */
export type Wait = (milliseconds: number) => Promise<void>;

/** How long a change waits for an attempt that is under way before it says so, in milliseconds. Our choice. */
const longestWait = 20_000;

/** Messages that are changed at a time: those whose attempts hang hold up few others. */
const hands = 16;

type Rows<Given extends Order> = {
  readonly [Word in Given["word"]]: (order: Extract<Order, { word: Word }>) => AsyncIterable<Answers[Word]>;
};

/** For who may only look. */
export function openWindow(view: View): Window {
  return answering(looks(view));
}

/** `keepsakes` are files that others keep in the spool. */
export function openDesk(floor: Floor, wait: Wait, keepsakes: readonly KeptFile[]): Desk {
  return answering<Order>({
    ...looks(floor),
    async *active() {
      for (const id of floor.active()) yield { id };
    },
    act: (order) => act(order, floor, wait),
    freeze: (order) => freeze(order, floor),
    thaw: (order) => thaw(order, floor),
    verify: (order) => verify(order, floor.spool, keepsakes),
  });
}

const looks = (view: View): Rows<LookOrder> => ({
  list: (order) => list(order, view),
  read: (order) => read(order, view),
  async *frozen() {
    yield* view.frozen.all();
  },
});

/** The row whose word the order has takes that order; the types of rows and orders are one table, order.ts. */
function answering<All extends Order>(rows: Rows<All>) {
  return <Given extends All>(order: Given) =>
    (rows as unknown as Record<string, (order: Given) => AsyncIterable<AnswerTo<Given>>>)[order.word]?.(
      order,
    ) ?? nothing<AnswerTo<Given>>();
}

async function* nothing<Answer>(): AsyncGenerator<Answer> {
  // A word without a row, which the types exclude.
}

async function* act(order: ActOrder, floor: Floor, wait: Wait): AsyncGenerator<Done> {
  if (order.act === "retry" || order.act === "redirect") floor.forget();
  const late = wait(longestWait);
  let done = 0;
  for await (const one of inOrder(new Set(order.ids), hands, (id) => actOn(id, order, floor, late))) {
    if (one.outcome === "done") done++;
    yield one;
  }
  if (done > 0) log("operator-done", { act: order.act, messages: done, by: nameOperator(order.by) });
}

async function actOn(id: string, order: ActOrder, floor: Floor, late: Promise<void>): Promise<Done> {
  const before = await look(id, floor);
  if (before.status === "unknown") return { id, outcome: "unknown", says: "not in the queue" };
  if (before.status === "damaged") return onDamaged(id, order, floor);
  const work = changing(id, order, floor);
  return Promise.race([
    work,
    late.then((): Done => ({ id, outcome: "busy", says: "an attempt is under way; it comes after that" })),
  ]);
}

/** Never rejects. */
async function changing(id: string, order: ActOrder, floor: Floor): Promise<Done> {
  let done: Done = { id, outcome: "unknown", says: "left the queue meanwhile" };
  try {
    await floor.change(id, async (envelope) => {
      const effect = await deeds[order.act](envelope, order, floor);
      if (!("envelope" in effect)) {
        done = { id, ...effect };
        return envelope;
      }
      done = { id, outcome: "done", says: effect.says };
      await note(id, order, effect.envelope && floor);
      return effect.envelope;
    });
    return done;
  } catch (error) {
    if (error instanceof Failure || errorCode(error) !== "")
      log("spool-trouble", { id, reason: errorText(error) });
    else logBug(`${order.act} of ${id}`, error);
    return { id, outcome: "failed", says: errorText(error) };
  }
}

/** What cannot be read can only go. */
async function onDamaged(id: string, order: ActOrder, { spool }: Floor): Promise<Done> {
  if (order.act !== "drop") {
    return {
      id,
      outcome: "skipped",
      says: "damaged: it can only be dropped, or looked after by queue verify",
    };
  }
  await spool.remove(id);
  await note(id, order);
  return { id, outcome: "done", says: "" };
}

/** In the log; and in the history of a message that stays, of which `floor` has the spool. */
async function note(id: string, { act, by, reason: why, relay }: ActOrder, floor?: Floor): Promise<void> {
  const name = nameOperator(by);
  const reason = act === "redirect" ? relay : why;
  log("operator-act", { id, act, by: name, reason });
  const trouble = await floor?.spool.note(id, [{ at: floor.now(), act, by: name, reason }]);
  if (trouble !== undefined) log("history-lost", { id, reason: trouble });
}
