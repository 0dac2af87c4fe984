/** Which of the kernel's schedulers shares out the connections of a service port, and the weights of its endpoints. */
import type { Algorithm } from '../../../balancing/Balancing.js';
import { type IpvsScheduler, isIpvsScheduler } from '../../../balancing/ipvsSchedulers.js';
import { VirtualServerFlag } from '../../../kernel/ipvs/VirtualServer.js';
import type { Endpoint, ServicePort } from '../../../routing/ServicePort.js';

export interface Scheduling {
  /** The kernel's name, `rr`. One that no module has is refused by the kernel. */
  readonly scheduler: string;
  /** VirtualServerFlag bits. */
  readonly flags: number;
}

const NEAREST: Readonly<Record<Algorithm, IpvsScheduler>> = {
  random: 'rr',
  'round-robin': 'rr',
  'least-connections': 'lc',
  'power-of-two': 'twos',
  'source-hash': 'sh',
  maglev: 'mh',
};

/** Of a virtual server that a mark finds, where clients shall stay with their endpoint. */
export const STICKY_BY_MARK: Scheduling = { scheduler: 'sh', flags: VirtualServerFlag.FALLBACK };

/** Schedulers that count all servers as equal, and what is the same with weights. */
const WEIGHTED: ReadonlyMap<string, IpvsScheduler> = new Map([
  ['rr', 'wrr'],
  ['lc', 'wlc'],
]);

/** `fallback` is the scheduler of Services that ask for none. */
export function schedulingOf(
  { options, balancing }: Pick<ServicePort, 'options' | 'balancing'>,
  fallback: string,
): Scheduling {
  const asked = options.algorithm ?? '';
  const byName = isIpvsScheduler(asked) ? asked : undefined;
  const scheduler = byName ?? (isAlgorithm(asked) ? NEAREST[balancing.algorithm] : fallback);
  const weighted = balancing.weights.size > 0 ? (WEIGHTED.get(scheduler) ?? scheduler) : scheduler;
  return { scheduler: weighted, flags: flagsOf(weighted, asked) };
}

/** A sentence for the log when what was asked for does not exist here. */
export function schedulingNote(port: Pick<ServicePort, 'options' | 'balancing'>): string | undefined {
  if (port.options.algorithm !== 'random') return undefined;
  const { scheduler } = schedulingOf(port, NEAREST.random);
  return `metadata.annotations[penstock.io/algorithm] is random, which IPVS does not have; ${scheduler} takes its place`;
}

function isAlgorithm(asked: string): asked is Algorithm {
  return Object.hasOwn(NEAREST, asked);
}

/** The fallback keeps clients of a draining server from being refused. kube-proxy has mh look at the port too. */
function flagsOf(scheduler: string, asked: string): number {
  const { FALLBACK, HASH_PORT } = VirtualServerFlag;
  if (scheduler === 'sh') return FALLBACK;
  if (scheduler === 'mh') return asked === 'maglev' ? FALLBACK : FALLBACK | HASH_PORT;
  return 0;
}

/**
 * Whether a server of weight 0 gets no new connections and its clients find another one. dh would refuse them: a
 * server that goes must go at once.
 */
export function canDrain(scheduler: string): boolean {
  return scheduler !== 'dh';
}

/**
 * Target → weight: 1 without annotation, as kube-proxy's. If all would be 0 they are 1: a Service whose endpoints were
 * all taken out by weight would serve nobody.
 */
export function weightsOf(
  endpoints: readonly Endpoint[],
  { balancing: { weights } }: Pick<ServicePort, 'balancing'>,
): ReadonlyMap<string, number> {
  const weightOf = ({ address }: Endpoint) => weights.get(address) ?? 1;
  const usual = endpoints.some((endpoint) => weightOf(endpoint) > 0);
  return new Map(endpoints.map((endpoint) => [endpoint.target, usual ? weightOf(endpoint) : 1]));
}
