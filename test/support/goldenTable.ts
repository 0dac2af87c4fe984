/** The objects that stock kube-proxy was recorded with, on node1. */

import type { IptablesOptions } from '../../src/dataplane/iptables/IptablesOptions.js';
import { type Cidr, parseCidr } from '../../src/net/ip.js';
import { type ObjectChange, refOf } from '../../src/objects/ApiObject.js';
import { parseObject } from '../../src/objects/read/parseObject.js';
import { RoutingTable } from '../../src/routing/RoutingTable.js';
import { readShared } from './shared.js';

interface RawList {
  readonly items: readonly RawObject[];
}

export interface RawObject {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly [field: string]: unknown;
}

/** Of stock/golden/iptables/config.yaml. */
export const GOLDEN_OPTIONS: IptablesOptions = {
  masqueradeMark: 0x4000,
  masqueradeAll: false,
  localhostNodePorts: true,
  nodePortAddresses: [],
  detectLocal: {
    type: 'ClusterCIDR',
    cidrs: { IPv4: parseCidr('10.244.0.0/16') as Cidr, IPv6: parseCidr('fd00:244::/32') as Cidr },
  },
  syncPeriodMs: 30_000,
};

export function goldenObjects(): RawObject[] {
  const objects = JSON.parse(readShared('stock/golden/objects.json')) as RawList;
  const nodes = JSON.parse(readShared('stock/golden/nodes.json')) as RawList;
  return [...nodes.items, ...objects.items];
}

export function upsert(raw: object): ObjectChange {
  const parsed = parseObject(raw);
  if (parsed.type === 'object') return { type: 'upsert', object: parsed.object };
  throw new Error(`not usable: ${JSON.stringify(parsed)}`);
}

/** Objects that penstock does not use at all (headless slices) are left out. */
export function upserts(raws: readonly object[]): ObjectChange[] {
  return raws.flatMap((raw) => {
    const parsed = parseObject(raw);
    return parsed.type === 'object' ? [{ type: 'upsert' as const, object: parsed.object }] : [];
  });
}

export function remove(raw: object): ObjectChange {
  const change = upsert(raw);
  if (change.type !== 'upsert') throw new Error('not an object');
  return { type: 'delete', ref: refOf(change.object) };
}

export function goldenTable(): RoutingTable {
  const table = new RoutingTable({
    nodeName: 'node1',
    serviceProxyName: '',
    fallbackAddresses: {},
    fixedAddresses: {},
  });
  table.apply(upserts(goldenObjects()));
  return table;
}
