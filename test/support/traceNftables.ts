/**
 * Sends packets through the rules of a Transaction, by interpreting the expressions that the kernel would get. Where a
 * rule draws a number, every number is followed, with its probability.
 */

import type { Outcome } from '../../src/explain/Decision.js';
import type { Flow } from '../../src/explain/World.js';
import { paddedBytes } from '../../src/kernel/nftables/dataTypes.js';
import type { Expression, Verdict } from '../../src/kernel/nftables/Expression.js';
import { NOWHERE, VerdictCode } from '../../src/kernel/nftables/Expression.js';
import { chainOfValue } from '../../src/kernel/nftables/elements.js';
import { typesOf } from '../../src/kernel/nftables/SetSpec.js';
import type { Transaction } from '../../src/kernel/nftables/Transaction.js';
import { bytesToIp, type IpAddress, ipToBytes, joinHostPort } from '../../src/net/ip.js';

const PROTOCOL = { TCP: 6, UDP: 17, SCTP: 132 } as const;
const latin1 = (text: string) => Uint8Array.from(text, (c) => c.charCodeAt(0));
const text = (bytes: Uint8Array) => String.fromCharCode(...bytes);

interface Packet {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly protocol: number;
  readonly port: number;
  readonly interface: string;
  readonly translated: boolean;
  readonly isLocal: (address: Uint8Array) => boolean;
  mark: number;
}

type End =
  | { readonly type: 'accept' | 'drop' | 'reject' | 'masquerade' }
  | { readonly type: 'dnat'; readonly address: Uint8Array; readonly port: number };

/** How a chain may end, each with its probability and the mark that the packet then has. `next`: it does not. */
interface Branch {
  readonly chance: number;
  readonly mark: number;
  readonly end: End | 'next';
}

export class NftablesTracer {
  readonly #chains = new Map<string, readonly (readonly Expression[])[]>();
  readonly #sets = new Map<string, Map<string, string>>();
  readonly #ranges = new Map<string, readonly string[]>();
  readonly #isHost: (address: IpAddress) => boolean;

  constructor(transaction: Transaction, hostAddresses: readonly string[]) {
    this.#isHost = (address) => address.startsWith('127.') || hostAddresses.includes(address);
    for (const { name } of transaction.newChains) this.#chains.set(name, []);
    for (const { chain, rules } of transaction.newRules) {
      this.#chains.set(
        chain,
        rules.map((rule) => rule.flatMap(({ expressions }) => [...expressions])),
      );
    }
    for (const { name } of transaction.newSets) this.#sets.set(name, new Map());
    for (const [set, { keys, values }] of transaction.newElements) {
      if (set.kind === 'interval') this.#ranges.set(set.name, keys);
      const bytes = paddedBytes(typesOf(set.key)) * (set.kind === 'interval' ? 2 : 1);
      const elements = this.#sets.get(set.name);
      for (const [i, key] of keys.entries()) {
        if (key.length !== bytes) throw new Error(`${set.name}: a key of ${key.length} bytes, not ${bytes}`);
        if (elements?.has(key)) throw new Error(`${set.name} has an element twice`);
        elements?.set(key, values[i] ?? '');
      }
    }
  }

  /** Chances are summed up for each endpoint; `masquerade` of the first of its branches. */
  trace(flow: Flow): Outcome {
    const packet: Packet = {
      source: ipToBytes(flow.source as IpAddress),
      destination: ipToBytes(flow.destination as IpAddress),
      protocol: PROTOCOL[flow.protocol],
      port: flow.port,
      interface: flow.interface ?? '',
      translated: false,
      isLocal: (address) => this.#isHost(bytesToIp(address)),
      mark: 0,
    };
    const found = new Map<string, { masquerade: boolean; chance: number }>();
    const plain = new Map<string, number>();
    for (const { chance, mark, end } of this.#chain(
      flow.origin === 'node' ? 'nat-output' : 'nat-prerouting',
      packet,
    )) {
      if (end === 'next' || end.type !== 'dnat') {
        const words =
          end === 'next' || end.type === 'accept' ? 'NONE' : end.type === 'drop' ? 'DROP' : 'REJECT';
        plain.set(words, (plain.get(words) ?? 0) + chance);
        continue;
      }
      const target = joinHostPort(bytesToIp(end.address), end.port);
      const known = found.get(target);
      const masquerade =
        known?.masquerade ??
        this.#masquerades({ ...packet, destination: end.address, port: end.port, translated: true, mark });
      found.set(target, { masquerade, chance: (known?.chance ?? 0) + chance });
    }
    const [certain] = plain;
    if (certain && certain[1] > 0.999) return certain[0] as Outcome;
    if (certain && certain[1] > 0.01) throw new Error(`${certain[0]} with a probability of ${certain[1]}`);
    return [...found]
      .map(([target, rest]) => ({ target, ...rest }))
      .sort((a, b) => (a.target < b.target ? -1 : 1));
  }

  #masquerades(packet: Packet): boolean {
    return this.#chain('nat-postrouting', packet).some(
      ({ end }) => end !== 'next' && end.type === 'masquerade',
    );
  }

  #chain(name: string, packet: Packet): Branch[] {
    const rules = this.#chains.get(name);
    if (!rules) throw new Error(`there is no chain ${name}`);
    const ends: Branch[] = [];
    // All branches that come to the next rule have the same packet, but for the mark.
    let going = new Map([[packet.mark, 1]]);
    for (const rule of rules) {
      const onward = new Map<number, number>();
      for (const [mark, chance] of going) {
        for (const branch of this.#rule(rule, 0, new Uint8Array(64), { ...packet, mark })) {
          const share = branch.chance * chance;
          if (branch.end === 'next') onward.set(branch.mark, (onward.get(branch.mark) ?? 0) + share);
          else ends.push({ ...branch, chance: share });
        }
      }
      going = onward;
      if (going.size === 0) break;
    }
    for (const [mark, chance] of going) ends.push({ chance, mark, end: 'next' });
    return ends;
  }

  #rule(rule: readonly Expression[], at: number, registers: Uint8Array, packet: Packet): Branch[] {
    const { mark } = packet;
    const expression = rule[at];
    const next: Branch[] = [{ chance: 1, mark, end: 'next' }];
    if (!expression) return next;
    const { name, values } = expression;
    const number = (attribute: string) => Number(values[attribute] ?? 0);
    const goOn = () => this.#rule(rule, at + 1, registers, packet);
    const store = (bytes: Uint8Array) => {
      const place = placeOf(number('dreg'));
      registers.fill(0, place, place + ((bytes.length + 3) & ~3));
      registers.set(bytes, place);
    };
    const read = (attribute: string, length: number) => {
      const place = placeOf(number(attribute));
      return registers.subarray(place, place + length);
    };
    switch (name) {
      case 'payload':
        store(header(packet, number('base'), number('offset'), number('length')));
        return goOn();
      case 'meta':
        if (values.sreg !== undefined)
          packet.mark = new DataView(read('sreg', 4).slice().buffer).getUint32(0, true);
        else store(metaOf(packet, number('key')));
        return goOn();
      case 'ct':
        store(hostWord(packet.translated ? 0x20 : 0));
        return goOn();
      case 'fib':
        store(hostWord(packet.isLocal(number('flags') === 1 ? packet.source : packet.destination) ? 2 : 1));
        return goOn();
      case 'cmp': {
        const data = String(values.data);
        return (text(read('sreg', data.length)) === data) === (number('op') === 0) ? goOn() : next;
      }
      case 'bitwise': {
        const [mask, xor] = [latin1(String(values.mask)), latin1(String(values.xor))];
        store(read('sreg', mask.length).map((byte, i) => (byte & (mask[i] ?? 0)) ^ (xor[i] ?? 0)));
        return goOn();
      }
      case 'immediate':
        if (typeof values.verdict === 'object' && 'code' in values.verdict)
          return this.#verdict(values.verdict, packet, goOn);
        store(latin1(String(values.data)));
        return goOn();
      case 'lookup':
        return this.#lookup(values, registers, packet, store, goOn) ?? next;
      case 'numgen':
      case 'hash': {
        const count = number('modulus');
        const branches = Array.from({ length: count }, (_, i) => {
          const own = registers.slice();
          own.set(hostWord(i + number('offset')), placeOf(number('dreg')));
          return this.#rule(rule, at + 1, own, { ...packet }).map((b) => ({
            ...b,
            chance: b.chance / count,
          }));
        });
        return branches.flat();
      }
      case 'nat': {
        const port = read('port', 2);
        const end: End = {
          type: 'dnat',
          address: read('address', packet.source.length).slice(),
          port: ((port[0] ?? 0) << 8) | (port[1] ?? 0),
        };
        return [{ chance: 1, mark: packet.mark, end }];
      }
      case 'limit':
      case 'log':
        return goOn();
      case 'masq':
        return [{ chance: 1, mark: packet.mark, end: { type: 'masquerade' } }];
      case 'reject':
        return [{ chance: 1, mark: packet.mark, end: { type: 'reject' } }];
      default:
        throw new Error(`this tracer does not know ${name}`);
    }
  }

  #lookup(
    values: Expression['values'],
    registers: Uint8Array,
    packet: Packet,
    store: (bytes: Uint8Array) => void,
    goOn: () => Branch[],
  ): Branch[] | undefined {
    const set = String(values.set);
    const elements = this.#sets.get(set);
    if (!elements) throw new Error(`there is no set ${set}`);
    const place = placeOf(Number(values.sreg));
    const ranges = this.#ranges.get(set);
    const inverted = Number(values.flags ?? 0) === 1;
    if (ranges) {
      const isIn = ranges.some((range) => within(range, registers.subarray(place, place + range.length / 2)));
      return isIn === inverted ? undefined : goOn();
    }
    const [first = ''] = elements.keys();
    const key = text(registers.subarray(place, place + first.length));
    const value = elements.size === 0 ? undefined : elements.get(key);
    if ((value !== undefined) === inverted) return undefined;
    if (values.dreg === undefined || values.dreg === NOWHERE) return goOn();
    if (value === undefined) return undefined;
    if (values.dreg === 0)
      return this.#verdict({ code: VerdictCode.GOTO, chain: chainOfValue(value) }, packet, goOn);
    store(latin1(value));
    return goOn();
  }

  #verdict({ code, chain = '' }: Verdict, packet: Packet, goOn: () => Branch[]): Branch[] {
    if (code === VerdictCode.DROP) return [{ chance: 1, mark: packet.mark, end: { type: 'drop' } }];
    const branches = this.#chain(chain, packet);
    // A chain that was gone to and does not end anything is the end of the base chain: accepted.
    if (code === VerdictCode.GOTO) {
      return branches.map((b) => (b.end === 'next' ? { ...b, end: { type: 'accept' } } : b));
    }
    if (code !== VerdictCode.JUMP) throw new Error(`this tracer does not know verdict ${code}`);
    return branches.flatMap((b) =>
      b.end === 'next' ? goOn().map((c) => ({ ...c, chance: c.chance * b.chance })) : [b],
    );
  }
}

/** The byte at which a register begins: NFT_REG_1 to 4 are 16 bytes, NFT_REG32_00 (8) and on are 4. */
function placeOf(register: number): number {
  return register < 8 ? (register - 1) * 16 : (register - 8) * 4;
}

function header(packet: Packet, base: number, offset: number, length: number): Uint8Array {
  const { source, destination, port } = packet;
  if (base === 2) {
    if (offset !== 2 || length !== 2) throw new Error(`transport header at ${offset}`);
    return Uint8Array.of(port >> 8, port & 255);
  }
  const [sourceAt, destinationAt] = source.length === 4 ? [12, 16] : [8, 24];
  const from = offset >= destinationAt ? destination : source;
  const start = offset - (offset >= destinationAt ? destinationAt : sourceAt);
  if (start !== 0 || length > from.length) throw new Error(`network header at ${offset}, ${length} bytes`);
  return from.slice(0, length);
}

function metaOf(packet: Packet, key: number): Uint8Array {
  if (key === 3) return hostWord(packet.mark);
  if (key === 16) return Uint8Array.of(packet.protocol);
  if (key === 6) return latin1(packet.interface.padEnd(16, '\0'));
  throw new Error(`this tracer does not know meta key ${key}`);
}

function hostWord(value: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(value).buffer);
}

/** Each field of the key within its own range; fields are compared as whole numbers, big endian. */
function within(range: string, key: Uint8Array): boolean {
  const half = range.length / 2;
  const addressBytes = (half - 8) / 2;
  const fields = [addressBytes, 4, 4, addressBytes];
  let at = 0;
  return fields.every((length) => {
    const part = text(key.subarray(at, at + length));
    const [low, high] = [range.slice(at, at + length), range.slice(half + at, half + at + length)];
    at += length;
    return low <= part && part <= high;
  });
}
