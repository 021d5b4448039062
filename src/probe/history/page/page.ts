/** The history as one page that needs nothing else: no script, no font, no picture from anywhere. Pure. */
import { type Result, seconds } from "../../result.ts";
import { groupBy, type Slice, slices, statisticsOf } from "../statistics.ts";
import { percent } from "../summary.ts";
import { calendarStrip, latencyChart, moment, placementBar } from "./charts.ts";
import { countsOf, isGood, type Kind, kindOf, kinds, worstOf } from "./kinds.ts";
import { html, type Markup } from "./markup.ts";
import { style } from "./style.ts";

const hour = 3_600_000;
const day = 24 * hour;

/** Troubles that are listed, the latest first. */
const listed = 30;

/** The page for `results`, oldest first, as things stand at `now`; 30 days of them are shown. */
export function writePage(results: readonly Result[], now: number): string {
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
${month.length === 0 ? html`<p>Nothing was probed in this time.</p>` : everything(month, routes, now)}
</main>
</body>
</html>
`;
  return markup;
}

type Routes = readonly (readonly [string, readonly Result[]])[];

const everything = (month: readonly Result[], routes: Routes, now: number): Markup => html`
${tiles(month, routes, now)}
<h2>Where mail lands, by provider</h2>
<section class="card">
${groupBy(month, ({ provider }) => provider).map(([name, results]) => provider(name, results))}
${legend(month)}
</section>
<h2>Routes</h2>
<p class="soft">7 days: the line is the median time until arrival, the area reaches up to the 95th percentile, a mark on top is mail that did not reach the inbox.</p>
<div class="cards">
${routes.map(([name, results]) => card(name, results, now))}
</div>
<h2>What went wrong lately</h2>
${troubles(month)}
`;

function tiles(month: readonly Result[], routes: Routes, now: number): Markup {
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

function provider(name: string, results: readonly Result[]): Markup {
  const { success } = statisticsOf(results);
  const counts = countsOf(results);
  const words = counts.map(([kind, count]) => `${count} ${kinds[kind]}`).join(", ");
  return html`<div class="provider">
<div class="head"><h3>${name}</h3><span class="soft">${share(success)} in the inbox: ${words}</span></div>
${placementBar(counts)}
</div>`;
}

function legend(results: readonly Result[]): Markup {
  const shown = countsOf(results).map(([kind]) => kind);
  return html`<ul class="legend">${shown.map((kind) => html`<li><svg viewBox="0 0 1 1" aria-hidden="true"><rect class="${kind}" width="1" height="1"/></svg>${kinds[kind]}</li>`)}</ul>`;
}

function card(name: string, results: readonly Result[], now: number): Markup {
  const { success, median, percentile95 } = statisticsOf(results);
  const last = latest(results);
  const midnight = Math.ceil(now / day) * day; // so that a column is a day of the calendar
  const kind: Kind | undefined = kindOf(last);
  const week: readonly Slice[] = slices(results, now - 7 * day, now, 84);
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

const latest = (results: readonly Result[]): Result => {
  const last = results.at(-1);
  if (!last) throw new Error("a route without results");
  return last;
};

function troubles(month: readonly Result[]): Markup {
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
