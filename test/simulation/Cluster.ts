/** The API server of a history, and what people and controllers do to its objects; not all of them mean well. */

import type { ApiResponse, ApiTransport } from '../../src/kubernetes/http/ApiTransport.js';
import type { ObjectChange } from '../../src/objects/ApiObject.js';
import { parseObject } from '../../src/objects/read/parseObject.js';
import { FakeApiServer, type Fault, type RawApiObject } from '../support/FakeApiServer.js';
import type { Chance } from './Chance.js';
import type { VirtualTime } from './VirtualTime.js';

const PATHS = {
  services: '/api/v1/services',
  slices: '/apis/discovery.k8s.io/v1/endpointslices',
  nodes: '/api/v1/nodes',
  cidrs: '/apis/networking.k8s.io/v1/servicecidrs',
} as const;

/** What an agent takes, with the form of it that is asked for. */
const KINDS = [
  [PATHS.services, 'Service', 'v1'],
  [PATHS.slices, 'EndpointSlice', 'discovery.k8s.io/v1'],
  [PATHS.nodes, 'Node', 'v1'],
  [PATHS.cidrs, 'ServiceCIDR', 'networking.k8s.io/v1'],
] as const;

const NAMES = ['a', 'b', 'c', 'd', 'e'] as const;
/** Its Services are served before all else has been read. */
const NAMESPACE = 'kube-system';
export const NODE = 'node1';
export const NODE_ADDRESSES = ['192.168.0.2', 'fd00:1::2'] as const;
const EXTERNAL = ['1.2.3.4', '5.6.7.8', '2001:db8::4', '192.168.0.2'] as const;
/** Nobody changes it: it is served from its first sync on, whatever happens to others. */
export const STEADY = { name: 'steady', vips: ['10.96.1.1', 'fd00:96::101'], port: 80 } as const;

type Fields = Record<string, unknown>;

export class Cluster {
  readonly api: FakeApiServer;
  readonly #chance: Chance;
  /** Answers nobody. */
  isAway = false;

  constructor(time: VirtualTime, chance: Chance) {
    this.#chance = chance;
    this.api = new FakeApiServer({
      now: () => time.now(),
      date: () => time.date(),
      // Of nobody's process.
      after: (milliseconds, action) => time.afterForAll(milliseconds, action),
    });
    this.#put(PATHS.nodes, nodeObject([...NODE_ADDRESSES], 'z1'));
    this.#put(PATHS.cidrs, {
      kind: 'ServiceCIDR',
      apiVersion: 'networking.k8s.io/v1',
      metadata: { name: 'kubernetes' },
      spec: { cidrs: ['10.96.0.0/16', 'fd00:96::/64'] },
    });
    this.#put(PATHS.services, {
      metadata: { name: STEADY.name, namespace: NAMESPACE },
      spec: {
        type: 'ClusterIP',
        clusterIP: STEADY.vips[0],
        clusterIPs: [...STEADY.vips],
        ipFamilies: ['IPv4', 'IPv6'],
        ports: [{ name: 'p', port: STEADY.port, targetPort: 8080 }],
      },
    });
    for (const family of ['IPv4', 'IPv6'] as const) {
      const addresses = family === 'IPv4' ? ['10.244.9.1', '10.244.9.2'] : ['fd00:10:9::1'];
      this.#put(PATHS.slices, {
        metadata: {
          name: `${STEADY.name}-${family.toLowerCase()}`,
          namespace: NAMESPACE,
          labels: { 'kubernetes.io/service-name': STEADY.name },
        },
        addressType: family,
        ports: [{ name: 'p', port: 8080, protocol: 'TCP' }],
        endpoints: addresses.map((address) => ({ addresses: [address], nodeName: 'node2', conditions: {} })),
      });
    }
  }

  /** What an agent sees of the server; nothing any more when `isAlive` says no. */
  transport(isAlive: () => boolean): ApiTransport {
    const { api } = this;
    const never = <T>() => new Promise<T>(() => {});
    const get = async (path: string, signal: AbortSignal): Promise<ApiResponse> => {
      if (!isAlive()) return never();
      if (this.isAway) throw new Error('connect ECONNREFUSED');
      const response = await api.get(path, signal);
      async function* body(): AsyncGenerator<Uint8Array> {
        try {
          for await (const chunk of response.body) {
            if (!isAlive()) await never();
            yield chunk;
          }
        } catch (error) {
          if (!isAlive()) await never();
          throw error;
        }
        if (!isAlive()) await never();
      }
      return { ...response, body: body() };
    };
    return { server: api.server, get, close: async () => {} };
  }

  /** Nobody answers for a while; connections that are open break. */
  goAway(): void {
    this.isAway = true;
    this.api.breakConnections();
  }

  comeBack(): void {
    this.isAway = false;
    this.api.faults = [];
  }

  /** What nobody can make sense of is deleted: until then its last good version stays in force where there was one. */
  tidyUp(): void {
    for (const [path, kind, apiVersion] of KINDS) {
      for (const object of this.api.objects(path)) {
        if (parseObject(object, { kind, apiVersion }).type === 'invalid') this.api.delete(path, object);
      }
    }
  }

  /** All objects that make sense, as somebody takes them who begins. */
  changes(): readonly ObjectChange[] {
    return KINDS.flatMap(([path, kind, apiVersion]) =>
      this.api.objects(path).flatMap((raw) => {
        const parsed = parseObject(raw, { kind, apiVersion });
        return parsed.type === 'object' ? [{ type: 'upsert' as const, object: parsed.object }] : [];
      }),
    );
  }

  /** Something that is wrong with the server for a moment. Returns what. */
  stumble(): string {
    const chance = this.#chance;
    const acts = ['breakConnections', 'compact', 'endWatches', 'bookmark', 'goBack', 'fault'] as const;
    const act = chance.pick(acts);
    if (act !== 'fault') {
      this.api[act]();
      return act;
    }
    const fault = chance.pick<Fault>([
      { type: 'refuse' },
      { type: 'status', status: 500 },
      { type: 'status', status: 429, retryAfter: '2' },
      { type: 'cut', after: chance.below(500) },
      { type: 'garbage' },
      { type: 'old event' },
      { type: 'gone event' },
    ]);
    this.api.faults.push(fault);
    return `next answer: ${JSON.stringify(fault)}`;
  }

  change(): void {
    const chance = this.#chance;
    const act = chance.below(20);
    if (act < 8) this.#put(PATHS.services, this.#service(chance.pick(NAMES)));
    else if (act < 15) this.#put(PATHS.slices, this.#slice());
    else if (act < 16) this.#delete(PATHS.services);
    else if (act < 17) this.#delete(PATHS.slices);
    else if (act < 18)
      this.#put(
        PATHS.nodes,
        nodeObject(
          chance.pick([[...NODE_ADDRESSES], [...NODE_ADDRESSES, '198.51.100.7']]),
          chance.pick(['z1', 'z2']),
        ),
      );
    else this.#put(chance.percent(50) ? PATHS.services : PATHS.slices, this.#hostile());
  }

  #put(path: string, object: Fields): void {
    this.api.put(path, object as unknown as RawApiObject);
  }

  #delete(path: string): void {
    const all = this.api.objects(path).filter(({ metadata }) => !metadata.name.startsWith(STEADY.name));
    if (all.length > 0) this.api.delete(path, this.#chance.pick(all));
  }

  #service(name: string): Fields {
    const chance = this.#chance;
    const number = NAMES.indexOf(name as (typeof NAMES)[number]) + 1;
    const [v4, v6] = [`10.96.0.${number}`, `fd00:96::${number}`];
    const clusterIPs = chance.pick([[v4, v6], [v4, v6], [v4, v6], [v4], [v6]]);
    const type = chance.pick(['ClusterIP', 'NodePort', 'LoadBalancer']);
    const ports = chance.pick([[0], [0], [0, 1], [2]]).map((n) => ({
      name: ['p', 'q', 'u'][n],
      port: [80, 443, 53][n],
      targetPort: 8080,
      protocol: n === 2 ? 'UDP' : 'TCP',
      ...(type === 'ClusterIP' ? {} : { nodePort: 30_000 + (chance.percent(15) ? 0 : number * 10) + n }),
    }));
    return {
      metadata: {
        name,
        namespace: NAMESPACE,
        creationTimestamp: `2030-01-0${number}T00:00:00Z`,
        annotations: this.#annotations(),
      },
      spec: {
        type,
        clusterIP: clusterIPs[0],
        clusterIPs,
        ipFamilies: clusterIPs.map((address) => (address.includes(':') ? 'IPv6' : 'IPv4')),
        ports,
        ...(chance.percent(30) ? { externalIPs: chance.some(EXTERNAL) } : {}),
        ...(chance.percent(25)
          ? {
              sessionAffinity: 'ClientIP',
              sessionAffinityConfig: { clientIP: { timeoutSeconds: chance.pick([60, 10_800]) } },
            }
          : {}),
        ...(chance.percent(25) ? { internalTrafficPolicy: chance.pick(['Cluster', 'Local']) } : {}),
        ...(type !== 'ClusterIP' && chance.percent(35) ? { externalTrafficPolicy: 'Local' } : {}),
        ...(type === 'LoadBalancer' && chance.percent(30)
          ? {
              loadBalancerSourceRanges: chance.some([
                '203.0.113.0/25',
                '203.0.113.0/24',
                '2001:db8:ffff::/48',
                '0.0.0.0/0',
              ]),
            }
          : {}),
        ...(type === 'LoadBalancer' && chance.percent(15) ? { healthCheckNodePort: 32_000 + number } : {}),
      },
      ...(type === 'LoadBalancer'
        ? {
            status: {
              loadBalancer: { ingress: chance.some(EXTERNAL, 40).map((address) => ({ ip: address })) },
            },
          }
        : {}),
    };
  }

  #annotations(): Fields {
    const chance = this.#chance;
    if (!chance.percent(20)) return {};
    return chance.pick<Fields>([
      { 'penstock.io/algorithm': 'round-robin' },
      { 'penstock.io/algorithm': 'source-hash' },
      { 'penstock.io/algorithm': 'nonsense' },
      { 'penstock.io/weights': '{"10.244.1.1": 3}' },
      { 'penstock.io/weights': '{"10.244.1.1": 0' },
    ]);
  }

  #slice(): Fields {
    const chance = this.#chance;
    const service = chance.pick(NAMES);
    const family = chance.pick(['IPv4', 'IPv4', 'IPv6'] as const);
    const pods =
      family === 'IPv4'
        ? ['10.244.1.1', '10.244.1.2', '10.244.2.3', '10.244.2.20', '192.168.0.2']
        : ['fd00:10:1::1', 'fd00:10:1::2', 'fd00:10:2::3'];
    return {
      metadata: {
        name: `${service}-${family.toLowerCase()}-${chance.below(2)}`,
        namespace: NAMESPACE,
        labels: { 'kubernetes.io/service-name': service },
      },
      addressType: family,
      ports: chance.some(
        [
          { name: 'p', port: 8080, protocol: 'TCP' },
          { name: 'q', port: 9090, protocol: 'TCP' },
          { name: 'u', port: 5353, protocol: 'UDP' },
        ],
        80,
      ),
      endpoints: chance.some(pods).map((address) => ({
        addresses: [address],
        nodeName: chance.pick(['node1', 'node2']),
        conditions: chance.pick([
          {},
          {},
          { ready: true },
          { ready: false },
          { ready: false, serving: true, terminating: true },
        ]),
        ...(chance.percent(15) ? { hints: { forZones: [{ name: chance.pick(['z1', 'z2']) }] } } : {}),
      })),
    };
  }

  /** What no honest controller makes. */
  #hostile(): Fields {
    const chance = this.#chance;
    const name = chance.pick(NAMES);
    const metadata = { name, namespace: NAMESPACE, labels: { 'kubernetes.io/service-name': name } };
    return chance.pick<() => Fields>([
      () => ({ metadata, spec: null }),
      () => ({ metadata, spec: { clusterIP: 'nonsense', ports: 'many' } }),
      () => ({
        metadata,
        spec: {
          ...this.#spec(name),
          externalIPs: [STEADY.vips[0], '10.96.0.3', '255.255.255.255', '127.0.0.1'],
        },
      }),
      () => ({
        metadata,
        spec: { ...this.#spec(name), ports: [{ port: 80, nodePort: 99_999 }, { port: -1 }] },
      }),
      () => ({
        metadata: { ...metadata, annotations: { 'penstock.io/algorithm': 'maglev' } },
        spec: this.#spec(name),
      }),
      () => ({
        metadata,
        addressType: 'IPv4',
        endpoints: [{ addresses: ['::1', 'x'] }, null, {}],
        ports: null,
      }),
      () => ({
        metadata,
        addressType: 'IPv4',
        ports: [{ name: 'p', port: 80, protocol: 'TCP' }],
        // Its own VIP, loopback, and what no host has.
        endpoints: ['10.96.0.1', '127.0.0.1', '0.0.0.0', '240.0.0.1'].map((address) => ({
          addresses: [address],
        })),
      }),
      () => ({
        metadata,
        spec: {
          ...this.#spec(name),
          type: 'LoadBalancer',
          loadBalancerSourceRanges: ['999.1.1.1/8', '10.0.0.0/33', ' 10.0.0.0/8 '],
        },
        status: { loadBalancer: { ingress: [{ ip: STEADY.vips[0] }, { hostname: 'x' }, {}] } },
      }),
    ])();
  }

  #spec(name: string): Fields {
    return this.#service(name).spec as Fields;
  }
}

function nodeObject(addresses: readonly string[], zone: string): Fields {
  return {
    metadata: { name: NODE, labels: { 'topology.kubernetes.io/zone': zone } },
    spec: { podCIDRs: ['10.244.1.0/24', 'fd00:10:1::/64'] },
    status: { addresses: addresses.map((address) => ({ type: 'InternalIP', address })) },
  };
}
