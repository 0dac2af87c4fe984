/** penstock endpoints: who serves the ports of Services, and who does not. */
import { namesOf } from '../../observe/admin/adminApi.js';
import { type EndpointRow, endpointRows } from '../../observe/admin/serviceRows.js';
import { readArguments, WrongCall } from '../readArguments.js';
import { look, noSuchService, servicesOf } from './look.js';
import { MODEL_FLAGS, MODEL_HELP } from './modelFlags.js';
import { colour, formatOf, OUTPUT_FLAG, print, printJson, table } from './output.js';

export const HELP = `penstock endpoints [NAMESPACE/SERVICE[:PORT NAME]] [-o json]

Lists endpoints with their pod, node and condition, and for whom they serve.

${MODEL_HELP}
Exit status: 1 when an endpoint serves nobody, 2 could not look.
`;

export async function endpoints(argv: readonly string[]): Promise<number> {
  const { values, words } = readArguments(argv, {
    options: { ...OUTPUT_FLAG, ...MODEL_FLAGS },
    words: [0, 1],
    wordsText: 'NAMESPACE/SERVICE',
  });
  if (values.help) {
    print([HELP.trimEnd()]);
    return 0;
  }
  const format = formatOf(values.output);
  const [service = ''] = words;
  if (service !== '' && !service.includes('/'))
    throw new WrongCall(
      `${JSON.stringify(service)} is no NAMESPACE/SERVICE`,
      'As in: penstock endpoints shop/cart',
    );
  const found = await look(values);
  const rows =
    found.from === 'agent' ? await found.agent.list<EndpointRow>('/v1/endpoints', { service }) : await here();
  if (rows.length === 0 && service !== '' && !(await isThere())) throw noSuchService(service);
  if (format === 'json') printJson({ agent: found.from === 'agent', items: rows });
  else print(endpointsText(rows));
  return rows.some(({ serves }) => serves === 'nobody') ? 1 : 0;

  /** Also a Service without an endpoint is one. */
  async function isThere(): Promise<boolean> {
    return (await servicesOf(found)).some((row) =>
      [row.service, `${row.service}:${row.portName}`].includes(service),
    );
  }

  async function here(): Promise<EndpointRow[]> {
    if (found.from === 'agent') return [];
    const names = await namesOf(found.model.table);
    return endpointRows(found.model.table, service, (ip) => names.get(ip) ?? { pod: '', node: '' });
  }
}

function endpointsText(rows: readonly EndpointRow[]): string[] {
  if (rows.length === 0) return ['no endpoints'];
  const columns = [
    { title: 'SERVICE', shrinks: true },
    { title: 'ENDPOINT' },
    { title: 'POD', shrinks: true },
    { title: 'NODE', shrinks: true },
    { title: 'CONDITION', shrinks: true },
    { title: 'SERVES' },
  ];
  const cells = rows.map((row) => [
    row.servicePort,
    row.endpoint,
    row.pod || '-',
    row.here ? `${row.node} (here)` : row.node || '-',
    row.condition,
    row.serves,
  ]);
  return table(columns, cells).map((line, i) =>
    i > 0 && rows[i - 1]?.serves === 'nobody' ? colour('red', line) : line,
  );
}
