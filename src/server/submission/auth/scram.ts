/**
 * SCRAM (RFC 5802, RFC 7677): client and server prove to each other that they know the keys of a password. The -PLUS
 * mechanisms bind the proof to the TLS session by tls-exporter (RFC 9266), so that nobody can sit in between. The keys are
 * in passwd/proofs.ts.
 */
import type { ScramDigest } from "../../../passwd/verifier.ts";
import { saslprep } from "../../../smtp/saslprep.ts";
import {
  challenge,
  credentials,
  type ResponseHandler,
  refused,
  type SaslContext,
  type SaslResult,
  type SaslStart,
  type SaslStep,
} from "./exchange.ts";

export interface ScramMechanism {
  readonly name: SaslResult["mechanism"];
  readonly digest: ScramDigest;
  /** Whether the name ends in -PLUS. */
  readonly plus: boolean;
}

/** The parts of the client's first message (RFC 5802 section 7). */
interface ClientFirst {
  /** Up to and with the second comma. */
  readonly header: string;
  /** What follows it. */
  readonly bare: string;
  readonly login: string;
  readonly authzid: string;
  readonly nonce: string;
}

const name = "(?:[^\\0,=]|=2C|=3D)";
const visible = "[\\x21-\\x2b\\x2d-\\x7e]";
const firstMessage = new RegExp(
  `^((n|y|p=([A-Za-z0-9.-]+)),(?:a=(${name}+))?,)(n=(${name}+),r=(${visible}+)(?:,[A-Za-z]=[^\\0,]+)*)$`,
);
const lastMessage = new RegExp(
  `^(c=([A-Za-z0-9+/=]+),r=(${visible}+)(?:,[A-Za-z]=[^\\0,]+)*),p=([A-Za-z0-9+/=]+)$`,
);

/** The row of a mechanism: the client speaks first. */
export function scram(mechanism: ScramMechanism): { readonly open: (context: SaslContext) => SaslStart } {
  return { open: (context) => ({ first: "", step: clientFirst(mechanism, context) }) };
}

function clientFirst(mechanism: ScramMechanism, context: SaslContext): ResponseHandler {
  return (message) => {
    const [, header = "", flag = "", type, a = "", bare = "", n = "", nonce = ""] =
      firstMessage.exec(message) ?? [];
    const [login, authzid] = [saslprep(unescaped(n)), saslprep(unescaped(a))];
    if (bare === "" || login === undefined || authzid === undefined) {
      return refused(501, "5.5.2", "This is no first message of SCRAM");
    }
    if (mechanism.plus !== (type !== undefined)) {
      return refused(
        501,
        "5.5.4",
        `${mechanism.name} ${mechanism.plus ? "needs" : "has no"} channel binding`,
      );
    }
    if (type !== undefined && type !== "tls-exporter") {
      return refused(501, "5.5.4", "The only channel binding known here is tls-exporter");
    }
    const first: ClientFirst = { header, bare, login, authzid, nonce };
    // RFC 5802 section 6: the client can bind, and somebody made it believe that we cannot.
    if (flag === "y" && context.offered.some((offer) => offer.endsWith("-PLUS"))) {
      return ended(mechanism, first, message, "channel binding was withheld from the client");
    }
    return serverFirst(mechanism, first, context);
  };
}

/** RFC 5802 section 5.1: commas and equals signs in names. */
const unescaped = (saslname: string): string => saslname.replaceAll("=2C", ",").replaceAll("=3D", "=");

function serverFirst(
  mechanism: ScramMechanism,
  first: ClientFirst,
  { binding, nonce }: SaslContext,
): SaslStep {
  const together = `${first.nonce}${nonce()}`;
  if (mechanism.plus && !binding) throw new Error("SCRAM with channel binding where there is none");
  const bound = Buffer.concat([Buffer.from(first.header), ...(mechanism.plus && binding ? [binding] : [])]);
  return {
    kind: "question",
    mechanism: mechanism.name,
    login: first.login,
    async lookUp(proofs) {
      const side = await proofs.scram(first.login, mechanism.digest);
      if ("kind" in side) return credentials({ ...given(mechanism, first, ""), verdict: side });
      const server = `r=${together},s=${side.salt.toString("base64")},i=${side.rounds}`;
      return challenge(server, (message) => {
        const [, signed = "", binds = "", r, proof = ""] = lastMessage.exec(message) ?? [];
        if (signed === "") return refused(501, "5.5.2", "This is no last message of SCRAM");
        if (r !== together) return ended(mechanism, first, message, "nonce of another exchange");
        if (binds !== bound.toString("base64")) {
          return ended(mechanism, first, message, "channel binding of another connection");
        }
        const judge = async (): Promise<SaslStep> => {
          const { result: verdict, signature } = await side.check(
            `${first.bare},${server},${signed}`,
            Buffer.from(proof, "base64"),
          );
          const shown = credentials({ ...given(mechanism, first, proof), verdict });
          // RFC 4954 section 4: the server's proof goes in a last challenge, and the response to it is empty.
          if (verdict.kind !== "accepted") return shown;
          return challenge(`v=${signature.toString("base64")}`, (nothing) =>
            nothing === "" ? shown : refused(501, "5.5.2", "Expected an empty response"),
          );
        };
        return { kind: "question", mechanism: mechanism.name, login: first.login, lookUp: judge };
      });
    },
  };
}

const given = (
  { name: mechanism }: ScramMechanism,
  { login, authzid }: ClientFirst,
  password: string,
): SaslResult => ({
  mechanism,
  login,
  authzid,
  password,
});

function ended(mechanism: ScramMechanism, first: ClientFirst, message: string, reason: string): SaslStep {
  return credentials({ ...given(mechanism, first, message), verdict: { kind: "rejected", reason } });
}
