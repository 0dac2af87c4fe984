/**
 * One metric in Prometheus' text format 0.0.4, as prom-client writes it, for series that are not worth keeping in
 * memory between two scrapes.
 */
import type { TakesTurns } from './WorkTurns.js';

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

/** The same in pieces, for thousands of series: others have their turn in between. */
export async function* metricPieces(
  metric: Metric,
  series: Iterable<Series>,
  turns: TakesTurns,
): AsyncGenerator<string> {
  let lines = headOf(metric);
  for (const each of series) {
    lines.push(lineOf(metric, each));
    if (lines.length < LINES_OF_PIECE) continue;
    yield `${lines.join('\n')}\n`;
    lines = [];
    if (turns.isOver()) await turns.next();
  }
  if (lines.length > 0) yield `${lines.join('\n')}\n`;
}

/** Some kilobytes. */
const LINES_OF_PIECE = 64;

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
