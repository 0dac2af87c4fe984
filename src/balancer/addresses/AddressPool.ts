/** A pool of addresses for Services of type LoadBalancer. MetalLB's IPAddressPool, and penstock.io's, which is the same. */
import type { IpAddress } from '../../net/ip.js';
import { objectName } from '../../objects/ApiObject.js';
import { FORBIDDEN_BEGINS, forbiddenKind } from '../../objects/addresses.js';
import type { Problem } from '../../objects/Problem.js';
import { FieldReader, Findings, isRawObject } from '../../objects/read/FieldReader.js';
import { readLabels } from '../../objects/read/readMetadata.js';
import { anySelects, type LabelSelector, type Labels, readSelectors } from '../objects/LabelSelector.js';
import { type AddressRange, addressOf, inRange, parseRange, sizeOf } from './AddressRange.js';

export interface AddressPool {
  readonly namespace: string;
  readonly name: string;
  /** Of the object, for the selectors of advertisements. */
  readonly labels: Labels;
  readonly ranges: readonly AddressRange[];
  /** Whether a Service gets an address of it without asking for the pool or the address. */
  readonly autoAssign: boolean;
  /** Addresses that end in .0 and .255 are left out. */
  readonly avoidBuggyIPs: boolean;
  /** The lower the earlier; 0 counts as last, as in MetalLB. */
  readonly priority: number;
  /** Empty: all. */
  readonly namespaces: readonly string[];
  readonly namespaceSelectors: readonly LabelSelector[];
  readonly serviceSelectors: readonly LabelSelector[];
}

export type PoolResult =
  | { readonly type: 'pool'; readonly pool: AddressPool; readonly warnings: readonly Problem[] }
  | { readonly type: 'invalid'; readonly key: string; readonly problem: Problem }
  | { readonly type: 'foreign' };

const VERSIONS = ['metallb.io/v1beta1', 'penstock.io/v1alpha1'];

/** `IPAddressPool metallb-system/lan`; also a unique key. */
export function poolName({ namespace, name }: { readonly namespace: string; readonly name: string }): string {
  return objectName({ kind: 'IPAddressPool', namespace, name });
}

/** Nothing that comes in throws; a pool with a fault is set aside whole, and every fault is named. */
export function parsePool(raw: unknown, where?: string): PoolResult {
  if (!isRawObject(raw) || raw.kind !== 'IPAddressPool') return { type: 'foreign' };
  if (typeof raw.apiVersion !== 'string' || !VERSIONS.includes(raw.apiVersion)) return { type: 'foreign' };
  const findings = new Findings();
  const root = new FieldReader(raw, findings);
  const metadata = root.object('metadata');
  const spec = root.object('spec');
  const name = { namespace: metadata.text('namespace'), name: metadata.text('name') };
  if (name.name === '') metadata.fault('name', 'the name of the object');
  const ranges: AddressRange[] = [];
  for (const [i, text] of spec.texts('addresses').entries()) {
    const range = parseRange(text);
    const never = range === undefined ? undefined : neverGiven(range);
    if (range === undefined) spec.fault(`addresses[${i}]`, 'a CIDR or FIRST-LAST of one IP family', text);
    else if (never !== undefined)
      spec.fault(`addresses[${i}]`, `a range of addresses that Services can have: it has ${never}`, text);
    else ranges.push(range);
  }
  if (spec.isEmpty('addresses')) spec.fault('addresses', 'a list of CIDRs or FIRST-LAST');
  const allocation = spec.object('serviceAllocation');
  const pool: AddressPool = {
    ...name,
    labels: labelsOf(metadata),
    ranges,
    autoAssign: spec.boolean('autoAssign', true),
    avoidBuggyIPs: spec.boolean('avoidBuggyIPs', false),
    priority: allocation.integer('priority', 0, 0x7fff_ffff, 0),
    namespaces: allocation.texts('namespaces'),
    namespaceSelectors: readSelectors(allocation, 'namespaceSelectors'),
    serviceSelectors: readSelectors(allocation, 'serviceSelectors'),
  };
  const key = poolName({ ...name, name: name.name || '(no name)' });
  const problem = (message: string): Problem =>
    where === undefined ? { subject: key, message } : { subject: key, message, where };
  if (!findings.faults.isEmpty) {
    return { type: 'invalid', key, problem: problem(findings.faults.sentences().join('; ')) };
  }
  return { type: 'pool', pool, warnings: findings.warnings.sentences().map(problem) };
}

export function labelsOf(metadata: FieldReader): Labels {
  return readLabels(metadata.object('labels'));
}

export function poolHas({ ranges }: AddressPool, address: IpAddress): boolean {
  return ranges.some((range) => inRange(range, address));
}

/** How many addresses a pool has; of IPv6 that may be more than a number holds. */
export function poolSize({ ranges }: AddressPool): bigint {
  return ranges.reduce((sum, range) => sum + sizeOf(range), 0n);
}

/** Whether Services of this namespace and with these labels may have addresses of the pool. */
export function poolAllows(
  { namespaces, namespaceSelectors, serviceSelectors }: AddressPool,
  namespace: string,
  namespaceLabels: Labels,
  serviceLabels: Labels,
): boolean {
  // As in MetalLB: either list may let the namespace in.
  const anyNamespace = namespaces.length === 0 && namespaceSelectors.length === 0;
  const namespaceOk =
    anyNamespace ||
    namespaces.includes(namespace) ||
    (namespaceSelectors.length > 0 && anySelects(namespaceSelectors, namespaceLabels));
  return namespaceOk && anySelects(serviceSelectors, serviceLabels);
}

/**
 * `a loopback address`: a range that has one is a slip, and to look for others beyond a whole network of them takes millions of tries.
 * Link-local ones no router passes on, and each interface has its own.
 */
function neverGiven(range: AddressRange): string | undefined {
  const inside = FORBIDDEN_BEGINS.filter((address) => inRange(range, address));
  return [addressOf(range.family, range.first), ...inside]
    .map((address) => forbiddenKind(address, 'served'))
    .find((why) => why !== undefined);
}
