/**
 * How `tpa-submit queue drain` hands messages over. Each is held first, so that nothing of it is delivered here meanwhile, and
 * removed when the other host has it for good. Whatever ends this in between, a second run goes on.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import { visible } from "../../cli/output.ts";
import { isConfirmed } from "../../cli/prompt.ts";
import { startSpinner } from "../../cli/terminal.ts";
import type { Config } from "../../config/settings.ts";
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";
import { connectControlApi } from "../../server/control/client.ts";
import { drainHold, withoutDrainHold } from "../../server/control/draining.ts";
import type {
  ControlApi,
  DrainState,
  HandOverState,
  Operator,
  ParcelAnswer,
} from "../../server/control/protocol.ts";
import type { ParcelLine } from "../../server/spool/parcel.ts";
import { version } from "../../version.ts";
import { controlSocket } from "../serve/places.ts";
import { connectToControl, connectToQuery, currentOperator, readMessage } from "./connection.ts";
import { batches, parcelOf, UnreadableMessage } from "./handing.ts";
import { newCounts, plural, printAll, say } from "./output.ts";
import { type Handed, stillCounting } from "./source.ts";

export interface DrainOrder {
  readonly to: string;
  readonly keepListening: boolean;
  /** What is run on the other host. */
  readonly remote: string;
  readonly yes: boolean;
  readonly json: boolean;
}

/** Rounds in which nothing more went, and milliseconds between two: attempts under way end meanwhile. Our choice. */
const mostIdleRounds = 5;
const betweenRounds = 2_000;

export async function drain(configuration: Config, order: DrainOrder): Promise<number> {
  const { to, keepListening, yes } = order;
  const by = currentOperator();
  const what = `hand ${await countAll(configuration)} to ${to}${keepListening ? "" : ", and take no more mail"}`;
  if (!yes && !(await isConfirmed(`${what}?`, what))) {
    say("nothing was done");
    return exitStatus.ok;
  }
  // First: where no relay runs, root becomes the spool's owner, who has no keys for ssh.
  const peer = startPeer(order);
  try {
    const { api, close } = await connectToControl(configuration);
    try {
      return await drainTo(peer, api, configuration.spool.directory, order, by);
    } finally {
      await close();
    }
  } finally {
    await peer.close();
  }
}

/** Gives what this host has to those that share its database. */
export async function handOver(
  configuration: Config,
  { keepListening, yes, json }: Omit<DrainOrder, "to" | "remote">,
): Promise<number> {
  const by = currentOperator();
  const what = `hand this host's messages to the others${keepListening ? "" : ", and take no more mail"}`;
  if (!yes && !(await isConfirmed(`${what}?`, what))) {
    say("nothing was done");
    return exitStatus.ok;
  }
  const running = await connectControlApi(controlSocket(configuration), version);
  if (running === undefined) {
    say("no relay runs here: this host has no messages");
    return exitStatus.ok;
  }
  let state: HandOverState = { given: 0, left: 0 };
  for await (const now of running({ verb: "hand-over", listening: keepListening, by })) state = now;
  const { given, left } = state;
  if (json) await printAll(oneLine(`${JSON.stringify({ given, left })}\n`));
  else
    say(
      `${plural(given, "message")} given to the other hosts${left === 0 ? "" : `; still being sent here: ${left}, they follow when that has ended`}`,
    );
  return exitStatus.ok;
}

async function* oneLine(text: string): AsyncGenerator<string> {
  yield text;
}

async function countAll(configuration: Config): Promise<string> {
  const { api, close } = await connectToQuery(configuration);
  const counts = newCounts();
  for await (const _ of counts.of(api({ verb: "list", filter: {} })));
  await close();
  return counts.text();
}

async function drainTo(
  peer: Peer,
  api: ControlApi,
  directory: string,
  { to, keepListening, json }: DrainOrder,
  by: Operator,
): Promise<number> {
  const request = { verb: "drain", to, listening: keepListening, by } as const;
  let state: DrainState | undefined;
  for await (const begun of api({ ...request, step: "begin" })) state = begun;
  if (state === undefined) throw new Failure(exitStatus.software, "the relay did not begin the drain");
  const { handover, spool, host } = state;
  await peer.send([
    { is: "sender", sender: { kind: "drain", handover, spool, host } },
    { is: "frozen", frozen: await gathered(api({ verb: "frozen" })) },
    { is: "sent", sent: await sentIn(directory) },
  ]);
  const { gone, left } = await handAll(api, peer, by, to, json);
  say(
    `${plural(gone, "message")} handed to ${to}${left === 0 ? "" : `; still here: ${left}, run this again`}`,
  );
  if (left > 0) return exitStatus.temporary;
  await gathered(api({ ...request, step: "end" }));
  return exitStatus.ok;
}

async function gathered<Item>(items: AsyncIterable<Item>): Promise<readonly Item[]> {
  const all: Item[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** Empty where this user may not read it: then the limits begin anew there. */
async function sentIn(directory: string): Promise<ReturnType<typeof stillCounting>> {
  try {
    return stillCounting(await readFile(join(directory, "usage"), "utf8"));
  } catch (error) {
    if (errorCode(error) === "") throw error;
    return [];
  }
}

async function handAll(
  api: ControlApi,
  peer: Peer,
  by: Operator,
  to: string,
  asJson: boolean,
): Promise<{ readonly gone: number; readonly left: number }> {
  const spinner = startSpinner(`waiting for ${to}`);
  let gone = 0;
  let left = 0;
  const round = async (): Promise<number> => {
    const found = await gathered(api({ verb: "list", filter: {} }));
    let now = 0;
    for await (const batch of batches(
      heldOnes(
        api,
        found.map(({ id }) => id),
        by,
      ),
    )) {
      const answers = await peer.send([], batch);
      const there = answers.filter(({ outcome }) => outcome !== "failed").map(({ id }) => id);
      for (const { id, outcome, says } of answers)
        if (outcome === "failed") say(visible(`${id}: not taken by ${to}: ${says}`));
      now += await dropped(api, there, to, by);
      if (asJson) await printAll(jsonLines(answers));
      spinner.say(`${gone + now} messages handed to ${to}`);
    }
    left = found.length - now;
    return now;
  };
  try {
    for (let idle = 0; idle < mostIdleRounds; ) {
      const now = await round();
      gone += now;
      if (left === 0) break;
      idle = now === 0 ? idle + 1 : 0;
      await pause(betweenRounds);
    }
    return { gone, left };
  } finally {
    spinner.stop();
  }
}

async function* jsonLines(answers: readonly ToldParcel[]): AsyncGenerator<string> {
  for (const { id, as, outcome, says } of answers)
    yield `${JSON.stringify({ queue_id: id, new_id: as, outcome, says })}\n`;
}

/** IDs of one order. Our choice: as many as are changed while somebody waits. */
const atATime = 64;

/** Those of `ids` that are held from now on, and so stay as they are. */
async function* heldOnes(api: ControlApi, ids: readonly string[], by: Operator): AsyncGenerator<Handed> {
  for (let at = 0; at < ids.length; at += atATime) {
    const some = ids.slice(at, at + atATime);
    await gathered(api({ verb: "act", action: "hold", ids: some, reason: drainHold, relay: "", by }));
    for (const id of some) {
      const head = await readMessage(api, id, false);
      if (head === undefined) continue; // delivered before it could be held
      for await (const _ of head.octets); // the header, which nobody wants
      if (head.about.status === "damaged") say(visible(`${id}: damaged, stays here: ${head.about.reason}`));
      else if (head.about.status === "held")
        yield {
          envelope: withoutDrainHold(head.about.envelope),
          history: head.history,
          octets: () => bodyOf(api, id),
        };
      // else an attempt is under way, and the hold comes after it
    }
  }
}

async function* bodyOf(api: ControlApi, id: string): AsyncGenerator<Buffer> {
  const message = await readMessage(api, id, true);
  if (message === undefined) throw new Failure(exitStatus.temporary, `${id}: somebody removed it meanwhile`);
  yield* message.octets;
}

/** How many went. */
async function dropped(api: ControlApi, ids: readonly string[], to: string, by: Operator): Promise<number> {
  if (ids.length === 0) return 0;
  let count = 0;
  const order = { verb: "act", action: "drop", ids, reason: `handed to ${to}`, relay: "", by } as const;
  for await (const { id, outcome, says } of api(order)) {
    if (outcome === "done" || outcome === "unknown") count++;
    else say(visible(`${id}: is at ${to}, and could not be removed here: ${says}`));
  }
  return count;
}

type ToldParcel = Extract<ParcelAnswer, { readonly id: string }>;

/** Seconds between two questions whether the other host is still there; after the third without an answer ssh ends. Our choice. */
const aliveSeconds = 15;

/** The command on the other host. */
interface Peer {
  /** Resolves to what it answers, when that is durable there. Throws a Failure where it cannot be run, or refuses. */
  send(lines: readonly ParcelLine[], messages?: readonly Handed[]): Promise<readonly ToldParcel[]>;
  close(): Promise<void>;
}

function startPeer({ to, remote }: DrainOrder): Peer {
  const child = spawn("ssh", ["-T", "-o", `ServerAliveInterval=${aliveSeconds}`, "--", to, remote], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const ended = once(child, "close").catch((error: unknown) => {
    throw new Failure(exitStatus.unavailable, `ssh cannot be run: ${errorText(error)}`);
  });
  ended.catch(() => undefined); // whoever waits for an answer is told
  child.stdin.on("error", () => undefined); // likewise
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();

  async function write(lines: readonly ParcelLine[], messages: readonly Handed[]): Promise<void> {
    try {
      for await (const octets of parcelOf(lines, messages)) {
        if (child.stdin.destroyed) return; // the answer tells
        if (!child.stdin.write(octets))
          await Promise.race([once(child.stdin, "drain").catch(() => undefined), ended]);
      }
    } catch (error) {
      if (!(error instanceof UnreadableMessage)) throw error;
      throw new Failure(
        exitStatus.data,
        `${error.id}: cannot be read: ${error.message}; queue verify tells more`,
      );
    }
    child.stdin.write('{"commit":true}\n');
  }

  async function answers(): Promise<readonly ToldParcel[]> {
    const found: ToldParcel[] = [];
    for (;;) {
      const { value, done } = await lines.next();
      if (done === true) {
        const [status] = (await ended) as [number | null];
        throw new Failure(
          exitStatus.unavailable,
          `${to}: "${remote}" ended with status ${String(status)}; what is still here stays held: run this again`,
        );
      }
      const answer = parseAnswer(value, to);
      if ("committed" in answer) return found;
      if ("id" in answer) found.push(answer);
    }
  }

  return {
    async send(lines, messages = []) {
      await write(lines, messages);
      return answers();
    },
    async close() {
      child.stdin.end();
      await ended.catch(() => undefined); // who waited for an answer was told
    },
  };
}

function parseAnswer(line: string, to: string): ParcelAnswer | { readonly committed: true } {
  try {
    const found: unknown = JSON.parse(line);
    if (
      typeof found === "object" &&
      found !== null &&
      ["heir", "id", "committed"].some((key) => key in found)
    )
      return found as ParcelAnswer | { readonly committed: true }; // of this program's own command
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw new Failure(
    exitStatus.unavailable,
    `${to}: expected an answer of tpa-submit, found ${JSON.stringify(line.slice(0, 60))}; does a login script there print something?`,
  );
}
