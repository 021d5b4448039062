/**
 * The portal's web server: node:http, or node:https with a certificate of its own. What a request may take of time, octets
 * and connections is decided here, before any page sees it.
 */
import { once } from "node:events";
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { HostAndPort } from "../../config/setting-types.ts";
import { writeAddress } from "../../config/setting-types.ts";
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";
import { subscriberNetwork } from "../../server/submission/limits/admission.ts";

/** Answers a request; `peer` is the IP address at the other end. */
export type Answer = (request: Request, peer: string) => Promise<Response> | Response;

export interface Answering {
  /** "https://mail.example.org" */
  readonly origin: string;
  readonly answer: Answer;
  /** Proxies bring everybody's requests. */
  readonly isProxy: (address: string) => boolean;
  /** Hears of a fault of the program. */
  readonly report: (error: unknown) => void;
}

export interface PortalListener {
  readonly address: AddressInfo;
  /** From now on for new connections. Throws where the pair is none; the old one stays. */
  replacePair(pair: Pair): void;
  close(): Promise<void>;
}

export interface Pair {
  readonly cert: string;
  readonly key: string;
}

/** Octets of a header and of a form, milliseconds, connections. Our choice: a person on a slow line needs less. */
const largestHeader = 8_192;
const largestForm = 8_192;
const requestTimeout = 15_000;
const idleTimeout = 30_000;
const mostConnections = 500;
const mostFromNetwork = 50;
const mostHeaders = 60;

/** IPv4 without "::ffff:". */
export const plainAddress = (address: string): string => address.replace(/^::ffff:(?=\d)/i, "");

/** Throws a Failure where it cannot listen. Without a pair it speaks plain HTTP, for a proxy. */
export async function listen(
  where: HostAndPort,
  pair: Pair | undefined,
  { origin, answer, report, isProxy }: Answering,
): Promise<PortalListener> {
  const limits = {
    maxHeaderSize: largestHeader,
    headersTimeout: requestTimeout,
    requestTimeout,
    keepAliveTimeout: 5_000,
    connectionsCheckingInterval: 1_000,
  };
  const take: RequestListener = (request, response) => {
    respond(request, response, origin, answer).catch((error: unknown) => {
      response.destroy();
      if (errorCode(error) === "") report(error); // else the client has gone
    });
  };
  const secure =
    pair && createSecureServer({ ...limits, ...tlsOf(pair), handshakeTimeout: requestTimeout }, take);
  const server: Server = secure ?? createServer(limits, take);
  server.maxConnections = mostConnections;
  server.maxHeadersCount = mostHeaders;
  server.setTimeout(idleTimeout);
  const fromNetwork = new Map<string, number>();
  server.on("connection", (socket: Socket) => {
    const address = socket.remoteAddress ?? "";
    if (isProxy(plainAddress(address))) return;
    const network = subscriberNetwork(plainAddress(address));
    const count = (fromNetwork.get(network) ?? 0) + 1;
    if (count > mostFromNetwork) {
      socket.destroy();
      return;
    }
    fromNetwork.set(network, count);
    socket.once("close", () => {
      const left = (fromNetwork.get(network) ?? 1) - 1;
      if (left > 0) fromNetwork.set(network, left);
      else fromNetwork.delete(network);
    });
  });
  server.on("checkContinue", (_, response: ServerResponse) => plain(response, 417, "Send it at once.\n"));
  try {
    const listening = once(server, "listening");
    server.listen(where.port, where.host);
    await listening;
  } catch (error) {
    throw new Failure(
      exitStatus.unavailable,
      `portal.listen: cannot listen on ${writeAddress(where)}: ${errorText(error)}`,
      { cause: error },
    );
  }
  return {
    address: server.address() as AddressInfo,
    replacePair: (next) => secure?.setSecureContext(tlsOf(next)),
    async close() {
      const closed = once(server, "close");
      server.close();
      server.closeIdleConnections();
      const hurry = setTimeout(() => server.closeAllConnections(), 5_000);
      await closed;
      clearTimeout(hurry);
    },
  };
}

const tlsOf = (pair: Pair) => ({ ...pair, minVersion: "TLSv1.2" }) as const;

async function respond(
  request: IncomingMessage,
  response: ServerResponse,
  origin: string,
  answer: Answer,
): Promise<void> {
  const { method = "", url = "" } = request;
  if (method !== "GET" && method !== "HEAD" && method !== "POST")
    return plain(response, 405, "Only GET, HEAD and POST.\n", { Allow: "GET, HEAD, POST" });
  // "//other.example.net/" would be another host's.
  if (!/^\/(?:[^/\\]|$)/.test(url) || url.includes("\\"))
    return plain(response, 404, "There is no such page.\n");
  const body = method === "POST" ? await bodyOf(request) : undefined;
  if (method === "POST" && body === undefined) return plain(response, 413, "That is too large.\n");
  const asked = requestFor(request, `${origin}${url}`, body);
  if (asked === undefined) return plain(response, 400, "This is not a request.\n");
  const answered = await answer(asked, request.socket.remoteAddress ?? "");
  const octets = Buffer.from(await answered.arrayBuffer());
  response.setHeaders(answered.headers).setHeader("content-length", octets.length);
  response.writeHead(answered.status).end(method === "HEAD" ? undefined : octets);
}

/** Undefined where it is too large. */
async function bodyOf(request: IncomingMessage): Promise<Buffer | undefined> {
  if (Number(request.headers["content-length"] ?? 0) > largestForm) return undefined;
  const pieces: Buffer[] = [];
  let octets = 0;
  for await (const piece of request as AsyncIterable<Buffer>) {
    octets += piece.length;
    if (octets > largestForm) return undefined;
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

/** Undefined for what cannot be one: a field with octets that no field has, a path that is none. */
function requestFor(request: IncomingMessage, url: string, body: Buffer | undefined): Request | undefined {
  try {
    const headers = new Headers();
    for (const [name, value] of Object.entries(request.headers)) {
      if (value !== undefined) headers.set(name, Array.isArray(value) ? value.join(", ") : value);
    }
    return new Request(url, {
      method: request.method ?? "GET",
      headers,
      ...(body && { body: new Uint8Array(body) }),
    });
  } catch (error) {
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}

function plain(
  response: ServerResponse,
  status: number,
  text: string,
  more: Record<string, string> = {},
): void {
  response.writeHead(status, {
    "Content-Type": "text/plain; charset=utf-8",
    "X-Content-Type-Options": "nosniff",
    Connection: "close",
    ...more,
  });
  response.end(text);
}
