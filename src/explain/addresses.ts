/** Plain questions about addresses, answered by Node's own BlockList. */
import { BlockList } from 'node:net';
import type { IpFamily } from '../net/ip.js';
import type { Flow, Rules, World } from './World.js';

export function contains(range: string, address: string): boolean {
  if (range.includes(':') !== address.includes(':')) return false;
  const family = range.includes(':') ? 'ipv6' : 'ipv4';
  const [prefix = '', length = family === 'ipv6' ? '128' : '32'] = range.split('/');
  if (length === '0') return true;
  const list = new BlockList();
  list.addSubnet(prefix, Number(length), family);
  return list.check(address, family);
}

export function ofFamily<T extends string>(list: readonly T[], family: IpFamily): readonly T[] {
  return list.filter((text) => text.includes(':') === (family === 'IPv6'));
}

export function isLoopback(address: string): boolean {
  return address === '::1' || address.startsWith('127.');
}

export function isLocalAddress(world: World, address: string): boolean {
  return isLoopback(address) || world.hostAddresses.includes(address);
}

/** Undefined: pods cannot be recognised in this family. */
export function isFromPod(world: World, rules: Rules, family: IpFamily, flow: Flow): boolean | undefined {
  const detector = rules.detectLocal;
  switch (detector.type) {
    case 'None':
      return undefined;
    case 'BridgeInterface':
      return flow.interface === undefined ? flow.origin === 'pod' : flow.interface === detector.name;
    case 'InterfaceNamePrefix':
      return flow.interface === undefined
        ? flow.origin === 'pod'
        : flow.interface.startsWith(detector.prefix);
    case 'ClusterCIDR':
    case 'NodeCIDR': {
      const range = podRange(world, rules, family);
      return range === undefined ? undefined : contains(range, flow.source);
    }
  }
}

/** Where pods have their addresses, if they are told by that. */
export function podRange(
  world: World,
  { detectLocal }: Pick<Rules, 'detectLocal'>,
  family: IpFamily,
): string | undefined {
  if (detectLocal.type === 'ClusterCIDR') return detectLocal.cidrs[family];
  return detectLocal.type === 'NodeCIDR' ? world.podCIDRs[family] : undefined;
}
