/** OAuth 2.0 access tokens, given as the password: OAUTHBEARER (RFC 7628), and XOAUTH2 as Google and Microsoft have it. */

import type { Mechanism } from "../plan.ts";

/** Separates key and value pairs in both: control-A. */
const separator = "\x01";

/** A challenge means that the token was refused: it says why, and is answered by so much before the server says no. */
function bearer(
  name: string,
  initial: (user: string, token: string) => string,
  acknowledgement: string,
): Mechanism {
  return {
    name,
    begin({ user, password }) {
      let objection: string | undefined;
      return {
        initial: Buffer.from(initial(user, password)),
        answer(challenge) {
          if (objection !== undefined) return undefined;
          objection = complaintIn(Buffer.from(challenge).toString("utf8"));
          return Buffer.from(acknowledgement);
        },
        objection: () => objection,
      };
    },
    hidden: (response, password, words) =>
      Buffer.from(
        Buffer.from(response)
          .toString("utf8")
          .replace(`Bearer ${password}`, () => `Bearer ${words}`),
      ),
  };
}

/** RFC 7628 section 3.2.2: JSON with a status and the scope that would do. */
function complaintIn(text: string): string {
  const status = /"status"\s*:\s*"([^"]*)"/.exec(text)?.[1];
  const scope = /"scope"\s*:\s*"([^"]*)"/.exec(text)?.[1];
  const details = [status, scope === undefined ? undefined : `scope wanted: ${scope}`].filter(
    (part) => part !== undefined,
  );
  return `the server refuses the token${details.length === 0 ? "" : `: ${details.join(", ")}`}`;
}

/** RFC 7628 section 3.1: a GS2 header with the user, escaped as in SCRAM. */
export const oauthBearer = bearer(
  "OAUTHBEARER",
  (user, token) =>
    `n,a=${user.replaceAll("=", "=3D").replaceAll(",", "=2C")},${separator}auth=Bearer ${token}${separator}${separator}`,
  separator,
);

export const xoauth2 = bearer(
  "XOAUTH2",
  (user, token) => `user=${user}${separator}auth=Bearer ${token}${separator}${separator}`,
  "",
);
