/** The steps that --quit-after, --drop-after, --drop-after-send and --raw-line name. */
import type { Stop } from "../plan.ts";

/** Step -> its names. */
const names = {
  PROXY: ["PROXY"],
  CONNECT: ["CONNECT", "BANNER"],
  "FIRST-HELO": ["FIRST-HELO", "FIRST-EHLO", "FIRST-LHLO"],
  XCLIENT: ["XCLIENT"],
  "XCLIENT-HELO": ["XCLIENT-HELO", "XCLIENT-EHLO", "XCLIENT-LHLO"],
  TLS: ["TLS", "STARTTLS"],
  HELO: ["HELO", "EHLO", "LHLO"],
  AUTH: ["AUTH"],
  MAIL: ["MAIL", "FROM"],
  RCPT: ["RCPT", "TO"],
  DATA: ["DATA"],
  DOT: ["DOT"],
} as const satisfies Record<Stop, readonly string[]>;

const steps = new Map<string, Stop>();
for (const [step, known] of Object.entries(names)) for (const name of known) steps.set(name, step as Stop);

/** The step that `text` names, in any case. */
export const stopOf = (text: string): Stop | undefined => steps.get(text.toUpperCase());

/** Whether a run that stops there needs no recipient. */
export const needsNoRecipient = (stop: Stop): boolean => !["RCPT", "DATA", "DOT"].includes(stop);
