/** Writes that wait: in a namespace in the order in which they came, and the namespaces in turn. */
import { objectPath } from '../../objects/ApiObject.js';
import type { StatusWrite } from '../addresses/AddressBook.js';

export class WaitingWrites {
  readonly #byNamespace = new Map<string, Map<string, StatusWrite>>();

  /** The latest for a Service replaces what waited, in its place. */
  set(write: StatusWrite): void {
    const { namespace } = write.service;
    const writes = this.#byNamespace.get(namespace) ?? new Map<string, StatusWrite>();
    this.#byNamespace.set(namespace, writes.set(objectPath(write.service), write));
  }

  /** Whether something waits for the Service. */
  has({ service }: StatusWrite): boolean {
    return this.#byNamespace.get(service.namespace)?.has(objectPath(service)) === true;
  }

  /** `namespace/name`. */
  delete(key: string): void {
    const namespace = key.slice(0, key.indexOf('/'));
    const writes = this.#byNamespace.get(namespace);
    writes?.delete(key);
    if (writes?.size === 0) this.#byNamespace.delete(namespace);
  }

  /** The next one that may begin, of the namespaces that have room. It waits no longer. */
  take(hasRoom: (namespace: string) => boolean, mayBegin: (key: string) => boolean): StatusWrite | undefined {
    for (const [namespace, writes] of this.#byNamespace) {
      if (!hasRoom(namespace)) continue;
      for (const [key, write] of writes) {
        if (!mayBegin(key)) continue;
        this.delete(key);
        // Its next one comes after all others.
        if (this.#byNamespace.delete(namespace) && writes.size > 0) this.#byNamespace.set(namespace, writes);
        return write;
      }
    }
    return undefined;
  }
}
