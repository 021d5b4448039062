/** `tpa-submit trace`: what became of a message, in order and in words. man/tpa-submit-trace.8 */
import {
  argument,
  command,
  flag,
  list,
  parsed,
  parseOptions,
  type ValueReader,
  value,
  wholeNumber,
} from "../cli/options.ts";
import { duration } from "../config/setting-types.ts";
import { exitStatus } from "../failure.ts";

/** "4h" ago, or a moment. */
const moment: ValueReader<number> = {
  expected: 'a time such as "4h" or "2d" ago, "2026-11-29" or "2026-11-29T12:00"',
  read: (text) => {
    const ago = duration.read(text);
    if (ago !== undefined) return Date.now() - ago;
    const isMoment = /^\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?)?$/.test(text);
    const at = isMoment ? Date.parse(text.length === 10 ? `${text}T00:00` : text) : Number.NaN;
    return Number.isNaN(at) ? undefined : at;
  },
};

export const traceCommand = command({
  name: "trace",
  summary: "Tell what became of a message.",
  options: {
    config: value("-c, --config <file>", "Configuration file.", "/etc/tpa-submit/tpa-submit.toml"),
    since: parsed("--since <time>", 'Not before: "4h" or "2d" ago, or a date.', moment),
    until: parsed("--until <time>", "Not after.", moment),
    limit: parsed("--limit <count>", "So many messages, the newest.", wholeNumber(1, 10_000), "20"),
    log: list(
      "--log <file>",
      "A mail log of the time before the history; may be given again, may end in .gz.",
    ),
    json: flag("--json", "Print a line of JSON for each message."),
  },
  arguments: {
    words: argument(
      "<word...>",
      "Queue ID, Message-ID, login, address or domain; of several words all must fit.",
    ),
  },
  examples: [
    "tpa-submit trace anna@example.net",
    "tpa-submit trace --since 2d user1 gmail.com",
    "tpa-submit trace '<20261129120000.1@example.org>' --log /var/log/mail.log --log /var/log/mail.log.1",
  ],
});

export async function run(argv: readonly string[]): Promise<number> {
  const chosen = parseOptions(traceCommand, argv);
  if (!chosen) return exitStatus.ok;
  const { traceMessages } = await import("./trace/carry-out.ts");
  return traceMessages(chosen.arguments.words, chosen.options);
}
