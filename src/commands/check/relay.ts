/** What the running relay says of itself: over its control socket, and at /healthz. */
import { setTimeout as pause } from "node:timers/promises";
import { writeAddress } from "../../config/setting-types.ts";
import { errorText, exitStatus, Failure } from "../../failure.ts";
import { connectControlApi } from "../../server/control/client.ts";
import type { ControlApi } from "../../server/control/protocol.ts";
import { version } from "../../version.ts";
import { controlSocket } from "../serve/places.ts";
import { type Look, orFailures } from "./context.ts";
import { relayProcess } from "./host.ts";
import { cannotTell, fail, fine, type Judgement, warn } from "./rows.ts";

export const relay: Look = ({ config }) =>
  orFailures(async () => {
    const path = controlSocket(config);
    const api = await connect(path);
    if (api instanceof Failure) return [judgeUnasked(api)];
    const pid = await relayProcess(config);
    if (api === undefined && pid === undefined) return [warn("", "no relay is running")];
    if (api === undefined) {
      return [fail(path, `the relay (process ${pid ?? 0}) runs, but does not answer here`)];
    }
    let frozen = 0;
    for await (const login of api({ verb: "frozen" })) if (login.login !== "") frozen += 1;
    const words = `runs, version ${version}${frozen === 0 ? "" : `, ${frozen} logins are frozen`}`;
    return [fine("", words), ...(await health(config.listen.http))];
  });

async function connect(path: string): Promise<ControlApi | undefined | Failure> {
  try {
    return await connectControlApi(path, version);
  } catch (error) {
    if (error instanceof Failure) return error;
    throw error;
  }
}

/** One of another version is no fault: an upgrade runs this check before it restarts the relay. */
function judgeUnasked({ message, status }: Failure): Judgement {
  if (status === exitStatus.noPermission) return cannotTell("", message); // neither root nor the service
  return message.includes("of version") ? warn("", message) : fail("", message);
}

/** Milliseconds. The relay's own trial of the spool gives up after three seconds. */
const patience = 5000;

/** Milliseconds in which trouble may pass, such as a password file that is just being read; and between two questions. */
const grace = 3000;
const breath = 500;

async function health(
  address: { readonly host: string; readonly port: number } | null,
): Promise<readonly Judgement[]> {
  if (address === null || address.port === 0) return [];
  const reached = { "0.0.0.0": "127.0.0.1", "::": "::1" }[address.host] ?? address.host;
  const url = `http://${writeAddress({ host: reached, port: address.port })}/healthz`;
  try {
    for (const end = performance.now() + grace; ; await pause(breath)) {
      const response = await fetch(url, { signal: AbortSignal.timeout(patience) });
      const said = (await response.text()).trim().slice(0, 200);
      if (response.ok) return [fine("/healthz", said)];
      if (performance.now() >= end) return [fail("/healthz", said)];
    }
  } catch (error) {
    return [warn("/healthz", `does not answer: ${errorText(error)}`)];
  }
}
