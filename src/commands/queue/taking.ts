/** How `tpa-submit queue import` takes messages over: in batches, each durable here before the source forgets it. */
import { visible } from "../../cli/output.ts";
import { startSpinner } from "../../cli/terminal.ts";
import type { Config } from "../../config/settings.ts";
import { exitStatus, Failure } from "../../failure.ts";
import type { HeirSpool, Operator, ParcelAnswer, TakeParcel } from "../../server/control/protocol.ts";
import { formatLine, newParcelReader, type ParcelReader, parseLine } from "../../server/spool/parcel.ts";
import { connectToControl, currentOperator } from "./connection.ts";
import { batches, parcelOf, UnreadableMessage } from "./handing.ts";
import { plural, printAll, say } from "./output.ts";
import { type Handed, openSource, type ParcelSource } from "./source.ts";

/** What became of a message. */
export interface TakingOutcome {
  readonly id: string;
  readonly as: string;
  readonly outcome: "done" | "already" | "failed" | "damaged";
  readonly says: string;
}

export const outcomeJson = ({ id, as, outcome, says }: TakingOutcome): string =>
  `${JSON.stringify({ queue_id: id, new_id: as, outcome, says })}\n`;

/** Tells what is there, and changes nothing. */
export async function lookInto(folder: string, { spool }: Config, asJson: boolean): Promise<number> {
  const source = await openSource(folder, spool.directory, true);
  const status = await tellSource(source, asJson);
  await source.close();
  return status;
}

/** How much there is, and what is damaged. */
export async function tellSource(source: ParcelSource, asJson: boolean): Promise<number> {
  let recipients = 0;
  let octets = 0;
  let damaged = 0;
  for (const id of source.ids) {
    const found = await source.read(id);
    if ("damaged" in found) {
      damaged++;
      say(visible(`${id}: damaged, would be left: ${found.damaged}`));
      continue;
    }
    octets += found.envelope.size;
    recipients += found.envelope.recipients.filter(({ state }) => state === "waiting").length;
    if (asJson) await printAll(once(`${JSON.stringify({ queue_id: id, envelope: found.envelope })}\n`));
  }
  const { host } = source.sender;
  say(
    `${plural(source.ids.length - damaged, "message")} of ${host} for ${plural(recipients, "recipient")}, ${octets} octets`,
  );
  for (const { login } of source.frozen) say(`would be frozen: ${visible(login)}`);
  return damaged === 0 ? exitStatus.ok : exitStatus.data;
}

async function* once(text: string): AsyncGenerator<string> {
  yield text;
}

export async function takeFrom(folder: string, configuration: Config, asJson: boolean): Promise<number> {
  const by = currentOperator();
  const { take, close } = await connectToControl(configuration);
  try {
    const source = await openSource(folder, configuration.spool.directory, false);
    try {
      return await takeAll(source, take, by, asJson);
    } finally {
      await source.close();
    }
  } finally {
    await close();
  }
}

async function takeAll(
  source: ParcelSource,
  take: TakeParcel,
  by: Operator,
  asJson: boolean,
): Promise<number> {
  const counts = { done: 0, already: 0, failed: 0, damaged: 0 };
  const spinner = startSpinner("asking the relay");
  async function* told(): AsyncGenerator<string> {
    for await (const one of outcomesOf(source, take, by)) {
      counts[one.outcome]++;
      spinner.say(`${counts.done + counts.already} of ${source.ids.length} messages`);
      if (asJson) yield outcomeJson(one);
      else if (one.says !== "") say(visible(`${one.id}: ${one.says}`));
      else if (one.as !== one.id) say(`${one.id}: is ${one.as} here`);
    }
  }
  try {
    await printAll(told());
  } finally {
    spinner.stop();
  }
  const { done, already, failed, damaged } = counts;
  const before = already === 0 ? "" : `, ${already} had been before`;
  const left = failed + damaged === 0 ? "" : `; left where they were: ${failed + damaged}`;
  say(`${plural(done, "message")} taken over from ${source.sender.host}${before}${left}`);
  return failed > 0 ? exitStatus.ioError : damaged > 0 ? exitStatus.data : exitStatus.ok;
}

/** Gives all that `source` has to `take`, which is marked as taken before anything of it is there. */
export async function* outcomesOf(
  source: ParcelSource,
  take: TakeParcel,
  by: Operator,
): AsyncGenerator<TakingOutcome> {
  const { sender, frozen, sent } = source;
  const head = { is: "sender", sender } as const;
  const heir = await heirOf(take(parcelOf([head], []), by));
  await source.give(heir); // before anything is here that could be delivered
  // Those that are shut out first, so that nothing of theirs goes out.
  await finished(take(parcelOf([head, { is: "frozen", frozen }, { is: "sent", sent }], []), by));
  const damaged: TakingOutcome[] = [];
  async function* sound(): AsyncGenerator<Handed> {
    for (const id of source.ids) {
      const found = await source.read(id);
      if ("damaged" in found) damaged.push(leftBehind(id, found.damaged));
      else yield found;
    }
  }
  for await (const batch of batches(sound())) {
    yield* damaged.splice(0);
    for (let rest = batch; rest.length > 0; ) {
      const answers: TakingOutcome[] = [];
      try {
        for await (const answer of take(parcelOf([head], rest), by)) if ("id" in answer) answers.push(answer);
        rest = [];
      } catch (error) {
        if (!(error instanceof UnreadableMessage)) throw error;
        rest = rest.filter(({ envelope }) => envelope.id !== error.id);
        yield leftBehind(error.id, error.message);
        continue;
      }
      await source.forget(answers.filter(({ outcome }) => outcome !== "failed").map(({ id }) => id));
      yield* answers;
    }
  }
  yield* damaged;
}

const leftBehind = (id: string, why: string): TakingOutcome => ({
  id,
  as: "",
  outcome: "damaged",
  says: `damaged, left where it is: ${why}`,
});

async function heirOf(answers: AsyncIterable<ParcelAnswer>): Promise<HeirSpool> {
  let found: HeirSpool | undefined;
  for await (const answer of answers) if ("heir" in answer) found = answer.heir;
  if (found === undefined)
    throw new Failure(exitStatus.software, "the relay does not say whose spool it has");
  return found;
}

async function finished(answers: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of answers);
}

/** Parcels from standard input, each up to its "commit"; the answers go to standard output, a line of JSON each. */
export async function takeFromDrain(configuration: Config): Promise<number> {
  const by = currentOperator();
  const { take, close } = await connectToControl(configuration);
  const reader = newParcelReader(process.stdin as AsyncIterable<Buffer>);
  try {
    const first = await reader.line();
    if (first === undefined) return exitStatus.noInput;
    let open = true;
    const ended = (): void => {
      open = false;
    };
    while (open) {
      const answers = take(oneParcel(first, reader, ended), by);
      await printAll(linesOf(answers));
    }
    return exitStatus.ok;
  } finally {
    await close();
  }
}

async function* linesOf(answers: AsyncIterable<ParcelAnswer>): AsyncGenerator<string> {
  for await (const answer of answers) yield `${JSON.stringify(answer)}\n`;
  yield `${JSON.stringify({ committed: true })}\n`;
}

/** The lines, and the octets behind them, up to the next commit; `ended` where the input ends instead. */
async function* oneParcel(
  first: string,
  reader: ParcelReader,
  ended: () => void,
): AsyncGenerator<Uint8Array> {
  yield Buffer.from(`${first}\n`);
  for (;;) {
    const text = await reader.line();
    if (text === undefined) return ended();
    const line = parseLine(text);
    if (line.is === "commit") return;
    yield formatLine(line);
    if (line.is !== "message") continue;
    yield* reader.octets(line.envelope.size);
    yield Buffer.from("\n");
  }
}
