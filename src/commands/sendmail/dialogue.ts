/**
 * `sendmail -bs`: SMTP on standard input and output for programs that speak it to a pipe. Each message is handed over as one on
 * standard input is; what the site allows is found out when the relay takes it.
 */
import { errorText } from "../../failure.ts";
import type { Drop } from "../../server/maildrop/drop.ts";
import { newLineRepair } from "../../server/submission/line-ends.ts";
import { MessageScan } from "../../server/submission/message-scan.ts";
import { mailParameters, rcptParameters, readParameters } from "../../server/submission/parameters.ts";
import { readPath } from "../../smtp/address.ts";
import { formatReply, type Reply, reply } from "../../smtp/reply.ts";

/** Octets of a command (RFC 5321 section 4.5.3.1.4), with room for parameters. */
const longestLine = 4_096;

export interface Dialogue {
  readonly input: AsyncIterator<Buffer>;
  readonly write: (text: string) => void;
  /** Takes a message. Gives the reply to it. */
  readonly handOver: (drop: Drop, message: AsyncIterable<Buffer>) => Promise<Reply>;
  /** This host's name. */
  readonly hostname: string;
}

interface Transaction {
  readonly sender: string;
  readonly parameters: Pick<Drop, "ret" | "envid">;
  readonly recipients: readonly string[];
  readonly notify: Drop["notify"];
}

const ok = reply(250, "2.0.0", "Ok");
const badOrder = reply(503, "5.5.1", "Send MAIL, RCPT and DATA in this order");

/** Speaks until QUIT or the end of the input. */
export async function speak({ input, write, handOver, hostname }: Dialogue): Promise<void> {
  const lines = newLines(input);
  const say = (...replies: readonly Reply[]): void =>
    write(
      replies
        .map((one, at) => formatReply(one).replace(" ", at < replies.length - 1 ? "-" : " "))
        .map((line) => `${line}\r\n`)
        .join(""),
    );
  let transaction: Transaction | undefined;
  say(reply(220, "", `${hostname} ESMTP tpa-submit`));
  for (let line = await lines.next(); line !== undefined; line = await lines.next()) {
    const [, verb = "", argument = ""] = /^([A-Za-z]+)[ \t]*(.*)$/s.exec(line) ?? [];
    switch (verb.toUpperCase()) {
      case "EHLO":
        transaction = undefined;
        say(
          ...[hostname, "PIPELINING", "ENHANCEDSTATUSCODES", "8BITMIME", "DSN", "SMTPUTF8"].map((text) =>
            reply(250, "", text),
          ),
        );
        break;
      case "HELO":
        transaction = undefined;
        say(reply(250, "", hostname));
        break;
      case "MAIL": {
        const found = transaction ? badOrder : startOf(argument);
        if ("code" in found) say(found);
        else {
          transaction = found;
          say(reply(250, "2.1.0", "Sender ok"));
        }
        break;
      }
      case "RCPT": {
        const found = transaction ? withRecipient(transaction, argument) : badOrder;
        if ("code" in found) say(found);
        else {
          transaction = found;
          say(reply(250, "2.1.5", "Recipient ok"));
        }
        break;
      }
      case "DATA": {
        if (!transaction || transaction.recipients.length === 0) {
          say(badOrder);
          break;
        }
        say(reply(354, "", "End data with <CR><LF>.<CR><LF>"));
        const { sender, parameters, recipients, notify } = transaction;
        const drop = { sender, recipients, ...parameters, ...(notify && { notify }) };
        say(await taken(handOver, drop, lines.message()));
        transaction = undefined;
        break;
      }
      case "RSET":
        transaction = undefined;
        say(ok);
        break;
      case "NOOP":
        say(ok);
        break;
      case "VRFY":
        say(reply(252, "2.0.0", "Send some mail, I will try to deliver it"));
        break;
      case "QUIT":
        say(reply(221, "2.0.0", "Bye"));
        return;
      default:
        say(reply(500, "5.5.2", "Command not recognised"));
    }
  }
}

async function taken(
  handOver: Dialogue["handOver"],
  drop: Drop,
  message: AsyncGenerator<Buffer>,
): Promise<Reply> {
  try {
    return await handOver(drop, message);
  } catch (error) {
    return reply(451, "4.3.0", errorText(error));
  } finally {
    for await (const _ of message) {
      // Nobody else reads to the end of a message that could not be stored.
    }
  }
}

function startOf(argument: string): Transaction | Reply {
  const found = /^FROM:[ \t]*(.*)$/is.exec(argument);
  const path = found && readPath(found[1] ?? "");
  if (!path) return reply(501, "5.1.7", "Expected MAIL FROM:<user@example.org>");
  const given = readParameters(mailParameters, path.rest);
  if ("code" in given) return given;
  const { ret, envid } = given;
  const parameters = { ...(ret && { ret }), ...(envid !== undefined && { envid }) };
  return { sender: path.path.address, parameters, recipients: [], notify: undefined };
}

function withRecipient(transaction: Transaction, argument: string): Transaction | Reply {
  const found = /^TO:[ \t]*(.*)$/is.exec(argument);
  const written = found?.[1] ?? "";
  const local = /^<?([A-Za-z0-9._+-]+)>?$/.exec(written)?.[1]; // of this host
  const path = local === undefined ? readPath(written) : { path: { address: local }, rest: "" };
  if (!path || path.path.address === "") return reply(501, "5.1.3", "Expected RCPT TO:<user@example.org>");
  const given = readParameters(rcptParameters, path.rest);
  if ("code" in given) return given;
  const notify = given.notify ?? transaction.notify;
  return { ...transaction, recipients: [...transaction.recipients, path.path.address], notify };
}

interface Lines {
  /** The next line without its end; undefined at the end of the input. One that is too long is cut. */
  next(): Promise<string | undefined>;
  /** The octets of a message up to its end, dots unstuffed, CRLF at the end of every line. */
  message(): AsyncGenerator<Buffer>;
}

function newLines(input: AsyncIterator<Buffer>): Lines {
  let kept: Buffer = Buffer.alloc(0);
  const more = async (): Promise<Buffer | undefined> => {
    const next = await input.next();
    return next.done === true ? undefined : next.value;
  };
  return {
    async next() {
      let line = "";
      for (;;) {
        const end = kept.indexOf("\n");
        line = `${line}${kept.toString("utf8", 0, end < 0 ? kept.length : end)}`.slice(0, longestLine);
        if (end >= 0) {
          kept = kept.subarray(end + 1);
          return line.replace(/\r$/, "");
        }
        const octets = await more();
        kept = octets ?? Buffer.alloc(0);
        if (octets === undefined) return line === "" ? undefined : line;
      }
    },
    async *message() {
      const scan = new MessageScan(true);
      const repair = newLineRepair();
      for (let octets: Buffer | undefined = kept; octets !== undefined; octets = await more()) {
        const { octets: own, rest } = scan.read(octets);
        yield* repair.add(own);
        if (rest) {
          kept = rest;
          yield* repair.end();
          return;
        }
      }
      throw new Error("the input ended within the message");
    },
  };
}
