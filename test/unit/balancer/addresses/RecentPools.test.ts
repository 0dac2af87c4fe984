import t from 'tap';
import { type AddressPool, parsePool } from '../../../../src/balancer/addresses/AddressPool.js';
import { RecentPools } from '../../../../src/balancer/addresses/RecentPools.js';

function pool(name: string): AddressPool {
  const metadata = { name, namespace: 'lb' };
  const spec = { addresses: ['192.0.2.96/28'] };
  const result = parsePool({ apiVersion: 'metallb.io/v1beta1', kind: 'IPAddressPool', metadata, spec });
  if (result.type !== 'pool') throw new Error(result.type);
  return result.pool;
}

t.test('pools are remembered for a minute after they went', async (t) => {
  const [a, b] = [pool('a'), pool('b')];
  const recent = new RecentPools();
  t.same([recent.gone([a, b], 0), recent.until], [[], undefined]);
  t.same([recent.gone([b], 1000), recent.until], [[a], 61_000]);
  t.same([recent.gone([], 2000), recent.until], [[a, b], 61_000]);
  t.same([recent.gone([b], 60_999), recent.until], [[a], 61_000], 'one is back');
  t.same([recent.gone([b], 61_000), recent.until], [[], undefined]);
});
