/**
 * The portal's requests: for whom they are, who sends them, what every answer carries; then the pages. What a browser
 * changes comes by POST with a token of its own session, from a page of ours.
 */
import { randomBytes } from "node:crypto";
import { isIP } from "node:net";
import { type Context, Hono, type MiddlewareHandler } from "hono";
import { domainNames } from "../../config/domains.ts";
import { html } from "../../probe/history/charts.ts";
import { automaticRoutes } from "./automatic.ts";
import { clientRoutes } from "./client-pages.ts";
import { policy, show, styleSheet } from "./layout.ts";
import { plainAddress } from "./listener.ts";
import { mailRoutes } from "./mail-pages.ts";
import { passwordRoutes } from "./password-pages.ts";
import { sessionCookie } from "./sessions.ts";
import { signInRoutes } from "./sign-in-pages.ts";
import { loginIn, type PortalEnvironment, type PortalParts, type Visit } from "./visit.ts";

/** What stands for a browser in which nobody is signed in. */
const formCookie = "__Host-tpa-submit-form";

export function portalApp(parts: PortalParts): Hono<PortalEnvironment> {
  const app = new Hono<PortalEnvironment>();
  app.use(shield(parts));
  app.get("/style.css", (c) => {
    c.header("Cache-Control", "public, max-age=300");
    return c.body(styleSheet, 200, { "Content-Type": "text/css; charset=utf-8" });
  });
  app.get("/healthz", (c) => c.text("ok\n"));
  automaticRoutes(app, parts);
  app.use(visits(parts));
  app.use(ownForms(parts));
  signInRoutes(app, parts);
  passwordRoutes(app, parts);
  clientRoutes(app, parts);
  mailRoutes(app, parts);
  app.notFound((c) =>
    c.get("visit") === undefined
      ? c.text("There is no such page.\n", 404)
      : show(c, parts, {
          title: "There is no such page",
          status: 404,
          body: html`<p><a href="/">To the first page</a></p>`,
        }),
  );
  app.onError((error, c) => {
    parts.report(error);
    return c.text("A fault of the program. Those who run this server find it in its log.\n", 500);
  });
  return app;
}

/** For names of ours alone (RFC 9110 section 15.5.20), and with the fields that every answer has. */
function shield({ config }: PortalParts): MiddlewareHandler<PortalEnvironment> {
  const { url, names } = config.portal;
  const automatic = domainNames(config).flatMap((name) => [`autoconfig.${name}`, `autodiscover.${name}`]);
  const own = new Set([new URL(url).hostname, ...names, ...automatic]);
  return async (c, next) => {
    const host = c.req.header("host") ?? "";
    const name = /^([^:@/\\]+)(?::\d{1,5})?$/.exec(host)?.[1]?.toLowerCase().replace(/\.$/, "") ?? "";
    if (own.has(name)) await next();
    else c.res = c.text("This is not a name of this server; portal.names may add it.\n", 421);
    const headers = c.res.headers;
    for (const [field, value] of Object.entries(alwaysSent))
      if (!headers.has(field)) headers.set(field, value);
  };
}

const alwaysSent: Readonly<Record<string, string>> = {
  "Cache-Control": "no-store",
  "Content-Security-Policy": policy(false, false),
  "X-Frame-Options": "DENY",
  "X-Content-Type-Options": "nosniff",
  // With no-referrer a browser sends "Origin: null" with forms.
  "Referrer-Policy": "same-origin",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
  "Strict-Transport-Security": "max-age=31536000",
  "X-Robots-Tag": "noindex",
};

/** Finds out who asks, and writes the cookies of the answer. */
function visits(parts: PortalParts): MiddlewareHandler<PortalEnvironment> {
  const { seals } = parts;
  return async (c, next) => {
    const before = visitOf(c, parts);
    c.set("visit", before);
    await next();
    const { session, anchor } = c.get("visit");
    const put = (name: string, value: string, more: string): void =>
      c.header("Set-Cookie", `${name}=${value}; Path=/; Secure; HttpOnly; ${more}`, { append: true });
    if (session !== undefined) put(sessionCookie, parts.sessions.write(session), "SameSite=Lax");
    else {
      if (cookieOf(c, sessionCookie) !== undefined) put(sessionCookie, "", "SameSite=Lax; Max-Age=0");
      if (formAnchor(c, parts) === undefined)
        put(formCookie, seals.seal(formCookie, { anchor }), "SameSite=Strict");
    }
  };
}

function visitOf(c: Context<PortalEnvironment>, parts: PortalParts): Visit {
  const { sessions, config, isProxy } = parts;
  const peer = plainAddress(c.env.peer);
  const address = isProxy(peer) ? forwardedFor(c.req.header("x-forwarded-for"), peer, isProxy) : peer;
  const found = sessions.read(cookieOf(c, sessionCookie) ?? "");
  if (config.portal["sign-in"] === "header") {
    const said = isProxy(peer) ? c.req.header(config.portal["sign-in-header"]) : undefined;
    const login = loginIn(said ?? "", config.domain);
    const session = login === undefined ? undefined : found?.login === login ? found : sessions.begin(login);
    return { address, session, anchor: session?.id ?? newAnchor() };
  }
  return { address, session: found, anchor: found?.id ?? formAnchor(c, parts) ?? newAnchor() };
}

/** The value of a cookie (RFC 6265 section 4.2.1). */
function cookieOf(c: Context<PortalEnvironment>, name: string): string | undefined {
  const all = (c.req.header("cookie") ?? "").split(";").map((one) => one.trim());
  return all.find((one) => one.startsWith(`${name}=`))?.slice(name.length + 1);
}

const newAnchor = (): string => randomBytes(18).toString("base64url");

function formAnchor(c: Context<PortalEnvironment>, { seals }: PortalParts): string | undefined {
  const anchor = seals.open(formCookie, cookieOf(c, formCookie) ?? "")?.["anchor"];
  return typeof anchor === "string" ? anchor : undefined;
}

/** The last one in the list that is none of our proxies': what stands before it anybody can have written. */
function forwardedFor(
  field: string | undefined,
  peer: string,
  isProxy: (address: string) => boolean,
): string {
  const named = (field ?? "").split(",").map((one) => plainAddress(one.trim()));
  const client = named.toReversed().find((one) => isIP(one) === 0 || !isProxy(one));
  return client !== undefined && isIP(client) !== 0 ? client : peer;
}

/** A POST is a form of a page of ours, with the token of the browser that has it. */
function ownForms(parts: PortalParts): MiddlewareHandler<PortalEnvironment> {
  const isForeign = (c: Context<PortalEnvironment>): boolean => {
    const [site, origin] = [c.req.header("sec-fetch-site"), c.req.header("origin")];
    return (
      (site ?? "same-origin") !== "same-origin" ||
      (origin ?? parts.config.portal.url) !== parts.config.portal.url
    );
  };
  return async (c, next) => {
    if (c.req.method === "GET" || c.req.method === "HEAD") return next();
    if (!(c.req.header("content-type") ?? "").startsWith("application/x-www-form-urlencoded"))
      return c.text("Only forms of this site.\n", 415);
    if (isForeign(c)) return refusedForm(c, parts);
    const token = new URLSearchParams(await c.req.text()).get("token") ?? "";
    return parts.seals.isToken(c.get("visit").anchor, token) ? next() : refusedForm(c, parts);
  };
}

const refusedForm = (c: Context<PortalEnvironment>, parts: PortalParts): Response =>
  show(c, parts, {
    title: "Please try again",
    status: 403,
    body: html`<p>The form is too old, or it does not come from this site. Nothing was changed.</p>
<p><a href="/">To the first page</a></p>`,
  });
