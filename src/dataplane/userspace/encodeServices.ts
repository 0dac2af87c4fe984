/** Service ports in the form that the engine reads (native/service/decode.cc): records, little endian, one after another. */
import type { Algorithm, Weights } from '../../balancing/Balancing.js';
import { type Cidr, type IpAddress, ipToBytes, prefixLength } from '../../net/ip.js';
import type { Endpoint, ServicePort } from '../../routing/ServicePort.js';
import type { ProxyOptions } from './proxyOptions.js';

const SET = 1;
const REMOVE = 2;
const ALGORITHM: Readonly<Record<Algorithm, number>> = {
  random: 0,
  'round-robin': 1,
  'least-connections': 2,
  'power-of-two': 3,
  'source-hash': 4,
  maglev: 5,
};
const AS_MANY_AS_IT_WANTS = 0xffff_ffff;
const PROXY_PROTOCOL = { none: 0, v1: 1, v2: 2 } as const;
const KEY = { internal: 0, external: 1, nodePort: 2 } as const;
const PROTOCOL = { TCP: 6, UDP: 17 } as const;
const ADDRESS_BYTES = 16;
const NO_ADDRESS = new Uint8Array(ADDRESS_BYTES);

export interface EncodedServicePort {
  readonly port: ServicePort & { readonly protocol: 'TCP' | 'UDP' };
  readonly options: ProxyOptions;
  readonly cell: number;
  readonly cellOf: (endpoint: Endpoint) => number;
  readonly facts?: EncodingFacts;
}

/** What source addresses transparent and auto depend on of the node. */
export interface EncodingFacts {
  /** Where pods have their addresses; undefined: they cannot be told from others by that. */
  readonly pods: Cidr | undefined;
  readonly masqueradeAll: boolean;
  readonly isHostAddress: (address: IpAddress) => boolean;
}

/**
 * Whether connections may bear addresses of clients at all. With `auto`, clients of a cluster IP that cannot be told to be
 * pods see to it that they do not.
 */
export function mayKeepSource(
  { sourceAddress }: Pick<ProxyOptions, 'sourceAddress'>,
  port: Pick<ServicePort, 'externalPolicy'>,
  facts: EncodingFacts,
): boolean {
  if (sourceAddress !== 'auto') return sourceAddress === 'transparent';
  return port.externalPolicy === 'Local' || (facts.pods !== undefined && !facts.masqueradeAll);
}

export const NOTHING_KNOWN: EncodingFacts = {
  pods: undefined,
  masqueradeAll: false,
  isHostAddress: () => false,
};

/** For a range that is not known. */
const NO_RANGE = 255;
const FLAG = { transparent: 1, externalLocal: 2, masqueradeAll: 4, careful: 8 } as const;
const ENDPOINT_FLAG = { local: 1, onHost: 2 } as const;

/** Service ports of a namespace share descriptors; those of two with the same number do, too. FNV-1a, 32 bits. */
function tenantNumber(namespace: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < namespace.length; i++) hash = Math.imul(hash ^ namespace.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

export class ServiceRecords {
  #buffer = Buffer.alloc(4096);
  #length = 0;

  get isEmpty(): boolean {
    return this.#length === 0;
  }

  /** What was added so far; valid until more is. */
  get bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }

  remove(cell: number): void {
    this.#u8(REMOVE);
    this.#u32(cell);
  }

  set({ port, options, cell, cellOf, facts = NOTHING_KNOWN }: EncodedServicePort): void {
    this.#u8(SET);
    this.#u32(cell);
    this.#u32(tenantNumber(port.namespace));
    this.#u8(PROTOCOL[port.protocol]);
    this.#u8(port.family === 'IPv4' ? 4 : 6);
    this.#u8(ALGORITHM[options.algorithm]);
    this.#u32(port.balancing.mostEntries ?? AS_MANY_AS_IT_WANTS);
    this.#u8(PROXY_PROTOCOL[options.proxyProtocol]);
    this.#u8(
      (options.sourceAddress === 'node' ? 0 : FLAG.transparent) |
        (options.sourceAddress === 'auto' ? FLAG.careful : 0) |
        (port.externalPolicy === 'Local' ? FLAG.externalLocal : 0) |
        (facts.masqueradeAll ? FLAG.masqueradeAll : 0),
    );
    this.#range(facts.pods);
    this.#u32((port.affinitySeconds ?? 0) * 1000);
    this.#u32(options.idleTimeout);
    this.#u32(options.maxLifetime);
    this.#u8(options.attempts.length);
    for (const timeout of options.attempts) this.#u32(timeout);
    this.#keys(port);
    const { cluster, local } = port.endpoints;
    const weights = port.balancing.weights;
    this.#u8(2);
    const flags = ({ address, mayBeHere }: Endpoint) =>
      (mayBeHere ? ENDPOINT_FLAG.local : 0) | (facts.isHostAddress(address) ? ENDPOINT_FLAG.onHost : 0);
    this.#list(cluster, weights, cellOf, flags);
    this.#list(local, weights, cellOf, flags);
    this.#u8(port.internalPolicy === 'Local' ? 1 : 0);
    this.#u8(port.externalPolicy === 'Local' ? 1 : 0);
    // From this node or its pods, external policy Local is short-circuited.
    this.#u8(0);
    this.#u32(options.wait);
  }

  #keys(port: ServicePort): void {
    const external = new Set([...port.externalIPs, ...port.loadBalancerIPs]);
    if (port.clusterIP !== undefined) external.delete(port.clusterIP);
    const count = (port.clusterIP === undefined ? 0 : 1) + external.size + (port.nodePort === 0 ? 0 : 1);
    this.#u16(count);
    if (port.clusterIP !== undefined) this.#key(KEY.internal, ipToBytes(port.clusterIP), port.port);
    for (const vip of external) this.#key(KEY.external, ipToBytes(vip as IpAddress), port.port);
    if (port.nodePort !== 0) this.#key(KEY.nodePort, NO_ADDRESS, port.nodePort);
  }

  #key(kind: number, address: Uint8Array, port: number): void {
    this.#u8(kind);
    this.#address(address);
    this.#u16(port);
  }

  #list(
    endpoints: readonly Endpoint[],
    weights: Weights,
    cellOf: (endpoint: Endpoint) => number,
    flags: (endpoint: Endpoint) => number,
  ): void {
    this.#u32(endpoints.length);
    for (const endpoint of endpoints) {
      this.#address(ipToBytes(endpoint.address));
      this.#u16(endpoint.port);
      this.#u32(cellOf(endpoint));
      this.#u16(weights.get(endpoint.address) ?? 1);
      this.#u8(flags(endpoint));
    }
  }

  #range(cidr: Cidr | undefined): void {
    this.#u8(cidr === undefined ? NO_RANGE : prefixLength(cidr));
    this.#address(cidr === undefined ? NO_ADDRESS : ipToBytes(cidr.slice(0, cidr.indexOf('/')) as IpAddress));
  }

  #address(bytes: Uint8Array): void {
    this.#room(ADDRESS_BYTES);
    this.#buffer.fill(0, this.#length, this.#length + ADDRESS_BYTES);
    this.#buffer.set(bytes, this.#length);
    this.#length += ADDRESS_BYTES;
  }

  #u8(value: number): void {
    this.#room(1);
    this.#length = this.#buffer.writeUInt8(value, this.#length);
  }

  #u16(value: number): void {
    this.#room(2);
    this.#length = this.#buffer.writeUInt16LE(value, this.#length);
  }

  #u32(value: number): void {
    this.#room(4);
    this.#length = this.#buffer.writeUInt32LE(value, this.#length);
  }

  #room(bytes: number): void {
    if (this.#length + bytes <= this.#buffer.length) return;
    const larger = Buffer.alloc(this.#buffer.length * 2);
    this.#buffer.copy(larger, 0, 0, this.#length);
    this.#buffer = larger;
  }
}
