/**
 * The program's front: one row per command, each imported only when it is called, and the way out of a failure.
 */
import { print } from "./cli/output.ts";
import { prepareHelp } from "./cli/terminal.ts";
import { errorCode, errorText, exitStatus, Failure, nearest } from "./failure.ts";
import { version } from "./version.ts";

interface ProgramCommand {
  readonly summary: string;
  readonly load: () => Promise<{ readonly run: (argv: readonly string[]) => Promise<number> }>;
}

export const commands: Readonly<Record<string, ProgramCommand>> = {
  serve: {
    summary: "Take mail from people who log in, and deliver it.",
    load: () => import("./commands/serve.ts"),
  },
  init: {
    summary: "Set up a relay: configuration, folders, a first login.",
    load: () => import("./commands/init.ts"),
  },
  check: {
    summary: "Look at all that the relay needs, and say what to do.",
    load: () => import("./commands/check.ts"),
  },
  sync: {
    summary: "Bring the accounts of LDAP into the password file.",
    load: () => import("./commands/sync.ts"),
  },
  queue: {
    summary: "See what waits to be delivered, and steer it.",
    load: () => import("./commands/queue.ts"),
  },
  status: {
    summary: "Tell whether the relay is well, on one screen.",
    load: () => import("./commands/status.ts"),
  },
  login: {
    summary: "See all about a login, shut it out, let it in.",
    load: () => import("./commands/login.ts"),
  },
  dkim: {
    summary: "Make, publish, rotate and retire the keys that sign mail.",
    load: () => import("./commands/dkim.ts"),
  },
  trace: {
    summary: "Tell what became of a message.",
    load: () => import("./commands/trace.ts"),
  },
  spool: {
    summary: "Change the spool as a whole, for the version before.",
    load: () => import("./commands/spool.ts"),
  },
  probe: {
    summary: "Try out a mail server, with the command line of swaks.",
    load: () => import("./commands/probe.ts"),
  },
  passwd: {
    summary: "Make, check and set password hashes.",
    load: () => import("./commands/passwd.ts"),
  },
  settings: {
    summary: "Tell what to type into a mail client, and write its files.",
    load: () => import("./commands/settings.ts"),
  },
  portal: {
    summary: "Serve the pages where people get a password.",
    load: () => import("./commands/portal.ts"),
  },
  sendmail: {
    summary: "Take mail of this host's programs, as sendmail(8).",
    load: () => import("./commands/sendmail.ts"),
  },
  ssh: {
    summary: "Let people send by their SSH keys, without a password.",
    load: () => import("./commands/ssh.ts"),
  },
  completion: {
    summary: "Print what completes the commands and options in a shell.",
    load: () => import("./commands/completion.ts"),
  },
};

const overview = `Usage: tpa-submit <command> [options]

The outgoing mail server that an organisation's people log in to.

Commands:
${Object.entries(commands)
  .map(([name, { summary }]) => `  ${name.padEnd(10)} ${summary}`)
  .join("\n")}

Options:
  --version  Print the version.
  --help     Print this text; "tpa-submit <command> --help" tells about a command.

The manual begins at tpa-submit(1).
`;

/** Runs the command that `argv` names and returns the exit status (man/tpa-submit.1, EXIT STATUS). */
export async function main(argv: readonly string[]): Promise<number> {
  const [name = "", ...rest] = argv;
  if (name === "--version" || name === "-V") return told(`tpa-submit ${version}\n`);
  if (name === "--help" || name === "-h" || (name === "help" && rest.length === 0)) return told(overview);
  if (name === "help") return main([...rest.slice(0, 1), "--help"]);
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command === undefined) return unknown(name);
  try {
    await prepareHelp(rest);
    const { run } = await command.load();
    return await run(rest);
  } catch (error) {
    return explain(name, error);
  }
}

function told(text: string): number {
  print(text);
  return exitStatus.ok;
}

function unknown(name: string): number {
  const names = Object.keys(commands);
  const meant = nearest(name, names);
  const known = meant === undefined ? `it knows ${names.join(", ")}` : `did you mean "${meant}"?`;
  const what = name === "" ? "expected a command" : `there is no command "${name}"`;
  process.stderr.write(`tpa-submit: ${what}; ${known}; see tpa-submit --help\n`);
  return exitStatus.usage;
}

function explain(name: string, error: unknown): number {
  if (error instanceof Failure) {
    for (const line of error.message.split("\n")) process.stderr.write(`tpa-submit ${name}: ${line}\n`);
    return error.status;
  }
  // The database that hosts share went away meanwhile.
  if (errorCode(error) === "ESTOREAWAY") {
    process.stderr.write(`tpa-submit ${name}: ${errorText(error)}\n`);
    return exitStatus.temporary;
  }
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stderr.write(
    `tpa-submit ${name}: a fault of the program itself; please report these lines:\n${stack}\n`,
  );
  return exitStatus.software;
}
