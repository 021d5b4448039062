/**
 * Where the store is that several hosts share: `postgresql://USER@HOST[:PORT][,HOST2[:PORT]…]/DATABASE`, as libpq writes it
 * (its manual, "Connection URIs"), or without hosts and with
 * the folder of its socket in `?host=`.
 */

/** Where a database may be. */
export interface StoreHost {
  /** A name, an address without brackets, or the folder of a Unix socket, which begins with "/". */
  readonly host: string;
  readonly port: number;
}

export interface StoreUrl {
  readonly user: string;
  readonly database: string;
  /** At least one. The first that takes writes is used. */
  readonly hosts: readonly StoreHost[];
  /** Whether connections over TCP are encrypted: always, but to ourselves where the URL says otherwise. */
  readonly tls: boolean;
}

const schemes = ["postgresql://", "postgres://"];
const usualPort = 5432;

/** The parts of `text`, or what is wrong with it: never in its own words, since there may be a password in it. */
export function parseStoreUrl(text: string): StoreUrl | string {
  const scheme = schemes.find((one) => text.startsWith(one));
  if (scheme === undefined) return "expected a URL that begins with postgresql://";
  try {
    return partsOf(text.slice(scheme.length));
  } catch (error) {
    if (error instanceof URIError) return "expected a URL, found a % that begins no octet";
    throw error;
  }
}

function partsOf(text: string): StoreUrl | string {
  const [before, query = ""] = cut(text, "?");
  const [authority, path] = cut(before, "/");
  const at = authority.lastIndexOf("@");
  if (at <= 0) return "expected the user's name and @ before the host";
  const user = authority.slice(0, at);
  if (user.includes(":")) return "expected no password in it: that belongs in the file store-password-file";
  if (path === undefined || path === "") return "expected the name of the database behind the host";
  const parameters = new Map<string, string>();
  for (const part of query === "" ? [] : query.split("&")) {
    const [name, value = ""] = cut(part, "=");
    if (name !== "host" && name !== "sslmode") {
      return name === "password"
        ? "expected no password in it: that belongs in the file store-password-file"
        : "expected no parameters behind ? but host and sslmode";
    }
    parameters.set(name, decodeURIComponent(value));
  }
  const folder = parameters.get("host");
  if (folder?.startsWith("/") === false) return "expected the folder of a socket in ?host=";
  const hosts: StoreHost[] = [];
  for (const one of authority.slice(at + 1).split(",")) {
    const host = folder === undefined ? hostIn(one) : socketIn(one, folder);
    if (host === undefined) {
      return folder === undefined
        ? "expected hosts such as db.example.org:5432, with commas between them"
        : "expected no host beside ?host=, but ports such as :5432 with commas between them";
    }
    hosts.push(host);
  }
  const mode = parameters.get("sslmode") ?? "verify-full";
  if (mode !== "verify-full" && mode !== "disable")
    return 'expected sslmode "verify-full", which is the usual one, or "disable" on this machine';
  const tls = mode !== "disable";
  if (!tls && !hosts.every(({ host }) => isOwn(host)))
    return "expected sslmode=disable with loopback addresses or a socket only: others would read the mail";
  return { user: decodeURIComponent(user), database: decodeURIComponent(path), hosts, tls };
}

/** What is before the first `mark`, and what is behind it. */
function cut(text: string, mark: string): readonly [string, string?] {
  const at = text.indexOf(mark);
  return at === -1 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

function hostIn(text: string): StoreHost | undefined {
  const [, literal, name, digits] = /^(?:\[([0-9A-Fa-f:.]+)\]|([\w.-]+))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const host = literal ?? name;
  const port = portIn(digits);
  return host === undefined || port === undefined ? undefined : { host, port };
}

function socketIn(text: string, folder: string): StoreHost | undefined {
  const [, digits] = /^(?::(\d{1,5}))?$/.exec(text) ?? [];
  const port = portIn(digits);
  return port === undefined || (text !== "" && digits === undefined) ? undefined : { host: folder, port };
}

function portIn(digits: string | undefined): number | undefined {
  const port = digits === undefined ? usualPort : Number(digits);
  return port >= 1 && port <= 65_535 ? port : undefined;
}

/** Whether nobody else can hear what is said to `host`. */
const isOwn = (host: string): boolean =>
  host.startsWith("/") || host === "::1" || host === "localhost" || /^127\.\d+\.\d+\.\d+$/.test(host);
