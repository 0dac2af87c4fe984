/** penstock services: every port of every Service that this node serves, and whether it can. */
import { lacksSomething, type ServiceRow } from '../../observe/admin/serviceRows.js';
import { readArguments } from '../readArguments.js';
import { look, servicesOf } from './look.js';
import { MODEL_FLAGS, MODEL_HELP } from './modelFlags.js';
import { colour, formatOf, OUTPUT_FLAG, print, printJson, table } from './output.js';

export const HELP = `penstock services [NAME] [--namespace NS] [--problems] [-o json]

Lists what this node serves: one line for each port of a Service. NAME is a part
of namespace/service. ENDPOINTS are those that serve, of all, and those here.
A Service is asleep that has none and wakes at the first packet. It has no
address when all of its belong to other Services: penstock status names them.

  --namespace NS         only of this namespace
  --problems             only those that lack endpoints, or an address

${MODEL_HELP}
Exit status: 1 when a listed Service has no endpoints, 2 could not look.
`;

export async function services(argv: readonly string[]): Promise<number> {
  const { values, words } = readArguments(argv, {
    options: {
      ...OUTPUT_FLAG,
      ...MODEL_FLAGS,
      namespace: { type: 'string', short: 'n' },
      problems: { type: 'boolean' },
    },
    words: [0, 1],
    wordsText: 'NAME',
  });
  if (values.help) {
    print([HELP.trimEnd()]);
    return 0;
  }
  const format = formatOf(values.output);
  const found = await look(values);
  const all = await servicesOf(found);
  const [part = ''] = words;
  const rows = all.filter(
    (row) =>
      row.service.includes(part) &&
      (values.namespace === undefined || row.service.startsWith(`${values.namespace}/`)) &&
      (!values.problems || lacksSomething(row)),
  );
  if (format === 'json') printJson({ agent: found.from === 'agent', items: rows });
  else print(servicesText(rows, found.from === 'model' && found.agentIsGone));
  return rows.some(({ state }) => state === 'no endpoints') ? 1 : 0;
}

function servicesText(rows: readonly ServiceRow[], agentIsGone: boolean): string[] {
  const gone = agentIsGone ? [colour('yellow', 'no agent runs; this is what one would serve'), ''] : [];
  if (rows.length === 0) return [...gone, 'no Services'];
  const columns = [
    { title: 'SERVICE', shrinks: true },
    { title: 'PORT', shrinks: true },
    { title: 'ADDRESS', shrinks: true },
    { title: 'ENDPOINTS', shrinks: true },
    { title: 'STATE' },
  ];
  const cells = rows.map((row) => [
    row.portName === '' ? row.service : `${row.service}:${row.portName}`,
    `${row.port}/${row.protocol}${row.nodePort === 0 ? '' : ` node ${row.nodePort}`}`,
    addresses(row),
    `${row.endpoints.serving} of ${row.endpoints.all}${row.endpoints.here === 0 ? '' : `, ${row.endpoints.here} here`}`,
    row.state,
  ]);
  const lines = table(columns, cells);
  return [
    ...gone,
    ...lines.map((line, i) => (i > 0 && rows[i - 1]?.state === 'no endpoints' ? colour('red', line) : line)),
  ];
}

function addresses({ clusterIPs, loadBalancerIPs, externalIPs }: ServiceRow): string {
  const [first = '-', ...rest] = [...clusterIPs, ...loadBalancerIPs, ...externalIPs];
  return rest.length === 0 ? first : `${first} +${rest.length}`;
}
