/** The client of the control socket: the control API of a running relay, as if it were in this process. */
import { once } from "node:events";
import { type ClientRequest, type IncomingMessage, request } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";
import type { EnvelopeSnapshot } from "../spool/known-envelopes.ts";
import type { FailureAnswer } from "./failed-request.ts";
import type { AnswerTo, ControlApi, ControlRequest, TakeParcel } from "./protocol.ts";
import { messagesHeader, operatorHeader, sortedHeader, versionHeader } from "./server.ts";

/** How long a relay may take to answer, in milliseconds. Our choice: a busy relay takes less. */
const answerTimeout = 10_000;

/**
 * The control API behind the socket `path`, or undefined where nobody listens there. Throws a Failure where it may not
 * be opened, and where the relay has another version than `version`, ours.
 */
export async function connectControlApi(path: string, version: string): Promise<ControlApi | undefined> {
  const signal = AbortSignal.timeout(answerTimeout);
  const probe = request({ socketPath: path, path: "/", agent: false, signal });
  probe.on("error", ignore).end();
  try {
    const [response] = (await once(probe, "response")) as [IncomingMessage];
    response.resume();
    const theirs = response.headers[versionHeader];
    if (theirs === version) return (request) => ask(path, request);
    throw new Failure(
      exitStatus.unavailable,
      `${path}: the relay that runs is of version ${String(theirs)}, this command of ${version}; restart the relay`,
    );
  } catch (error) {
    if (["ENOENT", "ECONNREFUSED", "ENOTDIR"].includes(errorCode(error))) return undefined;
    if (error instanceof Failure || errorCode(error) === "") throw error;
    throw notPermitted(path, error);
  } finally {
    probe.destroy();
  }
}

function notPermitted(path: string, error: unknown): Failure {
  const denied = ["EACCES", "EPERM"].includes(errorCode(error));
  const hint = denied ? "; run the command as root, as the relay's user, or in the group of this socket" : "";
  return new Failure(
    denied ? exitStatus.noPermission : exitStatus.unavailable,
    `${path}: the relay cannot be asked: ${errorText(error)}${hint}`,
  );
}

function ignore(): void {
  // Errors of the connection reach the call that waits for it, or leave an incomplete answer.
}

async function* ask<Given extends ControlRequest>(
  path: string,
  asked: Given,
): AsyncGenerator<AnswerTo<Given>> {
  const body = JSON.stringify(asked);
  const asking = request({
    socketPath: path,
    path: "/requests",
    method: "POST",
    agent: false,
    headers: { "content-type": "application/json", "content-length": Buffer.byteLength(body) },
  });
  asking.end(body);
  yield* answers<AnswerTo<Given>>(path, asking);
}

/** The envelopes of a spool, as its relay has them in memory: pieces of the snapshot, cut anywhere. */
export interface KnownToRelay extends Pick<EnvelopeSnapshot, "messages" | "isSorted"> {
  readonly octets: AsyncIterable<Buffer>;
}

/**
 * Asks the relay behind the socket `path`, of which {@link connectControlApi} knows that it is of our version. Undefined where
 * the spool is to be read. `octets` throws a Failure where the relay goes away.
 */
export async function knownToRelay(path: string): Promise<KnownToRelay | undefined> {
  const asking = request({ socketPath: path, path: "/envelopes", method: "POST", agent: false });
  asking.on("error", ignore).end();
  try {
    const [response] = (await once(asking, "response")) as [IncomingMessage];
    response.on("error", ignore);
    if (response.statusCode !== 200) {
      asking.destroy();
      return undefined;
    }
    const { headers } = response;
    return {
      messages: Number(headers[messagesHeader]),
      isSorted: headers[sortedHeader] === "true",
      octets: octetsOf(path, asking, response),
    };
  } catch (error) {
    throw wentAway(path, error);
  }
}

async function* octetsOf(
  path: string,
  asking: ClientRequest,
  response: IncomingMessage,
): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of response) yield chunk as Buffer;
    if (!response.complete) throw new Failure(exitStatus.unavailable, whileAnswering(path));
  } catch (error) {
    throw wentAway(path, error);
  } finally {
    asking.destroy();
  }
}

const whileAnswering = (path: string): string => `${path}: the relay went away while it answered`;

function wentAway(path: string, error: unknown): unknown {
  if (error instanceof Failure || errorCode(error) === "") return error;
  return new Failure(exitStatus.unavailable, `${path}: the relay went away: ${errorText(error)}`);
}

/** Takes parcels to the relay behind the socket `path`, of which {@link connectControlApi} knows that it is of our version. */
export function parcelsTo(path: string): TakeParcel {
  return (parcel, by) => {
    const headers = { "content-type": "application/octet-stream", [operatorHeader]: JSON.stringify(by) };
    const asking = request({ socketPath: path, path: "/parcels", method: "POST", agent: false, headers });
    pipeline(Readable.from(parcel), asking).catch(ignore); // whoever waits for the answer is told
    return answers(path, asking);
  };
}

async function* answers<Answer>(path: string, asking: ClientRequest): AsyncGenerator<Answer> {
  asking.on("error", ignore);
  try {
    const [response] = (await once(asking, "response")) as [IncomingMessage];
    response.on("error", ignore);
    for await (const line of linesOf(response)) {
      const answer = JSON.parse(line) as Answer | FailureAnswer; // the same version wrote it
      if (isFailure(answer)) throw new Failure(answer.failure.status, answer.failure.message);
      yield answer;
    }
    if (!response.complete) throw new Failure(exitStatus.unavailable, whileAnswering(path));
  } catch (error) {
    throw wentAway(path, error);
  } finally {
    asking.destroy();
  }
}

const isFailure = (answer: unknown): answer is FailureAnswer =>
  typeof answer === "object" && answer !== null && "failure" in answer;

/** Not by node:readline, which ends the program if its reader stops early and the connection closes. */
async function* linesOf(response: IncomingMessage): AsyncGenerator<string> {
  let rest = "";
  for await (const chunk of response.setEncoding("utf8")) {
    const lines = (rest + String(chunk)).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
}
