/** The table of one family: what an update asks for, which is what it costs. */
import t from 'tap';
import { UNWEIGHTED } from '../../../src/balancing/Balancing.js';
import type { IpFamily } from '../../../src/net/ip.js';
import type { Service } from '../../../src/objects/Service.js';
import { ServiceEndpoints } from '../../../src/routing/build/ServiceEndpoints.js';
import { FamilyTable, type ServiceParts } from '../../../src/routing/FamilyTable.js';
import { endpoint, ip, service, slice } from '../../support/builders.js';

const SURROUNDINGS = {
  node: { name: 'node-a', zone: '', addresses: {} },
  ownAddresses: new Set<never>(),
  ranges: [],
};

/** Counts what is asked for. */
class CountedParts implements ServiceParts {
  readonly asked = { service: 0, endpoints: 0, balancing: 0 };
  readonly #services: ReadonlyMap<string, Service>;

  constructor(services: readonly Service[]) {
    this.#services = new Map(services.map((each) => [`${each.namespace}/${each.name}`, each]));
  }

  service(path: string): Service | undefined {
    this.asked.service++;
    return this.#services.get(path);
  }

  endpoints(): ServiceEndpoints {
    this.asked.endpoints++;
    const endpoints = new ServiceEndpoints();
    endpoints.set(slice([endpoint('10.1.0.1')]));
    return endpoints;
  }

  balancing() {
    this.asked.balancing++;
    return UNWEIGHTED.random;
  }
}

const HUNDRED = Array.from({ length: 100 }, (_, i) =>
  service({ name: `s${i}`, clusterIPs: { IPv4: ip(`10.96.0.${i + 1}`) } }),
);
const NAMES = new Set(HUNDRED.map(({ name }) => `shop/${name}`));

function updated(family: IpFamily, table = new FamilyTable(family, '')) {
  const parts = new CountedParts(HUNDRED);
  table.update(NAMES, NAMES, parts, SURROUNDINGS);
  return { parts, table };
}

t.test('a family pays for its own Services alone', async (t) => {
  const { parts, table } = updated('IPv6');
  t.strictSame(parts.asked, { service: 100, endpoints: 0, balancing: 0 }, 'one look at each');
  t.equal(table.collect().length, 0);
});

t.test('the endpoints of a Service are gathered once', async (t) => {
  const { parts, table } = updated('IPv4');
  t.equal(parts.asked.endpoints, 100);
  t.equal(table.collect().length, 100);
  const again = new CountedParts(HUNDRED);
  table.update(new Set(['shop/s7']), new Set(), again, SURROUNDINGS);
  t.strictSame(again.asked, { service: 1, endpoints: 1, balancing: 2 }, 'of one that changed');
});

t.test('a Service that leaves the family, and one whose slices come first', async (t) => {
  const { table } = updated('IPv4');
  table.collect();
  const gone = new Set(['shop/s7', 'shop/early']);
  table.update(gone, new Set(['shop/s7']), new CountedParts([]), SURROUNDINGS);
  t.strictSame(
    table.collect().map(({ key, after }) => [key, after]),
    [['shop/s7/TCP', undefined]],
  );
  t.strictSame([...table.problems()], []);
});
