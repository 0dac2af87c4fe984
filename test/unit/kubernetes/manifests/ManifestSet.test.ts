import t from 'tap';
import { ManifestSet, type ManifestUpdate } from '../../../../src/kubernetes/manifests/ManifestSet.js';
import type { ManifestObject } from '../../../../src/kubernetes/manifests/parseManifest.js';
import { objectName, refOf } from '../../../../src/objects/ApiObject.js';
import { serviceCIDRManifest, serviceManifest, sliceManifest } from '../../objects/samples.js';

const portsOf = (type: string) => [
  { name: 'http', port: 80, ...(type === 'NodePort' ? { nodePort: 30080 } : {}) },
];
const cart = (type = 'ClusterIP') => serviceManifest({ type, ports: portsOf(type) });
const shop = (type = 'ClusterIP') => serviceManifest({ type, ports: portsOf(type) }, { name: 'shop' });
const BAD = 'no type';

function at(line: number, raw: unknown): ManifestObject {
  return { raw, line, apiVersion: undefined, kind: undefined };
}

/** `+` for an upsert with the type of the Service, `-` for a deletion. */
function changesOf(update: ManifestUpdate): string[] {
  return update.changes.map((change) =>
    change.type === 'delete'
      ? `- ${objectName(change.ref)}`
      : `+ ${objectName(refOf(change.object))} ${change.object.kind === 'Service' ? change.object.type : ''}`.trim(),
  );
}

function problemsOf(update: ManifestUpdate): string[] {
  return update.problems.map(({ subject, message, where }) => `${where} ${subject}: ${message}`);
}

const TYPES = 'must be one of ClusterIP, NodePort, LoadBalancer, ExternalName';

t.test('changes are the difference to what was delivered', async (t) => {
  const set = new ManifestSet();
  set.replace('a.yaml', [at(1, cart()), at(9, sliceManifest())]);
  t.strictSame(changesOf(set.update([])), [
    '+ Service shop/cart ClusterIP',
    '+ EndpointSlice shop/cart-x7k2p',
  ]);
  t.strictSame(changesOf(set.update([])), []);
  set.replace('a.yaml', [at(1, cart('NodePort')), at(9, sliceManifest())]);
  set.replace('b.yaml', [at(1, shop())]);
  t.strictSame(changesOf(set.update([])), ['+ Service shop/cart NodePort', '+ Service shop/shop ClusterIP']);
  set.remove('a.yaml');
  t.strictSame(changesOf(set.update([])), ['- Service shop/cart', '- EndpointSlice shop/cart-x7k2p']);
});

t.test('objects that are somebody else’s are told whole, in the order of the files', async (t) => {
  const pool = { apiVersion: 'metallb.io/v1beta1', kind: 'IPAddressPool', metadata: { name: 'lan' } };
  const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'tls' } };
  const rawsOf = (set: ManifestSet) => {
    set.replace('b.yaml', [at(1, secret), at(5, cart())]);
    set.replace('a.yaml', [at(1, pool)]);
    return set.others().map(({ raw }) => raw);
  };
  t.strictSame(rawsOf(new ManifestSet()), [pool], 'those of the load balancer');
  const chosen = new ManifestSet((apiVersion, kind) => apiVersion === 'v1' && kind === 'Secret');
  t.strictSame(rawsOf(chosen), [secret], 'or those that the owner of the source names');
  t.strictSame(changesOf(chosen.update([])), ['+ Service shop/cart ClusterIP']);
});

t.test('ServiceCIDRs come and go like the rest, also as items of their list', async (t) => {
  const set = new ManifestSet();
  const { kind, apiVersion, ...bare } = serviceCIDRManifest(['10.96.0.0/16'], { name: 'more' });
  const item = { raw: bare, line: 9, apiVersion: String(apiVersion), kind: String(kind) };
  set.replace('ranges.yaml', [at(1, serviceCIDRManifest()), item]);
  t.strictSame(changesOf(set.update([])), ['+ ServiceCIDR kubernetes', '+ ServiceCIDR more']);
  set.replace('ranges.yaml', [at(1, serviceCIDRManifest())]);
  const update = set.update([]);
  t.strictSame(update.changes, [
    { type: 'delete', ref: { kind: 'ServiceCIDR', namespace: '', name: 'more' } },
  ]);
});

t.test('deletions come first', async (t) => {
  const set = new ManifestSet();
  set.replace('a.yaml', [at(1, cart())]);
  set.update([]);
  set.replace('a.yaml', [at(1, shop())]);
  t.strictSame(changesOf(set.update([])), ['- Service shop/cart', '+ Service shop/shop ClusterIP']);
});

t.test('moving an object to another file is no change', async (t) => {
  const set = new ManifestSet();
  set.replace('a.yaml', [at(1, cart())]);
  set.update([]);
  set.remove('a.yaml');
  set.replace('b.yaml', [at(1, cart())]);
  t.strictSame(changesOf(set.update([])), []);
});

t.test('an object that turns invalid keeps its last good version', async (t) => {
  const set = new ManifestSet();
  set.replace('a.yaml', [at(1, cart('NodePort')), at(5, shop())]);
  set.update([]);
  set.replace('a.yaml', [at(2, cart(BAD)), at(6, shop('NodePort'))]);
  const update = set.update([]);
  t.strictSame(changesOf(update), ['+ Service shop/shop NodePort']);
  t.strictSame(problemsOf(update), [
    `a.yaml:2 Service shop/cart: spec.type is "no type", ${TYPES}; its last good version stays in force`,
  ]);
  t.strictSame(changesOf(set.update([])), [], 'and keeps it');
  set.replace('a.yaml', [at(2, cart('NodePort')), at(6, shop('NodePort'))]);
  const repaired = set.update([]);
  t.strictSame([changesOf(repaired), problemsOf(repaired)], [[], []]);
  set.replace('a.yaml', []);
  t.strictSame(changesOf(set.update([])), ['- Service shop/cart', '- Service shop/shop']);
});

t.test('an object that was never valid is only reported', async (t) => {
  const set = new ManifestSet();
  set.replace('a.yaml', [at(3, cart(BAD)), at(4, serviceManifest({}, { name: '' }))]);
  const update = set.update([]);
  t.strictSame(changesOf(update), []);
  t.strictSame(
    update.problems.map(({ where, message }) => [where, / it is set aside$/.test(message)]),
    [
      ['a.yaml:3', true],
      ['a.yaml:4', true],
    ],
  );
});

t.test('of two objects with one name the first by path order counts', async (t) => {
  const set = new ManifestSet();
  set.replace('b.yaml', [at(7, cart('NodePort'))]);
  t.strictSame(changesOf(set.update([])), ['+ Service shop/cart NodePort']);
  set.replace('a.yaml', [at(3, cart('LoadBalancer')), at(9, cart())]);
  const update = set.update([]);
  t.strictSame(changesOf(update), ['+ Service shop/cart LoadBalancer']);
  const told = 'Service shop/cart: is also in a.yaml:3, which comes first; this one is set aside';
  t.strictSame(problemsOf(update), [`a.yaml:9 ${told}`, `b.yaml:7 ${told}`]);
  set.replace('a.yaml', [at(3, cart(BAD))]);
  t.strictSame(changesOf(set.update([])), [], 'the last good version of the first stays before the second');
  set.remove('a.yaml');
  const left = set.update([]);
  t.strictSame([changesOf(left), problemsOf(left)], [['+ Service shop/cart NodePort'], []]);
  set.replace('a.yaml', [at(3, cart(BAD))]);
  t.strictSame(changesOf(set.update([])), [], 'one that was never valid does not stand in the way');
});

t.test('a file that cannot be used keeps its last good content', async (t) => {
  const set = new ManifestSet();
  set.keep('a.yaml', { line: 4, message: 'not valid YAML: x' });
  const first = set.update([]);
  t.strictSame(changesOf(first), []);
  t.strictSame(problemsOf(first), ['a.yaml:4 a.yaml: line 4: not valid YAML: x; nothing of it is used']);
  set.replace('a.yaml', [at(1, cart())]);
  t.strictSame(problemsOf(set.update([])), []);
  set.keep('a.yaml', { line: undefined, message: 'cannot be read' });
  const broken = set.update([]);
  t.strictSame(changesOf(broken), []);
  t.strictSame(problemsOf(broken), ['a.yaml a.yaml: cannot be read; its last good content stays in force']);
  set.remove('a.yaml');
  const gone = set.update([]);
  t.strictSame([changesOf(gone), problemsOf(gone)], [['- Service shop/cart'], []]);
});

t.test('a folder that cannot be read is told with what happens to its content', async (t) => {
  const set = new ManifestSet();
  set.replace('m/sub/a.yaml', [at(1, cart())]);
  const update = set.update([
    { path: 'm/sub', message: 'cannot be read' },
    { path: 'm/su', message: 'cannot be read' },
  ]);
  t.strictSame(problemsOf(update), [
    'm/sub m/sub: cannot be read; its last good content stays in force',
    'm/su m/su: cannot be read; nothing of it is used',
  ]);
});

t.test('warnings about items are reported as long as they last', async (t) => {
  const set = new ManifestSet();
  set.replace('a.yaml', [at(1, serviceManifest({ externalIPs: ['x'] }))]);
  t.strictSame(problemsOf(set.update([])), [
    'a.yaml:1 Service shop/cart: spec.externalIPs[0] is "x", which is no IP address; this entry is skipped',
  ]);
  set.replace('a.yaml', [at(1, cart())]);
  t.strictSame(problemsOf(set.update([])), []);
});
