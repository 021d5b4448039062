/**
 * XCLIENT, Postfix's way to pretend to be another client: the options, how they are read into commands, the --dump
 * section.
 */
import { encodeXtext } from "../../smtp/xtext.ts";
import type { Requirement, XclientPlan } from "../plan.ts";
import type { OptionAnswers } from "./answers.ts";
import { type DumpSection, flag, needWords, type OptionGroup } from "./option.ts";

const filled = /^.+$/;

export const xclientOptions = {
  title: "XCLIENT",
  rows: [
    {
      name: "xclient-name",
      argument: "wanted",
      placeholder: "VALUE",
      prompt: { text: "XCLIENT name: ", pattern: filled },
      help: "The client's name.",
      example: "-t bob@example.org -s mail.example.org --xclient-name client.example.org",
    },
    {
      name: "xclient-addr",
      argument: "wanted",
      placeholder: "VALUE",
      prompt: { text: "XCLIENT addr: ", pattern: filled },
      help: "The client's address.",
      example: "-t bob@example.org -s mail.example.org --xclient-addr 192.0.2.7",
    },
    {
      name: "xclient-port",
      argument: "wanted",
      placeholder: "VALUE",
      prompt: { text: "XCLIENT port: ", pattern: filled },
      help: "The client's port.",
      example: "-t bob@example.org -s mail.example.org --xclient-port 40000",
    },
    {
      name: "xclient-proto",
      argument: "wanted",
      placeholder: "VALUE",
      prompt: { text: "XCLIENT proto: ", pattern: filled },
      help: "The protocol that the client spoke, SMTP or ESMTP.",
      example: "-t bob@example.org -s mail.example.org --xclient-proto ESMTP",
    },
    {
      name: "xclient-destaddr",
      argument: "wanted",
      placeholder: "VALUE",
      prompt: { text: "XCLIENT destaddr: ", pattern: filled },
      help: "The address that the client connected to.",
      example: "-t bob@example.org -s mail.example.org --xclient-destaddr 192.0.2.25",
    },
    {
      name: "xclient-destport",
      argument: "wanted",
      placeholder: "VALUE",
      prompt: { text: "XCLIENT destport: ", pattern: filled },
      help: "The port that the client connected to.",
      example: "-t bob@example.org -s mail.example.org --xclient-destport 25",
    },
    {
      name: "xclient-helo",
      argument: "wanted",
      placeholder: "VALUE",
      prompt: { text: "XCLIENT helo: ", pattern: filled },
      help: "The name that the client gave in EHLO.",
      example: "-t bob@example.org -s mail.example.org --xclient-helo client.example.org",
    },
    {
      name: "xclient-login",
      argument: "wanted",
      placeholder: "VALUE",
      prompt: { text: "XCLIENT login: ", pattern: filled },
      help: "The user who logged in at the client's first server.",
      example: "-t bob@example.org -s mail.example.org --xclient-login alice",
    },
    {
      name: "xclient-reverse-name",
      argument: "wanted",
      placeholder: "VALUE",
      prompt: { text: "XCLIENT reverse_name: ", pattern: filled },
      help: "The name that the client's address leads to.",
      example: "-t bob@example.org -s mail.example.org --xclient-reverse-name client.example.org",
    },
    {
      name: "xclient",
      argument: "wanted",
      placeholder: "TEXT",
      prompt: { text: "XCLIENT string: ", pattern: filled },
      list: true,
      help: "An XCLIENT command of its own, sent as it stands. It may be given again.",
      example: '-t bob@example.org -s mail.example.org --xclient "NAME=x ADDR=192.0.2.7"',
    },
    {
      name: "xclient-delim",
      argument: "none",
      list: true,
      help: "Send what follows in an XCLIENT command of its own.",
      example:
        "-t bob@example.org -s mail.example.org --xclient-name x --xclient-delim --xclient-addr 192.0.2.7",
    },
    {
      name: "xclient-optional",
      argument: "none",
      help: "Go on if XCLIENT fails.",
      example: "-t bob@example.org -s mail.example.org --xclient-addr 192.0.2.7 --xclient-optional",
    },
    {
      name: "xclient-optional-strict",
      argument: "none",
      help: "Go on if XCLIENT is not offered; otherwise it must succeed.",
      example: "-t bob@example.org -s mail.example.org --xclient-addr 192.0.2.7 --xclient-optional-strict",
    },
    {
      name: "xclient-no-verify",
      argument: "none",
      help: "Send attributes that the server has not offered, too.",
      example: "-t bob@example.org -s mail.example.org --xclient-login alice --xclient-no-verify",
    },
    {
      name: "xclient-before-starttls",
      argument: "none",
      help: "Send XCLIENT before STARTTLS, not after it.",
      example:
        "-t bob@example.org -s mail.example.org -tls --xclient-addr 192.0.2.7 --xclient-before-starttls",
    },
  ],
} as const satisfies OptionGroup;

type XclientOption = (typeof xclientOptions.rows)[number]["name"];

/** Options that are one attribute each. */
const attributes = {
  "xclient-name": "NAME",
  "xclient-addr": "ADDR",
  "xclient-port": "PORT",
  "xclient-proto": "PROTO",
  "xclient-destaddr": "DESTADDR",
  "xclient-destport": "DESTPORT",
  "xclient-helo": "HELO",
  "xclient-login": "LOGIN",
  "xclient-reverse-name": "REVERSE_NAME",
} as const satisfies Partial<Record<XclientOption, string>>;

const attributeNames = Object.keys(attributes) as (keyof typeof attributes)[];

/** Undefined where nothing is to be sent: --xclient-optional alone asks for nothing. */
export async function xclientOf(answers: OptionAnswers<XclientOption>): Promise<XclientPlan | undefined> {
  const commands: string[] = [];
  const named: string[] = [];
  let group: string[] = [];
  const close = (): void => {
    if (group.length > 0) commands.push(group.join(" "));
    group = [];
  };
  for (const { name, choice } of answers.given(...attributeNames, "xclient-delim", "xclient")) {
    if (name === "xclient-delim") close();
    else if (name === "xclient") {
      const raw = (await answers.textOf(choice)) ?? "";
      close();
      commands.push(raw);
    } else {
      const attribute = attributes[name];
      named.push(attribute);
      group.push(`${attribute}=${encodeXtext((await answers.textOf(choice)) ?? "")}`);
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

function needOf(answers: OptionAnswers<XclientOption>): Requirement {
  if (answers.has("xclient-optional-strict")) return "strict";
  return answers.has("xclient-optional") ? "optional" : "required";
}

/** The lines of `--dump XCLIENT`. */
export function xclientSection(
  xclient: XclientPlan | undefined,
  answers: OptionAnswers<XclientOption>,
): DumpSection {
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
