/** What the running relay signs with at the moment. */
import { setTimeout as pause } from "node:timers/promises";
import type { Config } from "../../config/settings.ts";
import { connectControlApi } from "../../server/control/client.ts";
import type { SigningKeyState } from "../../server/control/protocol.ts";
import { version } from "../../version.ts";
import { controlSocket } from "../serve/places.ts";

/** Undefined where no relay runs here. Throws a Failure where it cannot be asked. */
export async function keysInUse(configuration: Config): Promise<readonly SigningKeyState[] | undefined> {
  const relay = await connectControlApi(controlSocket(configuration), version);
  if (relay === undefined) return undefined;
  for await (const state of relay({ verb: "status" })) return state.dkim ?? [];
  return undefined;
}

/** Milliseconds: the relay looks every two seconds; a busy one takes longer. Our choice. */
const patience = 20_000;
const beat = 250;

/** Waits until the relay signs for `domain` with `wanted` and nothing else: "none" where none runs, "not" where it does not. */
export async function untilInUse(
  configuration: Config,
  domain: string,
  wanted: readonly string[],
): Promise<"signs" | "none" | "not"> {
  const until = Date.now() + patience;
  for (;;) {
    const keys = await keysInUse(configuration);
    if (keys === undefined) return "none";
    const own = keys.filter((key) => key.domain === domain).map(({ selector }) => selector);
    if (own.toSorted().join(" ") === wanted.toSorted().join(" ")) return "signs";
    if (Date.now() >= until) return "not";
    await pause(beat);
  }
}
