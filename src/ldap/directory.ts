/** What a directory is to the rest of the program: how to get in, what can be asked of it. connection.ts makes one. */
import type { SecureContext } from "node:tls";
import type { Entry } from "./entry.ts";

/** As whom to log in. EXTERNAL is who the Unix socket or the client certificate says one is (RFC 4422 appendix A). */
export type Login =
  | { readonly kind: "simple"; readonly dn: string; readonly password: string }
  | { readonly kind: "external" }
  | { readonly kind: "anonymous" };

/** The way to a directory and into it; made from the settings by `readAccess()` in access.ts. */
export interface Access {
  /** Tried in this order until one can be reached. */
  readonly urls: readonly string[];
  /** Whether ldap:// becomes TLS before anything is said. */
  readonly starttls: boolean;
  /** Whom to trust, and our own certificate, if any. */
  readonly context: SecureContext;
  readonly login: Login;
  /** Milliseconds: for one step, and for everything from the first to the last. */
  readonly timeout: number;
  readonly deadline: number;
}

export interface Search {
  readonly base: string;
  readonly scope: "base" | "one" | "sub";
  readonly filter: string;
  readonly attributes: readonly string[];
  readonly pageSize: number;
}

/** A part of a search's result. `referrals` are URLs of directories that hold more; nobody follows them. */
export interface Page {
  readonly entries: readonly Entry[];
  readonly referrals: readonly string[];
}

/**
 * A directory that has let us in. Every call ends within `Access.timeout`; each throws a Refusal where the
 * directory says no, and a Failure (69 or 75) where it is not to be had.
 */
export interface Directory {
  /** Which of the URLs it is. */
  readonly url: string;
  /** RFC 4532: as whom it knows us, "dn:uid=…"; "" is nobody, undefined where it cannot tell. */
  whoami(): Promise<string | undefined>;
  /** Page by page. An empty page ends the search, even where the directory has more: the caller must look. */
  pages(search: Search): AsyncGenerator<Page>;
  /** The entry itself, or undefined where there is none (or none to be seen). */
  read(dn: string, attributes: readonly string[]): Promise<Entry | undefined>;
  /** Replaces all values of `attribute`; resolves when the directory has said that it is done. */
  replace(dn: string, attribute: string, values: readonly string[]): Promise<void>;
}
