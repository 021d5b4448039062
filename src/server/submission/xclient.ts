/**
 * XCLIENT at the local listener: who sends. Whoever may connect there is believed, as Postfix believes those whom
 * smtpd_authorized_xclient_hosts names: the file system lets in root and the service's group alone, and both find out who
 * asks before they say so (the owner of a file, the key that sshd has checked). Pure.
 */
import { isIP } from "node:net";
import { loginKey } from "../../passwd/login-name.ts";
import { reply } from "../../smtp/reply.ts";
import { decodeXtext } from "../../smtp/xtext.ts";
import { answer, type CommandAnswer, type CommandContext, type SubmissionSession } from "./session.ts";

/** Postfix's, where it has them (XCLIENT_README); METHOD is ours: how the log names the way of the login. */
export const xclientAttributes = ["ADDR", "LOGIN", "METHOD"] as const;

type Attributes = Partial<Record<(typeof xclientAttributes)[number], string>>;

const wrong = reply(501, "5.5.4", "Expected XCLIENT LOGIN=NAME, and perhaps ADDR=ADDRESS and METHOD=WORD");
const unavailable = "[UNAVAILABLE]";

/** `argument` is what follows XCLIENT, each value as xtext. The caller has checked that the client may say it. */
export function xclient(
  session: SubmissionSession,
  argument: string,
  context: CommandContext,
): CommandAnswer {
  const given = attributesIn(argument);
  if (given?.LOGIN === undefined) return answer(session, wrong);
  const { LOGIN: login, ADDR: address = session.address, METHOD: mechanism = "LOCAL" } = given;
  const name = loginKey(login, context.domain);
  if (context.isFrozen(name)) {
    return answer(
      session,
      reply(525, "5.7.13", "This login is disabled; please ask the people who run this server"),
    );
  }
  const { listener, errors } = session;
  return answer(
    { listener, address, helo: "", wrongPasswords: 0, errors, login: { name, mechanism } },
    reply(220, "", `${context.hostname} ESMTP tpa-submit`),
  );
}

/** Undefined where it is not written as it should be, or says something that cannot be. */
function attributesIn(argument: string): Attributes | undefined {
  const given: Attributes = {};
  for (const word of argument.split(/[ \t]+/).filter((part) => part !== "")) {
    const equals = word.indexOf("=");
    const name = xclientAttributes.find((one) => one === word.slice(0, Math.max(equals, 0)).toUpperCase());
    const value = decodeXtext(word.slice(equals + 1));
    if (name === undefined || given[name] !== undefined) return undefined;
    if (value === unavailable) continue;
    if (value === undefined || !allowed[name](value)) return undefined;
    given[name] = value;
  }
  return given;
}

const allowed: Readonly<Record<(typeof xclientAttributes)[number], (value: string) => boolean>> = {
  ADDR: (value) => isIP(value) !== 0,
  LOGIN: (value) => /^[^\x00-\x20\x7f-\x9f]{1,255}$/.test(value),
  METHOD: (value) => /^[A-Z0-9-]{1,20}$/.test(value),
};
