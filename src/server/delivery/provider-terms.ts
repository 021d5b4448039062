/**
 * How much a large receiver takes from a small sender at a time: all domains whose MX hosts are its own count together, because
 * it counts so. Most publish nothing; the figures are our choices, below what postmasters report to be punished.
 */
import { providerOf, providers } from "../../smtp/providers.ts";

export interface ProviderTerms {
  /** Google's Gmail and Workspace are one, and so are Microsoft's. */
  readonly name: string;
  /** Deliveries under way to all its domains together, at most. */
  readonly concurrency: number;
  /** Messages in one session. */
  readonly messages: number;
  /** The first pause after it has asked us to slow down, in milliseconds; each further one in a row is twice as long. */
  readonly pause: number;
}

type Terms = Omit<ProviderTerms, "name">;

const minute = 60_000;

const terms = (concurrency: number, messages: number, minutes: number): Terms => ({
  concurrency,
  messages,
  pause: minutes * minute,
});

/** For those without a row. */
const standard = terms(10, 50, 5);

const rows: Readonly<Record<string, Terms>> = {
  Google: terms(10, 100, 10),
  Microsoft: terms(5, 20, 15),
  Yahoo: terms(5, 20, 10), // it says 421 at some number of messages in a session
  Apple: terms(5, 50, 10),
  "United Internet": terms(5, 50, 15),
  Telekom: terms(3, 20, 15),
  Comcast: terms(10, 50, 10), // publishes 25 connections from an address
  Orange: terms(2, 50, 15),
  "La Poste": terms(2, 50, 15),
};

/** Whose host `host` is, with all domains of which it is to be dealt as one. */
function groupOf(host: string): string | undefined {
  const found = providerOf(host);
  return found && (found.wording ?? found.name);
}

/** The names that settings may change the terms of. */
export const providerNames: readonly string[] = [
  ...new Set(providers.map(({ name, wording }) => wording ?? name)),
];

/** A row of the settings: what it does not say stays as it is. */
export interface ProviderChange extends Partial<Terms> {
  readonly name: string;
  /** Ends of its hosts' names, whole labels in lower case, besides those that are known. */
  readonly hosts: readonly string[];
}

/** The terms of whoever owns a host; undefined where that is nobody known. */
export type ProviderLookup = (host: string) => ProviderTerms | undefined;

export function newProviderLookup(changes: readonly ProviderChange[]): ProviderLookup {
  const known = new Map<string, ProviderTerms>();
  const termsOf = (name: string): ProviderTerms => {
    const found = known.get(name);
    if (found) return found;
    const { hosts: _, ...change } = changes.find((one) => one.name === name) ?? { hosts: [] };
    const made = { ...standard, ...rows[name], ...change, name };
    known.set(name, made);
    return made;
  };
  const ends = changes.flatMap(({ name, hosts }) => hosts.map((end) => ({ name, end })));
  return (host) => {
    const written = host.toLowerCase();
    const own = ends.find(({ end }) => written === end || written.endsWith(`.${end}`));
    const name = own?.name ?? groupOf(written);
    return name === undefined ? undefined : termsOf(name);
  };
}

/** Asked once the hosts of a destination are known: whether a delivery may go on to them now. */
export type ProviderAdmission = (provider: ProviderTerms | undefined) => boolean;
