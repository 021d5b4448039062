/** A value of mailPassword: whether it may stand in a password file, where a colon or a line break means something. */
import { readStored, type Stored } from "../passwd/stored.ts";

/** What the file is made for: `serve` takes several lines for a login, Dovecot only the first, and not every scheme. */
export type Format = "plain" | "dovecot";

export interface Hash {
  /** As it stands in the file. Never shown to anybody. */
  readonly text: string;
  /** The algorithm that made it, as Dovecot names it. */
  readonly scheme: string;
}

/** Why a value lets nobody in. `detail` never contains the value. */
export interface Fault {
  readonly reason: "password-empty" | "password-characters" | "password-locked" | "password-damaged";
  readonly detail: string;
}

/** Octets. No scheme comes near it; what is longer is no hash. */
const longest = 1024;

/** Octets that end a line or a field, or that no scheme uses: only printable ASCII without blank and colon is left. */
const named: Readonly<Record<number, string>> = {
  0: "a NUL",
  9: "a tab",
  10: "a line break",
  13: "a carriage return",
  32: "a blank",
  58: "a colon",
};

/** Judges one value, as the directory sent it. */
export function judgeHash(value: Buffer, format: Format): Hash | Fault {
  if (value.length === 0) return { reason: "password-empty", detail: "the value is empty" };
  if (value.length > longest) {
    return { reason: "password-damaged", detail: `${value.length} octets are more than any hash has` };
  }
  const odd = value.find((octet) => octet <= 32 || octet >= 127 || octet === 58);
  if (odd !== undefined) {
    const what = named[odd] ?? (odd < 127 ? "a control character" : "an octet that is not ASCII");
    return { reason: "password-characters", detail: `the value has ${what}` };
  }
  const text = value.toString("latin1");
  const stored = readStored(text);
  if ("problem" in stored) {
    const reason = stored.problem === "locked" ? "password-locked" : "password-damaged";
    return { reason, detail: stored.problem };
  }
  return format === "dovecot" ? forDovecot(text, stored) : { text, scheme: stored.inspection.algorithm };
}

/** Whether it is a hash. */
export function isHash(judged: Hash | Fault): judged is Hash {
  return "text" in judged;
}

/** What libc's crypt(3) knows, to which Dovecot hands a text without {SCHEME}. */
const ofLibc: readonly string[] = ["MD5-CRYPT", "BLF-CRYPT", "SHA256-CRYPT", "SHA512-CRYPT", "DES-CRYPT"];

function forDovecot(text: string, { scheme, inspection: { algorithm } }: Stored): Hash | Fault {
  if (algorithm === "APR1") return { reason: "password-damaged", detail: "Dovecot cannot check APR1" };
  const known = text.startsWith("{") || ofLibc.includes(algorithm);
  return { text: known ? text : `{${scheme.name}}${text}`, scheme: algorithm };
}
