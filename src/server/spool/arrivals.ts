/** What comes to a host to be delivered, and what it has to let go of again. */
import type { SpoolReader, StoredMessage } from "./reader.ts";

/**
 * messages: they are this host's from here on. read: all that waited for it at the start was given. lost: they are another
 * host's now, or may be.
 */
export type Arrival =
  | { readonly kind: "messages"; readonly messages: readonly StoredMessage[] }
  | { readonly kind: "read" }
  | { readonly kind: "lost"; readonly ids: readonly string[] | "all" };

/** Of a spool that one host has alone: all there is. */
export async function* arrivalsIn(
  reader: Pick<SpoolReader, "ids" | "readMany">,
  stop: AbortSignal,
): AsyncGenerator<Arrival, void> {
  for await (const messages of reader.readMany(await reader.ids())) {
    if (stop.aborted) break;
    yield { kind: "messages", messages };
  }
  yield { kind: "read" };
}
