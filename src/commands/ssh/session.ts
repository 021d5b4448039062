/**
 * One SSH session: SMTP on its standard input and output, or a message as sendmail(8) takes it. What the client asks for is in
 * SSH_ORIGINAL_COMMAND; it is split into words and compared, and never comes near a shell.
 */
import type { Socket } from "node:net";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { errorCode, exitStatus, Failure } from "../../failure.ts";
import { isAscii } from "../../smtp/address.ts";
import { connectUnix } from "../../smtp/client/connect.ts";
import { Connection, isPositive, type ServerAnswer } from "../../smtp/client/connection.ts";
import { runTransaction } from "../../smtp/client/transaction.ts";
import { encodeXtext } from "../../smtp/xtext.ts";
import { type Letter, readMessage } from "../sendmail/carry-out.ts";
import { readCall, type SendmailCall } from "../sendmail/options.ts";

export interface SshSubmitter {
  readonly login: string | undefined;
  /** Path of the local listener. */
  readonly socket: string;
}

/** Milliseconds to wait for the relay. */
const patience = 300_000;

/** Returns the exit status, after what the client asked for is done. */
export async function submit(
  { login, socket: path }: SshSubmitter,
  environment: NodeJS.ProcessEnv,
): Promise<number> {
  if (login === undefined || login === "") throw new Failure(exitStatus.usage, "expected --login");
  const call = requested(environment.SSH_ORIGINAL_COMMAND ?? "");
  // Before the relay waits for it.
  const letter = call.mode === "smtp" ? undefined : await readMessage(call, process.stdin, login);
  const [address = ""] = (environment.SSH_CONNECTION ?? "").split(" ");
  const socket = await connectUnix(path, patience).catch((error: unknown) => {
    if (errorCode(error) === "") throw error;
    throw new Failure(
      exitStatus.temporary,
      `mail is not taken at the moment (${errorCode(error)}); please try again later`,
    );
  });
  const xclient = [
    `XCLIENT LOGIN=${encodeXtext(login)}`,
    ...(address === "" ? [] : [`ADDR=${encodeXtext(address)}`]),
    "METHOD=SSH",
  ].join(" ");
  if (!letter) return speakSmtp(socket, xclient);
  try {
    return await sendMessage(socket, xclient, login, letter);
  } finally {
    socket.destroy(); // else it would keep this process
  }
}

/** What the client may ask for; anything else is refused. Throws a Failure. */
export function requested(words: string): SendmailCall {
  const [program = "", ...options] = words.split(" ").filter((word) => word !== "");
  const refused = new Failure(
    exitStatus.noPermission,
    `only "smtp" and "sendmail OPTIONS RECIPIENTS" are offered here, not ${JSON.stringify(words.slice(0, 80))}`,
  );
  if (program === "" || (program === "smtp" && options.length === 0)) return readCall(["-bs"]);
  if (!/^(?:[A-Za-z0-9._-]*\/)*sendmail$/.test(program)) throw refused;
  const call = readCall(options.map(unquoted));
  if (call.mode !== "message" && call.mode !== "smtp") throw refused;
  return call;
}

/** Clients quote for a shell that is not there: `'a@example.org'`. */
const unquoted = (word: string): string =>
  /^'([^']*)'$/.exec(word)?.[1] ?? /^"([^"\\$`]*)"$/.exec(word)?.[1] ?? word;

/** The relay's greeting, which answers XCLIENT, becomes the client's; from then on octets pass as they are. */
async function speakSmtp(socket: Socket, xclient: string): Promise<number> {
  const first = await readLine(socket);
  if (!first.line.startsWith("220")) {
    process.stdout.write(`${first.line}\r\n`);
    socket.destroy();
    return exitStatus.temporary;
  }
  socket.write(`${xclient}\r\n`);
  const greeting = await readLine(socket, first.rest);
  process.stdout.write(`${greeting.line}\r\n`);
  if (!greeting.line.startsWith("220")) {
    socket.destroy();
    return exitStatus.noPermission;
  }
  if (greeting.rest.length > 0) process.stdout.write(greeting.rest);
  const away = (error: unknown): void => {
    if (errorCode(error) === "") throw error; // else one of the two has gone, and the other hears of it
  };
  const answers = pipeline(socket, process.stdout, { end: false }).catch(away);
  const asked = pipeline(process.stdin, socket).catch(away);
  await answers;
  process.stdin.destroy();
  await asked;
  return exitStatus.ok;
}

/** The next line without its end, and what came behind it. The socket is paused. */
async function readLine(
  socket: Socket,
  before: Buffer = Buffer.alloc(0),
): Promise<{ readonly line: string; readonly rest: Buffer }> {
  let octets = before;
  for (;;) {
    const end = octets.indexOf("\r\n");
    if (end >= 0) return { line: octets.toString("utf8", 0, end), rest: octets.subarray(end + 2) };
    const next = await new Promise<Buffer | undefined>((resolve) => {
      const settle = (chunk?: Buffer): void => {
        socket.off("data", settle).off("close", gone).pause();
        resolve(chunk);
      };
      const gone = (): void => settle();
      socket.once("data", settle).once("close", gone).resume();
    });
    if (next === undefined)
      return { line: "421 4.3.2 Mail is not taken at the moment", rest: Buffer.alloc(0) };
    octets = Buffer.concat([octets, next]);
  }
}

/** As sendmail(8), but that the answer is the relay's, and comes at once. */
async function sendMessage(
  socket: Socket,
  xclient: string,
  login: string,
  { drop, message }: Letter,
): Promise<number> {
  const connection = new Connection(socket, { protocol: "smtp", hostname: "ssh", patience });
  const { signal } = new AbortController();
  try {
    const greeting = await connection.read(signal);
    const known = isPositive(greeting) ? await connection.command(xclient, signal) : greeting;
    const hello = isPositive(known) ? await connection.hello(false, signal) : known;
    if (!isPositive(hello)) return refuse(hello);
    const { sender = login, recipients, notify, ret, envid } = drop;
    const parameters = [
      ...([sender, ...recipients].every(isAscii) ? [] : [" SMTPUTF8"]),
      ...(ret === undefined ? [] : [` RET=${ret}`]),
      ...(envid === undefined ? [] : [` ENVID=${encodeXtext(envid)}`]),
    ].join("");
    const dsn = notify === undefined ? "" : ` NOTIFY=${notify.join(",")}`;
    // One after the other: all recipients or none, as a caller of sendmail knows one answer only.
    connection.keywords = new Map([...connection.keywords].filter(([name]) => name !== "PIPELINING"));
    const result = await runTransaction(
      connection,
      {
        mail: `MAIL FROM:<${sender}>${parameters}`,
        recipients: recipients.map((address) => `RCPT TO:<${address}>${dsn}`),
      },
      Readable.from(message),
      { signal, finalPatience: patience },
    );
    for (const [index, text] of result.refused) say(`${recipients[index] ?? ""}: ${text}`);
    const { ending } = result;
    if (ending.kind === "unreadable") throw ending.error;
    if (ending.kind === "reply" && ending.text.startsWith("2")) {
      return result.refused.size === 0 ? exitStatus.ok : exitStatus.noUser;
    }
    if (result.refused.size === recipients.length) return statusOf([...result.refused.values()][0] ?? "");
    return refuse("text" in ending ? { kind: "reply", text: ending.text } : { kind: "lost" });
  } finally {
    connection.quit();
  }
}

function refuse(answer: ServerAnswer): number {
  const text = answer.kind === "reply" ? answer.text : "the relay does not answer; please try again later";
  say(text);
  return statusOf(text);
}

const say = (text: string): void => void process.stderr.write(`tpa-submit: ${text.replaceAll("\n", " ")}\n`);

/** What sysexits(3) has for a reply. */
const statusOf = (text: string): number =>
  text.startsWith("5") ? exitStatus.noPermission : exitStatus.temporary;
