/**
 * The socket below LDAP: TCP, a Unix socket, and TLS around either.
 * Every socket is opened and watched here, so that the LDAP library never opens one by itself: it would come back
 * after a cut without a bind, and take what anonymous users see for the whole directory.
 */
import { connect, isIP, type Socket } from "node:net";
import { connect as connectTls, type SecureContext, type TLSSocket } from "node:tls";
import { errorCode, errorText, exitStatus, Failure } from "../failure.ts";

/** Where a directory listens, read from its URL. */
export type DirectoryAddress =
  | { readonly kind: "tcp"; readonly host: string; readonly port: number; readonly tls: boolean }
  | { readonly kind: "unix"; readonly path: string };

/** How long one step may take, in milliseconds, and what ends all of them. */
export interface WaitLimits {
  readonly timeout: number;
  readonly signal: AbortSignal;
}

/**
 * Reads `ldap://host[:389]`, `ldaps://host[:636]`, `ldapi:///run/slapd/ldapi` or, as OpenLDAP writes it,
 * `ldapi://%2Frun%2Fslapd%2Fldapi`. Undefined for anything else.
 */
export function readAddress(url: string): DirectoryAddress | undefined {
  const socket = /^ldapi:\/\/(\/.*|%2f[^/]*)?\/?$/i.exec(url);
  if (socket) return { kind: "unix", path: unixPath(socket[1] ?? "") };
  const found = /^(ldaps?):\/\/(?:\[([0-9a-f:.]+)\]|([^\s:[\]/@?#]+))(?::(\d{1,5}))?\/?$/i.exec(url);
  const host = found?.[2] ?? found?.[3];
  if (host === undefined) return undefined;
  const tls = found?.[1]?.toLowerCase() === "ldaps";
  const port = Number(found?.[4] ?? (tls ? 636 : 389));
  return port > 0 && port <= 65_535 ? { kind: "tcp", host, port, tls } : undefined;
}

/** Where Debian's slapd has it, if the URL is only `ldapi:///`. */
function unixPath(written: string): string {
  const path = /^%2f/i.test(written) ? decodeURIComponent(written) : written;
  return path === "" || path === "/" ? "/run/slapd/ldapi" : path;
}

/** Connects; `url` is for the failure's text. TLS is not part of it: see {@link secure}. */
export function openSocket(url: string, address: DirectoryAddress, limits: WaitLimits): Promise<Socket> {
  const socket = address.kind === "unix" ? connect(address.path) : connect(address.port, address.host);
  return whenReady(socket, "connect", { url, doing: "connecting" }, limits);
}

/** Wraps `socket` in TLS and checks that the certificate is trusted and is `host`'s. */
export function secure(
  url: string,
  socket: Socket,
  { host, context }: { readonly host: string; readonly context: SecureContext },
  limits: WaitLimits,
): Promise<TLSSocket> {
  const name = isIP(host) === 0 ? { servername: host } : {};
  const wrapped = connectTls({ socket, host, ...name, secureContext: context });
  wrapped.once("close", () => socket.destroy());
  return whenReady(wrapped, "secureConnect", { url, doing: "starting TLS" }, limits);
}

interface SocketStep {
  readonly url: string;
  readonly doing: string;
}

/** Resolves when `socket` says `ready`; whatever else ends the wait destroys it. */
function whenReady<Kind extends Socket>(
  socket: Kind,
  ready: "connect" | "secureConnect",
  step: SocketStep,
  limits: WaitLimits,
): Promise<Kind> {
  const { promise, resolve, reject } = promiseOf<Kind>();
  socket.once(ready, () => resolve(socket));
  socket.on("error", (error) => reject(unreachable(step, error)));
  return withinLimits(promise, socket, step, limits).catch((error: unknown) => {
    socket.destroy();
    throw error;
  });
}

/**
 * Settles as `work` does, or rejects with a Failure (status 75) when the socket is cut, when `timeout` passes or when
 * the signal aborts; the socket is destroyed then, since an answer that comes late belongs to nothing.
 */
export async function withinLimits<Result>(
  work: Promise<Result>,
  socket: Socket,
  { url, doing }: SocketStep,
  { timeout, signal }: WaitLimits,
): Promise<Result> {
  const { promise, reject } = promiseOf<never>();
  const giveUp = (reason: Error): void => {
    socket.destroy();
    reject(reason);
  };
  const late = `${url}: no answer within ${timeout / 1000} s while ${doing}`;
  const timer = setTimeout(() => giveUp(new Failure(exitStatus.temporary, late)), timeout);
  const onAbort = (): void => giveUp(abortReason(url, doing, signal));
  const onClose = (): void =>
    reject(new Failure(exitStatus.temporary, `${url}: connection lost while ${doing}`));
  signal.addEventListener("abort", onAbort);
  socket.once("close", onClose);
  if (signal.aborted) onAbort();
  if (socket.destroyed) onClose();
  try {
    return await Promise.race([work, promise]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
    socket.removeListener("close", onClose);
  }
}

function abortReason(url: string, doing: string, { reason }: AbortSignal): Error {
  return reason instanceof Failure
    ? new Failure(reason.status, `${url}: ${reason.message} while ${doing}`)
    : reason;
}

/** What the system or OpenSSL says, in plain English for the operator. */
function unreachable({ url, doing }: SocketStep, error: unknown): Failure {
  const code = errorCode(error);
  const text = errorTexts[code] ?? errorText(error).replace(/\s+/g, " ");
  return new Failure(exitStatus.unavailable, `${url}: ${text} while ${doing}`, { cause: error });
}

const errorTexts: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused",
  ECONNRESET: "connection lost",
  EPIPE: "connection lost",
  ENOTFOUND: "the host name has no address",
  EAI_AGAIN: "the host name cannot be looked up now",
  ENOENT: "there is no such socket",
  EACCES: "permission denied",
  ETIMEDOUT: "no answer",
  EHOSTUNREACH: "no way to the host",
  ENETUNREACH: "no way to the network",
  CERT_HAS_EXPIRED: "the certificate has expired",
  DEPTH_ZERO_SELF_SIGNED_CERT: "the certificate is self-signed; name it in ldap.ca if it is right",
  SELF_SIGNED_CERT_IN_CHAIN: "the certificate's authority is not trusted; name it in ldap.ca if it is right",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    "the certificate's authority is not trusted; name it in ldap.ca if it is right",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    "the certificate's authority is not trusted; name it in ldap.ca if it is right",
};

function promiseOf<Result>() {
  let resolve: (result: Result) => void = () => undefined;
  let reject: (error: unknown) => void = () => undefined;
  const promise = new Promise<Result>((onResult, onError) => {
    resolve = onResult;
    reject = onError;
  });
  promise.catch(() => undefined); // whoever races it hears of it; without a race there is nobody to tell
  return { promise, resolve, reject };
}
