/** How the page looks: light and dark as the reader's system is, from a telephone's width to a wall's. */
export const style = `
:root { color-scheme: light dark;
  --paper: #f6f7f9; --card: #ffffff; --ink: #1b2430; --soft: #5b6675; --rule: #dfe3e8; --accent: #2563a8;
  --inbox: #2e8b57; --late: #c79a1b; --spam: #d9772b; --lost: #c0392b; --failed: #8e2f6b; --unseen: #8a94a3; --empty: #e6e9ee; }
@media (prefers-color-scheme: dark) { :root {
  --paper: #12161c; --card: #1b212a; --ink: #e7ebf0; --soft: #9aa6b5; --rule: #2e3743; --accent: #6fb1f2;
  --inbox: #46b27a; --late: #e0b73f; --spam: #ee9250; --lost: #e5604f; --failed: #c264a0; --unseen: #78838f; --empty: #262e39; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 2rem 1.25rem 3rem; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; letter-spacing: -.01em; }
h2 { font-size: 1.1rem; margin: 2.25rem 0 .75rem; }
h3 { font-size: 1.05rem; margin: 0; overflow-wrap: anywhere; }
p { margin: .25rem 0; } .soft, .none, small { color: var(--soft); }
.tiles, .cards { display: grid; gap: 1rem; }
.tiles { grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); margin-top: 1.25rem; }
.cards { grid-template-columns: repeat(auto-fit, minmax(min(100%, 32rem), 1fr)); }
.tile, .card { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; padding: 1rem 1.1rem; min-width: 0; }
.tile b { display: block; font-size: 1.5rem; font-weight: 650; font-variant-numeric: tabular-nums; }
.head { display: flex; justify-content: space-between; align-items: baseline; gap: 1rem; flex-wrap: wrap; }
.figures { display: flex; gap: 1.5rem; flex-wrap: wrap; margin: .6rem 0 .4rem; font-variant-numeric: tabular-nums; }
.figures span { color: var(--soft); } .figures b { color: var(--ink); font-weight: 650; }
.chip { border-radius: 99px; padding: .05rem .65rem; font-size: .85rem; border: 1px solid currentColor; white-space: nowrap; }
svg { display: block; width: 100%; } svg.chart { height: auto; } svg.strip { height: 30px; } svg.bar { height: 18px; border-radius: 4px; }
.axis { fill: var(--soft); font: 11.5px system-ui, sans-serif; } .grid { stroke: var(--rule); stroke-width: 1; }
.line { fill: none; stroke: var(--accent); stroke-width: 2; stroke-linejoin: round; } .band { fill: var(--accent); opacity: .16; } .median { fill: var(--accent); }
rect.inbox { fill: var(--inbox); } rect.late { fill: var(--late); } rect.spam { fill: var(--spam); } rect.lost { fill: var(--lost); }
rect.failed { fill: var(--failed); } rect.unseen { fill: var(--unseen); } rect.empty { fill: var(--empty); }
.chip.inbox { color: var(--inbox); } .chip.late { color: var(--late); } .chip.spam { color: var(--spam); } .chip.lost { color: var(--lost); }
.chip.failed { color: var(--failed); } .chip.unseen, .chip.empty { color: var(--soft); }
.legend { display: flex; flex-wrap: wrap; gap: .35rem 1.1rem; color: var(--soft); font-size: .9rem; margin: .5rem 0 0; padding: 0; list-style: none; }
.legend svg { display: inline-block; width: .8em; height: .8em; margin-right: .4em; vertical-align: -.05em; border-radius: 2px; }
.provider { margin: 0 0 1rem; } .provider .head { margin-bottom: .25rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: .93rem; }
th, td { text-align: left; padding: .4rem .8rem .4rem 0; border-bottom: 1px solid var(--rule); vertical-align: top; }
th { color: var(--soft); font-weight: 500; } td:first-child { white-space: nowrap; font-variant-numeric: tabular-nums; } td:last-child { overflow-wrap: anywhere; min-width: 14rem; }
@media (max-width: 30rem) { main { padding: 1.25rem .8rem 2rem; } .tile b { font-size: 1.25rem; } }
`;
