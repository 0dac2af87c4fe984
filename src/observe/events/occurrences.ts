/** What penstock tells as Events, in kube-proxy's words where it has them (pkg/proxy of Kubernetes 1.36). */
import type { Problem } from '../../objects/Problem.js';
import type { EventSubject, Occurrence } from './KubernetesEvent.js';

/** The Node is named, as in kube-proxy, though the Event is in namespace default. */
export function nodeSubject(name: string): EventSubject {
  return { apiVersion: 'v1', kind: 'Node', namespace: '', name };
}

export function starting(node: string, mode: string): Occurrence {
  return {
    type: 'Normal',
    reason: 'Starting',
    action: 'StartKubeProxy',
    note: `penstock serves Services in mode ${mode}`,
    regarding: nodeSubject(node),
  };
}

/** Servers of the agent, and what it is called when one cannot be opened. */
const SERVER_FAILURES = {
  'health server': 'FailedToStartProxierHealthcheck',
  'metrics server': 'FailedToStartMetricServer',
  page: 'FailedToStartPage',
} as const;

export type ServerName = keyof typeof SERVER_FAILURES;

/** The agent ends because its server cannot be opened. */
export function serverFailed(node: string, server: ServerName, why: string): Occurrence {
  const reason = SERVER_FAILURES[server];
  return { type: 'Warning', reason, action: 'StartKubeProxy', note: why, regarding: nodeSubject(node) };
}

export function leaving(node: string, asked: string): Occurrence {
  return {
    type: 'Normal',
    reason: 'Leaving',
    action: 'HandBack',
    note: `penstock waits for the rules of another proxy, and then leaves this node (${asked})`,
    regarding: nodeSubject(node),
  };
}

export function left(node: string, successor: string): Occurrence {
  return {
    type: 'Normal',
    reason: 'Left',
    action: 'HandBack',
    note: `${successor} serves this node, penstock has removed its rules and idles`,
    regarding: nodeSubject(node),
  };
}

export function repaired(node: string, what: string): Occurrence {
  return {
    type: 'Warning',
    reason: 'ForeignChange',
    action: 'RepairRules',
    // Without the number of the process: the same program again is the same Event again.
    note: `somebody changed the rules of penstock, they are repaired: ${what.replaceAll(/ \(pid \d+\)/g, '')}`,
    regarding: nodeSubject(node),
  };
}

/** What a first packet to a Service without endpoints says. `path`: `namespace/name`; `whom`: who is to wake. */
export function wakeWanted(path: string, whom: string, node: string): Occurrence {
  return aboutService(path, {
    type: 'Normal',
    reason: 'WakeWanted',
    action: 'HoldConnection',
    note: `node ${node}: a connection waits for an endpoint; ${whom} should start`,
  });
}

export function wakeTimedOut(path: string, whom: string, node: string): Occurrence {
  return aboutService(path, {
    type: 'Warning',
    reason: 'WakeTimedOut',
    action: 'HoldConnection',
    note: `node ${node}: connections waited in vain for an endpoint; did ${whom} start, and is it ready?`,
  });
}

/** By the connections of this node. */
export function wentIdle(path: string, whom: string, node: string): Occurrence {
  return aboutService(path, {
    type: 'Normal',
    reason: 'Idle',
    action: 'WatchConnections',
    note: `node ${node}: no connection for as long as penstock.io/idle-after says; ${whom} may sleep`,
  });
}

/** Source of the problem → reason and action. */
const REASONS: Readonly<Record<string, readonly [reason: string, action: string]>> = {
  'health-check ports': ['FailedToStartServiceHealthcheck', 'Listen'],
  routing: ['ServiceConflict', 'RouteService'],
  dataplane: ['ServiceSetAside', 'ProgramRules'],
};
const OBJECT_SET_ASIDE = ['ObjectSetAside', 'ReadObject'] as const;
const API_VERSIONS: ReadonlyMap<string, string> = new Map([
  ['Service', 'v1'],
  ['Node', 'v1'],
  ['EndpointSlice', 'discovery.k8s.io/v1'],
  ['ServiceCIDR', 'networking.k8s.io/v1'],
]);

/** Undefined when the problem is of no object of the cluster: a file, say. */
export function problemFound(
  source: string,
  { subject, message }: Problem,
  node: string,
): Occurrence | undefined {
  const [, kind = '', namespace = '', name = ''] = /^(\w+) (?:([^/\s]+)\/)?([^/\s]+)$/.exec(subject) ?? [];
  const apiVersion = API_VERSIONS.get(kind);
  if (apiVersion === undefined) return undefined;
  const [reason, action] = REASONS[source] ?? OBJECT_SET_ASIDE;
  return {
    type: 'Warning',
    reason,
    action,
    note: `node ${node}: ${message}`,
    regarding: { apiVersion, kind, namespace, name },
  };
}

/** What has happened to an address, whichever Services have it: for the log, and by aboutService() for Events. */
export type AddressOccurrence = Omit<Occurrence, 'regarding'>;

export function addressAnnounced(
  node: string,
  address: string,
  device: string,
  announces: boolean,
  peer: string | undefined,
): AddressOccurrence {
  const to = peer === undefined ? '' : `; node ${peer} announces it`;
  return {
    type: 'Normal',
    reason: announces ? 'Announcing' : 'Moved',
    action: 'Announce',
    note: announces
      ? `node ${node} announces ${address} on ${device}`
      : `node ${node} no longer announces ${address} on ${device}${to}`,
  };
}

export function addressConflict(
  node: string,
  address: string,
  device: string,
  mac: string,
): AddressOccurrence {
  return {
    type: 'Warning',
    reason: 'Conflict',
    action: 'Announce',
    note: `node ${node} does not announce ${address}: on ${device} it belongs to the hardware address ${mac}`,
  };
}

/** The address belongs to somebody else, or is not one that Services are given. */
export function addressRefused(node: string, address: string, why: string): AddressOccurrence {
  return {
    type: 'Warning',
    reason: 'NotAnnounced',
    action: 'Announce',
    note: `node ${node} does not announce ${address}: ${why}`,
  };
}

/** `service`: `namespace/name`. */
export function aboutService(service: string, occurrence: AddressOccurrence): Occurrence {
  return { ...occurrence, regarding: serviceSubject(service) };
}

function serviceSubject(path: string): EventSubject {
  const [namespace = '', name = ''] = path.split('/');
  return { apiVersion: 'v1', kind: 'Service', namespace, name };
}
