/** Service ports that sleep in the form that the thread that holds reads (native/hold/sleepers.cc): little endian, one after another. */
import { type Cidr, type IpAddress, prefixLength } from '../../net/ip.js';
import type { ServicePort } from '../../routing/ServicePort.js';
import { readWake } from '../../routing/waking.js';
import { ADDRESS_BYTES, address, bytes, FAMILY, PROTOCOL, u16, u32 } from '../choice/littleEndian.js';

const SET = 1;
const REMOVE = 2;
const VIP = 0;
const NODE_PORT = 1;
/** Only for those in the source ranges. */
const RESTRICTED = 2;
const MOST = 65_535;

/** `port` is one that isHeld(). */
export function sleepRecord(id: number, port: ServicePort): Buffer {
  const { clusterIP, externalIPs, loadBalancerIPs, sourceRanges, nodePort } = port;
  const ranges = sourceRanges.slice(0, MOST);
  const kind = ranges.length > 0 ? RESTRICTED : VIP;
  const open = new Set([...(clusterIP === undefined ? [] : [clusterIP]), ...externalIPs]);
  const keys = [
    ...[...open].map((vip) => [bytes(VIP), address(vip), u16(port.port)]),
    ...loadBalancerIPs
      .filter((vip) => !open.has(vip))
      .map((vip) => [bytes(kind), address(vip), u16(port.port)]),
    ...(nodePort === 0 ? [] : [[bytes(NODE_PORT), Buffer.alloc(ADDRESS_BYTES), u16(nodePort)]]),
  ].slice(0, MOST);
  return Buffer.concat([
    bytes(SET),
    u32(id),
    bytes(PROTOCOL[port.protocol], FAMILY[port.family]),
    u32(readWake(port.options).wake?.timeout ?? 0),
    u16(ranges.length),
    ...ranges.flatMap((range) => [address(baseOf(range)), bytes(prefixLength(range))]),
    u16(keys.length),
    ...keys.flat(),
  ]);
}

/** `endpoints`: those that serve now; 0: it does not sleep any more, and nobody serves. */
export function wakeRecord(id: number, endpoints: number): Buffer {
  return Buffer.concat([bytes(REMOVE), u32(id), u32(endpoints)]);
}

function baseOf(range: Cidr): IpAddress {
  return range.slice(0, range.indexOf('/')) as IpAddress;
}
