/** The output of `ipset save` as sets that can be asked. */
import { PenstockError } from '../../errors.js';
import { addressTest } from '../matchers.js';
import type { Packet } from '../Packet.js';

interface IpSet {
  /** `hash:ip,port,net` → ip, port, net; `bitmap:port` → port. */
  readonly fields: readonly string[];
  readonly exact: Set<string>;
  /** Entries with a range of addresses in them. */
  readonly ranges: (readonly string[])[];
}

export class IpSets {
  readonly #sets = new Map<string, IpSet>();

  /** Throws PENSTOCK_RULES_UNREADABLE. */
  constructor(text: string, name: string) {
    for (const [i, line] of text.split('\n').entries()) {
      const [command, set, rest = ''] = line.trim().split(/\s+/);
      const at = `${name}:${i + 1}`;
      if (command === '' || command?.startsWith('#')) continue;
      if (command === 'create' && set !== undefined) {
        const fields = (rest.split(':')[1] ?? '').split(',');
        this.#sets.set(set, { fields, exact: new Set(), ranges: [] });
      } else if (command === 'add' && set !== undefined) {
        const known = this.#sets.get(set);
        if (known === undefined) throw unreadable(at, `the set ${set} was not created before`);
        add(known, rest);
      } else throw unreadable(at, 'neither create nor add');
    }
    if (this.#sets.size === 0) throw unreadable(name, 'no set in it');
  }

  names(): readonly string[] {
    return [...this.#sets.keys()];
  }

  /** `10.0.0.1,tcp:80` of a set. */
  entries(set: string): readonly string[] {
    const known = this.#sets.get(set);
    return known === undefined ? [] : [...known.exact, ...known.ranges.map((parts) => parts.join(','))];
  }

  /** Undefined: there is no such set. */
  has(set: string, directions: string, packet: Packet): boolean | undefined {
    const known = this.#sets.get(set);
    if (known === undefined) return undefined;
    const ways = directions.split(',');
    const protocol = packet.flow.protocol.toLowerCase();
    const values = known.fields.map((field, i) => {
      if (field === 'port') {
        const port = ways[i] === 'src' ? 0 : packet.port;
        return known.fields.length === 1 ? String(port) : `${protocol}:${port}`;
      }
      return ways[i] === 'src' ? packet.flow.source : packet.destination;
    });
    if (known.exact.has(values.join(','))) return true;
    return known.ranges.some((parts) =>
      parts.every((part, i) => part === values[i] || addressTest(part)?.(values[i] as never) === true),
    );
  }
}

function add({ exact, ranges }: IpSet, entry: string): void {
  if (entry.includes('/')) ranges.push(entry.split(','));
  else exact.add(entry);
}

function unreadable(at: string, why: string): PenstockError {
  return new PenstockError('PENSTOCK_RULES_UNREADABLE', `${at}: ${why}`, {
    remedy: 'Give the output of `ipset save` as it is.',
  });
}
