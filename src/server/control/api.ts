/**
 * The control API: carries out the requests of operators, whether a relay runs or not. A message is changed between two
 * attempts; each change is in the log with the name of the operator.
 */
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";
import { log, logBug } from "../log/log.ts";
import { type Fsck, type KeptFile, repairText } from "../spool/fsck.ts";
import { faultOfOwner } from "../spool/owner.ts";
import { type ActionContext, actions, freeze, loginState, thaw, unblock } from "./actions.ts";
import { frozenFault } from "./frozen-logins.ts";
import {
  type ActionRequest,
  type ActionResult,
  type Answers,
  type AnswerTo,
  type CheckedDamage,
  type ControlApi,
  type ControlRequest,
  nameOperator,
  type QueryApi,
  type QueryRequest,
  type VerifyRequest,
} from "./protocol.ts";
import { inOrder, list, messageState, type ReadView, read } from "./query.ts";

/** Resolves after so many milliseconds. It does not keep the process running. */
export type Wait = (milliseconds: number) => Promise<void>;

/** How long a change waits for an attempt that is under way before it says so, in milliseconds. Our choice. */
const longestWait = 20_000;

/** Messages that are changed at the same time: those whose attempts hang delay few others. */
const changedAtATime = 16;

type Handlers<Given extends ControlRequest> = {
  readonly [Verb in Given["verb"]]: (
    request: Extract<ControlRequest, { verb: Verb }>,
  ) => AsyncIterable<Answers[Verb]>;
};

/** For those who may only read. */
export function openQueryApi(view: ReadView): QueryApi {
  return dispatcher(queryHandlers(view));
}

/**
 * `keptFiles` are files of other parts in the spool; `drain` begins and ends the handing over of all of it, and `handOver` is
 * the same where hosts share a database.
 */
export function openControlApi(
  context: ActionContext,
  wait: Wait,
  keptFiles: readonly KeptFile[],
  drain: Handlers<ControlRequest>["drain"] = nothingToDrain,
  handOver: Handlers<ControlRequest>["hand-over"] = nothingToDrain,
): ControlApi {
  return dispatcher<ControlRequest>({
    ...queryHandlers(context),
    async *active() {
      for (const id of context.active()) yield { id };
    },
    act: (request) => act(request, context, wait),
    freeze: (request) => freeze(request, context),
    thaw: (request) => thaw(request, context),
    login: (request) => loginState(request, context),
    unblock: (request) => unblock(request, context),
    async *status() {
      const state = await context.relayState();
      if (state !== undefined) yield state;
    },
    verify: (request) => verify(request, context.spool, keptFiles),
    drain,
    "hand-over": handOver,
  });
}

const nothingToDrain = (): AsyncIterable<never> => ({
  [Symbol.asyncIterator]: () => ({
    next: () =>
      Promise.reject(new Failure(exitStatus.unavailable, "there is no spool here that could be drained")),
  }),
});

const queryHandlers = (view: ReadView): Handlers<QueryRequest> => ({
  list: (request) => list(request, view),
  read: (request) => read(request, view),
  async *frozen() {
    yield* view.frozen.all();
  },
  async *hosts() {
    yield* (await view.shared?.hosts()) ?? [];
  },
});

/** Gives each request to the handler of its verb; the types of both come from one table, `Answers`. */
function dispatcher<All extends ControlRequest>(handlers: Handlers<All>) {
  return <Given extends All>(request: Given) =>
    (handlers as unknown as Record<string, (request: Given) => AsyncIterable<AnswerTo<Given>>>)[
      request.verb
    ]?.(request) ?? nothing<AnswerTo<Given>>();
}

async function* nothing<Answer>(): AsyncGenerator<Answer> {
  // A verb without a handler, which the types exclude.
}

async function* act(
  request: ActionRequest,
  context: ActionContext,
  wait: Wait,
): AsyncGenerator<ActionResult> {
  if (request.action === "retry" || request.action === "redirect") context.forget();
  const late = wait(longestWait);
  let done = 0;
  for await (const one of inOrder(new Set(request.ids), changedAtATime, (id) =>
    actOnMessage(id, request, context, late),
  )) {
    if (one.outcome === "done") done++;
    yield one;
  }
  if (done > 0) log("operator-done", { act: request.action, messages: done, by: nameOperator(request.by) });
}

async function actOnMessage(
  id: string,
  request: ActionRequest,
  context: ActionContext,
  late: Promise<void>,
): Promise<ActionResult> {
  const before = await messageState(id, context);
  if (before.status === "unknown") return { id, outcome: "unknown", says: "not in the queue" };
  if (before.status === "damaged") return actOnDamaged(id, request, context);
  const work = changeMessage(id, request, context);
  return Promise.race([
    work,
    late.then(
      (): ActionResult => ({ id, outcome: "busy", says: "an attempt is under way; it comes after that" }),
    ),
  ]);
}

/** Never rejects. */
async function changeMessage(
  id: string,
  request: ActionRequest,
  context: ActionContext,
): Promise<ActionResult> {
  let done: ActionResult = { id, outcome: "unknown", says: "left the queue meanwhile" };
  try {
    await context.change(id, async (envelope) => {
      const effect = await actions[request.action](envelope, request, context);
      if (!("envelope" in effect)) {
        done = { id, ...effect };
        return envelope;
      }
      done = { id, outcome: "done", says: effect.says };
      await note(id, request, effect.envelope && context);
      return effect.envelope;
    });
    return done;
  } catch (error) {
    if (error instanceof Failure || errorCode(error) !== "")
      log("spool-trouble", { id, reason: errorText(error) });
    else logBug(`${request.action} of ${id}`, error);
    return { id, outcome: "failed", says: errorText(error) };
  }
}

/** What cannot be read can only be removed. */
async function actOnDamaged(
  id: string,
  request: ActionRequest,
  { spool }: ActionContext,
): Promise<ActionResult> {
  if (request.action !== "drop") {
    return {
      id,
      outcome: "skipped",
      says: "damaged: it can only be dropped, or looked after by queue verify",
    };
  }
  await spool.remove(id);
  await note(id, request);
  return { id, outcome: "done", says: "" };
}

/** In the log; with `context`, also in the history of the message, which stays in the queue. */
async function note(
  id: string,
  { action: act, by, reason: why, relay }: ActionRequest,
  context?: ActionContext,
): Promise<void> {
  const name = nameOperator(by);
  const reason = act === "redirect" ? relay : why;
  log("operator-act", { id, act, by: name, reason });
  const trouble = await context?.spool.note(id, [{ at: context.now(), act, by: name, reason }]);
  if (trouble !== undefined) log("history-lost", { id, reason: trouble });
}

/** The file of frozen logins decides who may send: only a person may repair it. */
const frozenLoginsFile: KeptFile = {
  name: "frozen",
  fault: frozenFault,
  repair: { because: "it says which logins are frozen; correct that line" },
};

/** Who removes it lets the next start deliver what waits: only a person knows whether that is right. */
const ownerFile: KeptFile = {
  name: "owner",
  fault: faultOfOwner,
  repair: { because: "it says whose spool this is; remove it if no other host has its messages" },
};

/** `queue verify`: every fault, repaired one by one if the request says so. `others` are files of other parts in the spool. */
export async function* verify(
  { repair, by }: VerifyRequest,
  fsck: Pick<Fsck, "damage"> & Partial<Pick<Fsck, "repair">>,
  others: readonly KeptFile[],
): AsyncGenerator<CheckedDamage> {
  for await (const finding of fsck.damage([frozenLoginsFile, ownerFile, ...others])) {
    const repaired = repair && fsck.repair !== undefined && (await fsck.repair(finding));
    const { fault, repair: remedy } = finding;
    if (repaired) log("spool-repaired", { fault, remedy: repairText(remedy), by: nameOperator(by) });
    yield { fault, remedy: repairText(remedy), repairable: remedy.do !== "nothing", repaired };
  }
}
