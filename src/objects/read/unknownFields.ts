/**
 * Fields that the API does not have, in objects that a person wrote: the API server would refuse or drop them, and a field
 * that is misspelt changes nothing without a word. Source: Kubernetes 1.36, core/v1, discovery/v1, networking/v1.
 */
import { nearestName } from '../../net/nearestName.js';
import { printable } from '../../net/printable.js';
import type { FaultList } from './FaultList.js';
import { isRawObject, type RawObject } from './FieldReader.js';

/** `true`: anything may be below. A table also stands for each item of a list. */
type Known = { readonly [name: string]: Known | true };

const names = (list: string): Known => Object.fromEntries(list.split(' ').map((name) => [name, true]));

const METADATA: Known = names(
  'annotations creationTimestamp deletionGracePeriodSeconds deletionTimestamp finalizers generateName generation labels ' +
    'managedFields name namespace ownerReferences resourceVersion selfLink uid',
);

const SERVICE: Known = {
  ...names('apiVersion kind'),
  metadata: METADATA,
  spec: {
    ...names(
      'allocateLoadBalancerNodePorts clusterIP clusterIPs externalIPs externalName externalTrafficPolicy healthCheckNodePort ' +
        'internalTrafficPolicy ipFamilies ipFamilyPolicy loadBalancerClass loadBalancerIP loadBalancerSourceRanges ' +
        'publishNotReadyAddresses selector sessionAffinity trafficDistribution type',
    ),
    ports: names('appProtocol name nodePort port protocol targetPort'),
    sessionAffinityConfig: { clientIP: names('timeoutSeconds') },
  },
  status: { conditions: true, loadBalancer: { ingress: names('hostname ip ipMode ports') } },
};

const SLICE: Known = {
  ...names('addressType apiVersion kind'),
  metadata: METADATA,
  ports: names('appProtocol name port protocol'),
  endpoints: {
    ...names('addresses deprecatedTopology hostname nodeName targetRef zone'),
    conditions: names('ready serving terminating'),
    hints: { forNodes: names('name'), forZones: names('name') },
  },
};

const SUBSET_ADDRESS = names('hostname ip nodeName targetRef');

const KINDS: Readonly<Record<string, Known>> = {
  Service: SERVICE,
  EndpointSlice: SLICE,
  Endpoints: {
    ...names('apiVersion kind'),
    metadata: METADATA,
    subsets: {
      addresses: SUBSET_ADDRESS,
      notReadyAddresses: SUBSET_ADDRESS,
      ports: names('appProtocol name port protocol'),
    },
  },
  ServiceCIDR: {
    ...names('apiVersion kind'),
    metadata: METADATA,
    spec: names('cidrs'),
    status: true,
  },
};

/** Longer names are no slips of the pen. */
const LONGEST_NAME = 64;

/** Adds one sentence for each field that the kind does not have. */
export function noteUnknownFields(raw: RawObject, kind: string, into: FaultList): void {
  const known = KINDS[kind];
  if (known) visit(raw, known, '', { kind, root: known, into });
}

interface Search {
  readonly kind: string;
  readonly root: Known;
  readonly into: FaultList;
}

/** Goes as deep as the table does and no deeper, whatever the object is: a list in a list is none of the API. */
function visit(object: RawObject, known: Known, path: string, search: Search): void {
  for (const name in object) {
    const below = Object.hasOwn(known, name) ? known[name] : undefined;
    if (below === undefined) search.into.add(sentence(name, known, path, search));
    else if (below !== true) visitField(object[name], below, joined(path, name), search);
  }
}

function visitField(value: unknown, known: Known, path: string, search: Search): void {
  if (isRawObject(value)) visit(value, known, path, search);
  if (!Array.isArray(value)) return;
  for (let i = 0; i < value.length; i++) {
    const item: unknown = value[i];
    if (isRawObject(item)) visit(item, known, `${path}[${i}]`, search);
  }
}

function sentence(name: string, siblings: Known, path: string, { kind, root, into }: Search): string {
  // Of those that are not shown the text is not needed.
  if (into.isFull) return '';
  const meant = name.length <= LONGEST_NAME ? meantBy(name, siblings, path, root) : [];
  const hint = meant.length === 0 ? '' : `; did you mean ${meant.join(' or ')}?`;
  const shown = printable(name.length <= LONGEST_NAME ? name : `${name.slice(0, LONGEST_NAME)}...`);
  return `${joined(path, shown)} is no field of kind ${kind} and is ignored${hint}`;
}

function meantBy(name: string, siblings: Known, path: string, root: Known): readonly string[] {
  const near = nearestName(name, Object.keys(siblings));
  if (near !== undefined) return [joined(path, near)];
  const depth = (place: string) => place.split('.').length;
  return placesOf(name, root, '')
    .sort((a, b) => depth(a) - depth(b))
    .slice(0, 1);
}

/** Where a field of this name exists: it may stand in the wrong block. */
function placesOf(name: string, known: Known, path: string): string[] {
  return Object.entries(known).flatMap(([key, below]) => {
    const here = joined(path, key);
    const found = key.toLowerCase() === name.toLowerCase() ? [here] : [];
    return below === true ? found : [...found, ...placesOf(name, below, here)];
  });
}

function joined(path: string, name: string): string {
  return path === '' ? name : `${path}.${name}`;
}
