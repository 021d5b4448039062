/** The help site: a page for each client, each whole in itself. Nothing is fetched, nothing runs. */
import { html, type Markup } from "../../probe/history/charts.ts";
import type { MailClient, Service } from "./client.ts";
import { type ReplyName, replies } from "./replies.ts";
import { anybody } from "./service.ts";
import { commonFields, replyOf } from "./text.ts";

export const style = `
:root { color-scheme: light dark; --paper: #f5f6f8; --card: #ffffff; --ink: #1b2430; --soft: #566171; --rule: #dfe3e8; --accent: #1f5a9c; }
@media (prefers-color-scheme: dark) { :root {
  --paper: #12161c; --card: #1b212a; --ink: #e7ebf0; --soft: #9aa6b5; --rule: #2e3743; --accent: #6fb1f2; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 100%/1.55 system-ui, sans-serif; }
main { max-width: 46rem; margin: 0 auto; padding: 2rem 1.25rem 3rem; container-type: inline-size; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: .5rem 0 .25rem; hyphens: auto; } h2 { font-size: 1.15rem; margin: 2rem 0 .6rem; }
h1, h2, h3, p, li, td, th, dd, a { overflow-wrap: anywhere; } h3 { font: 600 .9rem/1.5 ui-monospace, monospace; margin: 1.25rem 0 .3rem; }
p { margin: .4rem 0; } .soft { color: var(--soft); } a { color: var(--accent); } a:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
ol, ul { padding-left: 1.4rem; } li { margin: .35rem 0; }
ul.clients { list-style: none; padding: 0; display: grid; gap: .6rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 14rem), 1fr)); }
ul.clients a { display: block; padding: .7rem .9rem; background: var(--card); border: 1px solid var(--rule); border-radius: 8px; }
ul.clients li { margin: 0; } ul.clients small { display: inline-block; width: 100%; color: var(--soft); }
table { width: 100%; border-collapse: collapse; background: var(--card); border: 1px solid var(--rule); }
th, td { text-align: left; vertical-align: top; padding: .5rem .8rem; border-bottom: 1px solid var(--rule); } th { width: 35%; font-weight: 500; color: var(--soft); overflow-wrap: break-word; }
@container (max-width: 18rem) { th, td { display: block; width: auto; } th { border-bottom: 0; padding-bottom: 0; } }
.note { border-left: 4px solid var(--accent); background: var(--card); padding: .7rem 1rem; margin: 1rem 0; }
pre { background: var(--card); border: 1px solid var(--rule); padding: .8rem; overflow-x: auto; font-size: .9rem; } pre:focus-visible { outline: 3px solid var(--accent); }
dt { font-weight: 600; margin-top: 1.1rem; overflow-wrap: anywhere; } dd { margin: .2rem 0 0; }
`;

/** File name to its text. */
export function sitePages(clients: readonly MailClient[], service: Service): ReadonlyMap<string, string> {
  return new Map([
    ["index.html", indexPage(clients, service)],
    ...clients.map((client) => [`${client.id}.html`, clientPage(client, service)] as const),
  ]);
}

function page(title: string, body: Markup): string {
  const policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";
  return `<!doctype html>\n${
    html`<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<title>${title}</title><style>${{ markup: style }}</style></head><body><main>
${body}
</main></body></html>
`.markup
  }`;
}

export const fieldTable = (fields: readonly (readonly [string, string])[]): Markup => html`<table><tbody>
${fields.map(([label, value]) => html`<tr><th scope="row">${label}</th><td>${value}</td></tr>\n`)}</tbody></table>`;

const whose = ({ login, domain }: Service): Markup =>
  login === anybody
    ? html`<p class="soft">${anybody} stands for your login: what is before the @ in your address at ${domain}.</p>`
    : html``;

function indexPage(clients: readonly MailClient[], service: Service): string {
  return page(
    `Sending mail by ${service.host}`,
    html`<h1>Sending mail by ${service.host}</h1>
${indexBody(clients, service, (id) => `${id}.html`)}`,
  );
}

/** All below the heading; `linkTo` tells where a client's page is. */
export function indexBody(
  clients: readonly MailClient[],
  service: Service,
  linkTo: (id: string) => string,
): Markup {
  const list = clients.map(
    ({ id, name, systems }) => html`<li><a href="${linkTo(id)}">${name} <small>${systems}</small></a></li>\n`,
  );
  return html`<p>What to type into your mail program, so that your mail goes out from ${service.domain}.</p>
<h2>The values</h2>
${fieldTable(commonFields(service))}
${whose(service)}
<p>The server only sends: it has no mailboxes.</p>
<h2>Your mail program</h2>
<ul class="clients">
${list}</ul>
<h2>What the server says</h2>
<dl>
${(Object.keys(replies) as ReplyName[]).map((name) => replyItem(name, service))}</dl>`;
}

function replyItem(name: ReplyName, service: Service): Markup {
  const { code, text, means } = replyOf(name, service);
  return html`<dt>${code} ${text}</dt><dd>${means}</dd>\n`;
}

function clientPage(client: MailClient, service: Service): string {
  return page(
    `${client.name}: sending by ${service.host}`,
    html`<nav><a href="index.html">All mail programs</a></nav>
<h1>${client.name}</h1>
${clientBody(client, service)}`,
  );
}

/** All below the heading. */
export function clientBody(client: MailClient, service: Service): Markup {
  const files = client.files?.(service) ?? [];
  return html`<p class="soft">${client.systems}</p>
${client.cannot === undefined ? html`` : html`<p class="note">${client.cannot}</p>`}
<h2>Steps</h2>
<ol>
${client.steps(service).map((step) => html`<li>${step}</li>\n`)}</ol>
<h2>The values</h2>
${fieldTable(client.fields?.(service) ?? commonFields(service))}
${whose(service)}
${files.length === 0 ? html`` : html`<h2>Files</h2>`}
${files.map(({ name, text }) => html`<h3>${name}</h3><pre tabindex="0" role="region" aria-label="${name}">${text}</pre>\n`)}
<h2>Mind</h2>
<ul>
${client.pitfalls.map((text) => html`<li>${text}</li>\n`)}</ul>
<h2>When it fails</h2>
<dl>
${client.errors.map(
  ({ says, means, replies: behind }) =>
    html`<dt>${says}</dt><dd>${means}${
      behind.length === 0
        ? html``
        : html`<ul>
${behind.map((name) => {
  const { code, text, means: meaning } = replyOf(name, service);
  return html`<li><b>${code} ${text}</b>: ${meaning}</li>\n`;
})}</ul>`
    }</dd>\n`,
)}</dl>`;
}
