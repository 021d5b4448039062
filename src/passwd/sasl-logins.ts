/**
 * Logins that authenticate without sending a password: by CRAM-MD5 and SCRAM, where what is stored for them holds
 * keys, or by a certificate. The server speaks the protocol; the keys stay here. A login that
 * is unknown, or has no keys, gets a salt that looks like all others and is the same each time, and fails in the end
 * (RFC 5802 section 9).
 */
import { createHash, createHmac, hkdfSync } from "node:crypto";
import { hmacMd5, hmacMd5States } from "./challenge.ts";
import { derivedParameters } from "./login-table.ts";
import {
  type AuthenticationResult,
  type Logins,
  neverRead,
  type Rejected,
  type Unavailable,
  whyDisabled,
} from "./logins.ts";
import { canonicalLogin } from "./password-file.ts";
import { hashDigest } from "./password-names.ts";
import { scramKeys } from "./pbkdf2.ts";
import { type Keys, type ScramDigest, type ScramKeys, sameDigest } from "./scheme.ts";

export type { ScramDigest } from "./scheme.ts";

/** A login's side of CRAM-MD5 (RFC 2195). */
export interface CramLogin {
  /** Whether `digest` is the keyed digest of `challenge`. */
  check(challenge: string, digest: Buffer): AuthenticationResult;
}

/** A login's side of SCRAM (RFC 5802). */
export interface ScramLogin {
  readonly salt: Buffer;
  readonly rounds: number;
  /**
   * Judges a ClientProof. The ServerSignature is for a client that was accepted. Keys are made of passwords only here,
   * where the answer can be held back: the time until salt and rounds are sent is the same for all.
   */
  check(authMessage: string, proof: Buffer): Promise<ScramResult>;
}

export interface ScramResult {
  readonly result: AuthenticationResult;
  readonly signature: Buffer;
}

/** `name` is what the client said: `user1` or `user1@domain`, in any case. */
export interface SaslLogins {
  /** Any password of the login will do. */
  cram(name: string): Promise<CramLogin | Unavailable>;
  /** The salt is sent before the password is known: the last line with keys for `digest` gives it. */
  scram(name: string, digest: ScramDigest): Promise<ScramLogin | Unavailable>;
  /** For the name in a certificate: whether there is such a login, and it is not disabled. */
  external(name: string): Promise<AuthenticationResult>;
}

/**
 * `current` gives the logins of the password file. `secret` makes the salts of logins that have none. It must be the
 * same after a restart: a salt that changed would give them away.
 */
export function newSaslLogins(
  current: () => Promise<Logins | undefined>,
  domain: string,
  secret: Uint8Array,
): SaslLogins {
  /** Octets that cannot be guessed, the same each time for the same `purpose`. */
  const derivedSecret = (purpose: string, octets: number): Buffer =>
    Buffer.from(hkdfSync("sha256", secret, "", purpose, octets));

  async function find(name: string) {
    const logins = await current();
    if (!logins) return undefined;
    const login = canonicalLogin(name, domain);
    const lines = (login === undefined ? undefined : logins.entries.get(login)) ?? [];
    return {
      login: login ?? name.toLowerCase(),
      keys: lines.flatMap(({ text, stored: { inspection } }) =>
        inspection.keys ? [{ keys: inspection.keys, text }] : [],
      ),
      disabled: lines.length === 0 ? whyDisabled(logins, login) : "",
      scramParameters: logins.scramParameters,
    };
  }

  return {
    async cram(name) {
      const found = await find(name);
      if (!found) return neverRead;
      const own = found.keys.flatMap(({ keys, text }) => statesOf(keys).map((states) => ({ states, text })));
      const sides = own.length > 0 ? own : [{ states: derivedSecret("CRAM-MD5", 32), text: "" }];
      const refusal = own.length > 0 ? rejected("wrong password") : keyless(found.disabled, "CRAM-MD5");
      return {
        check(challenge, digest) {
          const [right] = sides.filter(({ states }) =>
            sameDigest(hmacMd5(states, Buffer.from(challenge)), digest),
          );
          return right ? accepted(found.login, right.text) : refusal;
        },
      };
    },

    async scram(name, digest) {
      const found = await find(name);
      if (!found) return neverRead;
      const { login, keys, disabled, scramParameters } = found;
      const own = keys.filter(({ keys: { kind } }) => kind === digest || kind === "cleartext");
      const newest = own.at(-1);
      if (newest?.keys.kind === digest) {
        const { keys: ready, text } = newest;
        return scramLogin(digest, login, ready, async () => [{ ...ready, text }]);
      }
      const parameters = (newest ? undefined : scramParameters.get(digest)) ?? derivedParameters;
      const salted = {
        salt: derivedSecret(`${digest} ${login}`, parameters.octets),
        rounds: parameters.rounds,
      };
      const nobodys = derivedSecret(`${digest} nobody`, 32);
      const given = (): Promise<readonly StoredKeys[]> => {
        if (!parameters.isDerived) return Promise.resolve([{ stored: nobodys, server: nobodys, text: "" }]);
        const known = own.flatMap(({ keys: key, text }) =>
          key.kind === "cleartext" ? [{ password: key.password, text }] : [],
        );
        return Promise.all(
          (newest ? known : [{ password: nobodys, text: "" }]).map(async ({ password, text }) => ({
            ...(await scramKeys(digest, password, salted.salt, salted.rounds)),
            text,
          })),
        );
      };
      const side = scramLogin(digest, login, salted, given);
      return newest ? side : failingLogin(side, keyless(disabled, mechanismOf[digest]));
    },

    async external(name) {
      const found = await find(name);
      if (!found) return neverRead;
      return found.disabled === "" ? accepted(found.login) : rejected(found.disabled);
    },
  };
}

/** `text` is the hash that the keys are of. */
const accepted = (login: string, text = ""): AuthenticationResult => ({
  kind: "accepted",
  login,
  ...(text !== "" && { stored: hashDigest(text) }),
});
const rejected = (reason: string): Rejected => ({ kind: "rejected", reason });

const mechanismOf: Readonly<Record<ScramDigest, string>> = { sha1: "SCRAM-SHA-1", sha256: "SCRAM-SHA-256" };

/** For a login without keys for `mechanism`, or one that is `disabled` to all. */
function keyless(disabled: string, mechanism: string): Rejected {
  if (disabled !== "") return rejected(disabled);
  return { ...rejected(`the stored password does not allow ${mechanism}`), cannotSucceed: true };
}

function statesOf(keys: Keys): readonly Buffer[] {
  if (keys.kind === "cram") return [keys.states];
  return keys.kind === "cleartext" ? [hmacMd5States(keys.password)] : [];
}

/** Keys, and the hash that they are of. */
type StoredKeys = ScramKeys & { readonly text: string };

/** RFC 5802 section 3, from the server's end; any of the keys that `make` gives may be the client's. */
function scramLogin(
  digest: ScramDigest,
  login: string,
  { salt, rounds }: { readonly salt: Buffer; readonly rounds: number },
  make: () => Promise<readonly StoredKeys[]>,
): ScramLogin {
  const fits = (message: string, proof: Buffer, { stored }: ScramKeys): boolean => {
    const signature = createHmac(digest, stored).update(message).digest();
    if (proof.length !== signature.length) return false;
    const clientKey = Buffer.from(proof.map((octet, at) => octet ^ (signature[at] ?? 0)));
    return sameDigest(createHash(digest).update(clientKey).digest(), stored);
  };
  return {
    salt,
    rounds,
    async check(message, proof) {
      const right = (await make()).find((one) => fits(message, proof, one));
      const signature = createHmac(digest, right?.server ?? "")
        .update(message)
        .digest();
      return { result: right ? accepted(login, right.text) : rejected("wrong password"), signature };
    },
  };
}

/** The same, but every proof is refused. */
function failingLogin(side: ScramLogin, verdict: Rejected): ScramLogin {
  return {
    ...side,
    check: async (message, proof) => ({ ...(await side.check(message, proof)), result: verdict }),
  };
}
