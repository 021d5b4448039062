/** Setting up a client: the help for anybody, the same with the login filled in, files, and a message to oneself. */
import type { Hono } from "hono";
import { html } from "../../probe/history/charts.ts";
import type { MailClient } from "../settings/client.ts";
import { type FormatName, formatOf } from "../settings/formats.ts";
import { clientBody, indexBody } from "../settings/page.ts";
import { clients } from "../settings/table.ts";
import { form, own, show } from "./layout.ts";
import { relayAway } from "./state.ts";
import {
  type OwnVisit,
  type PortalEnvironment,
  type PortalPage,
  type PortalParts,
  serviceFor,
} from "./visit.ts";

/** Files of clients that a person may download, by the name of the file. */
const downloads: Readonly<Record<string, FormatName>> = {
  msmtprc: "msmtprc",
  muttrc: "muttrc",
  gitconfig: "gitconfig",
  "mail.mobileconfig": "mobileconfig",
};

export function clientRoutes(app: Hono<PortalEnvironment>, parts: PortalParts): void {
  app.get("/help", (c) => {
    const body = indexBody(clients, serviceFor(parts), (id) => `/help/${id}`);
    return show(c, parts, { title: "Help with mail programs", body });
  });
  app.get("/help/:client", (c) => {
    const client = clientOf(c);
    return client === undefined
      ? c.notFound()
      : show(c, parts, {
          title: client.name,
          body: html`<p><a href="/help">All mail programs</a></p>
${clientBody(client, serviceFor(parts))}`,
        });
  });
  app.get("/client", (c) => own(c, (visit) => overview(c, parts, visit)));
  app.get("/client/file/:file", (c) => own(c, (visit) => download(c, parts, visit)));
  app.post("/client/test", (c) => own(c, (visit) => sendTest(c, parts, visit)));
  app.get("/client/:client", (c) =>
    own(c, ({ session }) => {
      const client = clientOf(c);
      return client === undefined
        ? c.notFound()
        : show(c, parts, {
            title: client.name,
            body: html`<p><a href="/client">All mail programs</a></p>
${clientBody(client, serviceFor(parts, session.login))}`,
          });
    }),
  );
}

const clientOf = (c: PortalPage): MailClient | undefined =>
  clients.find(({ id }) => id === c.req.param("client"));

function overview(c: PortalPage, parts: PortalParts, { session }: OwnVisit): Response {
  const service = serviceFor(parts, session.login);
  const { incoming } = parts.config.portal;
  const names = Object.keys(downloads).filter((name) => incoming !== null || name !== "mail.mobileconfig");
  const body = html`${indexBody(clients, service, (id) => `/client/${id}`)}
<h2>Files</h2>
<ul>${names.map((name) => html`<li><a href="/client/file/${name}">${name}</a></li>\n`)}</ul>
<section><h2>Does it work?</h2>
<p>A message from you to yourself, <b>${service.address}</b>, without your mail program: it shows whether your mail goes out.</p>
${form(c, parts, "/client/test", html`<button>Send me a test message</button>`)}</section>`;
  return show(c, parts, { title: "Set up your mail program", body });
}

function download(c: PortalPage, parts: PortalParts, { session }: OwnVisit): Response | Promise<Response> {
  const file = c.req.param("file") ?? "";
  const name = Object.hasOwn(downloads, file) ? downloads[file] : undefined;
  const { incoming } = parts.config.portal;
  if (name === undefined || (name === "mobileconfig" && incoming === null)) return c.notFound();
  const type = name === "mobileconfig" ? "application/x-apple-aspen-config" : "text/plain";
  return c.body(formatOf(name).write(serviceFor(parts, session.login), incoming ?? undefined), 200, {
    "Content-Type": `${type}; charset=utf-8`,
    "Content-Disposition": `attachment; filename="${file}"`,
  });
}

async function sendTest(c: PortalPage, parts: PortalParts, { session }: OwnVisit): Promise<Response> {
  const { login } = session;
  const answer = await parts.relay({ ask: "test", login });
  const title = "Test message";
  if ("away" in answer) return show(c, parts, { title, status: 503, body: relayAway });
  const { reply, id } = answer;
  const body =
    id === undefined
      ? html`<p class="wrong" role="status">It was not taken: ${reply.text}.</p>`
      : html`<p class="good" role="status">It is on its way, as ${id}.</p>
<p><a href="/messages#${id}">See what becomes of it</a>, and look into your mailbox.</p>`;
  return show(c, parts, { title, body });
}
