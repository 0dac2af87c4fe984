/** What an operator alerts on, read when somebody asks: a number each, however many Services there are. */
import { readFileSync } from 'node:fs';
import { IP_FAMILIES } from '../../net/ip.js';
import type { Problem } from '../../objects/Problem.js';
import type { RoutingView } from '../../routing/RoutingView.js';
import { sleepsIn } from '../../routing/waking.js';
import { type Metric, metricText, type Series } from './metricText.js';

export interface OperatorFacts {
  readonly mode: string;
  readonly table: Pick<RoutingView, 'servicePorts'>;
  readonly problems: readonly Problem[];
  /** Undefined where the kernel does not tell. */
  readonly conntrack: { readonly used: number; readonly limit: number } | undefined;
}

const gauge = (name: string, help: string): Metric => ({ name: `penstock_${name}`, help, type: 'gauge' });

const MODE = gauge('mode_info', 'The mode that serves, always 1.');
const SERVICE_PORTS = gauge('service_ports', 'Service ports that are served.');
const WITHOUT = gauge(
  'service_ports_without_endpoints',
  'Service ports that no endpoint can serve: refused.',
);
const PROBLEMS = gauge(
  'problems',
  'Objects and fields that are set aside or in conflict: not served as they ask.',
);
const USED = gauge('conntrack_entries', 'Connections that the kernel tracks.');
const LIMIT = gauge('conntrack_limit', 'How many it tracks at most; new connections are dropped then.');

export function operatorText({ mode, table, problems, conntrack }: OperatorFacts): string {
  const ports: Series[] = [];
  const without: Series[] = [];
  for (const family of IP_FAMILIES) {
    const labels = { ip_family: family };
    const all = table.servicePorts(family);
    let count = 0;
    for (const port of all.values()) if (!port.endpoints.any && !sleepsIn(mode, port)) count++;
    ports.push({ labels, value: all.size });
    without.push({ labels, value: count });
  }
  const real = problems.filter(({ severity }) => severity !== 'note').length;
  const one = (value: number): Series[] => [{ labels: {}, value }];
  return [
    metricText(MODE, [{ labels: { mode }, value: 1 }]),
    metricText(SERVICE_PORTS, ports),
    metricText(WITHOUT, without),
    metricText(PROBLEMS, one(real)),
    ...(conntrack ? [metricText(USED, one(conntrack.used)), metricText(LIMIT, one(conntrack.limit))] : []),
  ].join('');
}

/** Of this network namespace; undefined without connection tracking. */
export function readConntrackUse(): OperatorFacts['conntrack'] {
  const read = (name: string) => Number(readFileSync(`/proc/sys/net/netfilter/${name}`, 'utf8'));
  try {
    return { used: read('nf_conntrack_count'), limit: read('nf_conntrack_max') };
  } catch {
    return undefined;
  }
}
