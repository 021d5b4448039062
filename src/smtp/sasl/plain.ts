/** Mechanisms that send the password or an access token in clear, and EXTERNAL, which sends neither. */

import type { SaslMechanism } from "./mechanism.ts";

const octets = (text: string): Uint8Array => Buffer.from(text);

/** PLAIN (RFC 4616): no authorization identity, the user, the password. */
export const plain: SaslMechanism = {
  name: "PLAIN",
  begin: ({ user, password }) => ({
    initial: octets(`\0${user}\0${password}`),
    answer: () => undefined,
  }),
  hidden: (response, password, words) => withEnd(response, password, words),
};

/** LOGIN (draft-murchison-sasl-login): the user, then the password, whatever the challenges say. */
export const login: SaslMechanism = {
  name: "LOGIN",
  begin: ({ user, password }) => ({ answer: said([user, password]) }),
  hidden: (response, password, words) => only(response, password, words),
};

/** LOGIN with the user in the initial response: one round trip less. */
export const loginInitial: SaslMechanism = {
  name: "LOGIN-INITIAL",
  begin: ({ user, password }) => ({ initial: octets(user), answer: said([password]) }),
  hidden: (response, password, words) => only(response, password, words),
};

/** EXTERNAL (RFC 4422 appendix A): the certificate identifies us; the user is the identity we ask for. */
export const external: SaslMechanism = {
  name: "EXTERNAL",
  begin: ({ user }) => ({ initial: octets(user), answer: () => undefined }),
};

/** One text for each challenge, and nothing after the last. */
function said(texts: readonly string[]): () => Uint8Array | undefined {
  const left = [...texts];
  return () => {
    const next = left.shift();
    return next === undefined ? undefined : octets(next);
  };
}

function withEnd(response: Uint8Array, password: string, words: string): Uint8Array {
  const all = Buffer.from(response);
  const end = octets(`\0${password}`);
  if (!all.subarray(-end.length).equals(end)) return response;
  return Buffer.concat([all.subarray(0, all.length - end.length), octets(`\0${words}`)]);
}

function only(response: Uint8Array, password: string, words: string): Uint8Array {
  return Buffer.from(response).equals(octets(password)) ? octets(words) : response;
}

// OAuth 2.0 access tokens, given as the password: OAUTHBEARER (RFC 7628), and XOAUTH2 of Google and Microsoft.

/** Separates key and value pairs in both: control-A. */
const separator = "\x01";

/** A challenge means that the token was refused, and says why; the server waits for this answer before its 5xx. */
function bearer(
  name: string,
  initial: (user: string, token: string) => string,
  acknowledgement: string,
): SaslMechanism {
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

/** RFC 7628 section 3.2.2: JSON with a status and the scope that is needed. */
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
