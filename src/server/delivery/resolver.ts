/**
 * The questions that routing asks the DNS, and a small memory for the answers. Who is asked is the caller's:
 * a `Resolver` of node:dns/promises fits, and so does a table in a test.
 */
import { errorCode } from "../../failure.ts";

export interface MailExchanger {
  /** Host name; "" is the null MX (RFC 7505). */
  readonly exchange: string;
  /** Lower comes first. */
  readonly priority: number;
}

/** Each function rejects with the error codes of node:dns. */
export interface Resolver {
  resolveMx(domain: string): Promise<readonly MailExchanger[]>;
  resolve4(host: string): Promise<readonly string[]>;
  resolve6(host: string): Promise<readonly string[]>;
}

/**
 * What came of a question: `nothing` is a name without such records, `unknown` a name that does not exist.
 */
export type Answer<Value> =
  | { readonly kind: "found"; readonly values: readonly Value[] }
  | { readonly kind: "nothing" | "unknown" }
  | { readonly kind: "trouble"; readonly reason: string };

/** Waits for `question` and sorts what came of it; only "trouble" is worth asking again. */
export async function answerTo<Value>(question: Promise<readonly Value[]>): Promise<Answer<Value>> {
  try {
    const values = await question;
    // A CNAME to a name without such records comes as an empty list.
    return values.length === 0 ? { kind: "nothing" } : { kind: "found", values };
  } catch (error) {
    const code = errorCode(error);
    if (code === "ENODATA") return { kind: "nothing" };
    if (code === "ENOTFOUND" || code === "EBADNAME") return { kind: "unknown" };
    if (code === "") throw error;
    return { kind: "trouble", reason: code };
  }
}

/**
 * node:dns tells no time to live for MX, so one time serves all: long enough for a burst, short for a change.
 */
const foundFor = 5 * 60_000;
const missingFor = 60_000;
const largest = 5000;

/** `resolver` with a memory; trouble is never remembered. `now` in milliseconds. */
export function remembering(resolver: Resolver, now: () => number): Resolver {
  return {
    resolveMx: remember((domain) => resolver.resolveMx(domain), now),
    resolve4: remember((host) => resolver.resolve4(host), now),
    resolve6: remember((host) => resolver.resolve6(host), now),
  };
}

function remember<Value>(
  ask: (name: string) => Promise<readonly Value[]>,
  now: () => number,
): (name: string) => Promise<readonly Value[]> {
  const answers = new Map<string, { readonly answer: Promise<readonly Value[]>; until: number }>();
  return (name) => {
    const known = answers.get(name);
    if (known && known.until > now()) return known.answer;
    const answer = ask(name);
    const entry = { answer, until: now() + foundFor };
    answers.delete(name); // so that it is the youngest when the oldest is dropped
    answers.set(name, entry);
    for (const oldest of answers.keys()) {
      if (answers.size <= largest) break;
      answers.delete(oldest);
    }
    answer.catch((error: unknown) => {
      const lasting = ["ENODATA", "ENOTFOUND"].includes(errorCode(error));
      entry.until = lasting ? now() + missingFor : 0; // whoever asked is told through `answer`
    });
    return answer;
  };
}
