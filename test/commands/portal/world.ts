/** A portal as people meet it: the real program, a real slapd behind it, and where it is asked for a relay and a sync. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { type RequestOptions, request } from "node:https";
import { join } from "node:path";
import { prepareRelay, program, type Relay } from "../../../demo/relay.mjs";
import { people, person, reader, type Slapd, type SlapdOptions, startSlapd } from "../../ldap/slapd.ts";
import { freePort } from "../../tools/port.mjs";

export interface Running {
  readonly child: ChildProcess;
  log(): string;
  /** Resolves when a line like this was logged. */
  logged(pattern: RegExp): Promise<void>;
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

export function run(args: readonly string[]): Running {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  child.stdout.on("data", (piece: Buffer) => {
    said += piece.toString();
  });
  child.stderr.on("data", (piece: Buffer) => {
    said += piece.toString();
  });
  return {
    child,
    log: () => said,
    async logged(pattern) {
      while (!pattern.test(said)) {
        if (child.exitCode !== null) throw new Error(`ended before it logged ${pattern}: ${said}`);
        await Promise.race([once(child.stderr, "data"), once(child.stdout, "data"), once(child, "exit")]);
      }
    },
    async stop(signal = "SIGTERM") {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill(signal);
        await once(child, "exit");
      }
      return child.exitCode;
    },
  };
}

/** What the people of the directory sign in with. */
export const accounts = { user1: "the account of one", user2: "the account of two" } as const;

export interface World {
  readonly slapd: Slapd;
  readonly relay: Relay;
  readonly portal: Running;
  /** "https://localhost:PORT" */
  readonly url: string;
  readonly port: number;
  browser(address?: string): Browser;
  close(): Promise<void>;
}

export interface WorldOptions {
  /** Further lines of [portal], and further tables. */
  readonly portal?: string;
  readonly more?: string;
  /** Further lines of [ldap]. */
  readonly ldap?: string;
  /** Those of the portal; this host where it is not given. */
  readonly proxies?: readonly string[];
  /** Further options of the directory. */
  readonly slapd?: Pick<SlapdOptions, "mailPassword">;
  /** Whether `serve` runs. */
  readonly serve?: boolean;
  /** Whether `sync --watch` runs. */
  readonly sync?: boolean;
}

/** Starts one. The portal has a certificate of its own, and believes the X-Forwarded-For of this host. */
export async function startWorld({
  portal = "",
  more = "",
  ldap = "",
  proxies = ["127.0.0.1"],
  slapd: directory = {},
  serve,
  sync,
}: WorldOptions = {}): Promise<World> {
  const undo: (() => Promise<unknown>)[] = [];
  const close = async (): Promise<void> => {
    for (const one of undo.splice(0).reverse()) await one();
  };
  try {
    const slapd = await startSlapd({
      ...directory,
      entries: Object.keys(accounts)
        .map((uid) => person(uid))
        .join(""),
    });
    undo.push(() => slapd.remove());
    for (const [uid, password] of Object.entries(accounts))
      await slapd.modify(
        `dn: uid=${uid},${people}\nchangetype: modify\nreplace: userPassword\nuserPassword: ${password}\n`,
      );
    const port = await freePort();
    const relay = await prepareRelay(`${more}
[ldap]
url = ["${slapd.ldaps}"]
ca = "${slapd.ca}"
base = "${people}"
bind-dn = "${reader.dn}"
bind-password-file = "FOLDER/reader"
timeout = "3s"
${ldap}
[sync]
interval = "1s"
largest-loss = 100
[portal]
url = "https://localhost:${port}"
names = ["mail.example.org"]
listen = "127.0.0.1:${port}"
certificate = "FOLDER/certificate.pem"
key = "FOLDER/key.pem"
state = "FOLDER/portal"
socket = "FOLDER/portal.socket"
proxies = ${JSON.stringify(proxies)}
${portal}
`);
    undo.push(() => relay.stop());
    await mkdir(join(relay.folder, "portal"), { mode: 0o700 });
    await writeFile(join(relay.folder, "reader"), reader.password, { mode: 0o600 });
    if (serve === true) await relay.start();
    if (sync === true) {
      const watching = run(["sync", "--watch", "-c", relay.config]);
      undo.push(() => watching.stop());
    }
    const started = run(["portal", "-c", relay.config]);
    undo.push(() => started.stop());
    await started.logged(/listening on/);
    const ca = await readFile(relay.certificate);
    const url = `https://localhost:${port}`;
    const base = { host: "127.0.0.1", servername: "localhost", port, ca } as const;
    return {
      slapd,
      relay,
      portal: started,
      url,
      port,
      browser: (address) => newBrowser(base, url, address),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

export interface Answered {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
  readonly cookies: readonly string[];
}

export interface Browser {
  /** Cookies by name, as a browser would send them. */
  readonly jar: Map<string, string>;
  get(path: string, headers?: Readonly<Record<string, string>>): Promise<Answered>;
  /** Sends the form of `page` that goes to `path`, with its token. */
  submit(page: string, path: string, fields: Readonly<Record<string, string>>): Promise<Answered>;
  post(path: string, body: string, headers?: Readonly<Record<string, string>>): Promise<Answered>;
  signIn(login: string, password: string): Promise<Answered>;
}

function newBrowser(base: RequestOptions, url: string, address?: string): Browser {
  const jar = new Map<string, string>();

  async function send(
    method: string,
    path: string,
    body: string,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Answered> {
    const asking = request({
      ...base,
      method,
      path,
      agent: false,
      headers: {
        host: new URL(url).host,
        ...(jar.size > 0 && { cookie: [...jar].map(([name, value]) => `${name}=${value}`).join("; ") }),
        ...(address !== undefined && { "x-forwarded-for": address }),
        ...(method === "POST" && { "content-type": "application/x-www-form-urlencoded" }),
        ...headers,
      },
    });
    asking.end(body);
    const [response] = (await once(asking, "response")) as [IncomingMessage];
    let text = "";
    for await (const piece of response.setEncoding("utf8")) text += String(piece);
    const cookies = response.headers["set-cookie"] ?? [];
    for (const cookie of cookies) {
      const [, name = "", value = ""] = /^([^=]+)=([^;]*)/.exec(cookie) ?? [];
      if (value === "") jar.delete(name);
      else jar.set(name, value);
    }
    return { status: response.statusCode ?? 0, headers: response.headers, body: text, cookies };
  }

  const browser: Browser = {
    jar,
    get: (path, headers) => send("GET", path, "", headers),
    post: (path, body, headers) => send("POST", path, body, headers),
    async submit(page, path, fields) {
      const { body } = await send("GET", page, "");
      const token = tokenIn(body);
      return send("POST", path, new URLSearchParams({ token, ...fields }).toString());
    },
    signIn: (login, password) => browser.submit("/", "/sign-in", { login, password }),
  };
  return browser;
}

export const tokenIn = (page: string): string => /name="token" value="([^"]*)"/.exec(page)?.[1] ?? "";

export const sessionCookie = "__Host-tpa-submit";
