/**
 * From decoded JSON or YAML to the objects of announcing.ts, by MetalLB's rules as far as they concern what is used. Nothing that
 * comes in throws; an object with a fault is set aside as a whole, and the message names every fault.
 */

import { objectName } from '../../objects/ApiObject.js';
import type { Problem } from '../../objects/Problem.js';
import { FieldReader, Findings, isRawObject } from '../../objects/read/FieldReader.js';
import {
  ANNOUNCING_KINDS,
  type AnnouncingKind,
  type AnnouncingObject,
  type BfdProfile,
  type BgpAdvertisement,
  type Community,
  type L2Advertisement,
} from './announcing.js';
import { COMMUNITY_FORM, isCommunity } from './communities.js';
import { readSelectors } from './LabelSelector.js';
import type { ObjectName } from './ObjectName.js';
import { parseBgpPeer } from './parseBgpPeer.js';

export type AnnouncingResult =
  | { readonly type: 'object'; readonly object: AnnouncingObject; readonly warnings: readonly Problem[] }
  | {
      readonly type: 'invalid';
      readonly kind: AnnouncingKind;
      readonly key: string;
      readonly problem: Problem;
    }
  /** Of another kind or group. */
  | { readonly type: 'foreign' };

/** Groups and versions in which the kinds are read. */
const VERSIONS: Readonly<Record<AnnouncingKind, readonly string[]>> = {
  L2Advertisement: ['metallb.io/v1beta1', 'penstock.io/v1alpha1'],
  BGPAdvertisement: ['metallb.io/v1beta1', 'penstock.io/v1alpha1'],
  BGPPeer: ['metallb.io/v1beta2', 'metallb.io/v1beta1', 'penstock.io/v1alpha1'],
  BFDProfile: ['metallb.io/v1beta1', 'penstock.io/v1alpha1'],
  Community: ['metallb.io/v1beta1', 'penstock.io/v1alpha1'],
};

type Reader = (spec: FieldReader, name: ObjectName) => AnnouncingObject;

const READERS: Readonly<Record<AnnouncingKind, Reader>> = {
  L2Advertisement: parseL2Advertisement,
  BGPAdvertisement: parseBgpAdvertisement,
  BGPPeer: parseBgpPeer,
  BFDProfile: parseBfdProfile,
  Community: parseCommunity,
};

export function parseAnnouncing(raw: unknown, where?: string): AnnouncingResult {
  if (!isRawObject(raw)) return { type: 'foreign' };
  const kind = ANNOUNCING_KINDS.find((each) => each === raw.kind);
  const version = typeof raw.apiVersion === 'string' ? raw.apiVersion : '';
  if (kind === undefined || !VERSIONS[kind].includes(version)) return { type: 'foreign' };
  const findings = new Findings();
  const root = new FieldReader(raw, findings);
  const metadata = root.object('metadata');
  const name = { namespace: metadata.text('namespace'), name: metadata.text('name') };
  if (name.name === '') metadata.fault('name', 'the name of the object');
  const object = READERS[kind](root.object('spec'), name);
  const key = objectName({ kind, ...name, name: name.name || '(no name)' });
  const problem = (message: string): Problem =>
    where === undefined ? { subject: key, message } : { subject: key, message, where };
  if (!findings.faults.isEmpty)
    return { type: 'invalid', kind, key, problem: problem(findings.faults.sentences().join('; ')) };
  return { type: 'object', object, warnings: findings.warnings.sentences().map(problem) };
}

function readPools(spec: FieldReader) {
  return {
    pools: spec.texts('ipAddressPools'),
    poolSelectors: readSelectors(spec, 'ipAddressPoolSelectors'),
  };
}

function parseL2Advertisement(spec: FieldReader, name: ObjectName): L2Advertisement {
  return {
    kind: 'L2Advertisement',
    ...name,
    ...readPools(spec),
    nodeSelectors: readSelectors(spec, 'nodeSelectors'),
    preferredNodeSelectors: readSelectors(spec, 'preferredNodeSelectors'),
    serviceSelectors: readSelectors(spec, 'serviceSelectors'),
    interfaces: spec.texts('interfaces'),
  };
}

function parseBgpAdvertisement(spec: FieldReader, name: ObjectName): BgpAdvertisement {
  const communities = spec.texts('communities');
  const localPref = spec.integer('localPref', 0, 0xffff_ffff, 0);
  return {
    kind: 'BGPAdvertisement',
    ...name,
    ...readPools(spec),
    nodeSelectors: readSelectors(spec, 'nodeSelectors'),
    serviceSelectors: readSelectors(spec, 'serviceSelectors'),
    aggregationLength: {
      IPv4: spec.integer('aggregationLength', 1, 32, 32),
      IPv6: spec.integer('aggregationLengthV6', 1, 128, 128),
    },
    localPref: localPref === 0 ? undefined : localPref,
    communities,
    peers: spec.texts('peers'),
  };
}

function parseBfdProfile(spec: FieldReader, name: ObjectName): BfdProfile {
  if (spec.boolean('echoMode', false))
    spec.warn('echoMode', true, 'which is not done: packets of BFD are exchanged both ways instead');
  return {
    kind: 'BFDProfile',
    ...name,
    receiveInterval: spec.integer('receiveInterval', 10, 60_000, 300),
    transmitInterval: spec.integer('transmitInterval', 10, 60_000, 300),
    detectMultiplier: spec.integer('detectMultiplier', 2, 255, 3),
    passive: spec.boolean('passiveMode', false),
    minimumTtl: spec.has('minimumTtl') ? spec.integer('minimumTtl', 1, 254, 254) : undefined,
  };
}

function parseCommunity(spec: FieldReader, name: ObjectName): Community {
  const values = new Map<string, string>();
  for (const item of spec.objects('communities')) {
    const alias = item.text('name');
    const value = item.text('value');
    if (alias === '') item.fault('name', 'a name');
    if (!isCommunity(value)) item.fault('value', COMMUNITY_FORM);
    if (values.has(alias)) item.fault('name', 'different from those before');
    values.set(alias, value);
  }
  return { kind: 'Community', ...name, values };
}
