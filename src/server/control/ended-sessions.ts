/** Sessions that ended because another host froze their login: whoever froze it asks this host a moment later how many. */

/** Milliseconds. Our choice: a busy database tells one of the two later. */
const remembered = 10_000;

export interface SessionsEnded {
  /** Ends those of `login`, and gives how many there were. */
  readonly end: (login: string) => number;
  /** How many ended just now and were not asked for yet. */
  readonly take: (login: string) => number;
}

/** `now` is in milliseconds. */
export function newEndedSessions(endSessions: (login: string) => number, now: () => number): SessionsEnded {
  const lately = new Map<string, { readonly at: number; readonly count: number }>();
  return {
    end(login) {
      const count = endSessions(login);
      for (const [name, { at }] of lately) if (now() - at > remembered) lately.delete(name);
      if (count > 0) lately.set(login, { at: now(), count });
      return count;
    },
    take(login) {
      const found = lately.get(login);
      lately.delete(login);
      return found !== undefined && now() - found.at <= remembered ? found.count : 0;
    },
  };
}
