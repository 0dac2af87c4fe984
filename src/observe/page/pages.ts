/** The pages, each made anew from what the agent says when it is asked for. */

import { PenstockError } from '../../errors.js';
import type { Explanation } from '../../explain/explain.js';
import { endText, REASONS } from '../../explain/reasons.js';
import type { Problem } from '../../objects/Problem.js';
import type { AgentStatus } from '../admin/AgentStatus.js';
import type { SyncRecord } from '../admin/SyncHistory.js';
import type { EndpointRow, ServiceRow } from '../admin/serviceRows.js';
import type { FlowRecord } from '../flows/FlowLog.js';
import { type Html, html } from './html.js';
import { mono, type PageContent, tableOf } from './layout.js';
import type { PageSource } from './PageSource.js';

type Page = (source: PageSource, words: URLSearchParams, status: AgentStatus) => Promise<PageContent>;
interface Rows<T> {
  readonly items: readonly T[];
  readonly next: string;
}

const NOTHING = html``;
const PER_PAGE = '100';
const SHOWN_FAILURES = 200;

export const CONTENT: ReadonlyMap<string, Page> = new Map<string, Page>([
  ['/', overview],
  ['/services', services],
  ['/service', service],
  ['/failures', failures],
  ['/syncs', syncs],
  ['/conflicts', conflicts],
  ['/explain', explain],
]);

async function overview(source: PageSource, _: URLSearchParams, status: AgentStatus): Promise<PageContent> {
  const { counts, sources } = status;
  const recent = await lastFailures(source, 5);
  const figures = [
    ['Services', counts.services],
    ['Service ports', counts.servicePorts],
    ['Endpoints', counts.endpoints],
    ['Ports without endpoints', counts.withoutEndpoints],
    ['Without local endpoints', counts.withoutLocalEndpoints],
    ['Asleep', counts.asleep],
    ['Conflicts and set aside', status.problemCount],
  ] as const;
  return {
    title: 'Overview',
    under: '/',
    head: NOTHING,
    live: html`${verdict(status)}
<dl class="figures">${figures.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value.toLocaleString('en')}</dd></div>`)}</dl>
<h2>Recent failures</h2>
${recent.length === 0 ? html`<p class="soft">No connection was refused or dropped since the agent started.</p>` : failureTable(recent)}
<h2>This agent</h2>
<dl class="facts">
<dt>Node</dt><dd>${status.node}</dd>
<dt>Mode</dt><dd>${status.mode}: ${status.description}</dd>
<dt>Version</dt><dd>${status.version}</dd>
<dt>Up since</dt><dd>${time(new Date(status.startedAt).toISOString())}</dd>
<dt>Objects from</dt><dd>${sources.length === 0 ? 'manifests' : sources.map(({ resource, connected, reason }) => html`${resource}: ${connected ? html`<span class="good">in contact</span>` : html`<span class="bad">no contact ${reason}</span>`} `)}</dd>
<dt>Memory</dt><dd>${Math.round(status.residentMemory / 1024 / 1024)} MiB</dd>
</dl>`,
  };
}

/** The worst thing, in one sentence, and where to look. */
function verdict({ ready, waitingFor, sources, counts, problemCount }: AgentStatus): Html {
  const lost = sources.find(({ connected }) => !connected);
  if (!ready) return html`<p class="verdict bad">Not serving yet: ${waitingFor}.</p>`;
  if (lost)
    return html`<p class="verdict bad">No contact with the API server (${lost.resource}): ${lost.reason}. Rules stay as they are.</p>`;
  if (counts.withoutEndpoints > 0)
    return html`<p class="verdict warn">${counts.withoutEndpoints === 1 ? 'One service port has' : `${counts.withoutEndpoints} service ports have`} no endpoints. <a href="/services?state=problems">Show them</a></p>`;
  if (problemCount > 0)
    return html`<p class="verdict warn">${problemCount === 1 ? 'One object is' : `${problemCount} objects are`} set aside or in conflict. <a href="/conflicts">Show them</a></p>`;
  const awake = counts.asleep > 0 ? ' that is awake' : '';
  return html`<p class="verdict">The agent is ready, and every service port${awake} has endpoints.</p>`;
}

async function services(source: PageSource, words: URLSearchParams): Promise<PageContent> {
  const part = words.get('q') ?? '';
  const state = words.get('state') === 'problems' ? 'problems' : '';
  const after = words.get('after') ?? '';
  const page = (await source.ask('/v1/services', {
    part,
    state,
    after,
    limit: PER_PAGE,
  })) as Rows<ServiceRow>;
  const more = new URLSearchParams({ q: part, ...(state === '' ? {} : { state }), after: page.next });
  const first = new URLSearchParams({ q: part, ...(state === '' ? {} : { state }) });
  return {
    title: 'Services',
    under: '/services',
    head: html`<form action="/services" role="search">
<label>Namespace, name or address<input type="search" name="q" value="${part}" autocomplete="off" spellcheck="false"></label>
<label class="check"><input type="checkbox" name="state" value="problems"${state === '' ? NOTHING : html` checked`}> only with problems</label>
<button>Search</button></form>`,
    live:
      page.items.length === 0
        ? html`<p class="soft">No service port is like that.</p>`
        : html`${serviceTable(page.items)}
<div class="pages">${after === '' ? NOTHING : html`<a href="/services?${first.toString()}" rel="first">First page</a>`}
${page.next === '' ? NOTHING : html`<a href="/services?${more.toString()}" rel="next">Next page</a>`}</div>`,
  };
}

function serviceTable(rows: readonly ServiceRow[]): Html {
  return tableOf(
    ['Service', 'Port', 'Addresses', 'Endpoints', 'State'],
    rows.map((row) => [
      { value: html`<a href="/service?name=${encodeURIComponent(row.service)}">${row.service}</a>` },
      { value: html`${row.port}/${row.protocol} <span class="soft">${row.portName}</span>` },
      { value: mono(addresses(row).slice(0, 2).join(', ')) },
      { value: `${row.endpoints.serving} of ${row.endpoints.all}`, number: true },
      { value: stateText(row.state) },
    ]),
  );
}

function addresses(row: ServiceRow): readonly string[] {
  return [...row.clusterIPs, ...row.loadBalancerIPs, ...row.externalIPs];
}

function stateText(state: ServiceRow['state']): Html {
  if (state === 'ok') return html`<span class="good">ok</span>`;
  if (state === 'asleep') return html`<span class="soft">asleep</span>`;
  return html`<span class="${state === 'no endpoints' ? 'bad' : 'warn'}">${state}</span>`;
}

async function service(source: PageSource, words: URLSearchParams): Promise<PageContent> {
  const name = words.get('name') ?? '';
  const ports = await every<ServiceRow>(source, '/v1/services', { service: name });
  if (ports.length === 0) throw new NotThere(`this node serves no Service ${name}`);
  const endpoints = (await source.ask('/v1/endpoints', { service: name })) as Rows<EndpointRow>;
  const failed = (await lastFailures(source, 20, name)).slice(0, 20);
  return {
    title: name,
    under: '/services',
    head: NOTHING,
    live: html`${ports.map(portText)}
<h2>Endpoints</h2>
${
  endpoints.items.length === 0
    ? ports.every(({ state }) => state === 'asleep')
      ? html`<p class="soft">None: it sleeps, and its first connection waits until one is ready.</p>`
      : html`<p class="bad">None: no EndpointSlice of this Service has an address for its ports.</p>`
    : endpointTable(endpoints.items)
}
${endpoints.next === '' ? NOTHING : html`<p class="soft">The first ${endpoints.items.length}; penstock endpoints ${name} has all.</p>`}
<h2>Failed connections</h2>
${failed.length === 0 ? html`<p class="soft">None since the agent started.</p>` : failureTable(failed)}`,
  };
}

function portText(row: ServiceRow): Html {
  const facts: readonly (readonly [string, string])[] = [
    ['Cluster IP', row.clusterIPs.join(', ')],
    ['Load-balancer IP', row.loadBalancerIPs.join(', ')],
    ['External IP', row.externalIPs.join(', ')],
    ['Node port', row.nodePort === 0 ? '' : String(row.nodePort)],
    ['Traffic policy', `internal ${row.internalPolicy}, external ${row.externalPolicy}`],
    ['Affinity', row.affinitySeconds === null ? '' : `client IP, ${row.affinitySeconds} s`],
    ['Source ranges', row.sourceRanges.join(', ')],
  ];
  const target = addresses(row)[0];
  const to =
    target === undefined
      ? ''
      : `${target.includes(':') ? `[${target}]` : target}:${row.port}/${row.protocol}`;
  return html`<h2>${row.portName === '' ? '' : `${row.portName}: `}${row.port}/${row.protocol} · ${stateText(row.state)}</h2>
<dl class="facts">${facts.map(([key, value]) => (value === '' ? NOTHING : html`<dt>${key}</dt><dd>${value}</dd>`))}
${to === '' ? NOTHING : html`<dt>Explain</dt><dd><a href="/explain?${new URLSearchParams({ client: 'node', to }).toString()}">from this node</a></dd>`}</dl>`;
}

function endpointTable(rows: readonly EndpointRow[]): Html {
  return tableOf(
    ['Endpoint', 'Pod', 'Node', 'Condition', 'Serves'],
    rows.map((row) => [
      { value: mono(row.endpoint) },
      { value: row.pod },
      { value: row.here ? `${row.node} (this node)` : row.node },
      { value: html`<span class="${row.condition === 'ready' ? 'good' : 'warn'}">${row.condition}</span>` },
      { value: row.serves },
    ]),
  );
}

async function failures(source: PageSource, words: URLSearchParams): Promise<PageContent> {
  const part = words.get('q') ?? '';
  const records = (await lastFailures(source, SHOWN_FAILURES)).filter((record) =>
    part === ''
      ? true
      : [record.service, record.reason, record.client, record.clientPod, record.destination].some((text) =>
          text.includes(part),
        ),
  );
  return {
    title: 'Failures',
    under: '/failures',
    head: html`<p>Connections that were refused or dropped, the newest first.</p>
<form action="/failures" role="search"><label>Service, reason or address<input type="search" name="q" value="${part}" autocomplete="off" spellcheck="false"></label><button>Search</button></form>`,
    live:
      records.length === 0
        ? html`<p class="soft">None of the last ${SHOWN_FAILURES}${part === '' ? '' : ' is like that'}.</p>`
        : failureTable(records),
  };
}

/** The newest first. */
async function lastFailures(source: PageSource, most: number, name = ''): Promise<readonly FlowRecord[]> {
  const { items } = (await source.ask('/v1/flows', {
    last: String(most),
    service: name,
  })) as Rows<FlowRecord>;
  return [...items].reverse();
}

function failureTable(records: readonly FlowRecord[]): Html {
  return tableOf(
    ['When', 'Reason', 'Client', 'To', 'Times'],
    records.map((record) => [
      { value: time(record.time) },
      { value: html`<span title="${reasonSays(record.reason)}">${record.reason}</span>` },
      { value: record.clientPod === '' ? mono(record.client) : html`${record.clientPod}` },
      {
        value: html`${record.service} <a href="/explain?${new URLSearchParams({ client: record.client, to: targetOf(record) }).toString()}">${mono(targetOf(record))}</a>`,
      },
      { value: record.count, number: true },
    ]),
  );
}

function reasonSays(reason: string): string {
  return (REASONS as Readonly<Record<string, { says: string }>>)[reason]?.says ?? '';
}

function targetOf({ destination, port, protocol }: FlowRecord): string {
  return `${destination.includes(':') ? `[${destination}]` : destination}:${port}/${protocol}`;
}

async function syncs(source: PageSource): Promise<PageContent> {
  const { items } = (await source.ask('/v1/syncs')) as Rows<SyncRecord>;
  return {
    title: 'Syncs',
    under: '/syncs',
    head: html`<p>Each time the kernel was brought to what the objects ask for, the newest first.</p>`,
    live:
      items.length === 0
        ? html`<p class="soft">There was none yet.</p>`
        : tableOf(
            ['When', 'Result', 'Family', 'Ports written', 'Took'],
            items.map((sync) => [
              { value: time(sync.time) },
              {
                value:
                  sync.failure === ''
                    ? html`<span class="good">${sync.kind}</span>`
                    : html`<span class="bad">failed: ${sync.failure}</span>`,
              },
              { value: sync.family },
              { value: sync.written, number: true },
              { value: `${sync.milliseconds.toFixed(1)} ms`, number: true },
            ]),
          ),
  };
}

async function conflicts(source: PageSource): Promise<PageContent> {
  const { items } = (await source.ask('/v1/problems')) as { items: readonly Problem[] };
  const shown = items.slice(0, 500);
  return {
    title: 'Conflicts',
    under: '/conflicts',
    head: html`<p>What is set aside, or asks for what another has. Everything else is served.</p>`,
    live:
      items.length === 0
        ? html`<p class="soft">Nothing is set aside or in conflict.</p>`
        : html`${tableOf(
            ['What', 'Why', 'Where'],
            shown.map(({ subject, message, where = '' }) => [
              { value: subject },
              { value: message },
              { value: mono(where) },
            ]),
          )}${items.length > shown.length ? html`<p class="soft">And ${items.length - shown.length} more.</p>` : NOTHING}`,
  };
}

async function explain(source: PageSource, words: URLSearchParams): Promise<PageContent> {
  const client = words.get('client') ?? '';
  const to = words.get('to') ?? '';
  const head = html`<p>What becomes of a connection, and why. No traffic is made.</p>
<form action="/explain" class="column">
<label>Client: address, namespace/pod, node, localhost, outside<input type="text" name="client" value="${client}" required autocomplete="off" spellcheck="false"></label>
<label>Destination: VIP:PORT/PROTO, namespace/service:port name, node:NODEPORT<input type="text" name="to" value="${to}" required autocomplete="off" spellcheck="false"></label>
<button>Explain</button></form>`;
  return {
    title: 'Explain',
    under: '/explain',
    head,
    live: client === '' || to === '' ? NOTHING : await answer(source, client, to),
  };
}

async function answer(source: PageSource, client: string, to: string): Promise<Html> {
  let e: Explanation;
  try {
    e = (await source.ask('/v1/explain', { client, to })) as Explanation;
  } catch (error) {
    if (!(error instanceof PenstockError) || error.code === 'PENSTOCK_NO_AGENT') throw error;
    return html`<p class="verdict bad">${error.message}. ${error.remedy ?? ''}</p>`;
  }
  const facts: readonly (readonly [string, string])[] = [
    ['Because', e.because],
    ...e.notes.map((note) => ['Note', note] as const),
    ['To do', e.remedy],
    ['Service', e.servicePort === null ? '' : `${e.servicePort}, by its ${e.destination.is}`],
    ...e.losers.map((loser) => ['Lost by', `${loser.servicePort} (${loser.as}): ${loser.because}`] as const),
    ['Policy', e.policy ?? ''],
    ['Affinity', e.affinitySeconds === null ? '' : `${e.affinitySeconds} s`],
    ['Source ranges', e.sourceRanges.join(', ')],
    ['Masquerade', e.reason === 'forwarded' ? `${e.masquerade ? 'yes' : 'no'}: ${e.masqueradeBecause}` : ''],
    ['Source seen', e.reason === 'forwarded' ? e.seenSource : ''],
  ];
  return html`<p class="verdict ${e.isProblem ? 'bad' : ''}">${e.client.name || e.client.address} to ${to} <strong>${endText(e)}</strong> <span class="soft">${e.reason}</span></p>
<dl class="facts">${facts.map(([key, value]) => (value === '' ? NOTHING : html`<dt>${key}</dt><dd>${value}</dd>`))}</dl>
${
  e.candidates.length === 0
    ? NOTHING
    : html`<h2>Endpoints</h2>${tableOf(
        ['Endpoint', 'Pod', 'Node', 'Gets'],
        e.candidates
          .slice(0, 100)
          .map((c) => [
            { value: mono(c.endpoint) },
            { value: c.pod },
            { value: c.node },
            { value: c.gets ? `${(c.share * 100).toFixed(c.share < 0.1 ? 1 : 0)} %` : c.out },
          ]),
      )}`
}`;
}

function time(iso: string): Html {
  return html`<time datetime="${iso}">${iso.slice(0, 19).replace('T', ' ')}</time>`;
}

async function every<Row>(
  source: PageSource,
  path: string,
  words: Readonly<Record<string, string>>,
): Promise<Row[]> {
  const { items } = (await source.ask(path, words)) as Rows<Row>;
  return [...items];
}

/** Asked for by a name that is not there. */
export class NotThere extends Error {}
