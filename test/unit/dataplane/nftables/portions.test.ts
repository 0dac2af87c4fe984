/** Small service ports do not wait for big ones, and all is written in the end. */
import t from 'tap';
import {
  countTouched,
  firstPortion,
  portions,
  turnOf,
} from '../../../../src/dataplane/nftables/plan/portions.js';
import type { ServicePortChange } from '../../../../src/routing/ChangeSet.js';
import type { ServicePort } from '../../../../src/routing/ServicePort.js';
import {
  endpoint,
  endpointPort,
  ip,
  port,
  service,
  slice,
  tableOf,
  upsert,
} from '../../../support/builders.js';

const PORTS = Array.from({ length: 4 }, (_, i) => port({ name: `p${i}`, port: 81 + i }));
const MAGLEV = { algorithm: 'maglev', weights: '{"10.1.0.1": 100, "10.1.0.2": 99}' };
const big = service({ name: 'big', ports: PORTS, options: MAGLEV });
const small = service({ name: 'small', clusterIPs: { IPv4: ip('10.96.0.11') } });
const slices = [
  slice([endpoint('10.1.0.1'), endpoint('10.1.0.2')], {
    name: 'big-1',
    serviceName: 'big',
    ports: PORTS.map(({ name }) => endpointPort({ name, port: 8080 })),
  }),
  slice([endpoint('10.1.0.3')], { name: 'small-1', serviceName: 'small' }),
];

t.test('what is small comes first, in one portion', async (t) => {
  const table = tableOf([big, small, ...slices]);
  const found = portions(table.commit().families.IPv4);
  t.same(
    found.map((portion) => portion.map(({ key }) => key)),
    [['shop/small/TCP'], PORTS.map(({ name }) => `shop/big:${name}/TCP`)],
    'and the ports of one Service together',
  );
});

t.test('one change is one portion, however big, and waits for nobody', async (t) => {
  const table = tableOf([...slices, big, small]);
  for (const change of table.commit().families.IPv4) {
    t.same(portions([change]), [[change]]);
    t.same(turnOf([change]), [[change], []]);
  }
  t.same(portions([]), [[]]);
});

t.test('what gives up an address is written together with who may take it', async (t) => {
  const table = tableOf([big, small, ...slices]);
  table.commit();
  const moved = (fields: Partial<typeof big>) => {
    table.apply([upsert({ ...big, ...fields })]);
    return portions(table.commit().families.IPv4).map((portion) => portion.length);
  };
  t.same(moved({ clusterIPs: { IPv4: ip('10.96.0.12') } }), [4]);
  t.same(moved({ affinitySeconds: 10, clusterIPs: { IPv4: ip('10.96.0.12') } }), [0, 1, 1, 1, 1]);
  const gone: ServicePort[] = [...table.servicePorts('IPv4').values()];
  const removals = gone.map((before) => ({ key: before.key, before, after: undefined }));
  t.same(
    portions(removals).map((portion) => portion.length),
    [5],
  );
});

t.test(
  'a port that is renamed, or an address that goes to another Service, is written in one transaction',
  async (t) => {
    const table = tableOf([...many('shop', 40, 1000), big, ...slices]);
    table.commit();
    const renamed = PORTS.map((each) => ({ ...each, name: `${each.name}x` }));
    table.apply([
      upsert({ ...big, ports: renamed }),
      upsert(
        slice([endpoint('10.1.0.1'), endpoint('10.1.0.2')], {
          name: 'big-1',
          serviceName: 'big',
          ports: renamed.map(({ name }) => endpointPort({ name, port: 8080 })),
        }),
      ),
      // So many that the first portion is full.
      ...many('other', 40, 1001).map(upsert),
    ]);
    const { IPv4: changes } = table.commit().families;
    const [first = []] = portions(changes);
    const ofBig = changes.filter(({ key }) => key.startsWith('shop/big')).map(({ key }) => key);
    t.equal(ofBig.length, 8);
    t.strictSame(
      first.filter(({ key }) => key.startsWith('shop/big')).map(({ key }) => key),
      ofBig,
    );
  },
);

/** Services of so many endpoints each, in one namespace. */
const many = (namespace: string, count: number, endpoints: number) =>
  Array.from({ length: count }, (_, n) => [
    service({ namespace, name: `s${n}`, clusterIPs: { IPv4: ip(`10.97.${n >> 8}.${n & 255}`) } }),
    slice(
      Array.from({ length: endpoints }, (_, i) => endpoint(`10.1.${i >> 8}.${i & 255}`)),
      { namespace, name: `s${n}-1`, serviceName: `s${n}` },
    ),
  ]).flat();

const servicesOf = (portion: readonly ServicePortChange[]) =>
  new Set(portion.map(({ before, after }) => (after ?? before)?.service));

t.test(
  'no portion of more than one Service has more elements than the kernel may keep notices of',
  async (t) => {
    const table = tableOf([...many('shop', 40, 1000), ...many('kube-system', 1, 3), big, ...slices]);
    const { IPv4: changes } = table.commit().families;
    const found = portions(changes);
    t.same(
      found
        .map((portion) => countTouched(portion, 1_000_000) <= 32_768 || servicesOf(portion).size === 1)
        .includes(false),
      false,
    );
    t.same(found.flat().length, changes.length, 'all are there');
    t.ok(found.length > 2);
    t.equal(countTouched(changes, 10), 1024, 'counted until it is enough');
  },
);

t.test('at the start what all others need comes first, and nothing big', async (t) => {
  const table = tableOf([...many('shop', 40, 1000), ...many('kube-system', 1, 3), big, ...slices]);
  table.commit();
  const [first, later] = firstPortion(table.servicePorts('IPv4').values());
  t.equal(first[0]?.namespace, 'kube-system');
  t.equal(first.length + later.length, 41 + 4);
  t.notOk(first.some(({ service }) => service === 'big'));
  t.ok(later.filter(({ service }) => service !== 'big').length >= 5, 'nor all of what is small');
});

t.test(
  'what is served already is in the first portion, however much it is, and Services are whole',
  async (t) => {
    const early = service({ ...big, namespace: 'kube-system' });
    const table = tableOf([
      ...many('default', 40, 1000),
      ...many('kube-system', 3, 3),
      early,
      ...slices.map((each) => ({ ...each, namespace: 'kube-system' })),
      // A port that is small beside one that is not.
      service({
        name: 'mixed',
        namespace: 'shop',
        ports: PORTS.slice(0, 2),
        clusterIPs: { IPv4: ip('10.96.9.9') },
      }),
      slice(
        Array.from({ length: 2500 }, (_, i) => endpoint(`10.3.${i >> 8}.${i & 255}`)),
        { name: 'mixed-1', serviceName: 'mixed', ports: [endpointPort({ name: 'p0', port: 8080 })] },
      ),
    ]);
    table.commit();
    const served = new Set(['kube-system/big', 'default/s39']);
    const [first, later] = firstPortion(table.servicePorts('IPv4').values(), served);
    const names = (ports: readonly ServicePort[]) =>
      new Set(ports.map((each) => `${each.namespace}/${each.service}`));
    for (const name of served) t.ok(names(first).has(name), name);
    t.ok(names(later).has('shop/mixed'));
    t.same(
      [...names(first)].filter((name) => names(later).has(name)),
      [],
    );
    t.ok(later.length > 0);
  },
);
