/** `tpa-submit sendmail`: takes a message as sendmail(8) does, and leaves it in the maildrop, whether the relay runs or not. */
import { hostname, userInfo } from "node:os";
import { print } from "../../cli/output.ts";
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";
import type { Drop } from "../../server/maildrop/drop.ts";
import { standardMaildrop } from "../../server/maildrop/folder.ts";
import { putIntoMaildrop } from "../../server/maildrop/writer.ts";
import { parseMailbox } from "../../smtp/address.ts";
import { reply } from "../../smtp/reply.ts";
import { speak } from "./dialogue.ts";
import { recipientsIn, splitMessage, withAuthor } from "./header.ts";
import { messageIn } from "./input.ts";
import { readCall, type SendmailCall } from "./options.ts";

/** Does what `words`, those behind "sendmail", ask for. Returns the exit status. */
export async function run(words: readonly string[]): Promise<number> {
  const call = readCall(words);
  switch (call.mode) {
    case "message":
      await takeMessage(call);
      return exitStatus.ok;
    case "smtp":
      await speak({
        input: process.stdin[Symbol.asyncIterator](),
        write: print,
        async handOver(drop, message) {
          await put(drop, message);
          return reply(250, "2.0.0", "Ok: in the maildrop");
        },
        hostname: hostname(),
      });
      return exitStatus.ok;
    case "mailq":
      return (await import("../queue/list.ts")).run(["--format", "mailq"]);
    case "flush":
      return (await import("../queue/change.ts")).change("retry", ["--all"]);
    case "aliases":
      return (await import("./aliases.ts")).checkAliases();
    case "nothing":
      return exitStatus.ok;
  }
}

async function takeMessage(call: SendmailCall): Promise<void> {
  const { drop, message } = await readMessage(call, process.stdin);
  await put(drop, message);
}

/** A message, and to whom it goes. */
export interface Letter {
  readonly drop: Drop;
  readonly message: AsyncIterable<Buffer>;
}

/** What `call` of `user` means with the message in `input`. Throws a Failure (64, 65, 67) where it cannot be sent to anybody. */
export async function readMessage(
  call: SendmailCall,
  input: AsyncIterable<Buffer>,
  user = userInfo().username,
): Promise<Letter> {
  if (call.recipients.length === 0 && !call.fromHeader) {
    throw new Failure(exitStatus.usage, "expected recipients, or -t for those in the header");
  }
  const { sender, fullName, fromHeader, dotEnds, notify, ret, envid } = call;
  const { header, rest } = await splitMessage(messageIn(input, dotEnds));
  const recipients = [...new Set([...call.recipients, ...(fromHeader ? recipientsIn(header) : [])])];
  if (recipients.length === 0) {
    throw new Failure(exitStatus.data, "there is no recipient in the header; nothing was sent");
  }
  const wrong = [...recipients, ...(sender ? [sender] : [])].find((address) => !isRecipient(address));
  if (wrong !== undefined) {
    throw new Failure(
      exitStatus.noUser,
      `${JSON.stringify(wrong.slice(0, 100))} is no address; nothing was sent`,
    );
  }
  const author = sender === undefined || sender === "" ? user : sender;
  const complete = fullName === undefined ? header : withAuthor(header, fullName, author);
  return {
    drop: {
      ...(sender !== undefined && { sender }),
      recipients,
      ...(notify && { notify }),
      ...(ret && { ret }),
      ...(envid !== undefined && { envid }),
    },
    message: joined(complete, rest),
  };
}

/** A whole address, or the name of a user of this host. */
const isRecipient = (address: string): boolean =>
  address.includes("@") ? parseMailbox(address) !== undefined : /^\\?[A-Za-z0-9._+-]+$/.test(address);

async function* joined(header: string, rest: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  if (header !== "") yield Buffer.from(header, "latin1");
  yield* rest;
}

/** Throws a Failure: 75 where it helps to try again, 78 where there is no maildrop. */
async function put(drop: Drop, message: AsyncIterable<Buffer>): Promise<void> {
  const folder = process.env.TPA_SUBMIT_MAILDROP ?? standardMaildrop;
  try {
    await putIntoMaildrop(folder, drop, message);
  } catch (error) {
    const code = errorCode(error);
    if (code === "") throw error;
    const isMissing = code === "ENOENT" || code === "ENOTDIR";
    throw new Failure(
      isMissing ? exitStatus.config : exitStatus.temporary,
      isMissing
        ? `${folder}: there is no maildrop here; sendmail.maildrop of the relay and TPA_SUBMIT_MAILDROP name one`
        : `${folder}: the message could not be stored (${errorText(error)}); nothing was sent`,
      { cause: error },
    );
  }
}
