/** Service ports in the form that the thread that chooses reads (native/choice/services.cc): little endian, one after another. */
import type { IpAddress } from '../../net/ip.js';
import { CHOICE_SHIFT, choiceMarks } from '../../routing/choice.js';
import type { Endpoint, ServicePort } from '../../routing/ServicePort.js';
import { ADDRESS_BYTES, address, bytes, FAMILY, PROTOCOL, u16, u32 } from './littleEndian.js';

const SET = 1;
const REMOVE = 2;
const ALGORITHM: Readonly<Record<string, number>> = { 'least-connections': 2, 'power-of-two': 3 };
const WEIGHT = 1;

export function removeRecord(cell: number): Buffer {
  const record = Buffer.alloc(5);
  record.writeUInt8(REMOVE);
  record.writeUInt32LE(cell, 1);
  return record;
}

/** `port` is one that isChosenFor(). */
export function setRecord(port: ServicePort, cell: number, cellOf: (endpoint: Endpoint) => number): Buffer {
  const { endpoints, balancing, clusterIP, externalIPs, loadBalancerIPs, nodePort } = port;
  const parts: Buffer[] = [
    bytes(SET),
    u32(cell),
    bytes(PROTOCOL[port.protocol], FAMILY[port.family], ALGORITHM[balancing.algorithm] ?? 0),
  ];
  const marks = choiceMarks(port);
  const internal = port.internalPolicy === 'Local' ? endpoints.local : endpoints.cluster;
  const external = port.externalPolicy === 'Local' ? endpoints.local : endpoints.cluster;
  const lists = internal === external ? [internal] : [internal, external];
  parts.push(bytes(lists.length));
  for (const list of lists) {
    parts.push(u32(list.length));
    for (const endpoint of list) {
      parts.push(address(endpoint.address), u16(endpoint.port), u32(cellOf(endpoint)));
      parts.push(u16(balancing.weights.get(endpoint.address) ?? WEIGHT));
      parts.push(u16((marks.get(endpoint) ?? 0) >>> CHOICE_SHIFT));
    }
  }
  const vips = new Set([...externalIPs, ...loadBalancerIPs]);
  if (clusterIP !== undefined) vips.delete(clusterIP);
  const outside = lists.length - 1;
  const keys = [
    ...(clusterIP === undefined ? [] : [key(0, 0, clusterIP, port.port)]),
    ...[...vips].map((vip) => key(0, outside, vip, port.port)),
    ...(nodePort === 0 ? [] : [key(1, outside, undefined, nodePort)]),
  ];
  return Buffer.concat([...parts, u16(keys.length), ...keys]);
}

function key(kind: 0 | 1, list: number, vip: IpAddress | undefined, port: number): Buffer {
  return Buffer.concat([
    bytes(kind, list),
    vip === undefined ? Buffer.alloc(ADDRESS_BYTES) : address(vip),
    u16(port),
  ]);
}
