/**
 * What becomes of a flow in the rules that penstock wrote: the way of src/compare through them, with the chances summed up. Only
 * forms that penstock writes are allowed: a new form cannot go untested.
 */
import { IptablesTracer } from '../../src/compare/iptables/IptablesTracer.js';
import { localAddresses, type PacketFlow } from '../../src/compare/Packet.js';
import type { Outcome } from '../../src/explain/Decision.js';
import type { Flow } from '../../src/explain/World.js';
import { assertOwnForm } from './assertOwnForm.js';

export class PacketTracer {
  readonly #tracer: IptablesTracer;

  /** `rules`: as FakeXtables.dump(). `addresses`: of the machine; 127.0.0.0/8 and ::1 are so always. */
  constructor(rules: Readonly<Record<string, readonly string[]>>, addresses: readonly string[]) {
    const chains = new Map(Object.entries(rules));
    for (const [key, list] of chains) for (const rule of list) assertOwnForm(key, rule);
    this.#tracer = new IptablesTracer({ chains }, { isLocal: localAddresses(addresses) });
  }

  /** As evaluate(): endpoints sorted by target. Throws when a packet may meet both endpoints and refusals. */
  trace(flow: Flow): Outcome {
    const chances = new Map<string, number>();
    for (const { packet, verdict } of this.#tracer.walk(flow as PacketFlow)) {
      // A client never seen before: affinity remembers nobody.
      if (packet.remembered) continue;
      const refused = verdict === 'DROP' || verdict === 'REJECT';
      const key = refused ? verdict : `${packet.translated ?? 'NONE'} ${packet.masqueraded}`;
      chances.set(key, (chances.get(key) ?? 0) + packet.chance);
    }
    const keys = [...chances.keys()];
    if (keys.length === 1 && (keys[0] === 'DROP' || keys[0] === 'REJECT')) return keys[0];
    if (keys.length === 1 && keys[0] === 'NONE false') return 'NONE';
    return keys.sort().map((key) => {
      const [target = '', masquerade] = key.split(' ');
      if (!target.includes(':')) throw new Error(`mixed outcomes: ${keys.join(', ')}`);
      return { target, masquerade: masquerade === 'true', chance: chances.get(key) ?? 0 };
    });
  }
}
