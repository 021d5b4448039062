/**
 * A small HTTP listener for monitoring: /metrics for Prometheus, /healthz for health checks, a status page for people. It
 * changes nothing.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { type ListenAddress, listenOptions } from "../../bound-socket.ts";
import { errorText, exitStatus, Failure } from "../../failure.ts";
import { isForUs } from "./http-host.ts";
import { logBug } from "./log.ts";
import { expositionType } from "./prometheus.ts";

/** Whether a message sent now would be accepted and delivered; the reason is one line for people. */
export type Health = { readonly ok: true } | { readonly ok: false; readonly reason: string };

export interface MonitoringPages {
  readonly metrics: () => string | Promise<string>;
  readonly health: () => Health | Promise<Health>;
  /** What is at "/"; where it is missing, nothing is. */
  readonly status?: () => Promise<HtmlPage>;
}

/** A page that needs nothing but itself. */
export interface HtmlPage {
  readonly body: string;
  /** Its one style sheet as CSP Level 3 names it: `sha256-…`. */
  readonly styleHash: string;
}

export interface HttpOptions {
  /** What a mistake in the address is named by. */
  readonly setting?: string;
  /** What alone a client may call this host, besides addresses and loopback names; without it anything. See http-host.ts. */
  readonly names?: readonly string[];
  /** The setting that adds to them. */
  readonly namesSetting?: string;
}

export interface HttpListener {
  readonly address: AddressInfo;
  /** Resolves when the port is free; requests under way are cut off. */
  readonly close: () => Promise<void>;
}

interface PageAnswer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
  readonly styleHash?: string;
}

const plain = "text/plain; charset=utf-8";

type PageRoute = (pages: MonitoringPages) => Promise<PageAnswer>;

const routes: Readonly<Record<string, PageRoute>> = {
  "/metrics": async ({ metrics }) => ({ status: 200, type: expositionType, body: await metrics() }),
  "/healthz": async ({ health }) => {
    const state = await health();
    return state.ok
      ? { status: 200, type: plain, body: "ok\n" }
      : { status: 503, type: plain, body: `${state.reason}\n` };
  },
};

/** The one for `path`, of those that `pages` has. */
function routeFor(path: string, { status }: MonitoringPages): PageRoute | undefined {
  if (path === "/" && status !== undefined) {
    return async () => ({ status: 200, type: "text/html; charset=utf-8", ...(await status()) });
  }
  return Object.hasOwn(routes, path) ? routes[path] : undefined;
}

/** Our choice: monitoring asks in a second or not at all. */
const clientTimeout = 5000;
const mostConnections = 50;

/** Listens on `at`, an address or a socket that is open already. Throws a Failure that names `setting` where it cannot. */
export async function startHttp(
  at: ListenAddress,
  pages: MonitoringPages,
  { setting = "listen.http", names, namesSetting = "listen.http-names" }: HttpOptions = {},
): Promise<HttpListener> {
  const server = createServer(
    {
      maxHeaderSize: 8192,
      headersTimeout: clientTimeout,
      requestTimeout: clientTimeout,
      keepAliveTimeout: clientTimeout,
      connectionsCheckingInterval: 1000,
    },
    (request, response) => {
      const isMeant = names === undefined || isForUs(request.headers.host, names);
      void respond(request, response, isMeant ? pages : misdirected(namesSetting));
    },
  );
  server.maxConnections = mostConnections;
  server.setTimeout(2 * clientTimeout);
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) =>
      reject(
        new Failure(
          exitStatus.unavailable,
          `${setting}: cannot listen on ${"fd" in at ? `file descriptor ${at.fd}` : `${at.host}:${at.port}`}: ${errorText(error)}`,
          { cause: error },
        ),
      ),
    );
    server.listen(listenOptions(at, { ipv6Only: false }), resolve);
  });
  return {
    address: server.address() as AddressInfo,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function respond(
  request: IncomingMessage,
  response: ServerResponse,
  answer: MonitoringPages | PageAnswer,
): Promise<void> {
  request.resume();
  const { status, type, body, styleHash } = "body" in answer ? answer : await answerTo(request, answer);
  response.writeHead(status, {
    "Content-Type": type,
    "Content-Length": Buffer.byteLength(body),
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": `default-src 'none'; ${styleHash === undefined ? "" : `style-src '${styleHash}'; `}base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
    ...(status === 405 ? { Allow: "GET, HEAD" } : {}),
  });
  response.end(request.method === "HEAD" ? undefined : body);
}

/** RFC 9110 section 15.5.20. */
const misdirected = (namesSetting: string): PageAnswer => ({
  status: 421,
  type: plain,
  body: `This is not a name of this host; ${namesSetting} may add it.\n`,
});

async function answerTo({ method, url = "" }: IncomingMessage, pages: MonitoringPages): Promise<PageAnswer> {
  const path = url.split("?")[0] ?? "";
  const route = routeFor(path, pages);
  if (route === undefined) {
    return { status: 404, type: plain, body: `Here are ${Object.keys(routes).join(" and ")}.\n` };
  }
  if (method !== "GET" && method !== "HEAD")
    return { status: 405, type: plain, body: "Only GET and HEAD.\n" };
  try {
    return await route(pages);
  } catch (error) {
    logBug(path, error);
    return { status: 500, type: plain, body: "A fault of the program, see its log.\n" };
  }
}
