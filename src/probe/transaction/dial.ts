/** Finds the server and connects to it, with swaks' texts. */
import type { Duplex } from "node:stream";
import { errorCode, errorText } from "../../failure.ts";
import { connectProgram, connectTcp, connectUnix, withTimeout } from "../../smtp/client/connect.ts";
import { parseProxy } from "../../smtp/client/proxy.ts";
import type { ProbePlan, TransportPlan } from "../plan.ts";
import type { Transcript } from "../transcript/transcript.ts";
import type { ProbeDependencies } from "./session.ts";

/** An open connection. */
export interface ProbeConnection {
  readonly stream: Duplex;
  /** The name or address that was connected to. */
  readonly host?: string;
  readonly port?: number;
  /** Who is at the other end, for "closed connection unexpectedly". */
  readonly peer: "Remote host" | "Socket" | "Child process";
  /** As the transcript has it: "mail.example.org:25". */
  readonly to: string;
}

/** Connects as the plan says, to the first of several mail exchangers that answers. Undefined where none does. */
export async function dial(
  plan: ProbePlan,
  transcript: Transcript,
  dependencies: ProbeDependencies,
): Promise<ProbeConnection | undefined> {
  const { transport } = plan;
  const { timeout } = plan.protocol;
  switch (transport.kind) {
    case "unix": {
      const { path } = transport;
      transcript.info(`Trying ${path}...`);
      const stream = await reached(transcript, `to ${path}`, "connect: ", () => connectUnix(path, timeout));
      if (stream === undefined) return undefined;
      transcript.info(`Connected to ${path}.`);
      return { stream, peer: "Socket", to: path };
    }
    case "pipe": {
      const { command } = transport;
      transcript.info(`Trying pipe to ${command}...`);
      const stream = await reached(transcript, `to ${command}`, `exec of ${command} failed: `, () =>
        connectProgram(command),
      );
      if (stream === undefined) return undefined;
      transcript.info(`Connected to ${command}.`);
      return { stream, peer: "Child process", to: command };
    }
    default:
      return dialInet(plan, transport, transcript, dependencies);
  }
}

type InetTransport = Extract<TransportPlan, { readonly kind: "inet" }>;

async function dialInet(
  plan: ProbePlan,
  transport: InetTransport,
  transcript: Transcript,
  dependencies: ProbeDependencies,
): Promise<ProbeConnection | undefined> {
  const { server, copyRouting, localInterface } = transport;
  const port = transport.port ?? usualPort(plan);
  const domain = copyRouting ?? plan.protocol.to.at(-1)?.replace(/^.*@/s, "") ?? "localhost";
  const { timeout } = plan.protocol;
  const find = (): Promise<readonly string[]> => withTimeout(timeout, () => dependencies.route(domain));
  const hosts = server === undefined ? await reached(transcript, `to ${domain}`, "", find) : [server];
  if (hosts === undefined) return undefined;
  if (hosts.length === 0) transcript.error(`${domain} says that it takes no mail (a null MX, RFC 7505)`);
  for (const host of hosts) {
    const to = `${host}:${port}`;
    transcript.info(`Trying ${to}...`);
    const from = localInterface === undefined ? "" : `${localInterface} `;
    const way = `${from}to ${to}${through(transport)}`;
    const stream = await reached(transcript, way, "", () =>
      connectTcp({ ...transport, host, port }, timeout),
    );
    if (stream === undefined) continue;
    transcript.info(`Connected to ${host}.`);
    return { stream, host, port, peer: "Remote host", to };
  }
  return undefined;
}

/** Names the proxy, so that its refusal is not taken for the server's. */
function through({ via }: InetTransport): string {
  const proxy = via === undefined ? undefined : parseProxy(via);
  return proxy === undefined ? "" : ` through the proxy ${proxy.host}:${proxy.port}`;
}

function usualPort({ protocol, tls }: ProbePlan): number {
  if (protocol.core === "lmtp") return 24;
  return tls?.kind === "on-connect" ? 465 : 25;
}

/** The result of `connect`; undefined where it failed, and the transcript says why. */
async function reached<Result>(
  transcript: Transcript,
  way: string,
  prefix: string,
  connect: () => Promise<Result>,
): Promise<Result | undefined> {
  try {
    return await connect();
  } catch (error) {
    transcript.error(`Error connecting ${way}:\n\t${prefix}${reasonOf(error)}`);
    return undefined;
  }
}

/** libc's texts, which people know and search for, in place of Node's. */
const reasons: Readonly<Record<string, string>> = {
  EACCES: "Permission denied",
  EADDRINUSE: "Address already in use",
  EADDRNOTAVAIL: "Cannot assign requested address",
  EAI_AGAIN: "Temporary failure in name resolution",
  ECONNREFUSED: "Connection refused",
  ECONNRESET: "Connection reset by peer",
  EHOSTUNREACH: "No route to host",
  EINVAL: "Invalid argument",
  ENETUNREACH: "Network is unreachable",
  ENODATA: "Name or service not known",
  ENOENT: "No such file or directory",
  ENOTFOUND: "Name or service not known",
  ENOTSOCK: "Socket operation on non-socket",
  EPERM: "Operation not permitted",
  ETIMEDOUT: "Connection timed out",
};

const reasonOf = (error: unknown): string => reasons[errorCode(error)] ?? errorText(error);
