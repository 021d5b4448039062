/** Next hops for a test, closed after it, and deliveries to them. */

import { afterEach } from "vitest";
import { attempt } from "../../../src/server/delivery/attempt.ts";
import type {
  OutgoingMessage,
  RecipientOutcome,
} from "../../../src/server/delivery/message/outgoing-message.ts";
import type { NextHop } from "../../../src/server/delivery/next-hop.ts";
import type { TransportSettings } from "../../../src/server/delivery/transport-settings.ts";
import { type FakeServer, fakeServer, type Options, type Script } from "../../tools/fakeserver.ts";
import { hop, transportSettings } from "./fixtures.ts";

/** How all of them are named in replies. */
export const peer = "localhost[127.0.0.1]";

/** For hosts that fall silent or never come to an end. Milliseconds. */
export const impatient = { connect: 2000, reply: 400, final: 400, transaction: 1200 };

const servers: FakeServer[] = [];

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

export async function server(script: Script = {}, options: Options = {}): Promise<FakeServer> {
  const made = await fakeServer(script, options);
  servers.push(made);
  return made;
}

export function deliver(
  to: readonly { readonly port: number }[],
  what: OutgoingMessage,
  more: Partial<TransportSettings> = {},
  signal: AbortSignal = new AbortController().signal,
  how: Partial<NextHop> = {},
): Promise<readonly RecipientOutcome[]> {
  const hops = to.map(({ port }) => ({ ...hop(port), ...how }));
  return attempt(what, hops, transportSettings(more), () => 1000, signal);
}
