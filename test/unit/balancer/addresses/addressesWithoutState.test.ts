/** What decisions over many Services cost: a pool that is too small must not cost its size for each Service. */
import t from 'tap';
import { type AddressPool, parsePool } from '../../../../src/balancer/addresses/AddressPool.js';
import { addressesWithoutState } from '../../../../src/balancer/addresses/addressesWithoutState.js';
import { service } from '../../../support/builders.js';

const ASKING = 2000;
const POOL_SIZE = 256;

function smallPool(): AddressPool {
  const read = parsePool({
    apiVersion: 'metallb.io/v1beta1',
    kind: 'IPAddressPool',
    metadata: { name: 'lan', namespace: 'lb' },
    spec: { addresses: ['192.0.2.0/24'] },
  });
  if (read.type !== 'pool') throw new Error(JSON.stringify(read));
  return read.pool;
}

t.test('many Services ask of a pool that is too small: each address is given, and few are looked at', (t) => {
  const services = Array.from({ length: ASKING }, (_, i) =>
    service({
      name: `s${i}`,
      type: 'LoadBalancer',
      addressRequest: { pool: '', sharingKey: '', families: ['IPv4'], needsAllFamilies: false },
    }),
  );
  let looks = 0;
  const decisions = addressesWithoutState(services, [smallPool()], () => {
    looks++;
    return undefined;
  });
  const given = [...decisions.values()].flatMap((each) => (each.type === 'assigned' ? each.addresses : []));
  t.equal(new Set(given).size, POOL_SIZE);
  t.equal(given.length, POOL_SIZE);
  t.equal(decisions.size, ASKING, 'the others hear that there is none');
  // Without memory of what is full: half a million.
  t.ok(looks < 10 * POOL_SIZE, `${looks} looks`);
  t.end();
});
