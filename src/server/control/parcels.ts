/**
 * Takes messages of another spool into this one: `queue import` and `queue drain` send them. None comes twice, however often
 * it is sent, and what is answered with "done" survives a power cut, so that the sender may forget it.
 */
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";
import { log } from "../log/log.ts";
import type { Disk } from "../spool/disk.ts";
import type { Envelope } from "../spool/envelope.ts";
import type { History } from "../spool/history.ts";
import { type ImportPair, type Imports, openImports } from "../spool/imports.ts";
import type { SpoolOwner } from "../spool/owner.ts";
import { newParcelReader, type ParcelReader, type ParcelSender, parseLine } from "../spool/parcel.ts";
import type { Draft, NewEnvelope } from "../spool/spool.ts";
import type { ActionContext } from "./actions.ts";
import { isDraining } from "./draining.ts";
import { nameOperator, type Operator, type ParcelAnswer, type TakeParcel } from "./protocol.ts";

/** The spool that takes. */
export interface Heir {
  readonly disk: Disk;
  readonly directory: string;
  readonly owner: SpoolOwner;
  /** The notes of what came before; in the folder unless this is given. */
  readonly imports?: (sender: ParcelSender) => Promise<Imports>;
}

/** A message that is here and not promised yet. */
interface Received {
  readonly there: string;
  readonly draft: Draft;
  readonly envelope: Envelope;
  readonly history: History;
}

type ToldMessage = Extract<ParcelAnswer, { readonly id: string }>;

/** One parcel at a time: each is as much as a disk takes at once. */
export function newParcelTaker(context: ActionContext, heir: Heir): TakeParcel {
  let busy = false;
  return async function* (parcel, by) {
    if (busy)
      throw new Failure(
        exitStatus.temporary,
        "another import is under way here; try again when it has ended",
      );
    busy = true;
    try {
      yield* take(newParcelReader(parcel), by, context, heir);
    } finally {
      busy = false;
    }
  };
}

async function* take(
  reader: ParcelReader,
  by: Operator,
  context: ActionContext,
  { disk, directory, owner, imports: open }: Heir,
): AsyncGenerator<ParcelAnswer> {
  const sender = await senderOf(reader);
  if (sender.spool === owner.id)
    throw new Failure(
      exitStatus.data,
      `these messages come from the spool of this relay, or from a copy of it`,
    );
  if (await isDraining(disk, directory))
    throw new Failure(
      exitStatus.temporary,
      "this relay hands its own messages over: end its queue drain first",
    );
  const imports = await (open?.(sender) ?? openImports(disk, directory, sender));
  const received: Received[] = [];
  try {
    yield { heir: { spool: owner.id, host: owner.host, known: imports.done.size > 0 } };
    for (let line = await reader.line(); line !== undefined; line = await reader.line()) {
      const part = parseLine(line);
      if (part.is === "commit") break;
      if (part.is === "frozen" && !imports.extras.has("frozen")) {
        for (const entry of part.frozen) await freezeAsThere(entry, context);
        await imports.add("frozen");
      } else if (part.is === "sent" && !imports.extras.has("sent")) {
        await imports.add("sent"); // first: what is counted twice would shut people out
        for (const entry of part.sent) context.sessions.addSent(entry);
      } else if (part.is === "message") {
        const told = await receive(part, reader, imports, context, received);
        if (told?.outcome === "already") await noteAgain(told, part.history, { sender, by, context });
        if (told !== undefined) yield told;
      }
    }
    yield* promise(received.splice(0), { imports, sender, by, context });
  } finally {
    for (const { draft } of received) await draft.discard().catch(() => undefined); // swept by the next start
    await imports.close();
  }
}

async function senderOf(reader: ParcelReader): Promise<ParcelSender> {
  const first = parseLine((await reader.line()) ?? "");
  if (first.is !== "sender") throw new Failure(exitStatus.data, "not a parcel: its sender must come first");
  return first.sender;
}

/** In force before any message of the login is here. */
async function freezeAsThere(
  entry: { readonly login: string; readonly at: number; readonly by: string; readonly reason: string },
  { frozen, sessions }: ActionContext,
): Promise<void> {
  const { login, by, reason } = entry;
  if (frozen.of(login) !== undefined) return;
  await frozen.freeze(entry);
  log("login-frozen", { login, by, reason, sessions: sessions.endSessions(login), held: 0 });
}

/** Reads the message to its end in any case. Undefined where it waits for its promise now. */
async function receive(
  { envelope, history }: { readonly envelope: Envelope; readonly history: History },
  reader: ParcelReader,
  { done }: Imports,
  { spool }: ActionContext,
  received: Received[],
): Promise<ToldMessage | undefined> {
  const { id: there, size } = envelope;
  const octets = reader.octets(size);
  const here = done.get(there);
  let trouble: unknown;
  let draft: Draft | undefined;
  if (here === undefined) draft = await spool.draft(there).catch(keepTrouble);
  if (draft !== undefined) received.push({ there, draft, envelope, history });
  for await (const piece of octets) {
    if (draft === undefined || trouble !== undefined) continue;
    await draft.write(piece).catch(keepTrouble);
  }
  if (here !== undefined) return { id: there, as: here, outcome: "already", says: "" };
  if (trouble === undefined) return undefined;
  if (draft !== undefined) received.pop();
  await draft?.discard().catch(() => undefined);
  return { id: there, as: "", outcome: "failed", says: errorText(trouble) };

  function keepTrouble(error: unknown): undefined {
    if (errorCode(error) === "") throw error;
    trouble = error;
  }
}

interface Promising {
  readonly imports: Imports;
  readonly sender: ParcelSender;
  readonly by: Operator;
  readonly context: ActionContext;
}

/** The note, the promise, the note that it is made, and only then deliveries and the answer. */
async function* promise(
  received: readonly Received[],
  { imports, sender, by, context }: Promising,
): AsyncGenerator<ToldMessage> {
  const pairOf = ({ there, draft }: Received): ImportPair => ({ there, here: draft.id });
  try {
    await imports.begin(received.map(pairOf));
  } catch (error) {
    if (errorCode(error) === "") throw error;
    for (const { draft } of received) await draft.discard().catch(() => undefined);
    for (const { there } of received) yield { id: there, as: "", outcome: "failed", says: errorText(error) };
    return;
  }
  const outcomes = await Promise.allSettled(
    received.map(async (one) => ({ one, promised: await one.draft.accept(fieldsFrom(one.envelope)) })),
  );
  const came = outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
  // Where this fails they are promised, not delivered before the next start, which notes it, and not answered.
  await imports.finish(came.map(({ one }) => pairOf(one)));
  for (const { one, promised } of came) {
    await noteImport(one, promised, { sender, by, context });
    context.recorderDependencies.wake(context.freezeHold.applyTo(promised));
    yield { id: one.there, as: promised.id, outcome: "done", says: "" };
  }
  for (const [index, outcome] of outcomes.entries()) {
    if (outcome.status === "fulfilled") continue;
    const error: unknown = outcome.reason;
    if (errorCode(error) === "") throw error;
    yield { id: received[index]?.there ?? "", as: "", outcome: "failed", says: errorText(error) };
  }
}

/** What the other spool knew of it. A maildrop is not here: that of the other host may still have the file. */
function fieldsFrom(envelope: Envelope): NewEnvelope {
  const { id: _, size: __, drop: ___, ...fields } = envelope;
  return fields;
}

type Noting = Omit<Promising, "imports">;

async function noteImport(
  { there, history }: Received,
  { id, sender: from, size, recipients }: Envelope,
  noting: Noting,
): Promise<void> {
  log("queued", { id, from, size, recipients: recipients.length });
  await note({ there, id }, history, noting);
}

/** Whoever was killed right behind the promise has not noted what was known of it. */
async function noteAgain(
  { id: there, as: id }: ToldMessage,
  history: History,
  noting: Noting,
): Promise<void> {
  const { spool } = noting.context;
  if ((await spool.history(id)).length > 0 || !(await spool.has(id))) return;
  await note({ there, id }, history, noting);
}

async function note(
  { there, id }: { readonly there: string; readonly id: string },
  history: History,
  { sender, by, context }: Noting,
): Promise<void> {
  const reason = `from ${sender.host}, there ${there}`;
  const name = nameOperator(by);
  log("operator-act", { id, act: "import", by: name, reason });
  const act = { at: context.now(), act: "import", by: name, reason };
  const trouble = await context.spool.note(id, [...history, act]);
  if (trouble !== undefined) log("history-lost", { id, reason: trouble });
}
