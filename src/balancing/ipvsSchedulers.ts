/**
 * The schedulers of IPVS by their names in the kernel (net/netfilter/ipvs/ip_vs_*.c). `penstock.io/algorithm` takes them
 * too: mode ipvs uses the scheduler itself, the others what comes nearest.
 */
import type { Algorithm } from './Balancing.js';

const NEAREST_ALGORITHM = {
  rr: 'round-robin',
  wrr: 'round-robin',
  lc: 'least-connections',
  wlc: 'least-connections',
  sed: 'least-connections',
  nq: 'least-connections',
  sh: 'source-hash',
  dh: 'random',
  lblc: 'random',
  lblcr: 'random',
  mh: 'maglev',
  twos: 'power-of-two',
} as const satisfies Record<string, Algorithm>;

export type IpvsScheduler = keyof typeof NEAREST_ALGORITHM;

export const IPVS_SCHEDULERS = Object.keys(NEAREST_ALGORITHM) as readonly IpvsScheduler[];

export function isIpvsScheduler(name: string): name is IpvsScheduler {
  return Object.hasOwn(NEAREST_ALGORITHM, name);
}

/** What modes without IPVS do for a scheduler of its. */
export function nearestAlgorithm(scheduler: IpvsScheduler): Algorithm {
  return NEAREST_ALGORITHM[scheduler];
}
