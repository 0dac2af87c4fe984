/** Objects of one kind as the API server has them, unread; every version is a change. */
import type { Store } from '../../kubernetes/watch/Reflector.js';
import { isRawObject } from '../../objects/read/FieldReader.js';

export interface RawChange {
  readonly type: 'upsert' | 'delete';
  /** `namespace/name`, or the name alone. */
  readonly key: string;
  readonly raw: unknown;
}

export class RawStore implements Store<RawChange> {
  readonly #versions = new Map<string, { readonly version: string; readonly raw: unknown }>();

  upsert(raw: unknown): readonly RawChange[] {
    const { key, version } = identify(raw);
    if (key === '') return [];
    const same = version !== '' && this.#versions.get(key)?.version === version;
    this.#versions.set(key, { version, raw });
    return same ? [] : [{ type: 'upsert', key, raw }];
  }

  remove(raw: unknown): readonly RawChange[] {
    const { key } = identify(raw);
    return this.#versions.delete(key) ? [{ type: 'delete', key, raw }] : [];
  }

  snapshot(): ReturnType<Store<RawChange>['snapshot']> {
    const next = new Map<string, unknown>();
    return {
      add: (raw) => {
        const { key } = identify(raw);
        if (key !== '') next.set(key, raw);
      },
      remove: (raw) => {
        next.delete(identify(raw).key);
      },
      take: () => {
        const gone = [...this.#versions].filter(([key]) => !next.has(key));
        return [
          ...gone.flatMap(([, { raw }]) => this.remove(raw)),
          ...[...next.values()].flatMap((raw) => this.upsert(raw)),
        ];
      },
    };
  }
}

function identify(raw: unknown): { readonly key: string; readonly version: string } {
  const metadata = isRawObject(raw) && isRawObject(raw.metadata) ? raw.metadata : {};
  const text = (value: unknown) => (typeof value === 'string' ? value : '');
  const [namespace, name] = [text(metadata.namespace), text(metadata.name)];
  const key = name === '' || namespace === '' ? name : `${namespace}/${name}`;
  return { key, version: text(metadata.resourceVersion) };
}
