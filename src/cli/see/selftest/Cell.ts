/** One cell of the matrix: a client, a VIP of a service port, and what became of connections between them. */
import type { Mode } from '../../../explain/World.js';
import type { IpFamily } from '../../../net/ip.js';
import type { Target } from './dial.js';

/** The order of the table. */
export const VIP_KINDS = ['cluster IP', 'node port', 'external IP', 'load-balancer IP'] as const;
export type VipKind = (typeof VIP_KINDS)[number];

export interface Cell {
  readonly mode: Mode;
  /** `pod`, `node`, `outside`. */
  readonly client: string;
  /** `namespace/service:port name` */
  readonly servicePort: string;
  readonly family: IpFamily;
  readonly protocol: Target['protocol'];
  readonly vip: VipKind;
  /** What the Service asks for: `Cluster`, `external Local, affinity`. */
  readonly policy: string;
  readonly target: Target;
}

export interface CellResult extends Cell {
  readonly result: 'passed' | 'failed' | 'skipped';
  /** Connections that were tried. */
  readonly connections: number;
  /** Of a failed cell what was seen; of a skipped one why. */
  readonly says: string;
  /** What `penstock explain` says of it: outcome and reason, in one line. '' when it was not asked. */
  readonly explain: string;
  readonly remedy: string;
}

/** `outside → shop/cart:http, node port 192.0.2.1:30080/TCP` */
export function titleOf({ client, servicePort, vip, target }: Cell): string {
  const host = target.host.includes(':') ? `[${target.host}]` : target.host;
  return `${client} → ${servicePort}, ${vip} ${host}:${target.port}/${target.protocol}`;
}

export function policyOf(row: {
  readonly internalPolicy: string;
  readonly externalPolicy: string;
  readonly affinitySeconds: number | null;
}): string {
  const local = [
    row.internalPolicy === 'Local' ? 'internal' : '',
    row.externalPolicy === 'Local' ? 'external' : '',
  ].filter((part) => part !== '');
  const policy = local.length === 0 ? 'Cluster' : `${local.join(' and ')} Local`;
  return row.affinitySeconds === null ? policy : `${policy}, affinity`;
}
