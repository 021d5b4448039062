/** One request to the portal: from where, by whom; and what its pages may use. */
import type { Context } from "hono";
import type { Config } from "../../config/settings.ts";
import { Failure } from "../../failure.ts";
import { isPortalLogin } from "../../server/control/portal-door.ts";
import type { AuthRateLimiter } from "../../server/submission/limits/auth-rate-limiter.ts";
import type { Service } from "../settings/client.ts";
import { serviceOf } from "../settings/service.ts";
import type { PortalDirectory } from "./directory.ts";
import type { AskRelay } from "./door-client.ts";
import type { Seals } from "./sealed.ts";
import type { Session, Sessions } from "./sessions.ts";

export interface Visit {
  /** The client's IP address, as the proxies tell it where there are any. */
  readonly address: string;
  readonly session: Session | undefined;
  /** What the tokens of this browser's forms belong to: the session, or what its cookie for forms holds. */
  readonly anchor: string;
}

export interface PortalParts {
  readonly config: Config;
  readonly seals: Seals;
  readonly sessions: Sessions;
  readonly directory: PortalDirectory;
  readonly relay: AskRelay;
  readonly limiter: AuthRateLimiter;
  /** How many passwords are being checked for each network. */
  readonly checks: Map<string, number>;
  /** Whether a proxy of ours is there. */
  readonly isProxy: (address: string) => boolean;
  readonly now: () => number;
  readonly pause: (milliseconds: number) => Promise<unknown>;
  /** A client's address as the log may have it (log.privacy). */
  readonly shown: (address: string) => string;
  /** A line of the log. */
  readonly say: (line: string) => void;
  /** Hears of a fault of the program. */
  readonly report: (error: unknown) => void;
}

export interface PortalEnvironment {
  /** The IP address at the other end of the connection. */
  Bindings: { readonly peer: string };
  Variables: { visit: Visit };
}

export type PortalPage = Context<PortalEnvironment>;

/** A request with somebody who is signed in. */
export interface OwnVisit extends Visit {
  readonly session: Session;
}

/** What to type where; without a login for anybody. A login that would mean something in a file is left out. */
export function serviceFor({ config }: Pick<PortalParts, "config">, login?: string): Service {
  const host = config.portal.server === "" ? config.hostname : config.portal.server;
  try {
    return serviceOf(config, login, host);
  } catch (error) {
    if (error instanceof Failure && login !== undefined) return serviceOf(config, undefined, host);
    throw error;
  }
}

/** The login that a name stands for; undefined for what cannot be one here. */
export function loginIn(name: string, domain: string): string | undefined {
  const [login = "", own = domain, ...more] = name.trim().toLowerCase().split("@");
  return more.length === 0 && own === domain && isPortalLogin(login) ? login : undefined;
}
