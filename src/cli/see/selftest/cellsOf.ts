/** The cells that a service port asks for: every VIP that it has, of every family. */
import type { Mode } from '../../../explain/World.js';
import { familyOf, IP_FAMILIES, type IpAddress, type IpFamily } from '../../../net/ip.js';
import type { ServiceRow } from '../../../observe/admin/serviceRows.js';
import { type Cell, policyOf, type VipKind } from './Cell.js';

export interface CellsOptions {
  readonly mode: Mode;
  readonly clients: readonly string[];
  /** Where node ports are asked for. */
  readonly nodeAddresses: Readonly<Partial<Record<IpFamily, string>>>;
  readonly families: readonly IpFamily[];
}

/** Nobody outside of a cluster is meant to ask for a cluster IP. */
export function cellsOf(row: ServiceRow, options: CellsOptions): readonly Cell[] {
  const { protocol } = row;
  if (protocol !== 'TCP' && protocol !== 'UDP') return [];
  const families = new Set([...row.clusterIPs, ...row.externalIPs, ...row.loadBalancerIPs].map(familyOfText));
  const nodePorts = IP_FAMILIES.flatMap((family) => {
    const host = options.nodeAddresses[family];
    return row.nodePort === 0 || host === undefined || !families.has(family) ? [] : [host];
  });
  const vips: readonly (readonly [VipKind, readonly string[], number])[] = [
    ['cluster IP', row.clusterIPs, row.port],
    ['node port', nodePorts, row.nodePort],
    ['external IP', row.externalIPs, row.port],
    ['load-balancer IP', row.loadBalancerIPs, row.port],
  ];
  return vips.flatMap(([vip, hosts, port]) =>
    hosts
      .filter((host) => options.families.includes(familyOfText(host)))
      .flatMap((host) =>
        options.clients
          .filter((client) => vip !== 'cluster IP' || client !== 'outside')
          .map((client) => ({
            mode: options.mode,
            client,
            servicePort: row.portName === '' ? row.service : `${row.service}:${row.portName}`,
            family: familyOfText(host),
            protocol,
            vip,
            policy: policyOf(row),
            target: { host, port, protocol },
          })),
      ),
  );
}

function familyOfText(host: string): IpFamily {
  return familyOf(host as IpAddress);
}

/** At most `most` at once, in order. */
export async function inParallel<T, R>(
  items: readonly T[],
  most: number,
  work: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const worker = async () => {
    for (let i = next++; i < items.length; i = next++) results[i] = await work(items[i] as T);
  };
  await Promise.all(Array.from({ length: Math.min(most, items.length) }, worker));
  return results;
}
