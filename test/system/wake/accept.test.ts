/** Connections to Services that sleep are accepted, in the modes of every kernel. */
import { inNetns } from '../../support/inNetns.js';
import { testAccepting } from '../../support/testAccepting.js';

if (await inNetns(import.meta.url))
  await testAccepting(['nftables', 'iptables', 'userspace'], { clients: 100, holds: true });
