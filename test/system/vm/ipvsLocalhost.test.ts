/** Node ports on localhost in mode ipvs. */
import t from 'tap';
import { inVm } from '../../support/inVm.js';
import { cleanUp, LIMIT_MS, READY_MS } from '../../support/ipvsAgent.js';
import { serveOnLoopback } from '../../support/loopbackEndpoints.js';
import { testLocalhost } from '../../support/olderThanLocalhost.js';

if (await inVm(import.meta.url)) {
  t.setTimeout(LIMIT_MS);
  const server = await serveOnLoopback(['10.1.0.1']);
  t.teardown(() => {
    server.close();
    cleanUp();
  });
  testLocalhost('ipvs', READY_MS, LIMIT_MS);
}
