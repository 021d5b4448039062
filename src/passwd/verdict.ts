/** Whether somebody is who they say: the answer of everything here that checks. */
export type Verdict =
  /** `login` is the canonical local name: lower case, without a domain. */
  | { readonly kind: "accepted"; readonly login: string }
  /** `reason` is for the log and never for the client. */
  | { readonly kind: "rejected"; readonly reason: string }
  | Unavailable;

/** Nobody's fault at the other end: no file was ever read, too many checks wait, a worker died. 454 to the client. */
export interface Unavailable {
  readonly kind: "unavailable";
  readonly reason: string;
}

export const neverRead: Unavailable = { kind: "unavailable", reason: "no password file could be read yet" };
