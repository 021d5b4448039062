/** AUTH (RFC 4954) with a user name and a password, by the first of our mechanisms that the server offers. */
import { createHmac } from "node:crypto";
import { type Connection, isPositive, type ServerAnswer } from "./connection.ts";

export interface LoginCredentials {
  readonly user: string;
  readonly password: string;
}

/** The response to each 334; an empty one after these. `initial` is sent with AUTH. */
interface AuthDialogue {
  readonly initial?: string;
  readonly responses: readonly ((challenge: Buffer) => string)[];
}

function plain({ user, password }: LoginCredentials): AuthDialogue {
  return { initial: `\0${user}\0${password}`, responses: [] };
}

/**
 * In order of preference: PLAIN (RFC 4616), LOGIN (draft-murchison-sasl-login), CRAM-MD5 (RFC 2195). The connection has
 * TLS, so the one with the fewest round trips comes first. If the server offers none of them, PLAIN is tried.
 */
const mechanisms: Readonly<Record<string, (login: LoginCredentials) => AuthDialogue>> = {
  PLAIN: plain,
  LOGIN: ({ user, password }) => ({ responses: [() => user, () => password] }),
  "CRAM-MD5": ({ user, password }) => ({
    responses: [(challenge) => `${user} ${createHmac("md5", password).update(challenge).digest("hex")}`],
  }),
};

/** A server that asks too often gets empty responses. Challenges in all; our choice. */
const mostQuestions = 8;

/** Whether the server may have AUTH; one with HELO only does not say. */
export const offersAuth = (connection: Connection): boolean =>
  connection.isHeloOnly || connection.offers("AUTH");

/** The result of the exchange. */
export interface LoginResult {
  readonly succeeded: boolean;
  /** The last reply, or why there was none. */
  readonly answer: ServerAnswer;
}

export async function logIn(
  connection: Connection,
  login: LoginCredentials,
  signal: AbortSignal,
): Promise<LoginResult> {
  const offered = (connection.keywords.get("AUTH") ?? []).flatMap((words) => words.toUpperCase().split("="));
  const name = Object.keys(mechanisms).find((one) => offered.includes(one)) ?? "PLAIN";
  const { initial, responses } = (mechanisms[name] ?? plain)(login);
  const first = `AUTH ${name}${initial === undefined ? "" : ` ${base64(initial)}`}`;
  let answer = await connection.command(first, signal);
  let questions = 0;
  for (; questions < mostQuestions && isQuestion(answer); questions++) {
    const response = responses[questions]?.(challengeIn(answer)) ?? "";
    answer = await connection.command(base64(response), signal);
  }
  // A server that accepts us before it has asked for everything has not seen the password.
  return { succeeded: isPositive(answer) && questions >= responses.length, answer };
}

const isQuestion = (answer: ServerAnswer): boolean =>
  answer.kind === "reply" && /^334(?:[ -]|$)/.test(answer.text);

const challengeIn = (answer: ServerAnswer): Buffer =>
  Buffer.from(answer.kind === "reply" ? answer.text.slice(4) : "", "base64");

const base64 = (text: string): string => Buffer.from(text).toString("base64");
