import t from 'tap';
import { ClusterIPs } from '../../../../src/routing/claims/ClusterIPs.js';
import { ip } from '../../../support/builders.js';

const VIP = ip('1.2.3.4');

t.test('a cluster IP of thousands that thousands ask for costs their sum, not their product', async (t) => {
  const many = Array.from({ length: 20_000 }, (_, i) => `ns/s${i}`);
  const clusterIPs = new ClusterIPs();
  const began = performance.now();
  for (const name of many) clusterIPs.ask(VIP, name);
  for (const name of many) clusterIPs.hold(VIP, name.replace('ns', 'other'));
  const settled = () => {
    const services = new Set<string>();
    clusterIPs.settle(services);
    return services.size;
  };
  t.equal(settled(), many.length);
  t.equal(settled(), 0);
  t.ok(many.every((name) => clusterIPs.heldByOther(VIP, name)));
  for (const name of many.slice(0, 2000)) clusterIPs.otherHolder(VIP, name);
  t.equal(clusterIPs.otherHolder(VIP, 'ns/s1'), 'other/s0');
  t.equal(clusterIPs.otherHolder(VIP, 'other/s1'), undefined, 'its own');
  clusterIPs.release(VIP, 'other/s0');
  t.equal(clusterIPs.otherHolder(VIP, 'ns/s1'), 'other/s1', 'the first by name of those that are left');
  clusterIPs.hold(VIP, 'another/s');
  t.equal(clusterIPs.otherHolder(VIP, 'ns/s1'), 'another/s');
  for (const name of many) clusterIPs.release(VIP, name.replace('ns', 'other'));
  t.equal(clusterIPs.otherHolder(VIP, 'ns/s1'), 'another/s');
  clusterIPs.release(VIP, 'another/s');
  t.notOk(clusterIPs.heldByOther(VIP, 'ns/s1'));
  t.ok(performance.now() - began < 3000, 'the product took a minute');
});
