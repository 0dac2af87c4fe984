/** A set of files that changed step by step says the same as one that has read what is there now for the first time. */
import fc from 'fast-check';
import t from 'tap';
import { ManifestSet, type ManifestUpdate } from '../../../../src/kubernetes/manifests/ManifestSet.js';
import type { ManifestObject } from '../../../../src/kubernetes/manifests/parseManifest.js';
import { ServiceGroups } from '../../../../src/kubernetes/manifests/ServiceGroups.js';
import { objectName, refOf } from '../../../../src/objects/ApiObject.js';
import { serviceManifest, sliceManifest } from '../../objects/samples.js';

const FILES = ['a.yaml', 'b.yaml', 'c/d.yaml'];
const oneOf = fc.constantFrom;
const metadata = fc.record({ name: oneOf('cart', 'shop'), namespace: oneOf('shop', 'other') });

const object = fc.oneof(
  fc
    .tuple(metadata, oneOf('ClusterIP', 'NodePort'), oneOf(undefined, '10.96.0.7', 'None'))
    .map(([meta, type, clusterIP]) => serviceManifest({ type, clusterIP }, meta)),
  fc
    .tuple(metadata, oneOf('x', 'y'), oneOf('http', 'web'))
    .map(([{ name, namespace }, id, port]) =>
      sliceManifest(
        { ports: [{ name: port, port: 8080 }] },
        { name: `${name}-${id}`, namespace, labels: { 'kubernetes.io/service-name': name } },
      ),
    ),
  metadata.map((meta) => ({
    apiVersion: 'v1',
    kind: 'Endpoints',
    metadata: meta,
    subsets: [{ addresses: [{ ip: '10.1.0.9' }], ports: [{ name: 'http', port: 8080 }] }],
  })),
  fc.constant({ kind: 'Service', metadata: { namespace: 'shop' } }),
);

type Step =
  | { readonly path: string; readonly objects: readonly object[] }
  | { readonly path: string; readonly does: 'remove' | 'fail' };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ path: oneOf(...FILES), objects: fc.array(object, { maxLength: 5 }) }) },
  fc.record({ path: oneOf(...FILES), does: oneOf('remove' as const, 'fail' as const) }),
);

const asRead = (objects: readonly object[]): ManifestObject[] =>
  objects.map((raw, i) => ({ raw, line: i + 1, apiVersion: undefined, kind: undefined }));

/** What whoever listens has, after an update. */
function listen(known: Map<string, unknown>, { changes }: ManifestUpdate): void {
  for (const change of changes) {
    if (change.type === 'delete') known.delete(objectName(change.ref));
    else known.set(objectName(refOf(change.object)), change.object);
  }
}

const sorted = (known: ReadonlyMap<string, unknown>) => [...known].sort(([a], [b]) => (a < b ? -1 : 1));
const FAULT = { line: 3, message: 'is not YAML' };

t.test('step by step as at once', async (t) => {
  fc.assert(
    fc.property(fc.array(fc.tuple(step, fc.boolean()), { maxLength: 12 }), (steps) => {
      const set = new ManifestSet();
      const known = new Map<string, unknown>();
      const files = new Map<string, readonly object[]>();
      const failed = new Set<string>();
      for (const [each, isRead] of steps) {
        const { path } = each;
        failed.delete(path);
        if ('objects' in each) {
          files.set(path, each.objects);
          set.replace(path, asRead(each.objects));
        } else if (each.does === 'remove') {
          files.delete(path);
          set.remove(path);
        } else {
          failed.add(path);
          set.keep(path, FAULT);
        }
        if (isRead) listen(known, set.update([]));
      }
      const last = set.update([]);
      listen(known, last);
      const fresh = new ManifestSet();
      // In another order than that in which they came.
      for (const path of [...files.keys()].sort().reverse())
        fresh.replace(path, asRead(files.get(path) ?? []));
      for (const path of failed) fresh.keep(path, FAULT);
      const atOnce = new Map<string, unknown>();
      const first = fresh.update([]);
      listen(atOnce, first);
      if (JSON.stringify(sorted(known)) !== JSON.stringify(sorted(atOnce)))
        throw new Error(`objects: ${[...known.keys()]} but ${[...atOnce.keys()]}`);
      if (JSON.stringify(last.problems) !== JSON.stringify(first.problems))
        throw new Error(
          `problems: ${JSON.stringify(last.problems, null, 1)} but ${JSON.stringify(first.problems, null, 1)}`,
        );
    }),
    { numRuns: 2000 },
  );
  t.pass();
});

t.test('a change looks at what is in its file, not at all there is', async (t) => {
  const set = new ManifestSet();
  const named = (i: number) =>
    serviceManifest({ clusterIP: `10.96.${i >> 7}.${(i % 128) + 1}` }, { name: `s${i}` });
  for (let i = 0; i < 1000; i++) set.replace(`${i}.yaml`, asRead([named(i)]));
  t.equal(set.update([]).changes.length, 1000);
  const looks = t.capture(ServiceGroups.prototype, 'set', ServiceGroups.prototype.set);
  set.replace('7.yaml', asRead([named(2000)]));
  t.equal(set.update([]).changes.length, 2);
  t.equal(looks().length, 2);
});
