/** Every kind of client, VIP, protocol and family, each connection made, beside one contender. */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { modeFlag } from '../../src/cli/see/modelFlags.js';
import { readModel } from '../../src/cli/see/readModel.js';
import type { Cell, CellResult } from '../../src/cli/see/selftest/Cell.js';
import { cellsOf, inParallel } from '../../src/cli/see/selftest/cellsOf.js';
import { checkCell } from '../../src/cli/see/selftest/checkCell.js';
import { dial, type Target } from '../../src/cli/see/selftest/dial.js';
import { NODE, OUTSIDE, POD_GATEWAY, PODS, selftestObjects } from '../../src/cli/see/selftest/objects.js';
import type { TestWorld } from '../../src/cli/see/selftest/World.js';
import { explain } from '../../src/explain/explain.js';
import { readFlow } from '../../src/explain/names.js';
import { type IpAddress, type IpFamily, joinHostPort } from '../../src/net/ip.js';
import { serviceRows } from '../../src/observe/admin/serviceRows.js';
import { serveApi } from '../../test/support/serveApi.js';
import { apiServerWith } from './asServed.js';
import { Contender, type ContenderCommand, configuration } from './Contender.js';

export interface FlowsTask {
  readonly contender: ContenderCommand;
  readonly families: readonly IpFamily[];
  readonly patienceMs: number;
}

const AT_ONCE = 8;
const CLIENTS = ['pod', 'node', 'outside'];
const SERVICE_CIDR = {
  apiVersion: 'networking.k8s.io/v1',
  kind: 'ServiceCIDR',
  metadata: { name: 'kubernetes' },
  spec: { cidrs: ['10.96.0.0/16', 'fd00:96::/112'] },
};

/** What is right is what the objects ask for by Kubernetes' documentation: `penstock explain` says it without any agent. */
export async function flows(
  { contender, families, patienceMs }: FlowsTask,
  world: TestWorld,
): Promise<CellResult[]> {
  const folder = mkdtempSync('/run/compare-');
  const objects = [SERVICE_CIDR, ...selftestObjects()];
  const api = await serveApi(apiServerWith(objects));
  const proxy = new Contender(contender, { folder, server: api.url, families });
  try {
    const cells = await expectations(folder, objects, contender.mode, families);
    await proxy.serves(probes(cells.list), patienceMs);
    const dialers: Readonly<Record<string, typeof dial>> = {
      pod: (options) => world.pods[0]?.dial(options) ?? dial(options),
      outside: (options) => world.outside.dial(options),
    };
    return await inParallel(cells.list, AT_ONCE, (cell) =>
      checkCell(cell, {
        dial: dialers[cell.client] ?? dial,
        explain: async (of) => cells.explain(of),
        endpointsSpeak: true,
        nodeAddresses: [NODE.IPv4, NODE.IPv6, POD_GATEWAY, 'fe80::1'],
      }),
    );
  } finally {
    await proxy.end();
    await api.close();
  }
}

async function expectations(
  folder: string,
  objects: readonly object[],
  mode: string,
  families: readonly IpFamily[],
) {
  const manifests = join(folder, 'objects.json');
  const config = join(folder, 'expected.yaml');
  writeFileSync(manifests, JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }));
  writeFileSync(config, configuration(mode, '', families).replace(/^clientConnection.*$/m, ''));
  const { world, rules, table } = await readModel({ manifests, config });
  const list = (await serviceRows(table, mode)).flatMap((row) =>
    cellsOf(row, { mode: modeFlag(mode) ?? 'iptables', clients: CLIENTS, nodeAddresses: NODE, families }),
  );
  const [pod] = PODS;
  return {
    list,
    explain({ client, family, target }: Cell) {
      const clients: Readonly<Record<string, string>> = { pod: pod[family], outside: OUTSIDE[family] };
      const to = `${joinHostPort(target.host as IpAddress, target.port)}/${target.protocol}`;
      const words = { client: clients[client] ?? 'node', destination: to, interface: undefined };
      return explain(world, rules, readFlow(words, world, rules), []);
    },
  };
}

/** The plain Service, every family and protocol of it: once these answer, everything was written. */
function probes(cells: readonly Cell[]): readonly Target[] {
  return cells
    .filter(
      ({ client, vip, servicePort }) =>
        client === 'node' && vip === 'cluster IP' && servicePort.includes('/plain:'),
    )
    .map(({ target }) => target);
}
