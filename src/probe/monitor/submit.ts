/** Submits a probe's message, through the same SMTP client as `tpa-submit probe`. */

import { type ExitReason, statusOf } from "../exit-status.ts";
import type { Fate } from "../result.ts";
import type { ProbeDependencies } from "../transaction/session.ts";
import { type CheckedServer, loginBy, runSmtpCheck } from "../transaction/smtp-check.ts";
import type { RunRecord } from "../transcript/journal.ts";
import { withoutSecrets } from "../untrusted-text.ts";

/** Where a message is submitted, and with which login. */
export interface SubmissionAccount extends CheckedServer {
  /** Absent: nobody logs in. */
  readonly login?: { readonly user: string; readonly password: string };
}

export interface ProbeEnvelope {
  readonly from: string;
  readonly to: string;
  /** RFC 3461. */
  readonly envid: string;
}

export type SubmissionResult =
  | { readonly kind: "submitted" /** Milliseconds. */; readonly took: number }
  | Extract<Fate, { readonly kind: "refused" | "down" }>;

/** The server refused the login, the envelope or the message; anything else is a failed session. */
const refusals: readonly ExitReason[] = ["auth", "mail", "rcpt", "data", "message"];

/** Submits `message` inside verified TLS; a failure is returned as the message's fate. */
export async function submit(
  account: SubmissionAccount,
  envelope: ProbeEnvelope,
  message: Buffer,
  dependencies: ProbeDependencies,
): Promise<SubmissionResult> {
  const { login } = account;
  const { from, to, envid } = envelope;
  const begun = dependencies.clock();
  const { recorded, status } = await runSmtpCheck(
    account,
    {
      protocol: { from, to: [to], envid },
      ...(login && { auth: loginBy([], login.user, login.password) }),
      data: { octets: stuffed(message), fixup: true },
    },
    dependencies,
  );
  if (status === 0) return { kind: "submitted", took: Math.round(dependencies.clock() - begun) };
  return submissionFailure(status, recorded, login ?? { user: "", password: "" });
}

/** What a session with the exit status `status`, which is not 0, means for the message. */
export function submissionFailure(
  status: number,
  recorded: RunRecord,
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

/** The verb of the command alone, as the rest may hold a password. */
const stepName = ({ at, sent }: RunRecord["steps"][number]): string =>
  at === "DOT"
    ? "end of DATA"
    : at === "AUTH"
      ? "AUTH"
      : /^[A-Z]+( FROM| TO)?/i.exec(sent ?? "")?.[0]?.toUpperCase() || at;

function reasonOf({ steps, server, errors }: RunRecord): string {
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
