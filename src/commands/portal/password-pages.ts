/**
 * The e-mail password: made here or chosen, set in the directory as the person, who types the account's password for it: the portal
 * keeps none. Then the wait until the relay takes it. Where somebody may have several, each has a name.
 */
import { randomInt } from "node:crypto";
import type { Hono } from "hono";
import { visible } from "../../cli/output.ts";
import { isPasswordName } from "../../passwd/password-names.ts";
import { html, type Markup } from "../../probe/history/charts.ts";
import { makePassphrase } from "../passwd/secret.ts";
import { accountField, form, longestPassword, momentOf, own, show, wrong } from "./layout.ts";
import { listSection, removalRoutes } from "./password-list.ts";
import { guarded } from "./sign-in-pages.ts";
import type { OwnVisit, PortalEnvironment, PortalPage, PortalParts } from "./visit.ts";

export function passwordRoutes(app: Hono<PortalEnvironment>, parts: PortalParts): void {
  app.get("/password", (c) =>
    own(c, async ({ session }) => {
      const several = parts.directory.hasSeveral();
      const known = await (several ? listSection : usesSection)(parts, session.login);
      const body = several ? html`${known}${forms(c, parts)}` : html`${forms(c, parts)}${known}`;
      return show(c, parts, { title: "E-mail password", body });
    }),
  );
  app.post("/password", (c) => own(c, (visit) => change(c, parts, visit)));
  app.get("/password/state", (c) => own(c, (visit) => showState(c, parts, visit)));
  removalRoutes(app, parts);
}

function forms(c: PortalPage, parts: PortalParts, trouble?: string): Markup {
  const { ldap, portal } = parts.config;
  const said = trouble === undefined ? html`` : wrong(trouble);
  if (ldap.url.length === 0)
    return html`${said}<p class="note">Passwords are not set here; please ask the people who run the mail server.</p>`;
  const least = portal["shortest-password"];
  const several = parts.directory.hasSeveral();
  const name = (id: string): Markup =>
    several
      ? html`<label for="${id}">Name of the new password</label>
<input id="${id}" name="name" autocomplete="off" autocapitalize="none" spellcheck="false" required maxlength="32" aria-describedby="${id}-hint">
<p class="hint" id="${id}-hint">Where it is for, such as phone or work-laptop: one word of letters, digits and . _ -</p>`
      : html``;
  const about = several
    ? html`<p>Mail programs log in with passwords of their own, the e-mail passwords. Give each device one: when it is lost, remove that one, and the others go on.</p>`
    : html`<p>Mail programs log in with a password of their own, the e-mail password. There is one: a new one takes the place of the old one in all your programs.</p>`;
  return html`${said}${about}
<section><h2>Make one for me</h2>
<p>It is long and cannot be guessed, and it is shown once. Let your mail program or your password manager keep it.</p>
${form(
  c,
  parts,
  "/password",
  html`<input type="hidden" name="how" value="make">${name("name-1")}${accountField("account-1")}
<button>Make a password</button>`,
)}</section>
<section><h2>Choose one myself</h2>
${form(
  c,
  parts,
  "/password",
  html`<input type="hidden" name="how" value="choose">${name("name-2")}${accountField("account-2")}
<label for="new">New e-mail password</label>
<input id="new" name="new" type="password" autocomplete="new-password" required minlength="${least}" maxlength="${longestPassword}" aria-describedby="new-hint">
<p class="hint" id="new-hint">At least ${least} characters, and not the password of your account.</p>
<label for="again">The same again</label>
<input id="again" name="again" type="password" autocomplete="new-password" required maxlength="${longestPassword}">
<button>Set this password</button>`,
)}</section>`;
}

/** Who uses the password: a client that its owner does not know is a thief's. */
async function usesSection({ relay, config }: PortalParts, login: string): Promise<Markup> {
  const answer = config.portal.socket === "" ? undefined : await relay({ ask: "messages", login });
  if (answer === undefined || "away" in answer || answer.busy) return html``; // the forms work all the same
  if (answer.uses.length === 0)
    return html`<h2>Where it was used</h2>
<p>No mail program has logged in with it, as far as the mail server remembers.</p>`;
  return html`<h2>Where it was used</h2>
<p>The last time from each place. One that is not yours? Make a new password now.</p>
<ul>${answer.uses.map(({ at, client, mechanism }) => html`<li>${momentOf(at)}, from ${placeOf(client)} (${mechanism})</li>\n`)}</ul>`;
}

/** `unknown[192.0.2.7]` without what is not known. */
const placeOf = (client: string): string => client.replace(/^unknown\[([^\]]*)\]$/, "$1");

async function change(c: PortalPage, parts: PortalParts, { session }: OwnVisit): Promise<Response> {
  const fields = new URLSearchParams(await c.req.text());
  const account = fields.get("account") ?? "";
  const isMade = fields.get("how") === "make";
  const chosen = fields.get("new") ?? "";
  const again = (text: string, status: 400 | 401 | 403 | 429 | 503): Response =>
    show(c, parts, { title: "E-mail password", status, body: forms(c, parts, text) });
  const name = parts.directory.hasSeveral() ? (fields.get("name") ?? "").trim() : undefined;
  const unfit =
    unfitName(name) || (isMade ? "" : unfitness(chosen, fields.get("again") ?? "", account, parts));
  if (unfit !== "") return again(unfit, 400);
  const { login } = session;
  const password = isMade ? makePassphrase(randomInt) : chosen;
  const result = await guarded(c, parts, login, account, async () => {
    const changed = await parts.directory.setMailPassword(login, account, password, name);
    return changed.kind === "wrong" || changed.kind === "away" ? changed : { kind: "right", value: changed };
  });
  if ("status" in result) {
    return again(
      result.status === 401 ? "That is not the password of your account." : result.text,
      result.status,
    );
  }
  if (result.kind === "refused") {
    parts.say(`the e-mail password of ${login} was not set: ${visible(result.why)}`);
    return again(
      "The directory does not let you set this password. Nothing was changed; please ask the people who run it.",
      403,
    );
  }
  if (result.kind !== "set") return again(`${unmade[result.kind]} Nothing was changed.`, 400);
  const called = name === undefined ? "" : ` named ${name}`;
  parts.say(`${login} set a new e-mail password${called} from ${parts.shown(c.get("visit").address)}`);
  const pending = { digest: result.digest, at: parts.now() };
  c.set("visit", { ...c.get("visit"), session: { ...session, pending } });
  return show(c, parts, {
    title: "Your new e-mail password",
    body: madeBody(isMade ? password : undefined),
    frames: true,
  });
}

/** Why no password was made. */
const unmade = {
  "too-long": "That is too long: choose a shorter one.",
  "name-taken":
    "You have a password of this name: remove that one first, or choose another name. One that the list does not show is locked.",
  "too-many": "You have as many passwords as you may have. Remove one first.",
  "one-only": "The directory has room for one password alone: a new one takes the place of the old one.",
} as const;

function unfitName(name: string | undefined): string {
  if (name === undefined || isPasswordName(name)) return "";
  return "The name must be one word of letters, digits and . _ - that begins with a letter or digit, 32 at most. Nothing was changed.";
}

/** Why a password is not taken, or "". */
function unfitness(password: string, again: string, account: string, { config }: PortalParts): string {
  const least = config.portal["shortest-password"];
  if (password !== again) return "The two are not the same. Nothing was changed.";
  if (Array.from(password).length < least)
    return `That is too short: it needs ${least} characters at least. Nothing was changed.`;
  if (password === account)
    return "The e-mail password must not be the password of your account. Nothing was changed.";
  if (/\p{Cc}/u.test(password)) return "No mail program can type a control character. Nothing was changed.";
  return "";
}

function madeBody(password: string | undefined): Markup {
  return html`${
    password === undefined
      ? html`<p class="good" role="status">Your password is set.</p>`
      : html`<p>It is shown now and never again:</p>
<p><code class="secret" id="made">${password}</code></p>`
  }
<h2>Does it work yet?</h2>
<iframe src="/password/state" title="Whether the new password works yet"></iframe>
<p>Then <a href="/client">set up your mail program</a> with it.</p>`;
}

/** Milliseconds for which the wait is short, as it is where sync runs all the time. */
const soon = 60_000;

async function showState(c: PortalPage, parts: PortalParts, { session }: OwnVisit): Promise<Response> {
  const { login, pending } = session;
  const page = (title: string, body: Markup, refresh?: number): Response =>
    show(c, parts, { title, body, framed: true, ...(refresh !== undefined && { refresh }) });
  if (pending === undefined)
    return page("Nothing is waited for", html`<p>No password was set in this session.</p>`);
  if (parts.config.portal.socket === "")
    return page(
      "In some minutes",
      html`<p>The mail server fetches ${pending.gone === true ? "changes of" : "new"} passwords by itself; it has not been asked here.</p>`,
    );
  const answer = await parts.relay({ ask: "takes", login, digest: pending.digest });
  const age = parts.now() - pending.at;
  if ("away" in answer) {
    return page(
      "The mail server does not answer",
      html`<p>Your password is ${pending.gone === true ? "removed" : "set"} all the same. This looks again by itself.</p>`,
      10,
    );
  }
  if (pending.gone === true)
    return answer.takes
      ? page(
          "Not yet",
          html`<p role="status">The mail server takes the removed password for a moment still. This looks again by itself.</p>`,
          age < soon ? 2 : 15,
        )
      : page(
          "Gone",
          html`<p class="good" role="status">The mail server does not take the removed password any more.</p>`,
        );
  if (answer.takes)
    return page(
      "Works now",
      html`<p class="good" role="status">The mail server takes your new password.</p>`,
    );
  return page(
    "Not yet",
    html`<p role="status">Set at ${momentOf(pending.at)}; the mail server has not fetched it yet. This looks again by itself.</p>`,
    age < soon ? 2 : 15,
  );
}
