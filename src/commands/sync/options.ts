/** The options of `tpa-submit sync`. */
import { command, flag, type OptionsOf, value } from "../../cli/options.ts";

export const line = command({
  name: "sync",
  summary: "Bring the accounts of the directory into the password file.",
  options: {
    config: value("-c, --config <file>", "Configuration file.", "/etc/tpa-submit/tpa-submit.toml"),
    once: flag("--once", "Run once and end, which is what it does without this option, too."),
    watch: flag("--watch", "Keep on: ask every few seconds, and bring each change at once."),
    dryRun: flag("-n, --dry-run", "Only say what would change, and why."),
    explain: value("--explain <user>", "Tell everything that decides whether a user can log in."),
    json: flag("--json", "Print JSON."),
    quiet: flag("-q, --quiet", "Say nothing when all is well."),
    verbose: flag("-v, --verbose", "Name who is left out as well, and why."),
    allowShrink: flag("--allow-shrink", "This once, let more logins go than sync.largest-loss."),
    allowEmpty: flag("--allow-empty", "This once, write a file without anybody."),
    allowPartial: flag("--allow-partial", "This once, take a result that was cut short."),
    allowReferral: flag("--allow-referral", "This once, do without what another directory holds."),
    allowAnonymous: flag("--allow-anonymous", "This once, take what a directory shows to nobody."),
  },
  arguments: {},
  examples: [
    "tpa-submit sync",
    "tpa-submit sync --dry-run --verbose",
    "tpa-submit sync --explain user1",
    "tpa-submit sync --watch",
    "tpa-submit sync --allow-shrink",
  ],
});

export type SyncOptions = OptionsOf<typeof line.options>;
