/** A person's own messages and limits, as the relay tells them. What servers said is text of strangers: it is escaped. */
import type { Hono } from "hono";
import { html, type Markup } from "../../probe/history/charts.ts";
import type { PortalMessage, PortalRecipient } from "../../server/control/portal-door.ts";
import { explainReply } from "../../smtp/known-replies/explain.ts";
import { senderText } from "../../smtp/known-replies/row.ts";
import { formatReply } from "../../smtp/reply.ts";
import { momentOf, own, show } from "./layout.ts";
import { relayAway, stateOf, wordsOf } from "./state.ts";
import type { OwnVisit, PortalEnvironment, PortalPage, PortalParts } from "./visit.ts";

export function mailRoutes(app: Hono<PortalEnvironment>, parts: PortalParts): void {
  app.get("/messages", (c) => own(c, (visit) => showMessages(c, parts, visit)));
  app.get("/limits", (c) => own(c, (visit) => showLimits(c, parts, visit)));
}

async function showMessages(c: PortalPage, parts: PortalParts, { session }: OwnVisit): Promise<Response> {
  const { login } = session;
  const title = "My mail";
  const state = await stateOf(parts, login);
  const answer = state && (await parts.relay({ ask: "messages", login }));
  if (state === undefined || answer === undefined || "away" in answer)
    return show(c, parts, { title, status: 503, body: relayAway });
  if (answer.busy)
    return show(c, parts, {
      title,
      body: html`<p role="status">The mail server looks it up for somebody else just now. This page looks again by itself.</p>`,
      refresh: 3,
    });
  const days = Math.round(state.remembered / 86_400_000);
  const span =
    state.remembered === 0
      ? html`<p>The mail server keeps no record of messages.</p>`
      : html`<p>What the mail server took from you in the last ${days === 1 ? "day" : `${days} days`}, the newest first, and what became of it. <a href="/messages">Look again</a>.</p>`;
  const list = answer.messages.map(messageItem);
  const none = list.length === 0 && state.remembered > 0 ? html`<p class="note">There is none.</p>` : html``;
  return show(c, parts, {
    title,
    body: html`${wordsOf(state).slice(state.known ? 1 : 0)}${span}${none}${list}`,
  });
}

function messageItem(message: PortalMessage): Markup {
  const { id, accepted, recipients, total, held, expired, done } = message;
  const untried = total - recipients.length;
  return html`<article id="${id}"><h2>${momentOf(accepted)}</h2>
<p class="hint">The mail server calls it ${id}.</p>
${held ? html`<p class="wrong">It is held: the people who run the mail server have put it aside, or your login is shut out.</p>` : html``}${
  expired
    ? html`<p class="wrong">It was tried for days without success and was given up; you got a report.</p>`
    : html``
}${recipients.map((one) => recipientItem(one, expired || done))}${
  untried > 0 ? html`<p>${untriedText(untried, recipients.length > 0)}</p>` : html``
}</article>
`;
}

/** Of a message to many, the relay tells some recipients only. */
function untriedText(count: number, isMore: boolean): string {
  const who = count === 1 ? "recipient" : "recipients";
  return isMore
    ? `${count} more ${who}, not tried yet or not shown here.`
    : `${count} ${who}, not tried yet.`;
}

const words = {
  sent: "Handed over",
  deferred: "Waits",
  bounced: "Refused",
} as const satisfies Readonly<Record<PortalRecipient["result"], string>>;

function recipientItem(
  { address, at, result, relay, reply, times }: PortalRecipient,
  isOver: boolean,
): Markup {
  const host = relay.split("[")[0] ?? "";
  const failed = result === "bounced" || (result === "deferred" && isOver);
  const known = explainReply(reply, relay);
  const facts: readonly (readonly [string, Markup])[] = [
    ["State", html`${failed && result === "deferred" ? "Given up" : words[result]}, ${momentOf(at)}`],
    ...(relay === "none" ? [] : [["Their server", html`${host}`] as const]),
    [
      relay !== "none" ? "It said" : result === "sent" ? "Our server said" : "Why",
      html`${formatReply(reply)}`,
    ],
    ...(known === undefined ? [] : [["Which means", html`${senderText(known, failed)}`] as const]),
    ["What to do", html`${adviceFor(result, failed, times)}`],
  ];
  return html`<h3>To ${address}</h3>
<dl class="facts">${facts.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>
`;
}

function adviceFor(result: PortalRecipient["result"], failed: boolean, times: number): string {
  if (result === "sent") return "Nothing. Not there? It may be in the recipient's folder for spam.";
  if (failed)
    return "It will not be tried again. A report in your mailbox has the details; mend the cause and send it anew.";
  return `Nothing yet: it is tried again by itself${times > 1 ? `, after ${times} tries with this answer` : ""}, and you get a report if it fails.`;
}

async function showLimits(c: PortalPage, parts: PortalParts, { session }: OwnVisit): Promise<Response> {
  const state = await stateOf(parts, session.login);
  const title = "Limits";
  if (state === undefined) return show(c, parts, { title, status: 503, body: relayAway });
  const body = html`${wordsOf(state)}
<p>How much you may send. Beyond it your mail program is told when to try again.</p>
<table><thead><tr><th scope="col">Limit</th><th scope="col">Used</th></tr></thead><tbody>
${state.limits.map(({ limit, unit, used }) => html`<tr><th scope="row">${limit} ${unit}</th><td>${used}</td></tr>\n`)}</tbody></table>`;
  return show(c, parts, { title, body });
}
