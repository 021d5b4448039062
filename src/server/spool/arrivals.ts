/** What comes to a host to be delivered, and what it has to let go of again. */
import type { SpoolReader, StoredMessage } from "./reader.ts";

/**
 * messages: they are this host's from here on. read: all that waited for it at the start was given. lost: they are another
 * host's now, or may be. hosts: others that deliver from the same spool have come or gone, so that more or less may be begun.
 */
export type Arrival =
  | { readonly kind: "messages"; readonly messages: readonly StoredMessage[] }
  | { readonly kind: "read" }
  | { readonly kind: "hosts" }
  | { readonly kind: "lost"; readonly ids: readonly string[] | "all" };

/**
 * Of a spool that one host has alone: all there is. `early` is what is known before the rest, as FileReader has it: what its
 * journal had when it was opened.
 */
export async function* arrivalsIn(
  reader: Pick<SpoolReader, "ids" | "readMany">,
  stop: AbortSignal,
  early: AsyncIterable<readonly StoredMessage[]> | readonly (readonly StoredMessage[])[] = [],
): AsyncGenerator<Arrival, void> {
  const given = new Set<string>();
  for await (const messages of early) {
    if (stop.aborted) return;
    for (const { id } of messages) given.add(id);
    yield { kind: "messages", messages };
  }
  const others = (await reader.ids()).filter((id) => !given.has(id));
  for await (const messages of reader.readMany(others)) {
    if (stop.aborted) return;
    yield { kind: "messages", messages };
  }
  yield { kind: "read" };
}
