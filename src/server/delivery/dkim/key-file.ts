/**
 * The name of a key's file tells its selector, its kind and its state. A change of state is one rename, so a crash leaves
 * a key in the one state or in the other:
 *
 * | name                                  | state   |                                                                |
 * |---------------------------------------|---------|----------------------------------------------------------------|
 * | 20261129-rsa.rsa.pem.new              | new     | made; its record is to be published                            |
 * | 20261129-rsa.rsa.pem                  | active  | signs                                                          |
 * | 20261129-rsa.rsa.pem.retired-MOMENT   | retired | signs no more; mail that it signed is under way, so the record stays |
 */
import type { KeyKind } from "../../../smtp/dkim/record.ts";

export type KeyState =
  | { readonly name: "new" | "active" }
  /** `since` when, in milliseconds since the epoch. */
  | { readonly name: "retired"; readonly since: number };

export interface KeyFileName {
  readonly selector: string;
  readonly kind: KeyKind;
  readonly state: KeyState;
}

const domainName = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)+$/;

/** Whether a folder of this name has the keys of a domain: A-labels, lower case. */
export const isDomainName = (name: string): boolean => name.length <= 253 && domainName.test(name);

const fileName = /^([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)\.(rsa|ed25519)\.pem(\.new|\.retired-(\d{8}T\d{6}Z))?$/;

/** Undefined where it is no key's. */
export function readKeyFileName(name: string): KeyFileName | undefined {
  const [, selector, kind, ending, moment = ""] = fileName.exec(name) ?? [];
  if (selector === undefined || (kind !== "rsa" && kind !== "ed25519")) return undefined;
  if (ending === undefined) return { selector, kind, state: { name: "active" } };
  if (ending === ".new") return { selector, kind, state: { name: "new" } };
  const since = Date.parse(moment.replace(/^(....)(..)(..T..)(..)/, "$1-$2-$3:$4:"));
  return Number.isNaN(since) ? undefined : { selector, kind, state: { name: "retired", since } };
}

export function writeKeyFileName({ selector, kind, state }: KeyFileName): string {
  const name = `${selector}.${kind}.pem`;
  if (state.name !== "retired") return state.name === "active" ? name : `${name}.new`;
  const moment = new Date(state.since).toISOString().replace(/\.\d+/, "").replaceAll(/[-:]/g, "");
  return `${name}.retired-${moment}`;
}
