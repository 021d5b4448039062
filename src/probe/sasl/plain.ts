/** Mechanisms that send the password as it is, and the one that sends none. */

import type { Mechanism } from "../plan.ts";

const octets = (text: string): Uint8Array => Buffer.from(text);

/** PLAIN (RFC 4616): no authorization identity, the user, the password. */
export const plain: Mechanism = {
  name: "PLAIN",
  begin: ({ user, password }) => ({
    initial: octets(`\0${user}\0${password}`),
    answer: () => undefined,
  }),
  hidden: (response, password, words) => withEnd(response, password, words),
};

/** LOGIN (draft-murchison-sasl-login): the user and the password, each when asked, whatever the question. */
export const login: Mechanism = {
  name: "LOGIN",
  begin: ({ user, password }) => ({ answer: said([user, password]) }),
  hidden: (response, password, words) => only(response, password, words),
};

/** LOGIN with the user in the initial response: one question less. */
export const loginInitial: Mechanism = {
  name: "LOGIN-INITIAL",
  begin: ({ user, password }) => ({ initial: octets(user), answer: said([password]) }),
  hidden: (response, password, words) => only(response, password, words),
};

/** EXTERNAL (RFC 4422 appendix A): who we are is known already, by a certificate; the user is who we want to be. */
export const external: Mechanism = {
  name: "EXTERNAL",
  begin: ({ user }) => ({ initial: octets(user), answer: () => undefined }),
};

/** One text for each question, and nothing when there are no more. */
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
