/** The message: from options to what it is made of. */
import type { Attachment, Draft } from "../plan.ts";
import type { Answers } from "./answers.ts";
import { withoutArgument } from "./mistake.ts";
import type { Addresses } from "./protocol.ts";

/** Reads the options. Throws a Failure where a file cannot be read or a value is missing. */
export async function draftOf(answers: Answers, addresses: Addresses): Promise<Draft> {
  const body = await answers.contents("body");
  const template = answers.has("data")
    ? await answers.contents("data")
    : answers.has("g")
      ? await answers.contentsOf({ name: "data", value: "-", visible: false })
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

async function listsOf(answers: Answers): Promise<Pick<Draft, "attachments" | "added" | "replaced">> {
  const attachments: Attachment[] = [];
  const added: string[] = [];
  const replaced: string[] = [];
  for (const choice of answers.choices.all) {
    const text = async (): Promise<string> => {
      const value = await answers.textOf(choice);
      if (value === undefined || value === "") throw withoutArgument(choice.name);
      return value;
    };
    if (choice.name === "attach" || choice.name === "attach-body") {
      const kind = choice.name === "attach" ? "part" : "body";
      const contents = await answers.contentsOf(choice);
      if (contents) attachments.push({ kind, ...contents });
    } else if (choice.name === "attach-type") attachments.push({ kind: "type", type: await text() });
    else if (choice.name === "attach-name") {
      const name = await answers.textOf(choice);
      attachments.push(name === undefined || name === "" ? { kind: "name" } : { kind: "name", name });
    } else if (choice.name === "add-header") added.push(await text());
    else if (choice.name === "header") replaced.push(await text());
  }
  return { attachments, added, replaced };
}
