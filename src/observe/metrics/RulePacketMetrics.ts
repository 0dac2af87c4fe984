/** Packets that rules of mode iptables counted, under kube-proxy's names. Values are looked up when somebody asks. */
import { metricText } from './metricText.js';

/** Undefined where no rule counts. */
export interface RulePackets {
  readonly invalidDropped: number | undefined;
  readonly localhostNodePortsAccepted: number | undefined;
}

const METRICS = {
  invalidDropped: {
    name: 'kubeproxy_iptables_ct_state_invalid_dropped_packets_total',
    help: 'Packets that were dropped because connection tracking takes them for invalid (TCP out of its window).',
    type: 'counter',
  },
  localhostNodePortsAccepted: {
    name: 'kubeproxy_iptables_localhost_nodeports_accepted_packets_total',
    help: 'First packets of connections to node ports on loopback.',
    type: 'counter',
  },
} as const;

/** In Prometheus' text format; empty when there is nothing to tell. */
export function rulePacketText(packets: RulePackets | undefined): string {
  const names = ['invalidDropped', 'localhostNodePortsAccepted'] as const;
  return names
    .map((name) => {
      const value = packets?.[name];
      return value === undefined ? '' : metricText(METRICS[name], [{ labels: {}, value }]);
    })
    .join('');
}
