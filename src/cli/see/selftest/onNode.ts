/** The selftest on a node in use: what the running agent serves is asked for from the node itself. No pods, no changes. */
import { PenstockError } from '../../../errors.js';
import type { Explanation } from '../../../explain/explain.js';
import type { Mode } from '../../../explain/World.js';
import { hostAddresses, primaryAddresses } from '../../../kernel/host/hostAddresses.js';
import type { IpFamily } from '../../../net/ip.js';
import type { ServiceRow } from '../../../observe/admin/serviceRows.js';
import { AgentClient } from '../AgentClient.js';
import type { Cell, CellResult } from './Cell.js';
import { cellsOf, inParallel } from './cellsOf.js';
import { checkCell } from './checkCell.js';
import { dial } from './dial.js';

export interface NodeTask {
  /** `namespace/name`; empty: the API server, DNS, and the first others. */
  readonly services: readonly string[];
  readonly families: readonly IpFamily[];
}

/** Services without being named. */
const MOST_SERVICES = 20;
const FIRST = ['default/kubernetes', 'kube-system/kube-dns'];
const AT_ONCE = 8;
const DNS_PORT = 53;

/** Rejects with PENSTOCK_NO_AGENT. */
export async function onNode({ services, families }: NodeTask): Promise<{
  readonly cells: readonly CellResult[];
  readonly notes: readonly string[];
}> {
  const agent = await AgentClient.find();
  if (!agent)
    throw new PenstockError('PENSTOCK_NO_AGENT', 'no agent runs here that could be tested', {
      remedy: 'Start penstock run, or test this build and kernel with --namespaces.',
    });
  const rows = await agent.list<ServiceRow>('/v1/services');
  const names = [...new Set(rows.map(({ service }) => service))];
  const missing = services.find((name) => !names.includes(name));
  if (missing !== undefined)
    throw new PenstockError('PENSTOCK_WRONG_CALL', `this node serves no Service ${missing}`, {
      remedy: '`penstock services` lists them.',
    });
  const rank = (name: string) => (FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length);
  const chosen =
    services.length > 0 ? services : names.sort((a, b) => rank(a) - rank(b)).slice(0, MOST_SERVICES);
  const nodeAddresses = await primaryAddresses();
  const options = { mode: agent.status.mode as Mode, clients: ['node'], nodeAddresses, families };
  const cells = rows
    .filter(({ service }) => chosen.includes(service))
    .flatMap((row) => cellsOf(row, options));
  const untold = names.length - chosen.length;
  return {
    cells: await inParallel(cells, AT_ONCE, (cell) => check(cell, agent)),
    notes: untold > 0 ? [`${untold} other Services were not tested: --service NAMESPACE/NAME names one`] : [],
  };
}

async function check(cell: Cell, agent: AgentClient): Promise<CellResult> {
  const isDns = cell.protocol === 'UDP' && cell.target.port === DNS_PORT;
  if (cell.protocol === 'UDP' && !isDns)
    return {
      ...cell,
      result: 'skipped',
      connections: 0,
      says: 'UDP: what an endpoint would answer to is not known (DNS is tested)',
      explain: '',
      remedy: '',
    };
  const host = cell.target.host.includes(':') ? `[${cell.target.host}]` : cell.target.host;
  const question = { client: 'node', to: `${host}:${cell.target.port}/${cell.protocol}` };
  return checkCell(cell, {
    dial,
    explain: async () => (await agent.ask('/v1/explain', question)) as Explanation,
    endpointsSpeak: false,
    nodeAddresses: hostAddresses(),
    ...(isDns ? { say: dnsQuestion() } : {}),
  });
}

/** RFC 1035: which name servers has the root? Every DNS server says something to that, be it that it refuses. */
function dnsQuestion(): Uint8Array {
  const header = [0x70, 0x73, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0];
  return new Uint8Array([...header, 0, 0, 2, 0, 1]);
}
