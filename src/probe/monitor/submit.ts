/** A probe's message handed to the submission server, by the same conversation that `tpa-submit probe` has. */

import { type Outcome, statusOf } from "../exit-status.ts";
import type { Fate } from "../result.ts";
import type { World } from "../transaction/session.ts";
import { type Door, loginBy, runErrand } from "../transaction/smtp-check.ts";
import type { Recorded } from "../transcript/journal.ts";
import { withoutSecrets } from "../untrusted-text.ts";

/** Where a message is handed over, and as whom. */
export interface Entrance extends Door {
  /** Absent: nobody logs in. */
  readonly login?: { readonly user: string; readonly password: string };
}

export interface Envelope {
  readonly from: string;
  readonly to: string;
  /** RFC 3461. */
  readonly envid: string;
}

export type Submitted =
  | { readonly kind: "submitted" /** Milliseconds. */; readonly took: number }
  | Extract<Fate, { readonly kind: "refused" | "down" }>;

/** Where the server has said no to the sender or the message, and not merely failed to talk. */
const refusals: readonly Outcome[] = ["auth", "mail", "rcpt", "data", "message"];

/** Hands `message` over inside verified TLS; what went wrong is told as the message's fate. */
export async function submit(
  entrance: Entrance,
  envelope: Envelope,
  message: Buffer,
  world: World,
): Promise<Submitted> {
  const { login } = entrance;
  const { from, to, envid } = envelope;
  const begun = world.clock();
  const { recorded, status } = await runErrand(
    entrance,
    {
      protocol: { from, to: [to], envid },
      ...(login && { auth: loginBy([], login.user, login.password) }),
      data: { octets: stuffed(message), fixup: true },
    },
    world,
  );
  if (status === 0) return { kind: "submitted", took: Math.round(world.clock() - begun) };
  return whyNot(status, recorded, login ?? { user: "", password: "" });
}

/** What a conversation with the exit status `status`, which is not 0, means for the message. */
export function whyNot(
  status: number,
  recorded: Recorded,
  { user, password }: { readonly user: string; readonly password: string },
): Extract<Fate, { readonly kind: "refused" | "down" }> {
  const refused = refusals.some((outcome) => statusOf(outcome) === status);
  const last = recorded.steps.findLast(
    ({ at, expected, reply }) => at !== "QUIT" && !expected && reply.length > 0,
  );
  if (refused && last)
    return {
      kind: "refused",
      step: stepName(last),
      reply: withoutSecrets(last.reply.at(-1) ?? "", user, password),
    };
  return { kind: "down", reason: withoutSecrets(reasonOf(recorded), user, password) };
}

/** What was said, where a password may be: its verb only. */
const stepName = ({ at, sent }: Recorded["steps"][number]): string =>
  at === "DOT"
    ? "end of DATA"
    : at === "AUTH"
      ? "AUTH"
      : /^[A-Z]+( FROM| TO)?/i.exec(sent ?? "")?.[0]?.toUpperCase() || at;

function reasonOf({ steps, server, errors }: Recorded): string {
  const last = steps.findLast(({ at, expected }) => at !== "QUIT" && !expected);
  const said = last?.reply.at(-1);
  const words =
    said ??
    errors.at(-1) ??
    (last?.late === true ? `no answer in time (${last.at})` : "the connection broke");
  return `${server === undefined ? "" : `${server}: `}${words.replace(/\s+/g, " ")}`;
}

/** RFC 5321 section 4.5.2. */
const stuffed = (message: Buffer): Buffer =>
  Buffer.from(message.toString("latin1").replace(/^\./gm, ".."), "latin1");
