/** The status as a page for a browser: no script, nothing from elsewhere, and without names unless they are wanted. Pure. */
import { createHash } from "node:crypto";
import { html, type Markup } from "../../probe/history/charts.ts";
import { type MailCounts, noMail, sumOf } from "../../server/history/activity.ts";
import type { HtmlPage } from "../../server/log/http.ts";
import { plural } from "../queue/output.ts";
import { momentText } from "../trace/text.ts";
import type { StatusFacts } from "./facts.ts";
import { lineOf, type StatusFinding } from "./judge.ts";
import {
  countNames,
  delayText,
  hostRows,
  loginRows,
  queueRows,
  relayRows,
  type StatusRow,
  securedText,
  unjudgedRows,
} from "./text.ts";

/** Seconds until a browser asks again. Our choice. */
const refresh = 30;

/** Characters of a row: a browser breaks lines by itself. */
const unlimited = 400;

/** The page; `found` is what is not well, the worst first. */
export function statusPage(facts: StatusFacts, found: readonly StatusFinding[]): HtmlPage {
  const grade = found.some((one) => one.grade === "critical")
    ? "critical"
    : found.length > 0
      ? "warning"
      : "well";
  const state = grade === "well" ? "well" : `${plural(found.length, "thing")} to look at`;
  const { markup } = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="${refresh}">
<meta name="robots" content="noindex">
<title>${facts.hostname}: ${state}</title>
<style>${{ markup: style }}</style>
</head>
<body>
<main>
<header>
<h1>${facts.hostname}</h1>
<p><strong class="${grade}">${state}</strong> <span class="soft">${momentText(facts.at)}</span></p>
</header>
${findingsList(found)}<div class="cards">
${mailCard(facts)}${providersCard(facts)}${card("Relay", [...relayRows(facts), ...unjudgedRows(facts)])}${card("Queue", [...queueRows(facts, unlimited)])}${card("Hosts", [...hostRows(facts)])}${card("Logins", [...loginRows(facts)])}</div>
</main>
</body>
</html>
`;
  return { body: markup, styleHash };
}

function findingsList(found: readonly StatusFinding[]): Markup {
  const items = found.map((finding) => html`<li class="${finding.grade}">${lineOf(finding)}</li>\n`);
  return items.length === 0 ? html`` : html`<ul class="findings">\n${items}</ul>\n`;
}

/** Nothing where there is nothing to tell. */
function card(title: string, rows: readonly StatusRow[]): Markup {
  if (rows.length === 0) return html``;
  const items = rows.map(([name, text]) =>
    name === "" ? html`<dd>${text}</dd>\n` : html`<dt>${name}</dt>\n<dd>${text}</dd>\n`,
  );
  return html`<section>\n<h2>${title}</h2>\n<dl>\n${items}</dl>\n</section>\n`;
}

function mailCard({ activity }: StatusFacts): Markup {
  if (activity === undefined) return card("Mail", [["mail", "no history is kept (history.keep)"]]);
  const { slots } = activity;
  const spans: readonly (readonly [string, MailCounts])[] = [
    ["last hour", slots.at(-1) ?? noMail],
    ["last 24 hours", sumOf(slots)],
  ];
  const heads = spans.map(([name]) => html`<th scope="col">${name}</th>`);
  const lines = countNames.map((name) => {
    const cells = spans.map(([, counts]) => html`<td>${String(counts[name])}</td>`);
    return html`<tr><th scope="row">${name}</th>${cells}</tr>\n`;
  });
  const told = countNames.filter(
    (name) => name === "accepted" || name === "returned" || slots.some((slot) => slot[name] > 0),
  );
  const charts = told.map((name) =>
    chart(
      name,
      slots.map((slot) => slot[name]),
    ),
  );
  return html`<section>
<h2>Mail</h2>
<table>
<thead><tr><td></td>${heads}</tr></thead>
<tbody>
${lines}</tbody>
</table>
${charts}</section>
`;
}

/** Two lines for each: how many, and below it how quickly, how safely and why not. */
function providersCard({ providers }: StatusFacts): Markup {
  if (providers.length === 0) return html``;
  const heads = ["delivered", "deferred", "refused"].map((name) => html`<th scope="col">${name}</th>`);
  const lines = providers.map((provider) => {
    const { name, delivered, deferred, refused, delay, reasons } = provider;
    const cells = [delivered, deferred, refused].map((count) => html`<td>${String(count)}</td>`);
    const facts = [
      ...(delay === undefined
        ? []
        : [
            `half within ${delayText(delay.median)}, 95 % within ${delayText(delay.percentile95)}`,
            `${securedText(provider)} with TLS`,
          ]),
      ...reasons.slice(0, mostReasons).map((reason) => `${reason.times} ${reason.class}`),
    ];
    return html`<tr><th scope="row">${name}</th>${cells}</tr>
<tr><td class="soft" colspan="4">${facts.join("; ")}</td></tr>
`;
  });
  return html`<section>
<h2>Providers, 24 hours</h2>
<table class="providers">
<thead><tr><td></td>${heads}</tr></thead>
<tbody>
${lines}</tbody>
</table>
</section>
`;
}

/** Classes of refusals that are told of a provider. Our choice. */
const mostReasons = 3;

const chartHeight = 40;

/** A bar an hour. */
function chart(name: string, values: readonly number[]): Markup {
  const highest = Math.max(1, ...values);
  const bars = values.map((value, hour) => {
    const height = value === 0 ? 1 : Math.max(3, (value / highest) * chartHeight);
    const kind = value === 0 ? "none" : name;
    return html`<rect class="${kind}" x="${hour * 10 + 1}" y="${chartHeight - height}" width="8" height="${height}"/>`;
  });
  const words = `${name}, an hour each, the last one on the right; the highest is ${Math.max(...values)}`;
  return html`<svg viewBox="0 0 ${values.length * 10} ${chartHeight}" preserveAspectRatio="none" role="img" aria-label="${words}">${bars}</svg>
<p class="soft">${words}</p>
`;
}

/**
 * The same without logins, and without addresses of clients and recipients: numbers stand for them, of what other
 * servers said, their codes, and of what a check found, its name.
 */
export function withoutNames(facts: StatusFacts): StatusFacts {
  const { relay, activity, frozen, queue, checks } = facts;
  const numbered = (index: number) => `#${index + 1}`;
  return {
    ...facts,
    relay: relay && {
      ...relay,
      listeners: relay.listeners.map((one) => ({
        ...one,
        address: one.address.slice(one.address.lastIndexOf(":")),
      })),
      nearLimits: relay.nearLimits.map((use, index) => ({ ...use, login: numbered(index) })),
    },
    frozen: frozen.length === 0 ? [] : [plural(frozen.length, "login")],
    blocked: [],
    top: facts.top.map((volume, index) => ({ ...volume, login: numbered(index) })),
    activity: activity && {
      ...activity,
      guessing: activity.guessing.map((one, index) => ({ ...one, client: numbered(index) })),
    },
    queue: {
      ...queue,
      destinations: queue.destinations.map((one) => ({
        ...one,
        reply: one.reply && { ...one.reply, text: "" }, // servers like to quote the recipient
      })),
    },
    checks: checks && {
      concerns: checks.concerns.map((one) => ({ ...one, words: "" })),
      unjudged: checks.unjudged.map((one) => ({ ...one, reason: "" })),
    },
  };
}

const style = `
:root { color-scheme: light dark;
  --paper: #f5f6f8; --card: #ffffff; --ink: #1b2430; --soft: #566171; --rule: #dfe3e8;
  --well: #1f7a46; --warning: #8a6500; --critical: #b83227; --accent: #2563a8; --empty: #c9d0d8; }
@media (prefers-color-scheme: dark) { :root {
  --paper: #12161c; --card: #1b212a; --ink: #e7ebf0; --soft: #9aa6b5; --rule: #2e3743;
  --well: #4cc38a; --warning: #e0b73f; --critical: #f0806f; --accent: #6fb1f2; --empty: #3a4553; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 1.5rem 1.25rem 3rem; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 0 0 .5rem; }
header p { margin: .25rem 0 1rem; }
.soft { color: var(--soft); } section .soft { font-size: .85rem; margin: .15rem 0 .6rem; }
.well { color: var(--well); } .warning { color: var(--warning); } .critical { color: var(--critical); }
.findings { list-style: none; margin: 0 0 1rem; padding: 0; }
.findings li { background: var(--card); border: 1px solid var(--rule); border-left: 4px solid; border-radius: 6px; padding: .5rem .8rem; margin-bottom: .5rem; overflow-wrap: anywhere; }
.cards { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)); align-items: start; }
section { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; padding: 1rem 1.1rem; min-width: 0; }
dl { display: grid; grid-template-columns: minmax(6.5rem, auto) minmax(0, 1fr); gap: .3rem 1rem; margin: 0; font-variant-numeric: tabular-nums; }
dt { color: var(--soft); grid-column: 1; } dd { margin: 0; grid-column: 2; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; margin-bottom: .8rem; }
th, td { text-align: right; padding: .2rem 0; border-bottom: 1px solid var(--rule); font-weight: 400; }
thead th, tbody th { color: var(--soft); } tbody th { text-align: left; } tbody tr:last-child > * { border-bottom: 0; }
.providers { table-layout: fixed; margin: 0; } .providers tbody th { overflow-wrap: anywhere; } .providers thead th { font-size: .85rem; } .providers tbody tr:nth-child(odd) > * { border-bottom: 0; padding-bottom: 0; }
.providers tbody th { color: inherit; } .providers thead td { width: 34%; } .providers td.soft { text-align: left; font-size: .85rem; padding-top: 0; overflow-wrap: anywhere; }
svg { display: block; width: 100%; height: 40px; } rect { fill: var(--accent); } rect.returned { fill: var(--critical); } rect.none { fill: var(--empty); }
@media (max-width: 30rem) { main { padding: 1rem .8rem 2rem; } section { padding: .8rem .9rem; } }
`;

/** CSP Level 3, section 2.3.1: of the text of the element, octet by octet. */
const styleHash = `sha256-${createHash("sha256").update(style).digest("base64")}`;
