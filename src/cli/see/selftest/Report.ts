/** What a selftest found: for people, as JSON, and as JUnit for what runs tests. */
import { printable } from '../../../net/printable.js';
import { colour, field, table, WIDTH, wrap } from '../output.js';
import { type CellResult, titleOf, VIP_KINDS } from './Cell.js';
import type { DisruptionResult } from './disrupt.js';

export interface SelftestReport {
  readonly passed: boolean;
  /** `this node`, `namespaces` */
  readonly where: string;
  readonly counts: { readonly passed: number; readonly failed: number; readonly skipped: number };
  readonly milliseconds: number;
  readonly cells: readonly CellResult[];
  readonly disruptions: readonly DisruptionResult[];
  /** What was not tested at all, and why. */
  readonly notes: readonly string[];
}

export function reportOf(
  found: Pick<SelftestReport, 'where' | 'cells' | 'disruptions' | 'notes' | 'milliseconds'>,
): SelftestReport {
  const count = (result: CellResult['result']) => found.cells.filter((cell) => cell.result === result).length;
  const counts = { passed: count('passed'), failed: count('failed'), skipped: count('skipped') };
  return { passed: failures(found.cells, found.disruptions) === 0, counts, ...found };
}

/** Cells that failed, connections that failed or broke. */
export function failures(
  cells: readonly CellResult[],
  disruptions: readonly Pick<DisruptionResult, 'failed' | 'broken'>[],
): number {
  const cellsFailed = cells.filter(({ result }) => result === 'failed').length;
  return disruptions.reduce((sum, { failed, broken }) => sum + failed + broken, cellsFailed);
}

/** Failed cells beyond this number are counted, not shown. */
const SHOWN = 20;

export function reportText(report: SelftestReport): string[] {
  const { cells, disruptions, counts, notes, milliseconds } = report;
  const failed = cells.filter(({ result }) => result === 'failed');
  const modes = [...new Set(cells.map(({ mode }) => mode))];
  const seconds = (milliseconds / 1000).toFixed(1);
  const connections = cells.reduce((sum, cell) => sum + cell.connections, 0);
  return [
    ...modes.flatMap((mode) => [
      colour('bold', `mode ${mode}, ${report.where}`),
      ...matrix(cells.filter((cell) => cell.mode === mode)),
      '',
    ]),
    ...failed.slice(0, SHOWN).flatMap(failureText),
    ...(failed.length > SHOWN ? [`and ${failed.length - SHOWN} more; -o json has all`, ''] : []),
    ...(disruptions.length === 0 ? [] : [...disruptionText(disruptions), '']),
    ...skippedText(cells),
    ...notes.flatMap((note) => wrap(printable(note), WIDTH)),
    colour(
      report.passed ? 'green' : 'red',
      `${report.passed ? 'passed' : 'FAILED'}: ${counts.passed} of ${counts.passed + counts.failed} cells, ` +
        `${connections} connections, ${seconds} s`,
    ),
  ];
}

/** A row for each kind of VIP and Service, a column for each family and protocol. */
function matrix(cells: readonly CellResult[]): string[] {
  const columnOf = ({ family, protocol }: CellResult) => `${family} ${protocol}`;
  const columns = [...new Set(cells.map(columnOf))].sort();
  const rows: string[][] = [];
  for (const vip of VIP_KINDS) {
    const ofKind = cells.filter((cell) => cell.vip === vip);
    for (const row of [...new Set(ofKind.map(rowOf))])
      rows.push([vip, row, ...columns.map((column) => cellText(ofKind, row, column, columnOf))]);
  }
  const titles = [{ title: 'VIP' }, { title: 'SERVICE', shrinks: true }];
  return table([...titles, ...columns.map((title) => ({ title, align: 'right' as const }))], rows);
}

/** In the selftest's own namespaces the names of Services say what policy they have. */
function rowOf({ servicePort }: CellResult): string {
  return servicePort.replace(/:[^:]*$/, '').replace(/^selftest\//, '');
}

function cellText(
  cells: readonly CellResult[],
  row: string,
  column: string,
  columnOf: (cell: CellResult) => string,
): string {
  const here = cells.filter((cell) => rowOf(cell) === row && columnOf(cell) === column);
  const tried = here.filter(({ result }) => result !== 'skipped');
  const failed = tried.filter(({ result }) => result === 'failed').length;
  if (tried.length === 0) return '-';
  return failed === 0 ? 'ok' : `${failed}/${tried.length} FAIL`;
}

function failureText(cell: CellResult): string[] {
  return [
    ...wrap(printable(`FAILED ${titleOf(cell)}`), WIDTH).map((line) => colour('red', line)),
    ...field('seen', `it ${cell.says}`),
    ...field('explain', cell.explain),
    ...(cell.remedy === '' ? [] : field('to do', cell.remedy)),
    '',
  ];
}

function disruptionText(disruptions: readonly DisruptionResult[]): string[] {
  const rows = disruptions.map((d) => [
    d.mode,
    d.disruption,
    `${d.failed} of ${d.connects}`,
    `${d.broken} of ${d.held}`,
    `${d.milliseconds} ms`,
  ]);
  const columns = [
    { title: 'MODE' },
    { title: 'DISRUPTION', shrinks: true },
    { title: 'NEW FAILED', align: 'right' as const },
    { title: 'ESTABLISHED BROKEN', align: 'right' as const },
    { title: 'TOOK', align: 'right' as const },
  ];
  const reasons = disruptions.flatMap(({ reasons: each }) => each);
  return [...table(columns, rows), ...[...new Set(reasons)].slice(0, SHOWN).map((r) => printable(`  ${r}`))];
}

function skippedText(cells: readonly CellResult[]): string[] {
  const why = new Map<string, number>();
  for (const { result, says } of cells) if (result === 'skipped') why.set(says, (why.get(says) ?? 0) + 1);
  return [...why].flatMap(([says, count]) => wrap(printable(`skipped ${count}: ${says}`), WIDTH));
}

/** As Jenkins and GitLab read it: a suite for each mode, a case for each cell and each disruption. */
export function junit(report: SelftestReport): string {
  const modes = [...new Set([...report.cells, ...report.disruptions].map(({ mode }) => mode))];
  const suites = modes.map((mode) => {
    const cells = report.cells.filter((cell) => cell.mode === mode);
    const disruptions = report.disruptions.filter((each) => each.mode === mode);
    const disturbed = disruptions.filter(({ failed, broken }) => failed + broken > 0).length;
    const count = (result: CellResult['result']) => cells.filter((cell) => cell.result === result).length;
    return [
      `  <testsuite name="penstock selftest, mode ${mode}" tests="${cells.length + disruptions.length}" ` +
        `failures="${count('failed') + disturbed}" errors="0" skipped="${count('skipped')}">`,
      ...cells.map(cellCase),
      ...disruptions.map(disruptionCase),
      '  </testsuite>',
    ].join('\n');
  });
  return `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites>\n${suites.join('\n')}\n</testsuites>\n`;
}

function cellCase(cell: CellResult): string {
  const start = `    <testcase classname="${xml(`${cell.mode}.${cell.vip}.${cell.policy}`)}" name="${xml(titleOf(cell))}"`;
  if (cell.result === 'passed') return `${start}/>`;
  const inner =
    cell.result === 'failed'
      ? `<failure message="${xml(`it ${cell.says}`)}">${xml(`explain: ${cell.explain}\n${cell.remedy}`)}</failure>`
      : `<skipped message="${xml(cell.says)}"/>`;
  return `${start}>${inner}</testcase>`;
}

function disruptionCase(result: DisruptionResult): string {
  const start = `    <testcase classname="${result.mode}.disruption" name="${xml(result.disruption)}" time="${result.milliseconds / 1000}"`;
  if (result.failed + result.broken === 0) return `${start}/>`;
  const says = `${result.failed} of ${result.connects} new connections failed, ${result.broken} of ${result.held} established ones broke`;
  return `${start}><failure message="${xml(says)}">${xml(result.reasons.join('\n'))}</failure></testcase>`;
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
};

function xml(text: string): string {
  return printableXml(text).replaceAll(/[&<>"]/g, (character) => ENTITIES[character] ?? '');
}

/** XML 1.0 cannot hold most control characters at all. */
function printableXml(text: string): string {
  return text.split('\n').map(printable).join('\n');
}
