/** The run in one line for people who watch, and as a value for programs. */
import { daysLeft, endOf } from "../tls/certificate.ts";
import { meanings } from "../transaction/exit.ts";
import type { Recorded, Step } from "./journal.ts";

const meaningOf = (status: number): string =>
  Object.values(meanings).find(([number]) => number === status)?.[1] ?? "";

/** `delivered (250 2.0.0 Ok): mail.example.org:587, TLSv1.3, PLAIN, 0.42 s`. `took` is in milliseconds. */
export function summary(recorded: Recorded, status: number, took: number): string {
  const { server, tls, auth, errors } = recorded;
  const facts = [server, tls?.version, auth, `${(took / 1000).toFixed(2)} s`].filter(
    (fact) => fact !== undefined,
  );
  return `${outcome(recorded, status, errors)}: ${facts.join(", ")}`;
}

function outcome({ steps }: Recorded, status: number, errors: readonly string[]): string {
  const message = steps.findLast(({ at }) => at === "DOT");
  if (status === 0) return message === undefined ? "done" : `delivered (${lastLine(message)})`;
  const refusal = steps.findLast(({ at, expected }) => at !== "QUIT" && !expected);
  const reason = refusal === undefined || refusal.reply.length === 0 ? errors.at(-1) : lastLine(refusal);
  return `failed, status ${status} (${reason?.replaceAll("\n\t", " ") ?? meaningOf(status)})`;
}

/** On a terminal nothing of it may be obeyed. */
const lastLine = ({ reply }: Step): string => (reply.at(-1) ?? "").replace(/\p{Cc}/gu, "?").slice(0, 200);

/** What --json prints. `now` and `took` are in milliseconds, since the epoch and of the run. */
export function asJson(
  recorded: Recorded,
  status: number,
  now: number,
  took: number,
): Readonly<Record<string, unknown>> {
  const { tls } = recorded;
  return {
    status,
    meaning: meaningOf(status),
    server: recorded.server,
    milliseconds: Math.round(took),
    ...(tls === undefined
      ? {}
      : {
          tls: {
            version: tls.version,
            cipher: tls.cipher,
            bits: tls.bits,
            trusted: tls.distrust === undefined,
            distrust: tls.distrust,
            host: tls.host,
            hostMatches: tls.hostMatches,
            dane: recorded.dane,
            chain: tls.peer.map((certificate) => ({
              subject: certificate.subject,
              issuer: certificate.issuer,
              alternativeNames: certificate.subjectAltName,
              notAfter: endOf(certificate),
              daysLeft: daysLeft(certificate, now),
              sha256: certificate.fingerprint256.replaceAll(":", "").toLowerCase(),
            })),
          },
        }),
    auth: recorded.auth,
    steps: recorded.steps,
    errors: recorded.errors,
  };
}
