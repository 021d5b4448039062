/** The message: the options, and how they are read into what it is made of. */
import type { Attachment, MessageDraft } from "../message.ts";
import type { OptionAnswers } from "./answers.ts";
import { withoutArgument } from "./mistake.ts";
import type { OptionGroup } from "./option.ts";
import type { EnvelopeAddresses } from "./protocol.ts";

export const dataOptions = {
  title: "The message",
  rows: [
    {
      name: "data",
      aliases: ["d"],
      argument: "wanted",
      placeholder: "MESSAGE|@FILE|-",
      prompt: { text: "Data: " },
      file: true,
      standard: "a small test message",
      help: "The whole message. \\n stands for a line's end; %FROM_ADDRESS%, %TO_ADDRESS%, %CC_ADDRESS%, %BCC_ADDRESS%, %DATE%, %MESSAGEID%, %SWAKS_VERSION%, %NEW_HEADERS%, %BODY% and %NEWLINE% are replaced (..TOKEN.. means the same).",
      example: "-t bob@example.org -s mail.example.org -d @message.eml",
    },
    {
      name: "g",
      argument: "none",
      help: "The same as --data -; swaks has dropped it.",
      example: "-t bob@example.org -s mail.example.org -g < message.eml",
      ours: true,
    },
    {
      name: "body",
      argument: "wanted",
      placeholder: "TEXT|@FILE|-",
      prompt: { text: "Body: ", pattern: /.+/ },
      file: true,
      standard: "This is a test mailing",
      help: "The body of the message.",
      example: '-t bob@example.org -s mail.example.org --body "Hello, Bob"',
    },
    {
      name: "attach",
      argument: "wanted",
      placeholder: "TEXT|@FILE|-",
      file: true,
      list: true,
      help: "Attach a file. It may be given again.",
      example: "-t bob@example.org -s mail.example.org --attach @report.pdf",
    },
    {
      name: "attach-body",
      argument: "wanted",
      placeholder: "TEXT|@FILE|-",
      file: true,
      list: true,
      help: "A part of the body; several are alternatives of one another.",
      example:
        "-t bob@example.org -s mail.example.org --attach-body plain --attach-type text/html --attach-body @body.html",
    },
    {
      name: "attach-type",
      argument: "wanted",
      placeholder: "TYPE",
      list: true,
      standard: "application/octet-stream",
      help: "The media type of the attachments that follow.",
      example: "-t bob@example.org -s mail.example.org --attach-type image/png --attach @logo.png",
    },
    {
      name: "attach-name",
      argument: "optional",
      placeholder: "NAME",
      list: true,
      standard: "its file's name",
      help: "The name of the next attachment; without a value it gets none.",
      example: "-t bob@example.org -s mail.example.org --attach-name a.pdf --attach @report.pdf",
    },
    {
      name: "add-header",
      aliases: ["ah"],
      argument: "wanted",
      placeholder: "HEADER",
      list: true,
      help: "Add a header. It may be given again.",
      example: '-t bob@example.org -s mail.example.org --add-header "X-Test: yes"',
    },
    {
      name: "header",
      argument: "wanted",
      placeholder: "HEADER",
      list: true,
      help: "Replace a header, or add it. --header-NAME VALUE and --h-NAME VALUE are shorter.",
      example: '-t bob@example.org -s mail.example.org --h-Subject "Hello"',
    },
    {
      name: "no-data-fixup",
      aliases: ["ndf"],
      argument: "none",
      help: "Send --data octet for octet: no tokens, no doubled dots, no dot at the end.",
      example: "-t bob@example.org -s mail.example.org -d @raw -ndf",
    },
    {
      name: "no-strip-from",
      aliases: ["nsf"],
      argument: "none",
      help: 'Keep a "From " line of an mbox at the beginning.',
      example: "-t bob@example.org -s mail.example.org -d @mbox -nsf",
    },
    {
      name: "dump-as-body",
      aliases: ["dab"],
      argument: "optional",
      placeholder: "SECTION[,SECTION…]",
      help: "The body tells how the probe was called, as --dump would.",
      example: "-t bob@example.org -s mail.example.org --dump-as-body transport,tls",
    },
    {
      name: "dump-as-body-shows-password",
      aliases: ["dabsp"],
      argument: "none",
      help: "The body that --dump-as-body makes tells the password, too.",
      example: "-t bob@example.org -s mail.example.org -au alice -ap --dump-as-body-shows-password",
    },
  ],
} as const satisfies OptionGroup;

type DataOption = (typeof dataOptions.rows)[number]["name"];

/** Reads the options. Throws a Failure where a file cannot be read or a value is missing. */
export async function draftOf(
  answers: OptionAnswers<DataOption>,
  addresses: EnvelopeAddresses,
): Promise<MessageDraft> {
  const body = await answers.contents("body");
  const template = answers.has("data")
    ? await answers.contents("data")
    : answers.has("g")
      ? await answers.follow("-", "data")
      : undefined;
  const { attachments, added, replaced } = await listsOf(answers);
  const isDefault = template === undefined || template.octets.length === 0;
  return {
    ...addresses,
    ...(isDefault ? {} : { template: template.octets }),
    ...(body === undefined ? {} : { body: body.octets }),
    attachments,
    added,
    replaced,
    fixup: !answers.has("no-data-fixup"),
    stripFrom: !answers.has("no-strip-from"),
  };
}

async function listsOf(
  answers: OptionAnswers<DataOption>,
): Promise<Pick<MessageDraft, "attachments" | "added" | "replaced">> {
  const attachments: Attachment[] = [];
  const added: string[] = [];
  const replaced: string[] = [];
  for (const { name, choice } of answers.given(
    "attach",
    "attach-body",
    "attach-type",
    "attach-name",
    "add-header",
    "header",
  )) {
    const text = async (): Promise<string> => {
      const value = await answers.textOf(choice);
      if (value === undefined || value === "") throw withoutArgument(name);
      return value;
    };
    if (name === "attach" || name === "attach-body") {
      const kind = name === "attach" ? "part" : "body";
      const contents = await answers.contentsOf(choice);
      if (contents) attachments.push({ kind, ...contents });
    } else if (name === "attach-type") attachments.push({ kind: "type", type: await text() });
    else if (name === "attach-name") {
      const given = await answers.textOf(choice);
      attachments.push(
        given === undefined || given === "" ? { kind: "name" } : { kind: "name", name: given },
      );
    } else if (name === "add-header") added.push(await text());
    else replaced.push(await text());
  }
  return { attachments, added, replaced };
}
