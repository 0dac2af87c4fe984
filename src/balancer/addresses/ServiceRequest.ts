/**
 * What a Service asks of the allocator. Read from the API's own object: the agents' Service (src/objects) has no need of it.
 * Source of the fields: core/v1 ServiceSpec; MetalLB's annotations.
 */
import { familyOf, IP_FAMILIES, type IpAddress, type IpFamily, parseIp } from '../../net/ip.js';
import { readServiceIp } from '../../objects/addresses.js';
import { FieldReader, Findings, isRawObject } from '../../objects/read/FieldReader.js';
import {
  ADDRESS_ANNOTATIONS,
  POOL_ANNOTATIONS,
  SHARING_ANNOTATIONS,
} from '../../objects/read/requestedAddresses.js';
import type { Labels } from '../objects/LabelSelector.js';
import { labelsOf } from './AddressPool.js';

export interface ServiceRequest {
  readonly namespace: string;
  readonly name: string;
  readonly resourceVersion: string;
  /** Milliseconds since the epoch; absent in manifests. */
  readonly created: number | undefined;
  readonly labels: Labels;
  /** False: it is of another type, or being deleted; whatever address it had is free. */
  readonly wants: boolean;
  /** spec.loadBalancerClass; '' when absent. */
  readonly loadBalancerClass: string;
  /** In the order of spec.ipFamilies; both under RequireDualStack. */
  readonly families: readonly IpFamily[];
  /** Every family must be had, or the Service gets nothing. */
  readonly needsAllFamilies: boolean;
  /** Addresses that it asks for by name. */
  readonly addresses: readonly IpAddress[];
  /** `"127.0.0.1" is a loopback address`: the Service gets nothing until they are mended. */
  readonly badAddresses: readonly string[];
  /** The pool that it asks for; '' for any. */
  readonly pool: string;
  /** Services with the same key, and other ports, may share an address; '' for none. */
  readonly sharingKey: string;
  /** `TCP/80`. */
  readonly ports: readonly string[];
  /** What the status says now. */
  readonly assigned: readonly IpAddress[];
  /** The status holds host names, ipMode Proxy, or other things that the allocator never writes. */
  readonly foreignStatus: boolean;
}

const MOST_ADDRESSES = 16;
const ANNOTATIONS = {
  addresses: ADDRESS_ANNOTATIONS,
  pool: POOL_ANNOTATIONS,
  sharing: SHARING_ANNOTATIONS,
} as const;

/** Undefined for what is no Service with a name. Wrong types in fields count as absent: the API server has checked them. */
export function readRequest(raw: unknown): ServiceRequest | undefined {
  if (!isRawObject(raw)) return undefined;
  const root = new FieldReader(raw, new Findings());
  const metadata = root.object('metadata');
  const spec = root.object('spec');
  const name = metadata.text('name');
  if (name === '') return undefined;
  const annotation = (keys: readonly string[]) => {
    const annotations = metadata.object('annotations');
    const key = keys.find((each) => annotations.has(each));
    return key === undefined ? '' : annotations.text(key).trim();
  };
  const asked = [
    ...annotation(ANNOTATIONS.addresses).split(',', MOST_ADDRESSES),
    // Deprecated since 1.24, still asked for; the annotation wins.
    ...(annotation(ANNOTATIONS.addresses) === '' ? [spec.text('loadBalancerIP')] : []),
  ].flatMap((text) =>
    text.trim() === '' ? [] : [{ text: text.trim(), read: readServiceIp(text.trim(), 'served') }],
  );
  const created = Date.parse(metadata.text('creationTimestamp'));
  const ports = spec.objects('ports').map((port) => `${port.text('protocol') || 'TCP'}/${port.fields.port}`);
  const status = statusOf(root);
  return {
    namespace: metadata.text('namespace') || 'default',
    name,
    resourceVersion: metadata.text('resourceVersion'),
    created: Number.isNaN(created) ? undefined : created,
    labels: labelsOf(metadata),
    wants: spec.text('type') === 'LoadBalancer' && !metadata.has('deletionTimestamp'),
    loadBalancerClass: spec.text('loadBalancerClass'),
    families: familiesOf(spec),
    needsAllFamilies: spec.text('ipFamilyPolicy') === 'RequireDualStack',
    addresses: asked.flatMap(({ read }) => ('ip' in read ? [read.ip] : [])),
    badAddresses: asked.flatMap(({ text, read }) =>
      'bad' in read ? [`${JSON.stringify(text)} is ${read.bad}`] : [],
    ),
    pool: annotation(ANNOTATIONS.pool),
    sharingKey: annotation(ANNOTATIONS.sharing),
    ports,
    ...status,
  };
}

/** Manifests may leave spec.ipFamilies out: the families of its cluster IPs, else IPv4. */
function familiesOf(spec: FieldReader): readonly IpFamily[] {
  const named = spec
    .texts('ipFamilies')
    .filter((text): text is IpFamily => IP_FAMILIES.some((f) => f === text));
  if (named.length > 0) return [...new Set(named)];
  const clusterIPs = [...spec.texts('clusterIPs'), spec.text('clusterIP')].flatMap(
    (text) => parseIp(text) ?? [],
  );
  const families = [...new Set(clusterIPs.map(familyOf))];
  if (families.length > 0) return families;
  return spec.text('ipFamilyPolicy') === 'RequireDualStack' ? IP_FAMILIES : ['IPv4'];
}

function statusOf(root: FieldReader): Pick<ServiceRequest, 'assigned' | 'foreignStatus'> {
  const ingress = root.object('status').object('loadBalancer').objects('ingress');
  const addresses = ingress.map((item) => parseIp(item.text('ip')));
  return {
    assigned: addresses.flatMap((address) => address ?? []),
    // Of another mode, nodes leave the address alone. None at all is VIP (KEP-1860), and what old API servers keep.
    foreignStatus:
      addresses.some((address) => address === undefined) ||
      ingress.some((item) => !['', 'VIP'].includes(item.text('ipMode'))),
  };
}
