/**
 * The portal's door: a Unix socket where `tpa-submit portal` asks about one login at a time. It is narrow by its protocol:
 * each request names a login, each answer is about that one, nothing lists logins, and nothing is changed but that a login
 * may send a test message to itself. Its file belongs to a group of its own, so the portal needs neither spool nor keys.
 */
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { errorCode } from "../../failure.ts";
import type { Reply } from "../../smtp/reply.ts";
import { listenOnUnixSocket, type UnixSocketOptions } from "../../unix-socket.ts";
import { logBug } from "../log/log.ts";
import { fieldsOf, is, type JsonField, Mismatch, oneOf, record } from "../spool/strict-json.ts";
import type { LimitUse, LoginBlock } from "./protocol.ts";

/** A login as the portal shows it to its owner. */
export interface PortalState {
  /** Whether the password file lets it in at all. */
  readonly known: boolean;
  readonly frozen?: { readonly at: number; readonly reason: string };
  readonly limits: readonly LimitUse[];
  readonly blocks: readonly LoginBlock[];
  /** Milliseconds for which messages are remembered; 0: not at all. */
  readonly remembered: number;
}

/** What became of a message for one recipient: the last try. */
export interface PortalRecipient {
  readonly address: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly result: "sent" | "deferred" | "bounced";
  readonly relay: string;
  readonly reply: Reply;
  readonly times: number;
}

export interface PortalMessage {
  readonly id: string;
  readonly accepted: number;
  readonly recipients: readonly PortalRecipient[];
  /** Recipients in all, tried or not. */
  readonly total: number;
  readonly held: boolean;
  /** It was given up after the time that the relay tries. */
  readonly expired: boolean;
  /** The relay is done with it. */
  readonly done: boolean;
}

/** A sign-in of a mail program. */
export interface PortalUse {
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** `unknown[192.0.2.7]`, or with log.privacy its network. */
  readonly client: string;
  readonly mechanism: string;
}

/** A password of the login's, without its hash. */
export interface PortalPassword {
  /** See hashDigest() in passwd/password-names.ts. */
  readonly digest: string;
  readonly name?: string;
  /** When it was made and last used, in milliseconds since the epoch, as far as that is known. */
  readonly made?: number;
  readonly used?: number;
  /** Whence it was used then: `192.0.2.0/24`. */
  readonly network?: string;
  /** false: it is locked. */
  readonly letsIn: boolean;
}

/** The reply that a test message got; `id` where it was taken. */
export interface PortalTest {
  readonly reply: Reply;
  readonly id?: string;
}

export interface PortalAnswers {
  readonly state: PortalState;
  /** The newest first. `uses` has one of each client, the last. */
  readonly messages: {
    readonly messages: readonly PortalMessage[];
    readonly uses: readonly PortalUse[];
    readonly busy: boolean;
  };
  /** Those in the password file in use, the newest first. `remembers` is whether their use is noted. */
  readonly passwords: { readonly passwords: readonly PortalPassword[]; readonly remembers: boolean };
  /** Whether the password file in use has this hash for the login. */
  readonly takes: { readonly takes: boolean };
  readonly test: PortalTest;
}

export type PortalVerb = keyof PortalAnswers;

interface PortalQuestion<Verb extends PortalVerb> {
  readonly ask: Verb;
  readonly login: string;
}

/** `digest` is SHA-256 of a line's hash, in base64. */
export type PortalRequest =
  | PortalQuestion<"state">
  | PortalQuestion<"messages">
  | PortalQuestion<"passwords">
  | PortalQuestion<"test">
  | (PortalQuestion<"takes"> & { readonly digest: string });

export type PortalDoor = {
  readonly [Verb in PortalVerb]: (
    request: Extract<PortalRequest, { ask: Verb }>,
  ) => Promise<PortalAnswers[Verb]>;
};

const login: JsonField<string> = is(
  "a login in small letters",
  (found): found is string => typeof found === "string" && isPortalLogin(found),
);
const digest: JsonField<string> = is(
  "a digest",
  (found): found is string => typeof found === "string" && /^[A-Za-z0-9+/]{43}=$/.test(found),
);

/** Names that stand in every form, file and log as they are. No domain: the portal knows one alone. */
export const isPortalLogin = (name: string): boolean => /^[a-z0-9_][a-z0-9._+-]{0,63}$/.test(name);

const requestFields: { readonly [Verb in PortalVerb]: JsonField<Extract<PortalRequest, { ask: Verb }>> } = {
  state: record<PortalQuestion<"state">>({ ask: oneOf("state"), login }),
  messages: record<PortalQuestion<"messages">>({ ask: oneOf("messages"), login }),
  passwords: record<PortalQuestion<"passwords">>({ ask: oneOf("passwords"), login }),
  test: record<PortalQuestion<"test">>({ ask: oneOf("test"), login }),
  takes: record<PortalQuestion<"takes"> & { readonly digest: string }>({
    ask: oneOf("takes"),
    login,
    digest,
  }),
};

/** The request in `json`, or one line about what is wrong with it. */
export function parsePortalRequest(json: string): PortalRequest | { readonly wrong: string } {
  try {
    const found: unknown = JSON.parse(json);
    const verb = oneOf(...(Object.keys(requestFields) as PortalVerb[])).read(
      fieldsOf(found, "")["ask"],
      "ask",
    );
    return requestFields[verb].read(found, "");
  } catch (error) {
    if (error instanceof Mismatch) return { wrong: error.message };
    if (error instanceof SyntaxError) return { wrong: "expected JSON" };
    throw error;
  }
}

/** Octets of a request, milliseconds until it is there, and connections at a time. Our choice. */
const largestRequest = 1_000;
const requestTimeout = 5_000;
const mostConnections = 20;

/** Listens until it is closed. Throws a Failure where it cannot. */
export async function startPortalDoor(
  where: UnixSocketOptions,
  door: PortalDoor,
): Promise<{ close(): Promise<void> }> {
  const server = createServer(
    {
      maxHeaderSize: 4096,
      headersTimeout: requestTimeout,
      requestTimeout,
      connectionsCheckingInterval: 1000,
    },
    (request, response) => {
      answer(request, response, door).catch((error: unknown) => {
        if (errorCode(error) === "") logBug("the portal's door", error);
        if (response.headersSent || response.destroyed) response.destroy();
        else send(response, 500, { wrong: "a fault of the relay; its log has the details" });
      });
    },
  );
  server.maxConnections = mostConnections;
  await listenOnUnixSocket(server, where);
  return {
    async close() {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

async function answer(request: IncomingMessage, response: ServerResponse, door: PortalDoor): Promise<void> {
  if (request.method !== "POST" || request.url !== "/")
    return send(response, 404, { wrong: "expected POST /" });
  const text = await bodyOf(request);
  if (text === undefined) return send(response, 413, { wrong: "too long" });
  const asked = parsePortalRequest(text);
  if ("wrong" in asked) return send(response, 400, asked);
  send(response, 200, await carryOut(asked, door));
}

async function carryOut(asked: PortalRequest, door: PortalDoor): Promise<object> {
  switch (asked.ask) {
    case "state":
      return door.state(asked);
    case "messages":
      return door.messages(asked);
    case "passwords":
      return door.passwords(asked);
    case "takes":
      return door.takes(asked);
    case "test":
      return door.test(asked);
  }
}

/** Undefined where it is too long. */
async function bodyOf(request: IncomingMessage): Promise<string | undefined> {
  let octets = 0;
  const pieces: Buffer[] = [];
  for await (const piece of request as AsyncIterable<Buffer>) {
    octets += piece.length;
    if (octets > largestRequest) return undefined;
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString();
}

function send(response: ServerResponse, status: number, value: object): void {
  response.writeHead(status, { "content-type": "application/json", connection: "close" });
  response.end(`${JSON.stringify(value)}\n`);
}
