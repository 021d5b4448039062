/** The frame of every page: heading, navigation, one style sheet. No script, and nothing from elsewhere. */
import { html, type Markup } from "../../probe/history/charts.ts";
import { style } from "../settings/page.ts";
import type { OwnVisit, PortalPage, PortalParts } from "./visit.ts";

export const styleSheet = `${style}
main { padding-top: 1rem; }
header, footer { max-width: 46rem; margin: 0 auto; padding: 1rem 1.25rem 0; }
header nav ul { list-style: none; margin: 0; padding: 0; display: flex; flex-wrap: wrap; gap: .3rem .4rem; align-items: center; }
header nav li { margin: 0; }
header nav a, header nav button, .skip { display: inline-block; padding: .5rem .7rem; border-radius: 6px; }
header nav a[aria-current] { background: var(--card); border: 1px solid var(--rule); font-weight: 600; }
.skip { position: absolute; left: -100rem; } .skip:focus { left: 1rem; top: .5rem; background: var(--card); }
label { display: block; font-weight: 600; margin: .9rem 0 .25rem; }
input { font: inherit; color: inherit; background: var(--card); border: 1px solid var(--soft); border-radius: 6px; padding: .55rem .7rem; width: 100%; max-width: 26rem; }
button { font: inherit; font-weight: 600; color: var(--paper); background: var(--accent); border: 1px solid var(--accent); border-radius: 6px; padding: .6rem 1.1rem; margin: 1rem 0 .2rem; min-height: 2.75rem; cursor: pointer; }
nav button, button.plain { color: var(--accent); background: transparent; margin: 0; }
input:focus-visible, button:focus-visible, summary:focus-visible, iframe:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
form { margin: 0; } section, article { background: var(--card); border: 1px solid var(--rule); border-radius: 8px; padding: .8rem 1.1rem 1.1rem; margin: 1rem 0; }
section h2, article h2 { margin: .2rem 0 .4rem; font-size: 1.1rem; } article h3 { font: inherit; font-weight: 600; margin: .8rem 0 .1rem; }
.hint { color: var(--soft); font-size: .95rem; margin: .2rem 0; }
.wrong { border-left: 4px solid #c0392b; background: var(--card); padding: .7rem 1rem; margin: 1rem 0; }
.good { border-left: 4px solid #2e8b57; background: var(--card); padding: .7rem 1rem; margin: 1rem 0; }
.secret { font: 600 1.25rem/1.6 ui-monospace, monospace; user-select: all; display: block; margin: .6rem 0; overflow-wrap: anywhere; }
iframe { width: 100%; height: 9rem; border: 1px solid var(--rule); border-radius: 8px; }
body.framed main { padding: .3rem .8rem; } .framed h1 { font-size: 1.05rem; margin: .2rem 0; }
dl.facts { display: grid; grid-template-columns: minmax(7rem, auto) 1fr; gap: .2rem 1rem; margin: .4rem 0; } dl.facts dt { margin: 0; color: var(--soft); font-weight: 500; } dl.facts dd { margin: 0; }
@media (max-width: 30rem) { dl.facts { grid-template-columns: 1fr; } dl.facts dd { margin-bottom: .5rem; } }
footer form { display: inline-block; margin: .3rem .6rem .3rem 0; } footer { padding-bottom: 2rem; color: var(--soft); }
`;

export interface PageContent {
  readonly title: string;
  readonly body: Markup;
  /** 200 where it is not given. */
  readonly status?: 200 | 400 | 401 | 403 | 404 | 413 | 415 | 429 | 500 | 503;
  /** Seconds, after which the browser asks for it again. */
  readonly refresh?: number;
  /** The page is for a frame within a page of ours. */
  readonly framed?: true;
  /** The page has such a frame. */
  readonly frames?: true;
}

const places = [
  ["/", "Overview"],
  ["/password", "Password"],
  ["/client", "Set up"],
  ["/messages", "My mail"],
  ["/limits", "Limits"],
] as const;

/** Answers with a page. */
export function show(c: PortalPage, parts: PortalParts, content: PageContent): Response {
  const { title, body, status = 200, refresh, framed, frames } = content;
  const session = c.get("visit").session;
  const isHere = (path: string): boolean =>
    path === "/" ? c.req.path === "/" : c.req.path === path || c.req.path.startsWith(`${path}/`);
  const navigation =
    session === undefined
      ? html`<nav aria-label="Portal"><ul><li><a href="/">Sign in</a></li><li><a href="/help">Help with mail programs</a></li></ul></nav>`
      : html`<nav aria-label="Portal"><ul>
${places.map(([path, name]) => html`<li><a href="${path}"${isHere(path) ? html` aria-current="page"` : html``}>${name}</a></li>\n`)}</ul></nav>`;
  const around =
    framed === true
      ? html``
      : html`<a class="skip" href="#content">To the content</a>
<header>${navigation}</header>
`;
  const below =
    framed === true || session === undefined
      ? html``
      : html`
<footer><p>Signed in as <b>${session.login}</b>.</p>${
          parts.config.portal["sign-in"] === "ldap"
            ? html`
${form(c, parts, "/sign-out", html`<button class="plain">Sign out</button>`)}
${form(c, parts, "/sign-out-everywhere", html`<button class="plain">Sign out everywhere</button>`)}`
            : html``
        }</footer>`;
  c.header("Content-Security-Policy", policy(framed === true, frames === true));
  c.header("X-Frame-Options", framed === true ? "SAMEORIGIN" : "DENY");
  if (refresh !== undefined) c.header("Refresh", String(refresh));
  return c.html(
    `<!doctype html>\n${
      html`<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title><link rel="stylesheet" href="/style.css"></head><body${framed === true ? html` class="framed"` : html``}>
${around}<main id="content">
<h1>${title}</h1>
${body}
</main>${below}</body></html>
`.markup
    }`,
    status,
  );
}

/** CSP Level 3: nothing but the style sheet, and forms to ourselves. */
export const policy = (framed: boolean, frames: boolean): string =>
  [
    "default-src 'none'",
    "style-src 'self'",
    ...(frames ? ["frame-src 'self'"] : []),
    "form-action 'self'",
    "base-uri 'none'",
    `frame-ancestors ${framed ? "'self'" : "'none'"}`,
  ].join("; ");

/** A form with its token. */
export function form(c: PortalPage, { seals }: PortalParts, action: string, content: Markup): Markup {
  return html`<form method="post" action="${action}"><input type="hidden" name="token" value="${seals.token(c.get("visit").anchor)}">${content}</form>`;
}

/** The page of somebody who is signed in; others are sent to sign in. */
export function own(
  c: PortalPage,
  page: (visit: OwnVisit) => Response | Promise<Response>,
): Response | Promise<Response> {
  const { session, ...visit } = c.get("visit");
  return session === undefined ? c.redirect("/", 303) : page({ ...visit, session });
}

export const longestPassword = 1_024;

/** The portal keeps nobody's password, so who changes something types it. */
export const accountField = (id: string): Markup => html`<label for="${id}">Password of your account</label>
<input id="${id}" name="account" type="password" autocomplete="current-password" required maxlength="${longestPassword}">
<p class="hint">The one that you sign in with here. It is used once, and kept nowhere.</p>`;

/** A moment for people. */
export const momentOf = (at: number): Markup => {
  const text = new Date(at).toISOString();
  return html`<time datetime="${text}">${text.slice(0, 16).replace("T", " ")} UTC</time>`;
};

export const wrong = (text: string): Markup => html`<p class="wrong" role="alert">${text}</p>`;
