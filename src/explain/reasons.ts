/** Every reason in words: what happened, what to do, and how bad it is. docs/see.md has a chapter for each. */
import type { Reason } from './Decision.js';

export interface ReasonText {
  /** Completes "the packet": a sentence without its subject's details. */
  readonly says: string;
  /** What the reader can do; '' when there is nothing to do. */
  readonly remedy: string;
  /** Something is wrong, not only elsewhere. */
  readonly isProblem: boolean;
}

const ENDS = {
  endpoint: 'reaches an endpoint',
  refused: 'is refused',
  dropped: 'is dropped: no answer at all',
  node: 'is for the node itself',
  'not-a-service': 'is no business of penstock: it goes its way untouched',
} as const;

/** Completes "the connection". */
export function endText({
  outcome,
  reason,
}: {
  readonly outcome: keyof typeof ENDS;
  readonly reason: Reason;
}): string {
  return reason === 'asleep' ? 'waits until an endpoint is ready' : ENDS[outcome];
}

export const REASONS: Readonly<Record<Reason, ReasonText>> = {
  forwarded: { says: 'an endpoint gets the connection', remedy: '', isProblem: false },
  asleep: {
    says: 'the Service sleeps: its first packet waits until an endpoint is ready, and goes there then',
    remedy: '',
    isProblem: false,
  },
  'no-endpoints': {
    says: 'no endpoint of the Service can serve',
    remedy:
      'Look at the pods that its selector matches: are there any, are they ready, do they have the port?',
    isProblem: true,
  },
  'no-local-endpoints': {
    says: 'traffic policy Local, and no endpoint on this node',
    remedy:
      'Send to a node that has an endpoint (the health-check node port tells which), or use policy Cluster.',
    isProblem: true,
  },
  'source-range': {
    says: 'loadBalancerSourceRanges does not contain the client',
    remedy: "Add the client's range to spec.loadBalancerSourceRanges of the Service.",
    isProblem: true,
  },
  'unknown-port': {
    says: 'the address belongs to a Service, the port does not',
    remedy: 'Use a port of the Service, or add this one to spec.ports.',
    isProblem: true,
  },
  'no-such-cluster-ip': {
    says: 'no Service has this cluster IP',
    remedy: 'Ask for the address again (DNS): the Service was deleted, or has another address now.',
    isProblem: true,
  },
  'protocol-not-served': {
    says: 'the proxy carries TCP and UDP only',
    remedy: 'Use a kernel mode (nftables, iptables, ipvs) for SCTP.',
    isProblem: true,
  },
  'node-port-not-here': {
    says: 'node ports do not answer on this address of the node',
    remedy: 'Use an address that nodePortAddresses contains, or change nodePortAddresses.',
    isProblem: true,
  },
  'localhost-node-port': {
    says: 'node ports do not answer on this loopback address',
    remedy: "Use the node's address, or switch on iptables.localhostNodePorts.",
    isProblem: true,
  },
  'own-address': {
    says: 'it is an address of the node and no node port: the node itself answers',
    remedy: '',
    isProblem: false,
  },
  'node-sends-elsewhere': {
    says: 'the node itself asks for an address that is not its own, and nothing serves: the packet follows the routes',
    remedy:
      'Look at the endpoints of the Service; as in kube-proxy, rules refuse what comes to the node only.',
    isProblem: true,
  },
  'endpoint-refused': {
    says: 'the endpoint refused the connection',
    remedy:
      'Look at the pod: does it listen on the target port of the Service, and not on its loopback only?',
    isProblem: true,
  },
  'endpoint-silent': {
    says: 'the endpoint does not answer',
    remedy:
      'Look whether the pod and its node live, and whether a NetworkPolicy, a route or the MTU keeps packets from it.',
    isProblem: true,
  },
  'no-service': { says: 'no Service has this address', remedy: '', isProblem: false },
};
