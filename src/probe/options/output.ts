/** What is shown and where: the options, how they are read into the plan, the --dump section. */
import type { OutputPlan } from "../plan.ts";
import type { OptionAnswers } from "./answers.ts";
import { mistake } from "./mistake.ts";
import { type DumpSection, flag, type OptionGroup } from "./option.ts";

export const outputOptions = {
  title: "Output",
  rows: [
    {
      name: "suppress-data",
      aliases: ["n"],
      argument: "none",
      help: "Tell how many lines the message has instead of showing them.",
      example: "-t bob@example.org -s mail.example.org -n",
    },
    {
      name: "show-time-lapse",
      aliases: ["stl"],
      argument: "optional",
      placeholder: "i",
      help: "Show how long each reply took; with i in whole seconds.",
      example: "-t bob@example.org -s mail.example.org -stl",
    },
    {
      name: "no-hints",
      aliases: ["nth"],
      argument: "none",
      help: "Leave out the signs in front of all lines.",
      example: "-t bob@example.org -s mail.example.org -nth",
    },
    {
      name: "no-send-hints",
      aliases: ["nsh"],
      argument: "none",
      help: "Leave out the signs in front of sent lines.",
      example: "-t bob@example.org -s mail.example.org -nsh",
    },
    {
      name: "no-receive-hints",
      aliases: ["nrh"],
      argument: "none",
      help: "Leave out the signs in front of received lines.",
      example: "-t bob@example.org -s mail.example.org -nrh",
    },
    {
      name: "no-info-hints",
      aliases: ["nih"],
      argument: "none",
      help: "Leave out the signs in front of the program's own lines.",
      example: "-s mail.example.org -tls --tls-get-peer-cert -q tls -nih",
    },
    {
      name: "show-raw-text",
      aliases: ["raw"],
      argument: "none",
      help: "Show every octet that is read or written, in hexadecimal.",
      example: "-t bob@example.org -s mail.example.org -raw",
    },
    {
      name: "output",
      aliases: ["output-file"],
      argument: "required",
      placeholder: "FILE",
      help: "Write everything into a file; &STDOUT and &STDERR stand for the usual places.",
      example: "-t bob@example.org -s mail.example.org --output probe.log",
    },
    {
      name: "output-file-stdout",
      argument: "required",
      placeholder: "FILE",
      help: "Write into a file what would go to standard output.",
      example: "-t bob@example.org -s mail.example.org --output-file-stdout probe.log",
    },
    {
      name: "output-file-stderr",
      argument: "required",
      placeholder: "FILE",
      help: "Write into a file what would go to standard error.",
      example: "-t bob@example.org -s mail.example.org --output-file-stderr '&STDOUT'",
    },
    {
      name: "protect-prompt",
      aliases: ["pp"],
      argument: "none",
      help: "Do not show a password while it is typed. The probe never does; the option is there for swaks' users.",
      example: "-t bob@example.org -s mail.example.org -p 587 -tls -au alice -ap -pp",
    },
    {
      name: "hide-receive",
      aliases: ["hr"],
      argument: "none",
      help: "Do not show what is received.",
      example: "-t bob@example.org -s mail.example.org -hr",
    },
    {
      name: "hide-send",
      aliases: ["hs"],
      argument: "none",
      help: "Do not show what is sent.",
      example: "-t bob@example.org -s mail.example.org -hs",
    },
    {
      name: "hide-informational",
      aliases: ["hi"],
      argument: "none",
      help: "Do not show the program's own lines, but for errors.",
      example: "-t bob@example.org -s mail.example.org -hi",
    },
    {
      name: "hide-all",
      aliases: ["ha"],
      argument: "none",
      help: "Show nothing; the exit status tells.",
      example: "-t bob@example.org -s mail.example.org -q rcpt -ha",
    },
    {
      name: "silent",
      aliases: ["S"],
      argument: "number",
      placeholder: "1|2|3",
      standard: "1",
      help: "1: show nothing before the first error. 2: show errors alone. 3: show nothing.",
      example: "-t bob@example.org -s mail.example.org --silent 2",
    },
    {
      name: "explain",
      argument: "none",
      help: "Tell what each step means: what the server offers, why a mechanism was chosen, the certificate, what a refusal asks for.",
      example: "-t bob@example.org -s mail.example.org --explain",
      ours: true,
    },
    {
      name: "json",
      argument: "none",
      help: "Write one JSON document instead of the transcript.",
      example: "-t bob@example.org -s mail.example.org --json",
      ours: true,
    },
    {
      name: "dump",
      argument: "optional",
      placeholder: "SECTION[,SECTION…]",
      help: "Show what the options amount to, and do nothing: support, app, output, transport, protocol, xclient, proxy, tls, auth, data or all. The password is shown, too.",
      example: "-t bob@example.org -s mail.example.org --dump transport,protocol",
    },
    {
      name: "dump-mail",
      argument: "none",
      help: "Show the message, and do nothing.",
      example: "-t bob@example.org -s mail.example.org --dump-mail",
    },
    {
      name: "support",
      argument: "none",
      help: "Show what the probe can do.",
      example: "--support",
    },
    {
      name: "version",
      argument: "none",
      help: "Show the version.",
      example: "--version",
    },
    {
      name: "help",
      argument: "none",
      help: "Show this text.",
      example: "--help",
    },
    {
      name: "completion",
      argument: "required",
      placeholder: "bash|zsh|fish",
      help: "Write a script that completes these options in a shell.",
      example: "--completion bash > /etc/bash_completion.d/tpa-submit",
      ours: true,
    },
  ],
} as const satisfies OptionGroup;

type OutputOption = (typeof outputOptions.rows)[number]["name"];

/** Where standard output and standard error go, unless an option says otherwise. */
const standard = { stdout: "&STDOUT", stderr: "&STDERR" } as const;

/** Reads the options; throws a Failure where one is wrong. */
export async function outputOf(answers: OptionAnswers<OutputOption>): Promise<OutputPlan> {
  const both = await answers.text("output");
  const shown = (name: "no-send-hints" | "no-receive-hints" | "no-info-hints"): boolean =>
    !answers.has(name) && !answers.has("no-hints");
  const timeLapse = await timeLapseOf(answers);
  return {
    suppressData: answers.has("suppress-data"),
    ...(timeLapse === undefined ? {} : { timeLapse }),
    hints: {
      send: shown("no-send-hints"),
      receive: shown("no-receive-hints"),
      info: shown("no-info-hints"),
    },
    hide: {
      send: answers.has("hide-send"),
      receive: answers.has("hide-receive"),
      info: answers.has("hide-informational"),
      all: answers.has("hide-all"),
    },
    silent: await silenceOf(answers),
    raw: answers.has("show-raw-text"),
    stdout: (await answers.text("output-file-stdout")) ?? both ?? standard.stdout,
    stderr: (await answers.text("output-file-stderr")) ?? both ?? standard.stderr,
    explain: answers.has("explain"),
    json: answers.has("json"),
  };
}

async function timeLapseOf(answers: OptionAnswers<OutputOption>): Promise<OutputPlan["timeLapse"]> {
  if (!answers.has("show-time-lapse")) return undefined;
  const unit = (await answers.text("show-time-lapse")) ?? "";
  if (unit === "") return "fraction";
  if (/^i/i.test(unit)) return "integer";
  throw mistake(`Unknown argument '${unit}' to option show-time-lapse, exiting`);
}

/** Any number but 2 and 3 means 1. */
async function silenceOf(answers: OptionAnswers<OutputOption>): Promise<OutputPlan["silent"]> {
  if (!answers.has("silent")) return 0;
  const level = Number(await answers.text("silent"));
  return level === 2 || level === 3 ? level : 1;
}

/** The lines of `--dump OUTPUT`; Perl's addresses of file handles are file descriptors here. */
export function outputSection(output: OutputPlan, answers: OptionAnswers<OutputOption>): DumpSection {
  const place = (stream: "stdout" | "stderr", descriptor: number): string => {
    const given = answers.has("output") || answers.has(`output-file-${stream}`);
    return `${given ? output[stream] : stream.toUpperCase()} (GLOB(0x${descriptor}),GLOB(0x${descriptor}))`;
  };
  const lapse = { integer: "TRUE (integer)", fraction: "TRUE (hires)" };
  return {
    title: "Output Info",
    lines: [
      ["show_time_lapse", output.timeLapse ? lapse[output.timeLapse] : "FALSE"],
      ["show_raw_text", flag(output.raw)],
      ["suppress_data", flag(output.suppressData)],
      ["protect_prompt", flag(answers.has("protect-prompt"))],
      ["no_hints_send", flag(!output.hints.send)],
      ["no_hints_recv", flag(!output.hints.receive)],
      ["no_hints_info", flag(!output.hints.info)],
      ["silent", String(output.silent)],
      ["dump_mail", flag(answers.has("dump-mail"))],
      ["hide_send", flag(output.hide.send)],
      ["hide_receive", flag(output.hide.receive)],
      ["hide_informational", flag(output.hide.info)],
      ["hide_all", flag(output.hide.all)],
      ["trans_fh_of", place("stdout", 1)],
      ["trans_fh_ef", place("stderr", 2)],
    ],
  };
}
