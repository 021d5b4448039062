/** The commands of a session counted, as Postfix's `disconnect` line shows them: `ehlo=2 auth=0/1 commands=2/3`. */

interface Count {
  readonly good: number;
  readonly all: number;
}

export type Tally = ReadonlyMap<string, Count>;

// Postfix's order.
const shown = [
  "EHLO",
  "HELO",
  "STARTTLS",
  "AUTH",
  "MAIL",
  "RCPT",
  "DATA",
  "RSET",
  "NOOP",
  "VRFY",
  "HELP",
  "QUIT",
];

/** Counts one more; what is no verb of ours counts as "unknown". */
export function counted(tally: Tally, verb: string, good: boolean): Tally {
  const name = shown.includes(verb) ? verb : "unknown";
  const before = tally.get(name) ?? { good: 0, all: 0 };
  return new Map(tally).set(name, { good: before.good + (good ? 1 : 0), all: before.all + 1 });
}

export function formatTally(tally: Tally): string {
  const rows = [...shown, "unknown"].flatMap((name) => {
    const count = tally.get(name);
    return count ? [`${name.toLowerCase()}=${share(count)}`] : [];
  });
  const total = [...tally.values()].reduce(
    (sum, { good, all }) => ({ good: sum.good + good, all: sum.all + all }),
    { good: 0, all: 0 },
  );
  return [...rows, `commands=${share(total)}`].join(" ");
}

const share = ({ good, all }: Count): string => (good === all ? `${all}` : `${good}/${all}`);
