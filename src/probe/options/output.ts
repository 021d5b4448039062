/** What is shown and where: from options to the plan's output and its --dump section. */
import type { Output } from "../plan.ts";
import type { Answers } from "./answers.ts";
import { mistake } from "./mistake.ts";
import type { Section } from "./section.ts";

/** Where standard output and standard error go, unless an option says otherwise. */
const standard = { stdout: "&STDOUT", stderr: "&STDERR" } as const;

/** Reads the options; throws a Failure where one is wrong. */
export async function outputOf(answers: Answers): Promise<Output> {
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

async function timeLapseOf(answers: Answers): Promise<Output["timeLapse"]> {
  if (!answers.has("show-time-lapse")) return undefined;
  const unit = (await answers.text("show-time-lapse")) ?? "";
  if (unit === "") return "fraction";
  if (/^i/i.test(unit)) return "integer";
  throw mistake(`Unknown argument '${unit}' to option show-time-lapse, exiting`);
}

/** Any number but 2 and 3 means 1. */
async function silenceOf(answers: Answers): Promise<Output["silent"]> {
  if (!answers.has("silent")) return 0;
  const level = Number(await answers.text("silent"));
  return level === 2 || level === 3 ? level : 1;
}

/** The lines of `--dump OUTPUT`; Perl's addresses of file handles are file descriptors here. */
export function outputSection(output: Output, answers: Answers): Section {
  const flag = (value: boolean): string => (value ? "TRUE" : "FALSE");
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
