/** A BGPPeer of MetalLB (v1beta1 and v1beta2 differ in some names) or of penstock.io. */
import { familyOf, type IpAddress, parseIp } from '../../net/ip.js';
import type { FieldReader } from '../../objects/read/FieldReader.js';
import { parseDuration } from '../../time/duration.js';
import type { BgpPeer } from './announcing.js';
import { readSelectors } from './LabelSelector.js';
import type { ObjectName } from './ObjectName.js';

const DEFAULT_PORT = 179;
/** Seconds: RFC 4271, 10 proposes 90. */
const DEFAULT_HOLD = 90;
const LARGEST_AS = 0xffff_ffff;

export function parseBgpPeer(spec: FieldReader, name: ObjectName): BgpPeer {
  const address = readAddress(spec, 'peerAddress');
  if (address === undefined && !spec.has('peerAddress')) {
    if (spec.has('interface'))
      spec.fault('interface', 'left out: sessions without an address are not made; give peerAddress');
    else spec.fault('peerAddress', 'the address of the router');
  }
  const sourceAddress = readAddress(spec, 'sourceAddress');
  if (address && sourceAddress && familyOf(address) !== familyOf(sourceAddress))
    spec.fault('sourceAddress', `of the family of ${address}`);
  const routerId = readAddress(spec, 'routerID');
  if (routerId !== undefined && familyOf(routerId) !== 'IPv4') spec.fault('routerID', 'an IPv4 address');
  if (spec.text('vrf') !== '') spec.fault('vrf', 'left out: sessions in another VRF are not made');
  if (!spec.has('myASN')) spec.fault('myASN', `1 to ${LARGEST_AS}`);
  const holdTime = readSeconds(spec, 'holdTime', 0, 65_535) ?? DEFAULT_HOLD;
  if (holdTime > 0 && holdTime < 3) spec.fault('holdTime', '0s, or 3s and more (RFC 4271)');
  const keepaliveTime = readSeconds(spec, 'keepaliveTime', 1, 65_535);
  if (keepaliveTime !== undefined && holdTime > 0 && keepaliveTime >= holdTime)
    spec.fault('keepaliveTime', `shorter than the hold time of ${holdTime} s`);
  const secret = spec.object('passwordSecret').text('name');
  const password = spec.text('password');
  if (secret !== '' && password !== '') spec.fault('password', 'left out where passwordSecret is given', '…');
  return {
    kind: 'BGPPeer',
    ...name,
    myAsn: spec.integer('myASN', 1, LARGEST_AS, 0),
    peerAsn: readPeerAsn(spec),
    // Without one the object is invalid.
    address: address ?? ('0.0.0.0' as IpAddress),
    port: spec.integer('peerPort', 1, 65_535, DEFAULT_PORT),
    sourceAddress,
    routerId,
    holdTime,
    keepaliveTime,
    connectTime: readSeconds(spec, 'connectTime', 1, 65_535),
    nodeSelectors: readSelectors(spec, 'nodeSelectors'),
    password,
    passwordSecret: secret,
    bfdProfile: spec.text('bfdProfile'),
    gracefulRestart: spec.boolean('enableGracefulRestart', false),
    multiHop: spec.boolean('ebgpMultiHop', false),
    ttlSecurity: spec.boolean('ttlSecurity', false),
  };
}

function readPeerAsn(spec: FieldReader): BgpPeer['peerAsn'] {
  const dynamic = spec.choice('dynamicASN', ['', 'internal', 'external'] as const, '');
  const number = spec.integer('peerASN', 0, LARGEST_AS, 0);
  if (dynamic !== '' && number !== 0) spec.fault('dynamicASN', 'left out where peerASN is given');
  if (dynamic === '' && number === 0) spec.fault('peerASN', `1 to ${LARGEST_AS}`);
  return dynamic === '' ? number : dynamic;
}

function readAddress(spec: FieldReader, field: string): IpAddress | undefined {
  const text = spec.text(field);
  if (text === '') return undefined;
  const ip = parseIp(text);
  if (ip === undefined) spec.fault(field, 'an IP address');
  return ip;
}

/** Of a Go duration. */
function readSeconds(spec: FieldReader, field: string, min: number, max: number): number | undefined {
  const text = spec.text(field);
  if (text === '') return undefined;
  const milliseconds = parseDuration(text);
  const seconds = milliseconds === undefined ? Number.NaN : milliseconds / 1000;
  if (Number.isInteger(seconds) && seconds >= min && seconds <= max) return seconds;
  spec.fault(field, `whole seconds from ${min}s to ${max}s, such as 90s`);
  return undefined;
}
