/** The history as one self-contained page: no script, no font, no picture from elsewhere. Pure. */
import { percentage, type ReportSummary, shareOf } from "../reports/summary.ts";
import { counted, failureWords, sessionWords } from "../reports/text.ts";
import { type ProbeResult, seconds } from "../result.ts";
import {
  calendarStrip,
  countsOf,
  html,
  isGood,
  kindOf,
  kinds,
  latencyChart,
  type Markup,
  moment,
  type OutcomeKind,
  placementBar,
  worstOf,
} from "./charts.ts";
import { groupBy, slices, statisticsOf, type TimeSlice } from "./statistics.ts";
import { percent } from "./summary.ts";
import { delayText, type ProviderTraffic, reasonsText, securedText, type Traffic } from "./traffic.ts";

const hour = 3_600_000;
const day = 24 * hour;

/** How many failures are listed, the latest first. */
const listed = 30;

/** The page for `results`, oldest first, as things stand at `now`; 30 days of them are shown. */
export function writePage(
  results: readonly ProbeResult[],
  now: number,
  traffic?: Traffic,
  reports?: ReportSummary,
): string {
  const month = results.filter(({ at }) => at > now - 30 * day && at <= now);
  const routes = groupBy(month, ({ route }) => route);
  const { markup } = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="robots" content="noindex">
<title>Does our mail arrive?</title>
<style>${{ markup: style }}</style>
</head>
<body>
<main>
<h1>Does our mail arrive?</h1>
<p class="soft">The last 30 days, as of ${moment(now)} UTC.</p>
${month.length === 0 ? html`<p>Nothing was probed in this time.</p>${realMail(traffic)}${reported(reports)}` : everything(month, routes, { traffic, reports }, now)}
</main>
</body>
</html>
`;
  return markup;
}

interface Besides {
  readonly traffic: Traffic | undefined;
  readonly reports: ReportSummary | undefined;
}

type RouteResults = readonly (readonly [string, readonly ProbeResult[]])[];

const everything = (
  month: readonly ProbeResult[],
  routes: RouteResults,
  { traffic, reports }: Besides,
  now: number,
): Markup => html`
${tiles(month, routes, now)}
<h2>Where mail lands, by provider</h2>
<section class="card">
${groupBy(month, ({ provider }) => provider).map(([name, results]) => provider(name, results))}
${legend(month)}
</section>
${realMail(traffic)}
${reported(reports)}
<h2>Routes</h2>
<p class="soft">7 days: the line is the median time until arrival, the area reaches up to the 95th percentile, a mark on top is mail that did not reach the inbox.</p>
<div class="cards">
${routes.map(([name, results]) => card(name, results, now))}
</div>
<h2>What went wrong lately</h2>
${troubles(month)}
`;

function tiles(month: readonly ProbeResult[], routes: RouteResults, now: number): Markup {
  const lastDay = month.filter(({ at }) => at > now - day);
  const [today, all] = [statisticsOf(lastDay), statisticsOf(month)];
  const well = routes.filter(([, results]) => isGood(kindOf(latest(results)) ?? "unseen")).length;
  return html`<div class="tiles">
${tile(`${well} of ${routes.length}`, "routes well at the last probe")}
${tile(share(today.success), "reached the inbox, last day")}
${tile(share(all.success), "reached the inbox, 30 days")}
${tile(time(all.median), "median time")}
${tile(time(all.percentile95), "95 % arrive within")}
</div>`;
}

const tile = (figure: string, words: string): Markup =>
  html`<div class="tile"><b>${figure}</b><small>${words}</small></div>`;

function provider(name: string, results: readonly ProbeResult[]): Markup {
  const { success } = statisticsOf(results);
  const counts = countsOf(results);
  const words = counts.map(([kind, count]) => `${count} ${kinds[kind]}`).join(", ");
  return html`<div class="provider">
<div class="head"><h3>${name}</h3><span class="soft">${share(success)} in the inbox: ${words}</span></div>
${placementBar(counts)}
</div>`;
}

/** The same for the mail of people: what became of it, by provider. */
function realMail(traffic: Traffic | undefined): Markup {
  const { days, providers } = traffic ?? { days: 0, providers: [] };
  if (providers.length === 0) return html``;
  return html`<h2>Real mail, by provider</h2>
<p class="soft">The mail that people sent in the last ${days} days: what the providers' hosts took, put off (each try) and refused for good.</p>
<section class="card">
${providers.map(realProvider)}
</section>`;
}

function realProvider(one: ProviderTraffic): Markup {
  const { name, delivered, deferred, refused, delay, reasons } = one;
  const why = reasons.length === 0 ? "" : `; why: ${reasonsText(one)}`;
  const how =
    delay === undefined
      ? ""
      : `; median ${delayText(delay.median)}, 95 % within ${delayText(delay.percentile95)}; TLS ${securedText(one)}`;
  const words = `${delivered} taken, ${deferred} put off, ${refused} refused${how}${why}`;
  return html`<div class="provider">
<div class="head"><h3>${name}</h3><span class="soft">${words}</span></div>
</div>`;
}

/** What receivers report of mail in our name, and of the TLS of our servers. */
function reported(summary: ReportSummary | undefined): Markup {
  if (summary?.newest === undefined) return html``;
  const { dmarc, tls, days } = summary;
  const failed = [...dmarc.failures.map(failureWords), ...tls.failures.map(sessionWords)];
  return html`<h2>What receivers report</h2>
<p class="soft">${counted(dmarc.reports, "DMARC report")} and ${counted(tls.reports, "TLS report")} of ${days} days: how much of the mail in our name passed DMARC, and how TLS with our servers went.</p>
<section class="card">
${dmarc.receivers.slice(0, listed).map(({ name, messages, passed, quarantined, rejected }) => line(name, `${percentage(shareOf(passed, messages))} of ${messages} passed; ${quarantined} quarantined, ${rejected} rejected`))}
${tls.senders.slice(0, listed).map(({ name, sessions, failed: bad }) => line(name, `${percentage(shareOf(sessions - bad, sessions))} of ${sessions} TLS sessions succeeded`))}
</section>
${failed.length === 0 ? html`` : html`<h3>Failed</h3><div class="card"><ul>${failed.slice(0, listed).map((words) => html`<li>${words}</li>`)}</ul></div>`}`;
}

const line = (name: string, words: string): Markup => html`<div class="provider">
<div class="head"><h3>${name}</h3><span class="soft">${words}</span></div>
</div>`;

function legend(results: readonly ProbeResult[]): Markup {
  const shown = countsOf(results).map(([kind]) => kind);
  return html`<ul class="legend">${shown.map((kind) => html`<li><svg viewBox="0 0 1 1" aria-hidden="true"><rect class="${kind}" width="1" height="1"/></svg>${kinds[kind]}</li>`)}</ul>`;
}

function card(name: string, results: readonly ProbeResult[], now: number): Markup {
  const { success, median, percentile95 } = statisticsOf(results);
  const last = latest(results);
  const midnight = Math.ceil(now / day) * day; // so that a column is a day of the calendar
  const kind: OutcomeKind | undefined = kindOf(last);
  const week: readonly TimeSlice[] = slices(results, now - 7 * day, now, 84);
  return html`<article class="card">
<div class="head"><h3>${name}</h3><span class="chip ${kind ?? "empty"}">${kind === undefined ? "on its way" : kinds[kind]}</span></div>
<p class="soft last" title="${last.words}">${moment(last.at)}: ${last.words}</p>
<div class="figures">${figure(share(success), "in the inbox")}${figure(time(median), "median")}${figure(time(percentile95), "95 % within")}</div>
${latencyChart(week, `Time until arrival of ${name}, the last 7 days`)}
<p class="soft"><small>30 days, a column each: what share of the mail landed where</small></p>
${calendarStrip(slices(results, midnight - 30 * day, midnight, 30), `Days of ${name}: ${worstOf(results) === "inbox" ? "all well" : "not all well"}`)}
</article>`;
}

const figure = (value: string, words: string): Markup =>
  html`<div><b>${value}</b><small>${words}</small></div>`;

const time = (milliseconds: number | undefined): string =>
  milliseconds === undefined ? "–" : seconds(milliseconds);

const latest = (results: readonly ProbeResult[]): ProbeResult => {
  const last = results.at(-1);
  if (!last) throw new Error("a route without results");
  return last;
};

function troubles(month: readonly ProbeResult[]): Markup {
  const bad = month
    .filter((result) => !["inbox", undefined].includes(kindOf(result)))
    .slice(-listed)
    .reverse();
  if (bad.length === 0) return html`<p class="card">Nothing: everything reached the inbox in time.</p>`;
  return html`<div class="card scroll"><table>
<thead><tr><th>Sent (UTC)</th><th>Route</th><th>Outcome</th><th>What is known</th></tr></thead>
<tbody>
${bad.map((result) => html`<tr><td>${moment(result.at)}</td><td>${result.route}</td><td><span class="chip ${kindOf(result) ?? "empty"}">${result.outcome}</span></td><td>${result.words}</td></tr>\n`)}
</tbody></table></div>`;
}

const share = (success: number | undefined): string => (success === undefined ? "–" : percent(success));

/**
 * The style sheet: light and dark as the reader's system is, for telephones and wall screens. A test measures the
 * contrasts.
 */
export const style = `
:root { color-scheme: light dark;
  --paper: #f5f6f8; --card: #ffffff; --ink: #1b2430; --soft: #566171; --rule: #dfe3e8; --accent: #2563a8;
  --inbox: #2e8b57; --late: #a97f00; --spam: #d3691c; --lost: #c0392b; --failed: #862a66; --unseen: #768190; --empty: #e6e9ee; }
@media (prefers-color-scheme: dark) { :root {
  --paper: #12161c; --card: #1b212a; --ink: #e7ebf0; --soft: #9aa6b5; --rule: #2e3743; --accent: #6fb1f2;
  --inbox: #3fa873; --late: #e0b73f; --spam: #ee9250; --lost: #e5604f; --failed: #c76aa6; --unseen: #84909d; --empty: #262e39; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 2rem 1.25rem 3rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .25rem; letter-spacing: -.01em; }
h2 { font-size: 1.1rem; margin: 2.25rem 0 .5rem; }
h2 + .soft { margin: 0 0 .75rem; font-size: .9rem; max-width: 46rem; }
h3 { font-size: 1.05rem; margin: 0; overflow-wrap: anywhere; }
p { margin: .25rem 0; overflow-wrap: anywhere; } .soft, .none, small { color: var(--soft); }
.tiles, .cards { display: grid; gap: 1rem; }
.tiles { grid-template-columns: repeat(5, 1fr); margin-top: 1.25rem; }
.cards { grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)); }
.tile, .card { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; padding: 1rem 1.1rem; min-width: 0; }
.tile b, .figures b { display: block; font-size: 1.5rem; line-height: 1.3; font-weight: 650; font-variant-numeric: tabular-nums; }
.tile small, .figures small { display: block; line-height: 1.35; }
.head { display: flex; justify-content: space-between; align-items: baseline; gap: .1rem 1rem; flex-wrap: wrap; }
.last { font-size: .93rem; display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 2; overflow: hidden; }
.figures { display: grid; grid-template-columns: repeat(3, minmax(0, 9rem)); gap: 1rem; margin: .6rem 0 .9rem; } .figures b { font-size: 1.15rem; }
.chip { display: inline-flex; align-items: center; gap: .4em; border-radius: 99px; padding: .05rem .65rem; font-size: .85rem; border: 1px solid var(--rule); white-space: nowrap; }
.chip::before { content: ""; width: .6em; height: .6em; border-radius: 50%; background: var(--kind); }
.inbox { --kind: var(--inbox); } .late { --kind: var(--late); } .spam { --kind: var(--spam); } .lost { --kind: var(--lost); }
.failed { --kind: var(--failed); } .unseen { --kind: var(--unseen); } .empty { --kind: var(--empty); } rect { fill: var(--kind); }
svg { display: block; width: 100%; } svg.strip { height: 34px; } svg.bar { height: 16px; border-radius: 4px; }
.chart { --left: 3.1rem; --below: 1.5rem; position: relative; height: 12rem; margin-bottom: .75rem; font-size: .75rem; color: var(--soft); font-variant-numeric: tabular-nums; }
.chart svg { position: absolute; left: var(--left); width: calc(100% - var(--left)); height: calc(100% - var(--below)); }
.chart .y { position: absolute; left: 0; width: calc(var(--left) - .5rem); text-align: right; top: calc((100% - var(--below)) * var(--at)); transform: translateY(-50%); white-space: nowrap; }
.chart .x { position: absolute; left: var(--left); right: 0; bottom: 0; display: flex; justify-content: space-between; }
.grid, .line, .point { fill: none; vector-effect: non-scaling-stroke; } .grid { stroke: var(--rule); stroke-width: 1px; }
.line { stroke: var(--accent); stroke-width: 2px; stroke-linejoin: round; } .point { stroke: var(--accent); stroke-width: 5px; stroke-linecap: round; }
.band { fill: var(--accent); opacity: .2; }
.legend { display: flex; flex-wrap: wrap; gap: .35rem 1.1rem; color: var(--soft); font-size: .9rem; margin: .5rem 0 0; padding: 0; list-style: none; }
.legend svg { display: inline-block; width: .8em; height: .8em; margin-right: .4em; vertical-align: -.05em; border-radius: 2px; }
.provider { margin: 0 0 1rem; } .provider .head { margin-bottom: .25rem; } .provider .soft { font-size: .93rem; }
table { border-collapse: collapse; width: 100%; font-size: .93rem; }
th, td { text-align: left; padding: .45rem 1rem .45rem 0; border-bottom: 1px solid var(--rule); vertical-align: top; overflow-wrap: anywhere; }
th { color: var(--soft); font-weight: 500; } tr:last-child td { border-bottom: 0; }
td:first-child, th:first-child { white-space: nowrap; font-variant-numeric: tabular-nums; } td:last-child { width: 55%; padding-right: 0; }
@media (max-width: 56rem) { .tiles { grid-template-columns: repeat(6, 1fr); } .tile { grid-column: span 2; } .tile:nth-child(n + 4) { grid-column: span 3; } }
@media (max-width: 40rem) { main { padding: 1.25rem .8rem 2rem; } .tiles, .cards { gap: .7rem; } .tile, .card { padding: .8rem .9rem; }
  .tiles { grid-template-columns: repeat(2, 1fr); } .tile, .tile:nth-child(n + 4) { grid-column: auto; } .tile:first-child { grid-column: span 2; } .tile b { font-size: 1.25rem; }
  .figures { gap: .5rem; } thead { display: none; }
  tr { display: flex; flex-wrap: wrap; align-items: baseline; gap: .1rem .8rem; padding: .6rem 0; border-bottom: 1px solid var(--rule); }
  tr:last-child { border-bottom: 0; } td, td:last-child { border: 0; padding: 0; width: auto; } td:nth-child(2) { font-weight: 600; } td:last-child { width: 100%; } }
`;
