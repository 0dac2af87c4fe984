/**
 * Where kube-proxy's mode ipvs answers otherwise than every other mode, on purpose or not: one virtual server serves all
 * clients. Rules that answer so are as kube-proxy means them. Source: recordings of kube-proxy 1.36.2, spec of the mode.
 */

import type { Decision } from '../../explain/Decision.js';
import { endpointSets } from '../../explain/endpoints.js';
import type { World } from '../../explain/World.js';
import type { PacketFlow } from '../Packet.js';

export interface StockAnswer {
  readonly endpoints: readonly { readonly target: string; readonly masquerade: boolean }[];
  readonly refused: boolean;
  /** Why penstock answers otherwise. */
  readonly because: string;
}

/** Undefined: kube-proxy means what penstock does. */
export function stockAnswer(
  world: World,
  { winner, kind, verdict }: Decision,
  flow: PacketFlow,
): StockAnswer | undefined {
  if (winner === undefined || verdict.type === 'hold') return undefined;
  const { service, port } = winner;
  const family = flow.destination.includes(':') ? 'IPv6' : 'IPv4';
  const sets = endpointSets(world, service, port, family);
  const reach = (endpoints: typeof sets.all, masquerade: boolean) =>
    endpoints.map(({ target, address }) => ({ target, masquerade: masquerade || address === flow.source }));
  if (kind === 'cluster IP') {
    if (verdict.type !== 'drop') return undefined;
    return {
      endpoints: [],
      refused: true,
      because:
        'kube-proxy in mode ipvs refuses where no endpoint is on this node, penstock drops as in other modes',
    };
  }
  const isFiltered = verdict.type === 'drop' && verdict.reason === 'source-range';
  if (isFiltered && flow.origin !== 'node') return undefined;
  if (service.externalTrafficPolicy === 'Local') {
    const chosen = sets.local.length > 0 ? sets.local : sets.cluster;
    return {
      endpoints: reach(chosen, false),
      refused: chosen.length === 0,
      because:
        'kube-proxy in mode ipvs has the same endpoints for all clients of a Local policy, and those of other nodes where this one has none',
    };
  }
  if (!isFiltered) return undefined;
  return {
    endpoints: reach(sets.cluster, true),
    refused: sets.cluster.length === 0,
    because: 'kube-proxy in mode ipvs does not hold the node itself to source ranges',
  };
}
