/**
 * The SASL mechanisms of AUTH, a row each (RFC 4954; RFC 4616 for PLAIN, RFC 4422 appendix A for EXTERNAL, RFC 2195 for
 * CRAM-MD5). Credentials are checked in login.ts.
 */
import type { Challenge } from "../../../passwd/verifier.ts";
import type { TlsChannel } from "../tls.ts";
import {
  challenge,
  credentials,
  decodeResponse,
  type ResponseHandler,
  refused,
  type SaslContext,
  type SaslMechanismName,
  type SaslStart,
  type SaslStep,
} from "./exchange.ts";
import { scram } from "./scram.ts";

interface ServerMechanism {
  readonly open: (context: SaslContext) => SaslStart;
  /** Its first challenge must be answered, so there is no initial response. */
  readonly isServerFirst?: true;
}

const mechanisms: Readonly<Record<SaslMechanismName, ServerMechanism>> = {
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
    open: ({ certifiedAddress = "" }) => ({
      first: "",
      step: (authzid) => external(certifiedAddress, authzid),
    }),
  },
};

/** What EHLO announces after AUTH: what can succeed over this channel, for logins that have keys for `challenges`. */
export function mechanismsFor(
  { binding, certifiedAddress }: Omit<TlsChannel, "cipher">,
  challenges: readonly Challenge[],
): readonly SaslMechanismName[] {
  const keyed = challenges.flatMap((name): readonly SaslMechanismName[] =>
    name === "CRAM-MD5" || !binding ? [name] : [name, `${name}-PLUS`],
  );
  return ["PLAIN", "LOGIN", ...keyed, ...(certifiedAddress === undefined ? [] : (["EXTERNAL"] as const))];
}

/** Begins with what follows `AUTH`: a mechanism, and perhaps an initial response ("=" is an empty one). */
export function startSasl(argument: string, context: SaslContext): SaslStep {
  const [name = "", initial, ...more] = argument.split(/[ \t]+/);
  const mechanism = context.offered.find((offer) => offer === name.toUpperCase());
  if (name === "" || more.length > 0) return refused(501, "5.5.4", "Expected AUTH MECHANISM [RESPONSE]");
  if (!mechanism) {
    return refused(504, "5.5.4", `Mechanism not known here, try one of: ${context.offered.join(" ")}`);
  }
  const { open, isServerFirst } = mechanisms[mechanism];
  const { first, step } = open(context);
  if (initial === undefined) return challenge(first, step);
  if (isServerFirst) return refused(501, "5.7.0", `${mechanism} begins with a challenge of ours`);
  return initial === "=" ? step("") : decodeResponse(initial, step);
}

/** RFC 4616 section 2: `[authzid] NUL authcid NUL password`. */
function plain(response: string): ReturnType<ResponseHandler> {
  const [authzid = "", name, password, ...more] = response.split("\0");
  if (name === undefined || password === undefined || more.length > 0) {
    return refused(501, "5.5.2", "Expected a user name and a password between NULs");
  }
  return credentials({ mechanism: "PLAIN", login: name, password, authzid });
}

function login(name: string, password: string): SaslStep {
  return credentials({ mechanism: "LOGIN", login: name, password, authzid: "" });
}

/** The certificate names the login. Whether it may log in depends on the password file. */
function external(certifiedAddress: string, authzid: string): SaslStep {
  return {
    kind: "question",
    mechanism: "EXTERNAL",
    login: certifiedAddress,
    lookUp: async (proofs) =>
      credentials({
        mechanism: "EXTERNAL",
        login: certifiedAddress,
        authzid,
        password: "",
        verdict: await proofs.external(certifiedAddress),
      }),
  };
}

/** RFC 2195: the client signs a unique challenge with its password. The keys are in passwd/proofs.ts. */
export function cramMd5({ hostname, nonce }: SaslContext): SaslStart {
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
        async lookUp(proofs) {
          const side = await proofs.cram(login);
          const verdict = "kind" in side ? side : side.check(challenge, Buffer.from(digest, "hex"));
          return credentials({ mechanism: "CRAM-MD5", login, authzid: "", password: response, verdict });
        },
      };
    },
  };
}
