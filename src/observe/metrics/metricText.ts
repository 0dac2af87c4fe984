/**
 * One metric in Prometheus' text format 0.0.4, as prom-client writes it, for series that are not worth keeping in
 * memory between two scrapes.
 */
import { WorkTurns } from './WorkTurns.js';

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
export function metricText(metric: Metric, series: Iterable<Series>): string {
  const lines = headOf(metric);
  for (const each of series) lines.push(lineOf(metric, each));
  return `${lines.join('\n')}\n`;
}

/** The same, for thousands of series: others have their turn in between. */
export async function metricTextInTurns(metric: Metric, series: Iterable<Series>): Promise<string> {
  const lines = headOf(metric);
  const turns = new WorkTurns();
  for (const each of series) {
    lines.push(lineOf(metric, each));
    if (lines.length % LINES_BETWEEN_LOOKS === 0 && turns.isOver()) await turns.next();
  }
  return `${lines.join('\n')}\n`;
}

/** How often the clock is asked. */
const LINES_BETWEEN_LOOKS = 64;

function headOf({ name, help, type }: Metric): string[] {
  return [`# HELP ${name} ${escapeHelp(help)}`, `# TYPE ${name} ${type}`];
}

function lineOf({ name }: Metric, { labels, value }: Series): string {
  const words = Object.entries(labels).map(([label, text]) => `${label}="${escapeLabel(text)}"`);
  return `${name}${words.length === 0 ? '' : `{${words.join(',')}}`} ${value}`;
}

function escapeHelp(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
}

function escapeLabel(text: string): string {
  return escapeHelp(text).replaceAll('"', '\\"');
}
