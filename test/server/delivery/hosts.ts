/** Next hops for a test, closed after it, and deliveries to them. */
import { afterEach } from "vitest";
import { attempt } from "../../../src/server/delivery/hop/attempt.ts";
import type { Terms } from "../../../src/server/delivery/hop/terms.ts";
import type {
  OutgoingMessage,
  RecipientOutcome,
} from "../../../src/server/delivery/message/outgoing-message.ts";
import type { Hop } from "../../../src/server/delivery/route/route.ts";
import { type FakeServer, fakeServer, type Options, type Script } from "../../tools/fakeserver.ts";
import { hop, terms } from "./letters.ts";

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
  more: Partial<Terms> = {},
  signal: AbortSignal = new AbortController().signal,
  how: Partial<Hop> = {},
): Promise<readonly RecipientOutcome[]> {
  const hops = to.map(({ port }) => ({ ...hop(port), ...how }));
  return attempt(what, hops, terms(more), () => 1000, signal);
}
