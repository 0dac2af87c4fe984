/** Leases as the watch delivers them; every version counts, as it says that a node lives. */

import type { Store } from '../../kubernetes/watch/Reflector.js';
import { isRawObject } from '../../objects/read/FieldReader.js';

export interface LeaseChange {
  readonly type: 'upsert' | 'delete';
  readonly raw: unknown;
}

export class LeaseStore implements Store<LeaseChange> {
  readonly #objects = new Map<string, unknown>();

  upsert(raw: unknown): readonly LeaseChange[] {
    this.#objects.set(nameOf(raw), raw);
    return [{ type: 'upsert', raw }];
  }

  remove(raw: unknown): readonly LeaseChange[] {
    this.#objects.delete(nameOf(raw));
    return [{ type: 'delete', raw }];
  }

  snapshot(): ReturnType<Store<LeaseChange>['snapshot']> {
    const next = new Map<string, unknown>();
    return {
      add: (raw) => {
        next.set(nameOf(raw), raw);
      },
      remove: (raw) => {
        next.delete(nameOf(raw));
      },
      take: () => {
        const gone = [...this.#objects].filter(([name]) => !next.has(name));
        for (const [name] of gone) this.#objects.delete(name);
        for (const [name, raw] of next) this.#objects.set(name, raw);
        return [
          ...gone.map(([, raw]): LeaseChange => ({ type: 'delete', raw })),
          ...[...next.values()].map((raw): LeaseChange => ({ type: 'upsert', raw })),
        ];
      },
    };
  }
}

function nameOf(raw: unknown): string {
  const metadata = isRawObject(raw) && isRawObject(raw.metadata) ? raw.metadata : {};
  return typeof metadata.name === 'string' ? metadata.name : '';
}
