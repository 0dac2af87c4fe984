/** The look of the page: calm, dense, light and dark, down to 320 px. */
export const STYLE = `:root {
  color-scheme: light dark;
  --ground: #fbfbfa; --raised: #fff; --ink: #1c2024; --soft: #5d666f; --line: #e4e6e8; --accent: #1c5fb8;
  --good: #17743b; --bad: #b3261e; --warn: #8a5a00; --bad-ground: #fdf1f0; --warn-ground: #fdf6e7;
  --mono: ui-monospace, "SF Mono", "Cascadia Mono", "JetBrains Mono", "DejaVu Sans Mono", monospace;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #121416; --raised: #191c1f; --ink: #e4e7ea; --soft: #98a2ab; --line: #2a2f34; --accent: #7cb2f5;
    --good: #6fcf8e; --bad: #ff9b91; --warn: #e6bd63; --bad-ground: #2a1816; --warn-ground: #282011;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "Inter", "DejaVu Sans", sans-serif;
  font-variant-numeric: tabular-nums;
}
a { color: var(--accent); text-decoration-thickness: 1px; text-underline-offset: .18em; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; border-radius: 3px; }
.skip { position: absolute; left: -99rem; }
.skip:focus { left: 1rem; top: .5rem; background: var(--raised); padding: .4rem .8rem; z-index: 1; }
header { border-bottom: 1px solid var(--line); background: var(--raised); }
header > div, main, footer { max-width: 74rem; margin: 0 auto; padding: 0 1.25rem; }
header > div { display: flex; flex-wrap: wrap; align-items: baseline; gap: 0 1.75rem; }
.brand { font-weight: 650; letter-spacing: -.01em; padding: .8rem 0; color: var(--ink); text-decoration: none; }
.brand span { color: var(--soft); font-weight: 400; margin-left: .5rem; }
nav { overflow-x: auto; max-width: 100%; }
nav ul { display: flex; gap: 1.25rem; list-style: none; margin: 0; padding: 0; }
nav a { display: block; padding: .8rem 0 calc(.8rem - 2px); color: var(--soft); text-decoration: none; white-space: nowrap;
  border-bottom: 2px solid transparent; }
nav a:hover { color: var(--ink); }
nav a[aria-current] { color: var(--ink); border-color: var(--accent); }
main { padding-top: 1.5rem; padding-bottom: 3rem; }
footer { color: var(--soft); font-size: 13px; padding-bottom: 2rem; }
h1 { font-size: 1.45rem; line-height: 1.25; letter-spacing: -.015em; font-weight: 620; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1rem; font-weight: 620; margin: 2.2rem 0 .6rem; }
p { margin: .3rem 0 1rem; max-width: 46rem; }
.soft { color: var(--soft); }
.good { color: var(--good); } .bad { color: var(--bad); } .warn { color: var(--warn); }
.verdict { border-left: 3px solid var(--good); background: var(--raised); padding: .7rem 1rem; margin: 1rem 0 1.5rem; }
.verdict.bad { border-color: var(--bad); background: var(--bad-ground); color: var(--ink); }
.verdict.warn { border-color: var(--warn); background: var(--warn-ground); color: var(--ink); }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: 1px; background: var(--line);
  border: 1px solid var(--line); border-radius: 6px; overflow: hidden; margin: 0; }
.figures div { background: var(--raised); padding: .75rem 1rem; }
.figures dt { color: var(--soft); font-size: 13px; }
.figures dd { margin: 0; font-size: 1.35rem; font-weight: 560; letter-spacing: -.02em; }
dl.facts { display: grid; grid-template-columns: max-content 1fr; gap: .35rem 1.5rem; margin: 0; }
dl.facts dt { color: var(--soft); } dl.facts dd { margin: 0; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; }
th { text-align: left; font-weight: 500; color: var(--soft); font-size: 13px; padding: .3rem 1.25rem .3rem 0; border-bottom: 1px solid var(--line); }
td { padding: .42rem 1.25rem .42rem 0; border-bottom: 1px solid var(--line); vertical-align: baseline; overflow-wrap: anywhere; }
td.num, th.num { text-align: right; }
tr:hover td { background: color-mix(in srgb, var(--line) 30%, transparent); }
code, .mono { font: .88em/1.45 var(--mono); overflow-wrap: anywhere; }
form { display: flex; flex-wrap: wrap; gap: .6rem .9rem; align-items: end; margin: .8rem 0 1.2rem; }
form.column label { flex: 1 1 16rem; }
label { display: block; color: var(--soft); font-size: 13px; }
label.check { display: flex; gap: .4rem; align-items: center; padding-bottom: .5rem; }
input[type=text], input[type=search] { display: block; width: 100%; min-width: 14rem; font: inherit; color: inherit; background: var(--raised);
  border: 1px solid color-mix(in srgb, var(--soft) 55%, var(--line)); border-radius: 5px; padding: .38rem .6rem; }
button { font: inherit; color: var(--raised); background: var(--accent); border: 1px solid var(--accent); border-radius: 5px; padding: .38rem 1rem; cursor: pointer; }
.pages { display: flex; gap: 1.5rem; margin: 1rem 0; }
.live::before { content: ""; display: inline-block; width: .5rem; height: .5rem; border-radius: 50%; background: var(--soft); margin-right: .45rem; }
.live[data-state=live]::before { background: var(--good); }
.live[data-state=lost]::before { background: var(--bad); }
@media (max-width: 46rem) {
  header > div, main, footer { padding-left: 1rem; padding-right: 1rem; }
  .brand { padding-bottom: 0; }
  nav ul { gap: 0 1rem; flex-wrap: wrap; padding: .3rem 0; } nav a { padding: .25rem 0; }
  dl.facts { grid-template-columns: 1fr; gap: 0; } dl.facts dd { margin-bottom: .6rem; }
  table, tbody, tr, td { display: block; } thead { position: absolute; left: -99rem; }
  tr { border-bottom: 1px solid var(--line); padding: .55rem 0; }
  td, td.num { border: 0; padding: .1rem 0; display: grid; grid-template-columns: 6.5rem 1fr; text-align: left; }
  td::before { content: attr(data-label); color: var(--soft); font: 13px/1.6 system-ui, sans-serif; }
  td:empty { display: none; }
  input[type=text], input[type=search] { min-width: 0; } form label { flex: 1 1 100%; }
  form label.check { flex: 0 1 auto; }
}
`;

/** Beside the tables that are there without it: fetches the page again when something happens, and every five seconds. */
export const SCRIPT = `'use strict';
const live = document.querySelector('#live');
const mark = document.querySelector('.live');
if (live && mark) {
  const say = (state, text) => { mark.dataset.state = state; mark.textContent = text; };
  let busy = false;
  let last = '';
  const refresh = async () => {
    if (busy || document.hidden) return;
    busy = true;
    try {
      const response = await fetch(location.href, { cache: 'no-store' });
      const text = await response.text();
      const next = new DOMParser().parseFromString(text, 'text/html').querySelector('#live');
      if (next && text !== last && !live.contains(document.activeElement)) {
        live.replaceChildren(...next.childNodes);
        last = text;
      }
      say(response.ok ? 'live' : 'lost', response.ok ? 'live' : 'the agent does not answer');
    } catch {
      say('lost', 'no contact');
    }
    busy = false;
  };
  setInterval(refresh, 5000);
  document.addEventListener('visibilitychange', refresh);
  let due;
  new EventSource('/events').addEventListener('failure', () => { clearTimeout(due); due = setTimeout(refresh, 150); });
  say('live', 'live');
}
`;
