/** Signing in and out, and the first page. */
import type { Hono } from "hono";
import { visible } from "../../cli/output.ts";
import { html, type Markup } from "../../probe/history/charts.ts";
import { isPortalLogin } from "../../server/control/portal-door.ts";
import { subscriberNetwork } from "../../server/submission/limits/admission.ts";
import { form, show, wrong } from "./layout.ts";
import { stateSection } from "./state.ts";
import { loginIn, type PortalEnvironment, type PortalPage, type PortalParts } from "./visit.ts";

export function signInRoutes(app: Hono<PortalEnvironment>, parts: PortalParts): void {
  app.get("/", (c) => firstPage(c, parts));
  app.post("/sign-in", (c) => signIn(c, parts));
  app.post("/sign-out", async (c) => {
    const visit = c.get("visit");
    if (visit.session) await parts.sessions.end(visit.session);
    return leave(c);
  });
  app.post("/sign-out-everywhere", async (c) => {
    const { session } = c.get("visit");
    if (session) {
      await parts.sessions.endAll(session.login);
      parts.say(`${session.login} signed out everywhere`);
    }
    return leave(c);
  });
}

/** The answer takes the cookie away. */
function leave(c: PortalPage): Response {
  c.set("visit", { ...c.get("visit"), session: undefined });
  return c.redirect("/", 303);
}

async function firstPage(c: PortalPage, parts: PortalParts): Promise<Response> {
  const { session } = c.get("visit");
  const { domain } = parts.config;
  if (session === undefined)
    return show(c, parts, { title: `Mail at ${domain}`, body: signInForm(c, parts) });
  const body = html`${await stateSection(parts, session.login)}
<ul class="clients">
<li><a href="/password">E-mail password <small>make one, or choose one</small></a></li>
<li><a href="/client">Set up your mail program <small>with your login filled in</small></a></li>
<li><a href="/messages">My mail <small>what became of it</small></a></li>
<li><a href="/limits">Limits <small>and what is used of them</small></a></li>
</ul>`;
  return show(c, parts, { title: `Mail at ${domain}`, body });
}

function signInForm(c: PortalPage, parts: PortalParts, trouble?: string): Markup {
  const said = trouble === undefined ? html`` : wrong(trouble);
  const help = html`<p><a href="/help">Help with mail programs</a>, without signing in.</p>`;
  if (parts.config.portal["sign-in"] === "header") {
    return html`${said}<p class="note">You are not signed in. The sign-in of this site comes before this page; if you see this, it has not told who you are.</p>${help}`;
  }
  return html`${said}<p>Get a password for your mail program, and see what became of your mail.</p>
<section><h2>Sign in</h2>
${form(
  c,
  parts,
  "/sign-in",
  html`<label for="login">Login</label>
<input id="login" name="login" autocomplete="username" autocapitalize="none" spellcheck="false" required maxlength="128">
<label for="password">Password of your account</label>
<input id="password" name="password" type="password" autocomplete="current-password" required maxlength="1024">
<p class="hint">Not the e-mail password.</p>
<button>Sign in</button>`,
)}</section>
${help}`;
}

async function signIn(c: PortalPage, parts: PortalParts): Promise<Response> {
  const fields = new URLSearchParams(await c.req.text());
  const name = fields.get("login") ?? "";
  const result = await checkPassword(c, parts, name, fields.get("password") ?? "");
  if (typeof result !== "string") {
    const { status, text } = result;
    return show(c, parts, {
      title: `Mail at ${parts.config.domain}`,
      status,
      body: signInForm(c, parts, text),
    });
  }
  // A new session: whatever the browser had before is not it.
  const session = parts.sessions.begin(result);
  c.set("visit", { ...c.get("visit"), session, anchor: session.id });
  parts.say(`${result} signed in from ${parts.shown(c.get("visit").address)}`);
  return c.redirect("/", 303);
}

export interface PasswordRefusal {
  readonly status: 401 | 429 | 503;
  readonly text: string;
}

/** Milliseconds from question to refusal, at least. The time of an answer does not tell which logins exist. */
const shortestRefusal = 1_000;

/** Passwords of one network that are checked, or wait for that, at a time: each has a connection. Our choice. */
const mostAtOnce = 12;

/** The login whose account's password it is, or why not, in words that are the same for logins that do not exist. */
async function checkPassword(
  c: PortalPage,
  parts: PortalParts,
  name: string,
  password: string,
): Promise<string | PasswordRefusal> {
  const login = loginIn(name, parts.config.domain);
  return guarded(c, parts, login ?? name.slice(0, 128).toLowerCase(), password, async () =>
    login === undefined
      ? { kind: "wrong" }
      : fromDirectory(login, await parts.directory.signIn(login, password)),
  );
}

const fromDirectory = <Answer extends { readonly kind: string }>(
  login: string,
  answer: Answer,
): Answer | { readonly kind: "right"; readonly value: string } =>
  answer.kind === "accepted" ? { kind: "right", value: login } : answer;

type Checked<Value> =
  | { readonly kind: "right"; readonly value: Value }
  | { readonly kind: string; readonly why?: string };

/** Checks a password by `check`, within the limits for wrong ones of this login and network. */
export async function guarded<Value>(
  c: PortalPage,
  { limiter, checks, now, pause, say, shown: shownAddress }: PortalParts,
  login: string,
  password: string,
  check: () => Promise<Checked<Value>>,
): Promise<Value | PasswordRefusal> {
  const { address } = c.get("visit");
  const attempt = { login, address };
  const begun = now();
  const blocked = (): PasswordRefusal | undefined => {
    const until = limiter.blockedUntil(attempt);
    if (until === undefined) return undefined;
    c.header("Retry-After", String(Math.ceil((until - now()) / 1000)));
    return { status: 429, text: tooMany(until - now()) };
  };
  const network = subscriberNetwork(address);
  const atOnce = checks.get(network) ?? 0;
  if (atOnce >= mostAtOnce) return { status: 429, text: tooMany(60_000) };
  checks.set(network, atOnce + 1);
  const release = await limiter.acquire(attempt, password);
  try {
    const refusal = blocked();
    if (refusal) return refusal;
    const result = await check();
    if (isRight(result)) {
      limiter.succeeded(attempt, password);
      return result.value;
    }
    const shown = isPortalLogin(login) ? login : visible(JSON.stringify(login));
    if (result.kind === "away") {
      say(`the directory could not be asked for ${shown}: ${visible(result.why ?? "")}`);
      return { status: 503, text: away };
    }
    const factor = limiter.failed(attempt, password);
    say(`wrong password for ${shown} from ${shownAddress(address)}`);
    await pause(Math.max(0, begun + shortestRefusal * factor - now()));
    return { status: 401, text: "Login and password do not belong together." };
  } finally {
    release();
    const left = (checks.get(network) ?? 1) - 1;
    if (left > 0) checks.set(network, left);
    else checks.delete(network);
  }
}

const isRight = <Value>(
  result: Checked<Value>,
): result is { readonly kind: "right"; readonly value: Value } => result.kind === "right";

const tooMany = (milliseconds: number): string => {
  const minutes = Math.ceil(milliseconds / 60_000);
  return `There were too many wrong passwords from where you are. Please try again in ${minutes === 1 ? "a minute" : `${minutes} minutes`}. From elsewhere you may sign in.`;
};

const away =
  "The directory with the accounts cannot be asked at the moment. Nothing was changed; please try again in some minutes.";
