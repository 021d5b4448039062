/**
 * The SASL exchanges of AUTH (RFC 4954, RFC 4616 for PLAIN): lines in, credentials out.
 * Whether these are right is checked in login.ts.
 */
import { type Reply, reply } from "../../smtp/reply.ts";

export interface Credentials {
  readonly mechanism: Mechanism;
  readonly login: string;
  readonly password: string;
  /** On whose behalf; "" or the login itself, anything else is refused later. */
  readonly authzid: string;
}

export type Mechanism = "PLAIN" | "LOGIN";

export type Sasl =
  /** Sent as `334` and base64; the client's next line goes to `next`. */
  | { readonly kind: "challenge"; readonly challenge: string; readonly next: Exchange }
  | { readonly kind: "credentials"; readonly credentials: Credentials }
  | { readonly kind: "refused"; readonly reply: Reply };

/** Takes the client's next line, still in base64. */
export type Exchange = (line: string) => Sasl;

/** Takes a response in clear, says what comes next. */
type Step = (response: string) => Sasl;

const mechanisms: Readonly<Record<Mechanism, { readonly first: string; readonly step: Step }>> = {
  PLAIN: { first: "", step: plain },
  // No RFC; every client of the last decades sends these in this order whatever the challenges say.
  LOGIN: { first: "Username:", step: (name) => challenge("Password:", (password) => login(name, password)) },
};

/** What EHLO announces behind AUTH. */
export const mechanismNames = Object.keys(mechanisms).join(" ");

/** Begins with what stands behind `AUTH`: a mechanism, and perhaps an initial response ("=" is an empty one). */
export function startSasl(argument: string): Sasl {
  const [name = "", initial, ...more] = argument.split(/[ \t]+/);
  const mechanism = mechanismNamed(name.toUpperCase());
  if (name === "" || more.length > 0) return refused(501, "5.5.4", "Expected AUTH MECHANISM [RESPONSE]");
  if (!mechanism) return refused(504, "5.5.4", `Mechanism not known here, try one of: ${mechanismNames}`);
  const { first, step } = mechanisms[mechanism];
  if (initial === undefined) return challenge(first, step);
  return initial === "=" ? step("") : decoded(initial, step);
}

function mechanismNamed(name: string): Mechanism | undefined {
  return name === "PLAIN" || name === "LOGIN" ? name : undefined;
}

function challenge(text: string, step: Step): Sasl {
  return {
    kind: "challenge",
    challenge: Buffer.from(text).toString("base64"),
    next: (line) =>
      line.trim() === "*"
        ? refused(501, "5.7.0", "Authentication given up as you asked")
        : decoded(line, step),
  };
}

// "=" alone would be an empty initial response; "=AAA" and other padding in the wrong place is no base64.
const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

function decoded(line: string, step: Step): Sasl {
  if (!base64.test(line)) return refused(501, "5.5.2", "This is not base64");
  try {
    return step(
      new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Buffer.from(line, "base64")),
    );
  } catch (error) {
    if (error instanceof TypeError) return refused(501, "5.5.2", "The response is not UTF-8");
    throw error;
  }
}

/** RFC 4616 section 2: `[authzid] NUL authcid NUL password`. */
function plain(response: string): Sasl {
  const [authzid = "", name, password, ...more] = response.split("\0");
  if (name === undefined || password === undefined || more.length > 0) {
    return refused(501, "5.5.2", "Expected a user name and a password between NULs");
  }
  return credentials({ mechanism: "PLAIN", login: name, password, authzid });
}

function login(name: string, password: string): Sasl {
  return credentials({ mechanism: "LOGIN", login: name, password, authzid: "" });
}

function credentials(given: Credentials): Sasl {
  const name = saslprep(given.login);
  const authzid = saslprep(given.authzid);
  if (name === undefined || authzid === undefined || /\0/.test(given.password)) {
    return refused(501, "5.5.2", "The user name or the password has characters that no name can have");
  }
  return { kind: "credentials", credentials: { ...given, login: name, authzid } };
}

// RFC 3454: blanks that become one (table C.1.2), marks that become nothing (B.1), and what no name may have (C.2 to
// C.9): controls, private use, what is no character, marks that turn the writing round.
const blank = /[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]/g;
const invisible = /\u00ad|\u034f|\u1806|[\u180b-\u180d]|[\u200b-\u200d]|\u2060|[\ufe00-\ufe0f]|\ufeff/g;
const prohibited =
  /[\p{Cc}\p{Co}\p{Cs}\p{Noncharacter_Code_Point}]|\u06dd|\u070f|\u180e|[\u200e\u200f\u2028-\u202e\u2061-\u2063\u206a-\u206f\u2ff0-\u2ffb\ufff9-\ufffd]|[\u{1d173}-\u{1d17a}\u{e0001}\u{e0020}-\u{e007f}]/u;

/**
 * SASLprep for names (RFC 4013): what looks the same becomes the same. Undefined where a character is prohibited.
 * Not for passwords: what was hashed before, by whatever program, must stay what it was.
 */
export function saslprep(name: string): string | undefined {
  const prepared = name.replace(blank, " ").replace(invisible, "").normalize("NFKC");
  return prohibited.test(prepared) ? undefined : prepared;
}

function refused(code: number, status: string, text: string): Sasl {
  return { kind: "refused", reply: reply(code, status, text) };
}
