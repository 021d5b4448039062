/**
 * The control server: a Unix socket where a running relay takes the requests of operators, HTTP with a line of JSON for
 * each answer. Who may open it may do everything, so the file system decides: its owner, its group, and root.
 */
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { setImmediate as turn } from "node:timers/promises";
import { errorCode, exitStatus } from "../../failure.ts";
import { listenOnUnixSocket } from "../../unix-socket.ts";
import { logBug } from "../log/log.ts";
import type { EnvelopeSnapshot } from "../spool/known-envelopes.ts";
import { type FailureAnswer, failedRequest } from "./failed-request.ts";
import { type ControlApi, parseOperator, parseRequest, type TakeParcel } from "./protocol.ts";

export interface ControlServer {
  /** Takes no more requests and waits for those under way. */
  close(): Promise<void>;
}

/** Octets of a request: 600 000 IDs. Our choice. */
const largestRequest = 10_000_000;

/** Stands in each answer, so that command and relay notice when they are not of the same version. */
export const versionHeader = "tpa-submit-version";

/** What else is served besides requests: parcels are taken, and envelopes given out, where there are some in memory. */
export interface ControlExtras {
  readonly take?: TakeParcel;
  readonly known?: () => EnvelopeSnapshot | undefined;
}

/**
 * Listens at `path`, for orders and for what `extras` has. Replaces the socket of a relay that was killed, and nothing else that may be there. Throws a Failure
 * where it cannot listen.
 */
export async function startControlServer(
  path: string,
  api: ControlApi,
  version: string,
  extras: ControlExtras = {},
): Promise<ControlServer> {
  const server = createServer((request, response) => {
    response.setHeader(versionHeader, version);
    answer(request, response, api, extras).catch((error: unknown) => {
      if (!clientLeft.includes(errorCode(error))) logBug("the control socket", error);
      response.destroy();
    });
  });
  await listenOnUnixSocket(server, { path, setting: "control.socket" });
  return {
    async close() {
      const closed = once(server, "close");
      server.close();
      server.closeIdleConnections();
      await closed;
    },
  };
}

/** Errors of a command that has left: what was begun is finished all the same. */
const clientLeft: readonly string[] = ["ERR_STREAM_PREMATURE_CLOSE", "ECONNRESET", "EPIPE", "ABORT_ERR"];

/** In the header of a parcel: who sends it, as JSON. */
export const operatorHeader = "tpa-submit-operator";

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  api: ControlApi,
  { take, known }: ControlExtras,
): Promise<void> {
  if (known && request.method === "POST" && request.url === "/envelopes") return giveKnown(response, known());
  if (take && request.method === "POST" && request.url === "/parcels") {
    const by = parseOperator(String(request.headers[operatorHeader]));
    if ("wrong" in by) return refuse(response, 400, exitStatus.usage, `not an operator: ${by.wrong}`);
    response.writeHead(200, { "content-type": "application/x-ndjson" });
    return pipeline(Readable.from(lines(take(request, by))), response);
  }
  if (request.method !== "POST" || request.url !== "/requests") {
    return refuse(response, 404, exitStatus.usage, "expected POST /requests");
  }
  if (Number(request.headers["content-length"] ?? 0) > largestRequest) {
    return refuse(response, 413, exitStatus.usage, "too many messages at a time");
  }
  const asked = parseRequest(await text(request));
  if ("wrong" in asked) return refuse(response, 400, exitStatus.usage, `not a request: ${asked.wrong}`);
  response.writeHead(200, { "content-type": "application/x-ndjson" });
  await pipeline(Readable.from(lines(api(asked))), response);
}

function refuse(response: ServerResponse, code: number, status: number, message: string): void {
  const answered: FailureAnswer = { failure: { status, message } };
  response.writeHead(code, { "content-type": "application/x-ndjson" }).end(`${JSON.stringify(answered)}\n`);
}

/** In the answer with envelopes: how many they are, and whether they come in the order of their IDs. */
export const messagesHeader = "tpa-submit-messages";
export const sortedHeader = "tpa-submit-sorted";

/** Pieces of a snapshot, each in a turn of its own and as the command takes them; 204 where the spool is to be read. */
async function giveKnown(response: ServerResponse, snapshot: EnvelopeSnapshot | undefined): Promise<void> {
  if (snapshot === undefined) {
    response.writeHead(204).end();
    return;
  }
  const { messages, isSorted, pieces } = snapshot;
  response.writeHead(200, {
    "content-type": "application/octet-stream",
    [messagesHeader]: messages,
    [sortedHeader]: String(isSorted),
  });
  await pipeline(Readable.from(inTurns(pieces())), response);
}

async function* inTurns(pieces: Iterable<string>): AsyncGenerator<Buffer> {
  for (const piece of pieces) {
    yield Buffer.from(piece);
    await turn();
  }
}

/** Octets of answers that are collected before they are sent. */
const collected = 32_768;

/** The answers, a line each; a Failure is the last one. Collecting delays few of them: listing a queue is fast. */
async function* lines(answers: AsyncIterable<unknown>): AsyncGenerator<string> {
  let waiting = "";
  try {
    for await (const one of answers) {
      waiting += `${JSON.stringify(one)}\n`;
      if (waiting.length < collected) continue;
      yield waiting;
      waiting = "";
    }
  } catch (error) {
    const failure = failedRequest(error, "the control API");
    waiting += `${JSON.stringify({ failure } satisfies FailureAnswer)}\n`;
  }
  if (waiting !== "") yield waiting;
}
