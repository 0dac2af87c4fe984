/** What every page has around it. */
import { Html, html } from './html.js';

export const PAGES = [
  ['/', 'Overview'],
  ['/services', 'Services'],
  ['/failures', 'Failures'],
  ['/syncs', 'Syncs'],
  ['/conflicts', 'Conflicts'],
  ['/explain', 'Explain'],
] as const;
export type PagePath = (typeof PAGES)[number][0];

export interface PageContent {
  readonly title: string;
  /** Under which word of the navigation. */
  readonly under: PagePath;
  /** Forms and what else must stay while a reader is at it. */
  readonly head: Html;
  /** What is fetched again. */
  readonly live: Html;
}

export function document({ title, under, head, live }: PageContent, node: string): string {
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title} · penstock${node === '' ? '' : ` · ${node}`}</title>
<link rel="stylesheet" href="/style.css">
<link rel="icon" href="data:,">
<script src="/page.js" defer></script>
</head>
<body>
<a class="skip" href="#main">Skip to content</a>
<header><div>
<a class="brand" href="/">penstock<span>${node}</span></a>
<nav aria-label="Pages"><ul>${PAGES.map(
    ([path, name]) =>
      html`<li><a href="${path}"${path === under ? new Html(' aria-current="page"') : ''}>${name}</a></li>`,
  )}</ul></nav>
</div></header>
<main id="main">
<h1>${title}</h1>
${head}
<div id="live">${live}</div>
</main>
<footer><span class="live" role="status">as of now; load the page again to see it anew</span></footer>
</body>
</html>
`;
  return page.text;
}

const NOTHING = new Html('');

export interface TableCell {
  readonly value: Html | string | number;
  readonly number?: boolean;
}

/** Rows under their titles; on narrow screens each row stands by itself, every value beside its title. */
export function tableOf(titles: readonly string[], rows: readonly (readonly TableCell[])[]): Html {
  const kind = (number: boolean | undefined) => (number === true ? new Html(' class="num"') : '');
  const first = rows[0] ?? [];
  return html`<table>
<thead><tr>${titles.map((title, i) => html`<th scope="col"${kind(first[i]?.number)}>${title}</th>`)}</tr></thead>
<tbody>${rows.map(
    (row) =>
      html`<tr>${row.map(({ value, number }, i) => html`<td data-label="${titles[i]}"${kind(number)}>${value === '' ? NOTHING : html`<span>${value}</span>`}</td>`)}</tr>
`,
  )}</tbody>
</table>`;
}

export function mono(text: string): Html {
  return html`<code>${text}</code>`;
}
