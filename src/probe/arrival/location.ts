/** Where a message is to arrive, as `--arrive` and probes.toml name it. */
import { exitStatus, Failure } from "../../failure.ts";

export type MailboxLocation =
  | {
      readonly kind: "imap";
      readonly host: string;
      readonly port: number;
      readonly implicitTls: boolean;
      readonly user: string;
      readonly folder: string;
    }
  | { readonly kind: "maildir"; readonly directory: string }
  /** The probe itself is the receiving end, and listens here. */
  | {
      readonly kind: "listener";
      readonly protocol: "smtp" | "lmtp";
      readonly host: string;
      readonly port: number;
    };

/** The forms that are understood. */
const locationForms =
  "imaps://USER@HOST[:PORT][/FOLDER], imap://USER@HOST (with STARTTLS), maildir:DIRECTORY, lmtp://HOST:PORT or smtp://HOST:PORT";

/** Reads a location; throws a Failure of one line that names the forms. `what` names the option or the key. */
export function readLocation(text: string, what: string): MailboxLocation {
  const wrong = (why: string): Failure =>
    new Failure(exitStatus.usage, `${what}: ${why}; expected ${locationForms}`);
  if (text.startsWith("maildir:")) {
    const directory = text.slice("maildir:".length);
    if (directory === "") throw wrong("no directory is named");
    return { kind: "maildir", directory };
  }
  if (!URL.canParse(text))
    throw wrong(`${JSON.stringify(text.replace(/\/\/.*@/, "//…@"))} is none of its forms`);
  const url = new URL(text);
  if (url.password !== "") {
    throw wrong(
      "a password has no place in it: name a file with --arrive-password-file, or use the environment",
    );
  }
  const scheme = url.protocol.slice(0, -1);
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  if (host === "") throw wrong("no host is named");
  const port = Number(url.port);
  if (scheme === "lmtp" || scheme === "smtp") {
    if (url.port === "") throw wrong("no port is named to listen at");
    return { kind: "listener", protocol: scheme, host, port };
  }
  if (scheme !== "imaps" && scheme !== "imap") throw wrong(`${scheme}: is none of its forms`);
  const user = decode(url.username);
  if (user === "") throw wrong("no user is named");
  const implicitTls = scheme === "imaps";
  return {
    kind: "imap",
    host,
    port: url.port === "" ? (implicitTls ? 993 : 143) : port,
    implicitTls,
    user,
    folder: decode(url.pathname.slice(1)) || "INBOX",
  };

  function decode(part: string): string {
    try {
      return decodeURIComponent(part);
    } catch {
      throw wrong(`${JSON.stringify(part)} has a wrong percent sign`);
    }
  }
}
