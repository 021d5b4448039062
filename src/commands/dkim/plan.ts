/** Which keys change their state, and when the old ones may go. Pure. */
import type { Config } from "../../config/settings.ts";
import type { KeyOnDisk } from "./folder.ts";

export interface Rotation {
  /** The newest of each kind: they sign afterwards. The DNS must have all of them. */
  readonly signing: readonly KeyOnDisk[];
  /** Those of them that do not sign yet. */
  readonly activated: readonly KeyOnDisk[];
  /** Those that sign no more. */
  readonly retired: readonly KeyOnDisk[];
}

/**
 * What a rotation does with the keys of one domain; undefined where there is nothing to do. One that was cut short leaves
 * keys of two generations that sign, and is completed by the next.
 */
export function planRotation(keys: readonly KeyOnDisk[]): Rotation | undefined {
  const candidates = keys.filter(({ state }) => state.name !== "retired");
  const signing = (["rsa", "ed25519"] as const).flatMap((kind) => {
    const own = candidates.filter((key) => key.kind === kind);
    return own.filter(({ state }) => state.name === "new").at(-1) ?? own.at(-1) ?? [];
  });
  const activated = signing.filter(({ state }) => state.name === "new");
  const retired = candidates.filter((key) => key.state.name === "active" && !signing.includes(key));
  return activated.length + retired.length === 0 ? undefined : { signing, activated, retired };
}

const day = 86_400_000;

/**
 * Milliseconds for which the record of a key must stay when it has ceased to sign: a next hop may keep a message as long as
 * we would, and receivers look when it comes. Our choice: a day more.
 */
export const afterlife = ({ spool }: Pick<Config, "spool">): number =>
  Math.max(spool.lifetime, spool["report-lifetime"]) + day;

/** When the record of `key` may go, in milliseconds since the epoch; undefined where it has not ceased to sign. */
export const mayGoAt = (
  { state }: Pick<KeyOnDisk, "state">,
  config: Pick<Config, "spool">,
): number | undefined => (state.name === "retired" ? state.since + afterlife(config) : undefined);

/** Selectors with the date `at`, and a letter where that is taken: 20261129-rsa, 20261129b-rsa. */
export function newSelectors(
  at: number,
  taken: readonly string[],
): { readonly rsa: string; readonly ed25519: string } {
  const date = new Date(at).toISOString().slice(0, 10).replaceAll("-", "");
  for (const letter of ["", ..."bcdefghijklmnopqrstuvwxyz".split("")]) {
    const found = { rsa: `${date}${letter}-rsa`, ed25519: `${date}${letter}-ed25519` };
    if (!taken.includes(found.rsa) && !taken.includes(found.ed25519)) return found;
  }
  const found = `${date}-${at}`; // nobody needs as many in a day
  return { rsa: `${found}-rsa`, ed25519: `${found}-ed25519` };
}
