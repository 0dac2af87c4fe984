/** What is told of a set of manifests besides its faults, and how much of it. */
import { printable } from '../../net/printable.js';
import type { Problem } from '../../objects/Problem.js';
import { isRawObject } from '../../objects/read/FieldReader.js';

const SHOWN_KINDS = 8;

/** Objects of kinds that are not served: whoever put them there may expect them to do something. */
export class ForeignKinds {
  readonly #path: string;
  readonly #kinds = new Map<string, number>();
  #count = 0;

  constructor(path: string) {
    this.#path = printable(path);
  }

  add(raw: unknown, kind: unknown): void {
    this.#count++;
    const name = isRawObject(raw) && typeof kind === 'string' && kind !== '' ? kind.slice(0, 60) : 'no kind';
    if (this.#kinds.has(name) || this.#kinds.size <= SHOWN_KINDS)
      this.#kinds.set(name, (this.#kinds.get(name) ?? 0) + 1);
  }

  problems(): readonly Problem[] {
    if (this.#count === 0) return [];
    const shown = [...this.#kinds]
      .slice(0, SHOWN_KINDS)
      .map(([kind, count]) => `${count} ${printable(kind)}`);
    const more = this.#kinds.size > SHOWN_KINDS ? ', …' : '';
    const objects = this.#count === 1 ? 'an object' : `${this.#count} objects`;
    const message =
      `holds ${objects} that penstock does not read (${shown.join(', ')}${more}); it reads Services, EndpointSlices, ` +
      'Endpoints, Nodes and ServiceCIDRs';
    return [{ subject: this.#path, message, where: this.#path, severity: 'note' }];
  }
}
