/** kube-proxy in mode ipvs → penstock in mode iptables → kube-proxy: both have some chains of the same names. */
import t from 'tap';
import { inVm } from '../../support/inVm.js';
import { LIMIT_MS } from '../../support/ipvsAgent.js';
import { serveOnLoopback } from '../../support/loopbackEndpoints.js';
import { PODS, swapWithIpvs } from '../../support/swapWithIpvs.js';

if (await inVm(import.meta.url)) {
  t.setTimeout(LIMIT_MS);
  const server = await serveOnLoopback(PODS);
  t.teardown(() => server.close());

  t.test('from kube-proxy in mode ipvs to mode iptables, and back', async (t) => {
    t.setTimeout(LIMIT_MS);
    await swapWithIpvs(t, 'iptables');
  });
}
