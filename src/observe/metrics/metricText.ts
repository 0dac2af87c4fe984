/**
 * One metric in Prometheus' text format 0.0.4, as prom-client writes it, for series that are not worth keeping in
 * memory between two scrapes.
 */
export interface Metric {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge';
}

export interface Series {
  /** Values may hold any character. */
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Ends with a line break. */
export function metricText({ name, help, type }: Metric, series: Iterable<Series>): string {
  const lines = [`# HELP ${name} ${escapeHelp(help)}`, `# TYPE ${name} ${type}`];
  for (const { labels, value } of series) {
    const words = Object.entries(labels).map(([label, text]) => `${label}="${escapeLabel(text)}"`);
    lines.push(`${name}${words.length === 0 ? '' : `{${words.join(',')}}`} ${value}`);
  }
  return `${lines.join('\n')}\n`;
}

function escapeHelp(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
}

function escapeLabel(text: string): string {
  return escapeHelp(text).replaceAll('"', '\\"');
}
