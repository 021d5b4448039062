/** Several e-mail passwords side by side: each with its name, when it was made and last used, and a way to remove it. */
import type { Hono } from "hono";
import { visible } from "../../cli/output.ts";
import { isHashDigest } from "../../passwd/password-names.ts";
import { html, type Markup } from "../../probe/history/charts.ts";
import type { PortalPassword } from "../../server/control/portal-door.ts";
import { accountField, form, momentOf, own, show, wrong } from "./layout.ts";
import { guarded } from "./sign-in-pages.ts";
import { relayAway } from "./state.ts";
import type { OwnVisit, PortalEnvironment, PortalPage, PortalParts } from "./visit.ts";

export function removalRoutes(app: Hono<PortalEnvironment>, parts: PortalParts): void {
  app.get("/password/remove", (c) => own(c, (visit) => askRemoval(c, parts, visit)));
  app.post("/password/remove", (c) => own(c, (visit) => remove(c, parts, visit)));
}

/** What the relay knows of the person's passwords; a new one is among them once the relay has fetched it. */
export async function listSection(parts: PortalParts, login: string): Promise<Markup> {
  const heading = html`<h2>Your passwords</h2>`;
  if (parts.config.portal.socket === "")
    return html`${heading}<p class="note">Which there are the mail server could tell; it is not asked here.</p>`;
  const answer = await parts.relay({ ask: "passwords", login });
  if ("away" in answer) return html`${heading}${relayAway}`;
  const { passwords, remembers } = answer;
  if (passwords.length === 0) return html`${heading}<p>The mail server knows none.</p>`;
  return html`${heading}<p>Those that the mail server takes. One that was used from where you were not? Remove it now.</p>
${passwords.map((one) => passwordItem(one, remembers))}`;
}

function passwordItem(password: PortalPassword, remembers: boolean): Markup {
  const { digest, made, used, network = "", letsIn } = password;
  const name = nameFor(password);
  const last =
    used === undefined
      ? html`not since the mail server keeps record`
      : html`${momentOf(used)}${network === "" ? html`` : html`, from ${network}`}`;
  return html`<article><h3>${name}</h3>
${letsIn ? html`` : html`<p class="wrong">It is locked: the people who run the mail server shut it out.</p>`}<dl class="facts">
<dt>Made</dt><dd>${made === undefined ? html`not known` : momentOf(made)}</dd>${
    remembers ? html`\n<dt>Last used</dt><dd>${last}</dd>` : html``
  }
</dl>
<p><a href="/password/remove?password=${digest}">Remove ${name}</a></p></article>
`;
}

const nameFor = ({ name }: PortalPassword): string => name ?? "password without a name";

const title = "Remove a password";

async function askRemoval(c: PortalPage, parts: PortalParts, { session }: OwnVisit): Promise<Response> {
  const digest = c.req.query("password") ?? "";
  if (!isHashDigest(digest)) return c.redirect("/password", 303);
  return show(c, parts, { title, body: await removalForm(c, parts, { login: session.login, digest }) });
}

interface Wanted {
  readonly login: string;
  readonly digest: string;
}

async function removalForm(
  c: PortalPage,
  parts: PortalParts,
  { login, digest }: Wanted,
  trouble?: string,
): Promise<Markup> {
  const said = trouble === undefined ? html`` : wrong(trouble);
  const answer = await parts.relay({ ask: "passwords", login });
  if ("away" in answer) return html`${said}${relayAway}`;
  const found = answer.passwords.find((one) => one.digest === digest);
  if (found === undefined)
    return html`${said}<p>The mail server knows no such password any more. <a href="/password">Back to your passwords</a></p>`;
  const last =
    answer.passwords.length > 1
      ? html``
      : html`<p class="note">It is your only one: without it no mail program of yours sends, until you make another.</p>`;
  return html`${said}<p>No mail program gets in with <b>${nameFor(found)}</b> any more. This cannot be undone, but you can make a new one.</p>
${last}<section>${form(
    c,
    parts,
    "/password/remove",
    html`<input type="hidden" name="password" value="${digest}">${accountField("account")}
<button>Remove ${nameFor(found)}</button>`,
  )}</section>
<p><a href="/password">Keep it</a></p>`;
}

async function remove(c: PortalPage, parts: PortalParts, { session }: OwnVisit): Promise<Response> {
  const fields = new URLSearchParams(await c.req.text());
  const { login } = session;
  const wanted = { login, digest: fields.get("password") ?? "" };
  if (!isHashDigest(wanted.digest)) return c.redirect("/password", 303);
  const account = fields.get("account") ?? "";
  const again = async (text: string, status: 401 | 403 | 429 | 503): Promise<Response> =>
    show(c, parts, { title, status, body: await removalForm(c, parts, wanted, text) });
  const result = await guarded(c, parts, login, account, async () => {
    const done = await parts.directory.removeMailPassword(login, account, wanted.digest);
    return done.kind === "wrong" || done.kind === "away" ? done : { kind: "right", value: done };
  });
  if ("status" in result) {
    const { status, text } = result;
    return again(status === 401 ? "That is not the password of your account." : text, status);
  }
  if (result.kind === "refused") {
    parts.say(`an e-mail password of ${login} was not removed: ${visible(result.why)}`);
    return again("The directory does not let you remove it. Please ask the people who run it.", 403);
  }
  if (result.kind === "absent")
    return show(c, parts, {
      title,
      body: html`<p role="status">The directory does not have it any more: nothing was changed. <a href="/password">Back to your passwords</a></p>`,
    });
  parts.say(`${login} removed an e-mail password from ${parts.shown(c.get("visit").address)}`);
  const pending = { digest: result.digest, at: parts.now(), gone: true } as const;
  c.set("visit", { ...c.get("visit"), session: { ...session, pending } });
  const none =
    result.left > 0
      ? html``
      : html`<p class="note">You have no e-mail password now: <a href="/password">make one</a> before you send.</p>`;
  return show(c, parts, {
    title: "The password is removed",
    body: html`<h2>Is it gone at the mail server?</h2>
<iframe src="/password/state" title="Whether the mail server still takes it"></iframe>
${none}<p><a href="/password">Back to your passwords</a></p>`,
    frames: true,
  });
}
