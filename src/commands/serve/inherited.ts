/**
 * Sockets that systemd opened for us (sd_listen_fds(3)): then no port needs a privilege, and a restart turns nobody
 * away. Pure but for the variables, which are taken away so that no child believes that they are meant for it.
 */
import type { Config } from "../../config/settings.ts";
import { exitStatus, Failure } from "../../failure.ts";
import type { ListenAddress } from "../../server/submission/listener.ts";

/** Where to listen: what the configuration says, or instead of it the sockets of the same name. */
export interface Places {
  readonly submission: readonly ListenAddress[];
  readonly submissions: readonly ListenAddress[];
  readonly http: ListenAddress | null;
}

/** The first of the descriptors; the others follow it. */
const first = 3;

/**
 * The places for the process `pid`, which was started with the variables of `environment`. Throws a Failure where a
 * socket unit gives its socket another name than one of the settings of [listen].
 */
export function placesFor(
  { submission, submissions, http }: Config["listen"],
  environment: NodeJS.ProcessEnv,
  pid: number,
): Places {
  const sockets = inherited(environment, pid);
  const named = (name: string): readonly ListenAddress[] => sockets.filter((socket) => socket.name === name);
  const [ownHttp = http, secondHttp] = named("http");
  const stranger = sockets.find(({ name }) => !["submission", "submissions", "http"].includes(name));
  if (stranger || secondHttp) {
    throw new Failure(
      exitStatus.config,
      `sockets of systemd: expected the names submission, submissions and at most one http, found ${sockets
        .map(({ name }) => `"${name}"`)
        .join(", ")}; set FileDescriptorName= in the socket units`,
    );
  }
  return {
    submission: orElse(named("submission"), submission),
    submissions: orElse(named("submissions"), submissions),
    http: ownHttp,
  };
}

function inherited(
  environment: NodeJS.ProcessEnv,
  pid: number,
): readonly { readonly fd: number; readonly name: string }[] {
  const { LISTEN_PID: meant, LISTEN_FDS: count = "0", LISTEN_FDNAMES: names = "" } = environment;
  for (const name of ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"]) delete environment[name];
  if (meant !== String(pid) || !/^\d{1,3}$/.test(count)) return [];
  const list = names.split(":");
  return Array.from({ length: Number(count) }, (_, index) => ({
    fd: first + index,
    name: list[index] ?? "",
  }));
}

function orElse(
  sockets: readonly ListenAddress[],
  addresses: readonly ListenAddress[],
): readonly ListenAddress[] {
  return sockets.length > 0 ? sockets : addresses;
}
