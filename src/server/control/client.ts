/** The other end of the control socket: the desk of a relay that runs, as if it were here. */
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";
import type { AnswerTo, Desk, Order } from "./protocol.ts";
import { type Refusal, versionHeader } from "./server.ts";

/** How long a relay may take to say anything, in milliseconds. Our choice: it may be busy, but not for so long. */
const patience = 10_000;

/**
 * The desk behind the socket `path`, or undefined where nobody listens there. Throws a Failure where it may not be
 * opened. `version` is ours: a relay of another one is not talked to.
 */
export async function callDesk(path: string, version: string): Promise<Desk | undefined> {
  const signal = AbortSignal.timeout(patience);
  const probe = request({ socketPath: path, path: "/", agent: false, signal });
  probe.on("error", ignore).end();
  try {
    const [response] = (await once(probe, "response")) as [IncomingMessage];
    response.resume();
    const theirs = response.headers[versionHeader];
    if (theirs === version) return (order) => ask(path, order);
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
  // Errors of the connection come to whoever waits for it, and as an answer that is not complete.
}

async function* ask<Given extends Order>(path: string, order: Given): AsyncGenerator<AnswerTo<Given>> {
  const body = JSON.stringify(order);
  const asking = request({
    socketPath: path,
    path: "/orders",
    method: "POST",
    agent: false,
    headers: { "content-type": "application/json", "content-length": Buffer.byteLength(body) },
  });
  asking.on("error", ignore);
  try {
    asking.end(body);
    const [response] = (await once(asking, "response")) as [IncomingMessage];
    response.on("error", ignore);
    for await (const line of linesOf(response)) {
      const said = JSON.parse(line) as AnswerTo<Given> | Refusal; // the same version wrote it
      if ("failure" in said) throw new Failure(said.failure.status, said.failure.message);
      yield said;
    }
    if (!response.complete)
      throw new Failure(exitStatus.unavailable, `${path}: the relay went away while it answered`);
  } catch (error) {
    if (error instanceof Failure || errorCode(error) === "") throw error;
    throw new Failure(exitStatus.unavailable, `${path}: the relay went away: ${errorText(error)}`);
  } finally {
    asking.destroy();
  }
}

/** Not by node:readline, which ends the program where its reader stops early and the connection is closed for that. */
async function* linesOf(response: IncomingMessage): AsyncGenerator<string> {
  let rest = "";
  for await (const chunk of response.setEncoding("utf8")) {
    const lines = (rest + String(chunk)).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
}
