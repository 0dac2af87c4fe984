/** kube-proxy in mode ipvs → penstock in mode ipvs → kube-proxy: both have the same virtual servers, sets and chains. */
import t from 'tap';
import { inVm } from '../../support/inVm.js';
import { LIMIT_MS } from '../../support/ipvsAgent.js';
import { serveOnLoopback } from '../../support/loopbackEndpoints.js';
import { PODS, swapWithIpvs } from '../../support/swapWithIpvs.js';

if (await inVm(import.meta.url)) {
  t.setTimeout(LIMIT_MS);
  const server = await serveOnLoopback(PODS);
  t.teardown(() => server.close());

  t.test('two proxies in mode ipvs, one after the other and back', async (t) => {
    t.setTimeout(LIMIT_MS);
    await swapWithIpvs(t, 'ipvs');
  });
}
