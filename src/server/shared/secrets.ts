/** Keys that all hosts of a database have: what one of them writes as a digest, the others recognize. */
import { randomBytes } from "node:crypto";
import type { Database } from "../../postgres/database.ts";

export type SecretName = "usage" | "guesses";

/** The key `name`, made by whoever asks first. Throws as a query does. */
export async function sharedKey({ query }: Pick<Database, "query">, name: SecretName): Promise<Buffer> {
  // A statement of its own: whoever waited for another host's INSERT sees its key only in the next one.
  await query("INSERT INTO secrets (name, key) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING", [
    name,
    randomBytes(32),
  ]);
  const [found] = await query<{ key: Buffer }>("SELECT key FROM secrets WHERE name = $1", [name]);
  if (!found) throw new Error(`the database has no secret ${name}`);
  return found.key;
}
