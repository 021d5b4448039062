/**
 * The logins of several domains, each with a password file of its own, as one. A login of the main domain is called by its
 * local name, as where there is no other domain; one of another domain is called `user1@example.net`, so that the same
 * local name means different people.
 */
import type { AuthenticationResult, CramLogin, SaslLogins, ScramLogin, Verifier } from "./verifier.ts";

/** What a relay asks of them all. */
export type DomainLogins = Omit<Verifier, "size" | "reload" | "close">;

/** `others` gives the domains beside that of `main`, in lower case; it is asked each time. */
export function joinLogins(main: Verifier, others: () => ReadonlyMap<string, Verifier>): DomainLogins {
  const all = (): readonly Verifier[] => [main, ...others().values()];
  /** A name of no domain here is left to `main`, which knows nobody of that name and takes its time to say so. */
  function of(name: string): { readonly verifier: Verifier; readonly domain: string } {
    const domain = name.slice(name.lastIndexOf("@") + 1).toLowerCase();
    const verifier = name.includes("@") ? others().get(domain) : undefined;
    return verifier ? { verifier, domain } : { verifier: main, domain: "" };
  }

  return {
    async verify(name, password) {
      const { verifier, domain } = of(name);
      return inFull(await verifier.verify(name, password), domain);
    },
    sasl: joinSasl(of),
    // Of all files: the time of a refusal does not tell which domain was asked for.
    async slowestCheck() {
      return Math.max(...(await Promise.all(all().map((verifier) => verifier.slowestCheck()))));
    },
    hashes: (name) => of(name).verifier.hashes(name),
    stillValid: (name, hashes) => of(name).verifier.stillValid(name, hashes),
    challenges: () => [...new Set(all().flatMap((verifier) => verifier.challenges()))],
  };
}

function joinSasl(
  of: (name: string) => { readonly verifier: Verifier; readonly domain: string },
): SaslLogins {
  return {
    async cram(name) {
      const { verifier, domain } = of(name);
      const login = await verifier.sasl.cram(name);
      return "check" in login ? cramInFull(login, domain) : login;
    },
    async scram(name, digest) {
      const { verifier, domain } = of(name);
      const login = await verifier.sasl.scram(name, digest);
      return "check" in login ? scramInFull(login, domain) : login;
    },
    async external(name) {
      const { verifier, domain } = of(name);
      return inFull(await verifier.sasl.external(name), domain);
    },
  };
}

const cramInFull = (login: CramLogin, domain: string): CramLogin => ({
  check: (challenge, digest) => inFull(login.check(challenge, digest), domain),
});

const scramInFull = (login: ScramLogin, domain: string): ScramLogin => ({
  ...login,
  async check(message, proof) {
    const { result, signature } = await login.check(message, proof);
    return { result: inFull(result, domain), signature };
  },
});

/** The result with the login as the relay calls it; `domain` is "" for the main one. */
function inFull(result: AuthenticationResult, domain: string): AuthenticationResult {
  return result.kind === "accepted" && domain !== ""
    ? { ...result, login: `${result.login}@${domain}` }
    : result;
}
