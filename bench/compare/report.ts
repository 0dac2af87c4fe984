/** The page for a sceptic: what both do with the same connections, and how fast; as Markdown and as JSON. */
import { type CellResult, VIP_KINDS } from '../../src/cli/see/selftest/Cell.js';
import { printable } from '../../src/net/printable.js';
import { median, table } from '../parts/statistics.js';
import type { ConformanceResult } from './conformance.js';
import type { SpeedResult } from './speed.js';

export interface Comparison {
  /** What its `--version` says. */
  readonly kubeProxy: string;
  readonly penstock: string;
  /** `Linux 6.18.0, 2 cores, load 0.31 at the start` */
  readonly machine: string;
  /** The columns: `kube-proxy, mode iptables`. The first is kube-proxy. */
  readonly contenders: readonly string[];
  readonly flows: readonly FlowRow[];
  readonly conformance: readonly ConformanceRow[];
  readonly speed: readonly SpeedRow[];
}

/** A list has one item for each contender. */
export interface FlowRow extends Omit<CellResult, 'mode' | 'result' | 'connections' | 'says'> {
  readonly same: boolean;
  readonly results: readonly Pick<CellResult, 'result' | 'connections' | 'says' | 'explain'>[];
}

/** A list has one item for each contender. */
export interface ConformanceRow extends Pick<ConformanceResult, 'scenario' | 'flow'> {
  readonly same: boolean;
  readonly results: readonly Pick<ConformanceResult, 'passed' | 'saw'>[];
}

export interface SpeedRow {
  readonly services: number;
  readonly endpoints: number;
  readonly results: readonly SpeedResult[];
}

/** `cells`: of each contender, the same in the same order. */
export function flowRows(cells: readonly (readonly CellResult[])[]): FlowRow[] {
  const [first = []] = cells;
  return first.map((cell, i) => {
    const { mode: _, result, connections: __, says, ...rest } = cell;
    const failed = result === 'failed';
    const all = cells.flatMap((list) => list[i] ?? []);
    return {
      ...rest,
      same: all.every((each) => (failed ? each.says === says : each.result !== 'failed')),
      results: all.map((each) => ({
        result: each.result,
        connections: each.connections,
        says: each.says,
        explain: each.explain,
      })),
    };
  });
}

/** `observed`: of each contender, the same flows in the same order. */
export function conformanceRows(observed: readonly (readonly ConformanceResult[])[]): ConformanceRow[] {
  const [first = []] = observed;
  return first.map(({ scenario, flow }, i) => {
    const results = observed.flatMap((list) => list[i] ?? []).map(({ passed, saw }) => ({ passed, saw }));
    const same = results.every(
      ({ passed, saw }) => saw === results[0]?.saw || (passed && results[0]?.passed),
    );
    return { scenario, flow, same, results };
  });
}

export function comparisonText(comparison: Comparison): string {
  const { kubeProxy, penstock, machine, flows, conformance, speed } = comparison;
  return [
    '# kube-proxy and penstock, side by side',
    '',
    `- kube-proxy: ${printable(kubeProxy)}`,
    `- penstock: ${penstock}`,
    `- ${machine}`,
    '',
    ...(flows.length > 0 ? flowsText(comparison) : []),
    ...(conformance.length > 0 ? conformanceText(comparison) : []),
    ...(speed.length > 0 ? speedText(comparison) : []),
  ].join('\n');
}

function flowsText({ contenders, flows }: Comparison): string[] {
  const rows = VIP_KINDS.flatMap((vip) => {
    const here = flows.filter((flow) => flow.vip === vip);
    const services = [...new Set(here.map(serviceOf))];
    return services.map((service) => {
      const cells = here.filter((flow) => serviceOf(flow) === service);
      const passed = (i: number) => cells.filter(({ results }) => results[i]?.result !== 'failed').length;
      return [`${vip}, ${service}`, ...contenders.map((_, i) => `${passed(i)} of ${cells.length}`)];
    });
  });
  const total = (i: number) => flows.filter(({ results }) => results[i]?.result !== 'failed').length;
  rows.push(['all', ...contenders.map((_, i) => `${total(i)} of ${flows.length}`)]);
  const different = flows.filter(({ same }) => !same);
  const odd = flows.filter(({ same, results }) => same && results[0]?.result === 'failed');
  return [
    '## Flows',
    '',
    'Each is a client, a VIP and a protocol, with as many connections as it takes to see who gets them. Counted are those that',
    'are as the documentation of Kubernetes has them: the endpoint, the address that it sees, affinity, refused or dropped.',
    '',
    table(['VIP, Service', ...contenders], rows),
    different.length === 0
      ? 'No flow differs.'
      : `${different.length} flows differ; -o json has the addresses:`,
    '',
    ...flowTexts(different, contenders),
    ...(odd.length > 0 ? [`${odd.length} flows are the same, and not as documented:`, ''] : []),
    ...flowTexts(odd, contenders),
  ];
}

function conformanceText({ contenders, conformance }: Comparison): string[] {
  const groups = new Map<string, ConformanceRow[]>();
  for (const row of conformance) {
    const name = row.scenario.split('/')[0] ?? '';
    groups.set(name, [...(groups.get(name) ?? []), row]);
  }
  const counts = (title: string, rows: readonly ConformanceRow[]) => [
    title,
    ...contenders.map(
      (_, i) => `${rows.filter(({ results }) => results[i]?.passed).length} of ${rows.length}`,
    ),
  ];
  const rows = [...groups].map(([name, list]) => counts(`scenarios ${name}/…`, list));
  const different = conformance.filter(({ same }) => !same);
  return [
    '## Conformance flows',
    '',
    'Real packets in the scenarios of kube-proxy\u2019s own tests. Counted are those that come out where these tests have them; some are',
    'written for one mode, and another may differ on purpose.',
    '',
    table(['', ...contenders], [...rows, counts('all', conformance)]),
    different.length === 0 ? 'No flow differs.' : `${different.length} flows differ:`,
    '',
    ...different.flatMap(({ scenario, flow, results }) =>
      [
        `- ${scenario}: ${flow}`,
        ...contenders.map(
          (name, i) => `  - ${name}: ${results[i]?.saw}${results[i]?.passed ? ', as meant' : ''}`,
        ),
        '',
      ].map(printable),
    ),
  ];
}

function serviceOf({ servicePort }: FlowRow): string {
  return servicePort.replace(/:[^:]*$/, '').replace(/^selftest\//, '');
}

/** Flows of one client and kind of VIP to which the same happens, as one item. */
function flowTexts(flows: readonly FlowRow[], contenders: readonly string[]): string[] {
  const groups = new Map<string, Set<string>>();
  for (const flow of flows) {
    const happened = contenders.map((name, i) => `  - ${name}: ${shortly(flow.results[i])}`);
    const key = [`- ${flow.client} → ${flow.vip}: `, ...happened].join('\n');
    const names = groups.get(key) ?? new Set();
    groups.set(key, names.add(`${serviceOf(flow)} (${flow.family} ${flow.protocol})`));
  }
  return [...groups].flatMap(([key, names]) => {
    const [title, ...happened] = key.split('\n');
    return [`${title}${[...names].join(', ')}`, ...happened, ''].map(printable);
  });
}

/** Without the addresses, which -o json has. */
function shortly(
  { result, says }: FlowRow['results'][number] = { result: 'skipped', connections: 0, says: '', explain: '' },
) {
  if (result !== 'failed') return 'as documented';
  return (says.split(';')[0] ?? '').replace(/\[?[\da-f.:]+\]?:\d+(, \[?[\da-f.:]+\]?:\d+)*/g, '…');
}

type Figure = readonly [string, (result: SpeedResult) => number, digits: number];

const FIGURES: readonly Figure[] = [
  ['started to first connection served, s', ({ servesMs }) => servesMs / 1000, 2],
  ['CPU until then, own, s', ({ cpuSelfS }) => cpuSelfS, 2],
  ['CPU until then, tools, s', ({ cpuToolsS }) => cpuToolsS, 2],
  ['change to first connection, median, ms', ({ changeMs }) => median(changeMs), 0],
  ['change to first connection, most, ms', ({ changeMs }) => Math.max(...changeMs), 0],
  ['CPU a change, own and tools, ms', ({ cpuPerChangeS }) => cpuPerChangeS * 1000, 0],
  ['resident, MB', ({ rssMb }) => rssMb, 0],
  ['resident at most, MB', ({ peakMb }) => peakMb, 0],
];

function speedText({ contenders, speed }: Comparison): string[] {
  return [
    '## Speed',
    '',
    'One Service in the namespaces above has endpoints that answer; it was made last. Objects come from the same API server.',
    '',
    ...speed.flatMap(({ services, endpoints, results }) => {
      const rows = FIGURES.map(([name, of, digits]) => [
        name,
        ...results.map((result) => of(result).toFixed(digits)),
      ]);
      return [table([`${services} Services x ${endpoints} endpoints`, ...contenders], rows)];
    }),
  ];
}
