/** How a login is at the mail server, in words. */
import { html, type Markup } from "../../probe/history/charts.ts";
import type { PortalState } from "../../server/control/portal-door.ts";
import { momentOf } from "./layout.ts";
import type { PortalParts } from "./visit.ts";

/** What is said where the relay does not answer. */
export const relayAway = html`<p class="wrong" role="status">The mail server cannot be asked at the moment. Nothing is lost: mail that it has taken it will deliver. Please look again in some minutes.</p>`;

/** The login's state; undefined where the relay is away. */
export async function stateOf({ relay }: PortalParts, login: string): Promise<PortalState | undefined> {
  const state = await relay({ ask: "state", login });
  return "away" in state ? undefined : state;
}

export async function stateSection(parts: PortalParts, login: string): Promise<Markup> {
  const state = await stateOf(parts, login);
  return state === undefined ? relayAway : html`${wordsOf(state)}`;
}

/** Whether mail goes, and if not, why. */
export function wordsOf({ known, frozen, blocks, limits }: PortalState): readonly Markup[] {
  const full = limits.filter(({ roomAt }) => roomAt !== undefined);
  if (frozen !== undefined) {
    const because = frozen.reason === "" ? html`` : html` The reason: ${frozen.reason}.`;
    return [
      html`<p class="wrong" role="status">Your login is shut out since ${momentOf(frozen.at)}: it sends nothing, and what it has sent is held.${because} Please ask the people who run the mail server.</p>`,
    ];
  }
  return [
    known
      ? html`<p class="good" role="status">The mail server knows your login.</p>`
      : html`<p class="note" role="status">The mail server does not know your login yet: <a href="/password">make an e-mail password</a> first.</p>`,
    ...full.map(
      ({ limit, unit, roomAt = 0 }) =>
        html`<p class="wrong" role="status">You have reached ${limit} ${unit}: more is taken from ${momentOf(roomAt)} on. If it was not you who sent so much, change your e-mail password.</p>`,
    ),
    ...blocks.map(
      ({ network, until, wrong }) =>
        html`<p class="wrong" role="status">From ${network} came ${wrong} wrong passwords: until ${momentOf(until)} none is checked from there. A program there may still have your old password.</p>`,
    ),
  ];
}
