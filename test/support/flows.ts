/** Every flow worth asking about, for the addresses and ports of arbitraries.ts. */

import type { Flow } from '../../src/explain/World.js';
import type { IpFamily } from '../../src/net/ip.js';
import { ADDRESSES, HEALTH_PORT, NODE_PORTS, PORTS, PROTOCOLS } from './arbitraries.js';

type Sender = Pick<Flow, 'origin' | 'source' | 'interface'>;

export function allFlows(family: IpFamily): readonly Flow[] {
  const { host, cluster, external, pods, client } = ADDRESSES[family];
  const outside: Sender = { origin: 'external', source: client, interface: 'eth0' };
  const senders: readonly Sender[] = [
    ...pods.slice(0, 3).map((source): Sender => ({ origin: 'pod', source, interface: 'cni0' })),
    { origin: 'pod', source: pods[0] as string, interface: 'cni7' },
    { origin: 'node', source: host[0] as string, interface: '' },
    // A load balancer's address as source: how a node meets its own load-balancer IPs.
    { origin: 'node', source: external[0] as string, interface: '' },
    outside,
  ];
  const loopback = family === 'IPv4' ? '127.0.0.1' : '::1';
  const onItself: Sender = { origin: 'node', source: loopback, interface: '' };
  const vips = [...new Set([...cluster, ...external])];
  return PROTOCOLS.flatMap((protocol) => [
    ...flows(senders, protocol, vips, [...PORTS, 81]),
    ...flows(senders, protocol, host, [...NODE_PORTS, 30003, HEALTH_PORT]),
    ...flows([onItself], protocol, [loopback], [...NODE_PORTS, PORTS[0]]),
    ...flows([outside], protocol, pods.slice(0, 1), [8080]),
  ]);
}

function flows(
  senders: readonly Sender[],
  protocol: Flow['protocol'],
  destinations: readonly string[],
  ports: readonly number[],
): Flow[] {
  return senders.flatMap((sender) =>
    destinations.flatMap((destination) => ports.map((port) => ({ ...sender, protocol, destination, port }))),
  );
}
