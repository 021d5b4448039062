/** What the history tells of logins: what each sent, and what went wrong. Pure. */
import { isPositive } from "../../smtp/reply.ts";
import type { HistoryEvent } from "./event.ts";

export interface LoginSummary {
  readonly login: string;
  readonly messages: number;
  readonly recipients: number;
  readonly octets: number;
  /** Recipients, tries of them: taken by a next hop, refused for good. */
  readonly delivered: number;
  readonly returned: number;
  /** Mail that was refused to it, and limits that it reached. */
  readonly refused: number;
  readonly wrongPasswords: number;
  /** The last time that it was let in. */
  readonly lastLogin: Extract<HistoryEvent, { readonly event: "auth-accepted" }> | undefined;
  /** The last refusals, of mail and of passwords, oldest first. */
  readonly lastRefusals: readonly HistoryEvent[];
}

/** Refusals that are kept of each login. Our choice: they fit on a screen. */
const mostRefusals = 5;

const nothing = (login: string): LoginSummary => ({
  login,
  messages: 0,
  recipients: 0,
  octets: 0,
  delivered: 0,
  returned: 0,
  refused: 0,
  wrongPasswords: 0,
  lastLogin: undefined,
  lastRefusals: [],
});

/**
 * By login, all that `events`, oldest first, tell. Wrong passwords for names that nobody has are counted as well. `nameOf` gives
 * one name for all spellings of a login.
 */
export async function summarizeLogins(
  events: AsyncIterable<HistoryEvent>,
  nameOf: (login: string) => string = (login) => login,
): Promise<ReadonlyMap<string, LoginSummary>> {
  const tally = newLoginTally(nameOf);
  for await (const event of events) tally.add(event);
  return tally.logins;
}

export interface LoginTally {
  /** Oldest first. */
  readonly add: (event: HistoryEvent) => void;
  readonly logins: ReadonlyMap<string, LoginSummary>;
}

/** `nameOf` as above. */
export function newLoginTally(nameOf: (login: string) => string = (login) => login): LoginTally {
  const logins = new Map<string, LoginSummary>();
  /** Who sent a message, until it is done with. */
  const senders = new Map<string, string>();
  return {
    logins,
    add(event) {
      if (event.event === "accepted" && event.login !== undefined) senders.set(event.id, event.login);
      const written =
        "login" in event ? event.login : "id" in event ? senders.get(event.id ?? "") : undefined;
      if (event.event === "removed") senders.delete(event.id);
      if (written === undefined || written === "") return;
      const login = nameOf(written);
      const before = logins.get(login) ?? nothing(login);
      logins.set(login, { ...before, ...changes(before, event) });
    },
  };
}

function changes(before: LoginSummary, event: HistoryEvent): Partial<LoginSummary> {
  const refusals = () => [...before.lastRefusals, event].slice(-mostRefusals);
  switch (event.event) {
    case "accepted":
      return {
        messages: before.messages + 1,
        recipients: before.recipients + event.recipients,
        octets: before.octets + event.size,
      };
    case "delivery":
      if (isPositive(event.reply)) return { delivered: before.delivered + 1 };
      return event.reply.code >= 500 ? { returned: before.returned + 1 } : {};
    case "auth-accepted":
      return { lastLogin: event };
    case "auth-failed":
      return { wrongPasswords: before.wrongPasswords + 1, lastRefusals: refusals() };
    case "auth-braked":
    case "auth-frozen":
    case "auth-in-vain":
      return { lastRefusals: refusals() };
    case "limit-reached":
    case "reject":
      return { refused: before.refused + 1, lastRefusals: refusals() };
    default:
      return {};
  }
}
