/** The pages about penstock itself on the metrics port: kube-proxy's paths and forms. */
import { type Page, PLAIN } from './MetricsServer.js';

export interface StatusFacts {
  readonly mode: string;
  readonly version: string;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  readonly now: () => number;
  /** The configuration in force, encoded as its file has it. */
  readonly configuration: unknown;
  /** Flag → value, as they were set or by default. */
  readonly flags: ReadonlyMap<string, string>;
}

const NOT_FOR_MACHINES =
  'Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility guarantees and is for ' +
  'debugging purposes only.\n';

export function statusPages(facts: StatusFacts): ReadonlyMap<string, Page> {
  const plain = (body: () => string): Page => ({ contentType: PLAIN, body });
  const json = (body: () => string): Page => ({ contentType: 'application/json', body });
  const pages: Map<string, Page> = new Map([
    ['/healthz', plain(() => 'ok')],
    ['/healthz/ping', plain(() => 'ok')],
    ['/proxyMode', plain(() => facts.mode)],
    ['/configz', json(() => JSON.stringify({ 'kubeproxy.config.k8s.io': facts.configuration }))],
    ['/flagz', plain(() => flagz(facts))],
    // kube-proxy has the page, and no health check on it; a scraper that asks for it is not to see an error.
    ['/metrics/slis', plain(() => '')],
    ['/statusz', plain(() => statusz(facts, [...pages.keys(), '/metrics']))],
  ]);
  return pages;
}

function flagz({ flags }: StatusFacts): string {
  const lines = [...flags].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, value]) => `${name}=${value}\n`);
  return `\npenstock flagz\n${NOT_FOR_MACHINES}${lines.join('')}\n`;
}

function statusz({ startedAt, now, version }: StatusFacts, paths: readonly string[]): string {
  const seconds = Math.floor((now() - startedAt) / 1000);
  const two = (value: number) => String(value).padStart(2, '0');
  const up = `${Math.floor(seconds / 3600)} hr ${two(Math.floor(seconds / 60) % 60)} min ${two(seconds % 60)} sec`;
  return (
    `\npenstock statusz\n${NOT_FOR_MACHINES}\n` +
    `Started: ${unixDate(new Date(startedAt))}\nUp: ${up}\nNode.js version: ${process.version}\n` +
    `Binary version: ${version}\nPaths: ${[...paths].sort().join(' ')}\n`
  );
}

/** `Sun Nov 22 21:55:30 UTC 2026`: Go's time.UnixDate, whose day is padded with a space. */
function unixDate(date: Date): string {
  const [weekday = '', day = '', month, year, time] = date.toUTCString().split(' ');
  return `${weekday.slice(0, 3)} ${month} ${String(Number(day)).padStart(2)} ${time} UTC ${year}`;
}
