/** The table of penstock top: what it says of each Service, in which order, in 80 columns. */
import { colour, table } from '../output.js';
import type { TrafficRow, TrafficSample } from './TrafficCount.js';

export interface TopRow extends TrafficRow {
  /** Refused or dropped since the command began; null where nobody tells. */
  readonly failed: number | null;
}

export const TOP_COLUMNS = ['new', 'open', 'bytes', 'silent', 'failed'] as const;
export type TopColumn = (typeof TOP_COLUMNS)[number];

const AMOUNT: Readonly<Record<TopColumn, (row: TopRow) => number>> = {
  new: ({ newPerSecond }) => newPerSecond,
  open: ({ open }) => open,
  bytes: ({ bytesPerSecond }) => bytesPerSecond ?? 0,
  silent: ({ silent }) => silent,
  failed: ({ failed }) => failed ?? 0,
};

/** The most first; equal ones as the other columns have them, then by name, so that lines stay where they are. */
export function sortRows(rows: readonly TopRow[], order: TopColumn): TopRow[] {
  const orders = [order, ...TOP_COLUMNS.filter((other) => other !== order)];
  return [...rows].sort((a, b) => {
    for (const each of orders) {
      const difference = AMOUNT[each](b) - AMOUNT[each](a);
      if (difference !== 0) return difference;
    }
    return a.name < b.name ? -1 : 1;
  });
}

export interface TopScreen {
  readonly node: string;
  readonly mode: string;
  /** Local time of day. */
  readonly time: string;
  /** What a row is: `SERVICE`, `ENDPOINT`. */
  readonly title: string;
  readonly sample: TrafficSample;
  /** How long the kernel's table took, milliseconds. */
  readonly readMs: number;
  readonly rows: readonly TopRow[];
  readonly limit: number;
  readonly notes: readonly string[];
}

export function topText({
  node,
  mode,
  time,
  title,
  sample,
  readMs,
  rows,
  limit,
  notes,
}: TopScreen): string[] {
  const head = `${node}  mode ${mode}  ${time}  ${sample.connections} connections, read in ${Math.round(readMs)} ms`;
  const shown = rows.slice(0, limit);
  const hidden = rows.length - shown.length;
  return [
    colour('bold', head),
    ...notes,
    '',
    ...(rows.length === 0 ? ['no connections'] : rowLines(title, shown)),
    ...(hidden > 0 ? [`and ${hidden} more`] : []),
  ];
}

function rowLines(title: string, rows: readonly TopRow[]): string[] {
  const columns = [
    { title, shrinks: true },
    { title: 'NEW/s', align: 'right' },
    { title: 'OPEN', align: 'right' },
    { title: 'BYTES/s', align: 'right' },
    { title: 'SILENT', align: 'right' },
    { title: 'FAILED', align: 'right' },
  ] as const;
  const cells = rows.map((row) => [
    row.name,
    rate(row.newPerSecond),
    String(row.open),
    row.bytesPerSecond === null ? '-' : shortBytes(row.bytesPerSecond),
    String(row.silent),
    row.failed === null ? '-' : String(row.failed),
  ]);
  return table(columns, cells).map((line, i) => {
    const row = i === 0 ? undefined : rows[i - 1];
    return row && (row.silent > 0 || (row.failed ?? 0) > 0) ? colour('red', line) : line;
  });
}

/** What is below ten a second shows its tenths: one in five seconds is not none. */
function rate(perSecond: number): string {
  return perSecond > 0 && perSecond < 10 ? perSecond.toFixed(1) : String(Math.round(perSecond));
}

const UNITS = ['', 'K', 'M', 'G', 'T'] as const;

/** With binary prefixes, as `ls -h`: 1536 is 1.5K. */
export function shortBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1023.5 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit > 0 && value < 9.95 ? value.toFixed(1) : Math.round(value)}${UNITS[unit]}`;
}
