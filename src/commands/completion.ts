/** `tpa-submit completion`: the script with which a shell completes every command. man/tpa-submit.1 */
import {
  type CompletedCommand,
  type CompletedOption,
  completedCommand,
  firstSentence,
  shells,
} from "../cli/completion.ts";
import { argument, command, parseOptions, usageMistake } from "../cli/options.ts";
import { print } from "../cli/output.ts";
import type { CommandGroup, Subcommand } from "../cli/subcommands.ts";
import { exitStatus } from "../failure.ts";

export const line = command({
  name: "completion",
  summary: "Print what completes the commands and options in a shell.",
  options: {},
  arguments: { shell: argument("<shell>", "bash, zsh or fish.", Object.keys(shells)) },
  examples: [
    "tpa-submit completion bash > /etc/bash_completion.d/tpa-submit",
    "tpa-submit completion zsh > /usr/local/share/zsh/site-functions/_tpa-submit",
    "tpa-submit completion fish > ~/.config/fish/completions/tpa-submit.fish",
  ],
});

export async function run(argv: readonly string[]): Promise<number> {
  const chosen = parseOptions(line, argv);
  if (!chosen) return exitStatus.ok;
  const { shell } = chosen.arguments;
  const write = Object.hasOwn(shells, shell) ? shells[shell] : undefined;
  if (!write) throw usageMistake(line.name, `expected bash, zsh or fish, found ${JSON.stringify(shell)}`);
  print(write(await everything()));
  return exitStatus.ok;
}

/** Each command with all that it takes; a test sees to it that none is missing. */
export const commands: Readonly<Record<string, () => Promise<CompletedCommand>>> = {
  serve: async () => completedCommand((await import("./serve.ts")).serve),
  init: async () => completedCommand((await import("./init/options.ts")).line),
  check: async () => completedCommand((await import("./check/options.ts")).line),
  sync: async () => completedCommand((await import("./sync/options.ts")).line),
  queue: async () => completedGroup((await import("./queue.ts")).group),
  status: async () => completedCommand((await import("./status.ts")).statusCommand),
  login: async () => completedGroup((await import("./login.ts")).group),
  dkim: async () => completedGroup((await import("./dkim.ts")).group),
  trace: async () => completedCommand((await import("./trace.ts")).traceCommand),
  spool: async () => completedGroup((await import("./spool.ts")).group),
  probe: async () => {
    const { subcommands } = await import("./probe.ts");
    return {
      path: "probe",
      summary: "Try out a mail server, with the command line of swaks.",
      options: await probeOptions(),
      argument: undefined,
      subcommands: await subcommandsOf(subcommands),
    };
  },
  passwd: async () => completedCommand((await import("./passwd/options.ts")).line),
  settings: async () => completedCommand((await import("./settings.ts")).settingsCommand),
  portal: async () => completedCommand((await import("./portal.ts")).portalCommand),
  sendmail: async () => ({
    path: "sendmail",
    summary: (await import("./sendmail.ts")).summary,
    options: (await import("./sendmail/options.ts")).rows.map(({ letter, value, help }) => ({
      names: [`-${letter}`],
      help: firstSentence(help),
      value: value === undefined ? undefined : ({ kind: "text" } as const),
      optional: value?.startsWith("[") === true,
    })),
    argument: { kind: "text" },
    subcommands: [],
  }),
  ssh: async () => completedGroup((await import("./ssh.ts")).group),
  completion: async () => completedCommand(line),
};

async function everything(): Promise<CompletedCommand> {
  return {
    path: "",
    summary: "",
    options: [
      { names: ["-h", "--help"], help: "Print what there is", value: undefined, optional: false },
      { names: ["-V", "--version"], help: "Print the version", value: undefined, optional: false },
    ],
    argument: undefined,
    subcommands: await Promise.all(Object.values(commands).map((completed) => completed())),
  };
}

/** Without a subcommand it takes the options of its standard one. */
async function completedGroup({
  name,
  summary,
  subcommands: rows,
  default: standard,
}: CommandGroup): Promise<CompletedCommand> {
  const subcommands = await subcommandsOf(rows);
  const usual = subcommands.find(({ path }) => path === `${name} ${standard ?? ""}`);
  return { path: name, summary, options: usual?.options ?? [], argument: undefined, subcommands };
}

const subcommandsOf = (rows: Readonly<Record<string, Subcommand>>): Promise<readonly CompletedCommand[]> =>
  Promise.all(
    Object.values(rows).map(async ({ summary, line: lineOf }) => ({
      ...completedCommand(await lineOf()),
      summary: firstSentence(summary),
    })),
  );

/** The probe has rows of its own, as swaks has options of its own. */
async function probeOptions(): Promise<readonly CompletedOption[]> {
  const { rows, writtenNames } = await import("../probe/options/table.ts");
  const { takesFile } = await import("../probe/options/help.ts");
  return rows.map((row) => ({
    names: writtenNames(row),
    help: firstSentence(row.help),
    value:
      row.argument === "none"
        ? undefined
        : takesFile(row)
          ? ({ kind: "file", at: row.file === true } as const)
          : ({ kind: "text" } as const),
    optional: row.argument === "optional",
  }));
}
