/** Node ports on localhost in the modes of any kernel; mode ipvs is in test/system/vm/. */
import t from 'tap';
import { inNetns } from '../../support/inNetns.js';
import { serveOnLoopback } from '../../support/loopbackEndpoints.js';
import { testLocalhost } from '../../support/olderThanLocalhost.js';

if (await inNetns(import.meta.url)) {
  const server = await serveOnLoopback(['10.1.0.1']);
  t.teardown(() => server.close());
  for (const mode of ['nftables', 'iptables', 'userspace']) testLocalhost(mode, 60_000, 180_000);
}
