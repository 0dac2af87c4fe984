import { readFileSync } from 'node:fs';
import t from 'tap';
import { balancerMetrics } from '../../../src/agent/servers/balancerMetrics.js';
import type { AnnouncerReport } from '../../../src/balancer/announce/report.js';
import type { IpAddress } from '../../../src/net/ip.js';
import { fromRoot } from '../../support/fromRoot.js';

const COUNTERS = {
  owned: 1,
  arpRequests: 2,
  ndpRequests: 0,
  arpReplies: 2,
  ndpReplies: 0,
  announcements: 5,
  probes: 1,
  conflicts: 0,
  yields: 0,
  sendErrors: 0,
};

function report(count: number): AnnouncerReport {
  return {
    node: 'node1',
    excluded: undefined,
    interfaces: [],
    connected: true,
    members: [{ name: 'node1', address: undefined, fresh: true, deaf: false, heartbeat: 'itself' }],
    addresses: Array.from({ length: count }, (_, i) => ({
      address: `192.0.2.${i}` as IpAddress,
      services: ['shop/cart'],
      pool: 'lan',
      layer2: ['lan'],
      bgp: [],
      owner: 'node1',
      order: ['node1'],
      here: [{ device: 'eth0', state: 'owning', heardPeer: undefined, conflict: undefined }],
      refusals: [],
      reasons: [],
    })),
    pools: [{ pool: 'lan', size: '16', used: count, autoAssign: true }],
    peers: [
      {
        peer: 'tor',
        address: '192.0.2.254' as IpAddress,
        state: 'established',
        announced: 3,
        reason: undefined,
        bfd: 'up',
      },
    ],
    tiers: { works: true, reason: undefined, ports: 2, digest: 'abcd' },
    counters: COUNTERS,
    problems: [],
  };
}

t.test('what is measured, and docs/metrics.md speaks of all of it', async (t) => {
  const text = balancerMetrics(report(2), 1000);
  t.match(text, /^penstock_lb_owner\{address="192\.0\.2\.1"\} 1$/m);
  t.match(text, /^penstock_bgp_session_up\{peer="tor"\} 1$/m);
  t.match(text, /^penstock_lb_tiers_info\{digest="abcd",works="true"\} 1$/m);
  const docs = readFileSync(fromRoot('docs/metrics.md'), 'utf8');
  const documented = [...docs.matchAll(/`(penstock_(?:lb|bgp|bfd)_\w+)`/g)].map(([, name]) => name);
  const present = [...text.matchAll(/^# TYPE (penstock_\w+)/gm)].map(([, name]) => name);
  t.strictSame(present.sort(), [...new Set(documented)].sort());
});

t.test('no more series than the limit', async (t) => {
  t.equal(balancerMetrics(report(50), 10).match(/^penstock_lb_owner\{/gm)?.length, 10);
  t.match(balancerMetrics(report(50), 10), /^penstock_lb_addresses\{state="owned"\} 50$/m);
});
