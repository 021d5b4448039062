/** Whether somebody is who they say: the answer of everything here that checks. */
export type Verdict =
  /** `login` is the canonical local name: lower case, without a domain. */
  { readonly kind: "accepted"; readonly login: string } | Rejected | Unavailable;

export interface Rejected {
  readonly kind: "rejected";
  /** For the log and never for the client. */
  readonly reason: string;
  /** There is such a login, but nothing that could be shown would be right: no guess at its password. */
  readonly isVain?: true;
}

/** Nobody's fault at the other end: no file was ever read, too many checks wait, a worker died. 454 to the client. */
export interface Unavailable {
  readonly kind: "unavailable";
  readonly reason: string;
}

export const neverRead: Unavailable = { kind: "unavailable", reason: "no password file could be read yet" };
