/** XCLIENT: from options to the plan's commands and their --dump section. */
import { encodeXtext } from "../../smtp/xtext.ts";
import type { Need, Xclient } from "../plan.ts";
import type { Answers } from "./answers.ts";
import type { Section } from "./section.ts";
import type { Name } from "./table.ts";

/** Options that are one attribute each. */
const attributes: ReadonlyMap<Name, string> = new Map([
  ["xclient-name", "NAME"],
  ["xclient-addr", "ADDR"],
  ["xclient-port", "PORT"],
  ["xclient-proto", "PROTO"],
  ["xclient-destaddr", "DESTADDR"],
  ["xclient-destport", "DESTPORT"],
  ["xclient-helo", "HELO"],
  ["xclient-login", "LOGIN"],
  ["xclient-reverse-name", "REVERSE_NAME"],
]);

/** Undefined where nothing is to be sent: --xclient-optional alone asks for nothing. */
export async function xclientOf(answers: Answers): Promise<Xclient | undefined> {
  const commands: string[] = [];
  const named: string[] = [];
  let group: string[] = [];
  const close = (): void => {
    if (group.length > 0) commands.push(group.join(" "));
    group = [];
  };
  for (const choice of answers.choices.all) {
    const attribute = attributes.get(choice.name);
    if (attribute !== undefined) {
      named.push(attribute);
      group.push(`${attribute}=${encodeXtext((await answers.textOf(choice)) ?? "")}`);
    } else if (choice.name === "xclient-delim") close();
    else if (choice.name === "xclient") {
      const raw = (await answers.textOf(choice)) ?? "";
      close();
      commands.push(raw);
    }
  }
  close();
  if (commands.length === 0) return undefined;
  return {
    need: needOf(answers),
    commands,
    attributes: answers.has("xclient-no-verify") ? [] : named,
    beforeTls: answers.has("xclient-before-starttls"),
  };
}

function needOf(answers: Answers): Need {
  if (answers.has("xclient-optional-strict")) return "strict";
  return answers.has("xclient-optional") ? "optional" : "required";
}

const flag = (value: boolean): string => (value ? "TRUE" : "FALSE");

/** How --dump calls a need. */
export const needWords = { required: "required", optional: "optional", strict: "optional-strict" } as const;

/** The lines of `--dump XCLIENT`. */
export function xclientSection(xclient: Xclient | undefined, answers: Answers): Section {
  const title = "XCLIENT Info";
  if (xclient === undefined) return { title, lines: [["xclient", "no"]] };
  return {
    title,
    lines: [
      ["xclient", needWords[xclient.need]],
      ["no_verify", flag(answers.has("xclient-no-verify"))],
      ["before starttls", flag(xclient.beforeTls)],
      ["strings", xclient.commands.map((command) => `XCLIENT ${command}`)],
    ],
  };
}
