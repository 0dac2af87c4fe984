/** A v1 Node. */
import type { Cidr, IpAddress } from '../../net/ip.js';
import { parseCidr } from '../../net/ip.js';
import { parseObjectIp } from '../addresses.js';
import { intern } from '../intern.js';
import type { Node } from '../Node.js';
import type { FieldReader } from './FieldReader.js';
import { type Metadata, readLabels } from './readMetadata.js';

const ZONE_LABEL = 'topology.kubernetes.io/zone';
const LEAVE_LABEL = 'penstock.io/leave';
/** Set by the cluster autoscaler on a node it is about to remove (KEP-3836). */
const REMOVAL_TAINT = 'ToBeDeletedByClusterAutoscaler';

export function parseNode(root: FieldReader, metadata: Metadata): Node {
  const spec = root.object('spec');
  const beingRemoved = spec.objects('taints').some((taint) => taint.text('key') === REMOVAL_TAINT);
  const uid = metadata.fields.text('uid');
  return {
    kind: 'Node',
    name: metadata.name,
    ...(uid !== '' && { uid }),
    zone: intern(metadata.labels.text(ZONE_LABEL)),
    addresses: readAddresses(root.object('status')),
    podCIDRs: readPodCIDRs(spec),
    leave: metadata.labels.text(LEAVE_LABEL) === 'true',
    eligible: !beingRemoved && metadata.fields.text('deletionTimestamp') === '',
    ...presentLabels(metadata.labels),
    ...readConditions(root.object('status')),
  };
}

/** Cloud providers put what they like there; one odd entry must not cost the node. */
function readAddresses(status: FieldReader): readonly IpAddress[] {
  const byType: Record<'InternalIP' | 'ExternalIP', IpAddress[]> = { InternalIP: [], ExternalIP: [] };
  for (const reader of status.objects('addresses')) {
    const type = reader.text('type');
    const text = reader.text('address');
    if (type !== 'InternalIP' && type !== 'ExternalIP') continue;
    const ip = parseObjectIp(text);
    if (ip === undefined) reader.warn('address', text, 'which is no IP address; this entry is skipped');
    else byType[type].push(ip);
  }
  return [...byType.InternalIP, ...byType.ExternalIP];
}

function readPodCIDRs(spec: FieldReader): readonly Cidr[] {
  const list = spec.texts('podCIDRs');
  const single = spec.text('podCIDR');
  const texts = list.length > 0 ? list : single === '' ? [] : [single];
  const ranges: Cidr[] = [];
  for (const [i, text] of texts.entries()) {
    const range = parseCidr(text);
    const field = list.length > 0 ? `podCIDRs[${i}]` : 'podCIDR';
    if (range === undefined) spec.fault(field, 'a CIDR such as 10.1.2.0/24', text);
    else ranges.push(range);
  }
  return ranges;
}

function presentLabels(reader: FieldReader): Pick<Node, 'labels'> {
  const labels = readLabels(reader);
  return Object.keys(labels).length === 0 ? {} : { labels };
}

function readConditions(status: FieldReader): Pick<Node, 'networkUnavailable' | 'notReady'> {
  const conditions = status.objects('conditions');
  const has = (type: string, test: (status: string) => boolean) =>
    conditions.some((each) => each.text('type') === type && test(each.text('status')));
  return {
    ...(has('NetworkUnavailable', (value) => value === 'True') ? { networkUnavailable: true } : {}),
    ...(has('Ready', (value) => value !== 'True') ? { notReady: true } : {}),
  };
}
