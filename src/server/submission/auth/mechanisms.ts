/**
 * The SASL mechanisms of AUTH, a row each (RFC 4954; RFC 4616 for PLAIN, RFC 4422 appendix A for EXTERNAL): what is
 * sent first, and what takes the response to it. Whether credentials are right is checked in auth/login.ts.
 */
import type { Challenge } from "../../../passwd/verifier.ts";
import type { Channel } from "../tls.ts";
import {
  challenge,
  credentials,
  decoded,
  type Ground,
  type Mechanism,
  type Opening,
  refused,
  type Sasl,
  type Step,
} from "./exchange.ts";
import { scram } from "./scram.ts";

interface Row {
  readonly open: (ground: Ground) => Opening;
  /** Its first challenge must be answered, so there is no initial response. */
  readonly isServerFirst?: true;
}

const mechanisms: Readonly<Record<Mechanism, Row>> = {
  PLAIN: { open: () => ({ first: "", step: plain }) },
  // No RFC; every client of the last decades sends these in this order whatever the challenges say.
  LOGIN: {
    open: () => ({
      first: "Username:",
      step: (name) => challenge("Password:", (password) => login(name, password)),
    }),
  },
  "CRAM-MD5": { open: cramMd5, isServerFirst: true },
  "SCRAM-SHA-1": scram({ name: "SCRAM-SHA-1", digest: "sha1", plus: false }),
  "SCRAM-SHA-1-PLUS": scram({ name: "SCRAM-SHA-1-PLUS", digest: "sha1", plus: true }),
  "SCRAM-SHA-256": scram({ name: "SCRAM-SHA-256", digest: "sha256", plus: false }),
  "SCRAM-SHA-256-PLUS": scram({ name: "SCRAM-SHA-256-PLUS", digest: "sha256", plus: true }),
  EXTERNAL: {
    open: ({ certified = "" }) => ({ first: "", step: (authzid) => external(certified, authzid) }),
  },
};

/** What EHLO announces behind AUTH: what may succeed over this channel, for logins that have keys for `challenges`. */
export function mechanismsFor(
  { binding, certified }: Omit<Channel, "cipher">,
  challenges: readonly Challenge[],
): readonly Mechanism[] {
  const keyed = challenges.flatMap((name): readonly Mechanism[] =>
    name === "CRAM-MD5" || !binding ? [name] : [name, `${name}-PLUS`],
  );
  return ["PLAIN", "LOGIN", ...keyed, ...(certified === undefined ? [] : (["EXTERNAL"] as const))];
}

/** Begins with what stands behind `AUTH`: a mechanism, and perhaps an initial response ("=" is an empty one). */
export function startSasl(argument: string, ground: Ground): Sasl {
  const [name = "", initial, ...more] = argument.split(/[ \t]+/);
  const mechanism = ground.offered.find((offer) => offer === name.toUpperCase());
  if (name === "" || more.length > 0) return refused(501, "5.5.4", "Expected AUTH MECHANISM [RESPONSE]");
  if (!mechanism) {
    return refused(504, "5.5.4", `Mechanism not known here, try one of: ${ground.offered.join(" ")}`);
  }
  const { open, isServerFirst } = mechanisms[mechanism];
  const { first, step } = open(ground);
  if (initial === undefined) return challenge(first, step);
  if (isServerFirst) return refused(501, "5.7.0", `${mechanism} begins with a challenge of ours`);
  return initial === "=" ? step("") : decoded(initial, step);
}

/** RFC 4616 section 2: `[authzid] NUL authcid NUL password`. */
function plain(response: string): ReturnType<Step> {
  const [authzid = "", name, password, ...more] = response.split("\0");
  if (name === undefined || password === undefined || more.length > 0) {
    return refused(501, "5.5.2", "Expected a user name and a password between NULs");
  }
  return credentials({ mechanism: "PLAIN", login: name, password, authzid });
}

function login(name: string, password: string): Sasl {
  return credentials({ mechanism: "LOGIN", login: name, password, authzid: "" });
}

/** The certificate has said who it is; whether that login may come in is the password file's to say. */
function external(certified: string, authzid: string): Sasl {
  return {
    kind: "question",
    mechanism: "EXTERNAL",
    login: certified,
    ask: async (proofs) =>
      credentials({
        mechanism: "EXTERNAL",
        login: certified,
        authzid,
        password: "",
        verdict: await proofs.vouched(certified),
      }),
  };
}

// CRAM-MD5 (RFC 2195): the client signs a word of ours with its password. The keys are passwd/proofs.ts.

/** The word, which is to be another one each time, and what takes the response to it. */
export function cramMd5({ hostname, nonce }: Ground): Opening {
  const challenge = `<${nonce()}@${hostname}>`;
  return {
    first: challenge,
    step(response) {
      const [, login = "", digest = ""] = /^([^\0]+) ([0-9a-f]{32})$/i.exec(response) ?? [];
      if (login === "")
        return refused(501, "5.5.2", "Expected a user name, a blank and 32 hexadecimal digits");
      return {
        kind: "question",
        mechanism: "CRAM-MD5",
        login,
        async ask(proofs) {
          const side = await proofs.cram(login);
          const verdict = "kind" in side ? side : side.check(challenge, Buffer.from(digest, "hex"));
          return credentials({ mechanism: "CRAM-MD5", login, authzid: "", password: response, verdict });
        },
      };
    },
  };
}
