/** The load balancer of this node, as metrics. */
import type { AnnouncerReport } from '../../balancer/announce/report.js';
import { metricText } from '../../observe/metrics/metricText.js';

const gauge = (name: string, help: string) => ({ name, help, type: 'gauge' }) as const;
const counter = (name: string, help: string) => ({ name, help, type: 'counter' }) as const;

const OWNER = gauge('penstock_lb_owner', '1 for each address that this node announces by layer 2.');
const ADDRESSES = gauge(
  'penstock_lb_addresses',
  'Addresses of LoadBalancer Services, by how they stand on this node.',
);
const POOL_USED = gauge('penstock_lb_pool_addresses_used', 'Addresses of the pool that Services have.');
const POOL_SIZE = gauge('penstock_lb_pool_addresses_total', 'Addresses of the pool.');
const CANDIDATES = gauge('penstock_lb_candidates', 'Nodes whose Lease runs, as this node sees it.');
const CONNECTED = gauge(
  'penstock_lb_view_connected',
  '1 while the view of the other nodes is kept up to date.',
);
const SESSION = gauge('penstock_bgp_session_up', '1 while the session with the router is up.');
const PREFIXES = gauge('penstock_bgp_announced_prefixes', 'Prefixes that the router has been told.');
const BFD = gauge('penstock_bfd_session_up', '1 while BFD hears the router.');
const ARP = counter(
  'penstock_lb_neighbour_requests_total',
  'Requests for addresses that this node announces.',
);
const ANSWERS = counter('penstock_lb_neighbour_replies_total', 'Answers to them.');
const ANNOUNCEMENTS = counter('penstock_lb_announcements_total', 'Unasked announcements that were sent.');
const CONFLICTS = counter('penstock_lb_conflicts_total', 'Addresses that somebody else was heard to have.');
const YIELDS = counter('penstock_lb_yields_total', 'Addresses given up since another node came first.');
const TIER_PORTS = gauge(
  'penstock_lb_tier1_ports',
  'Service ports whose packets go on to the nodes with endpoints.',
);
const TIERS = gauge('penstock_lb_tiers_info', '1; the digest is equal on nodes whose tables agree.');

/** `limit`: so many addresses, pools and routers have series of their own. */
export function balancerMetrics(report: AnnouncerReport, limit: number): string {
  const { addresses, pools, peers, members, connected, counters, tiers } = report;
  const owned = addresses.filter(({ here }) => here.some(({ state }) => state === 'owning'));
  const conflicts = addresses.filter(({ here }) => here.some(({ conflict }) => conflict !== undefined));
  const one = (value: number) => [{ labels: {}, value }];
  const shownPools = pools.slice(0, limit);
  const shownPeers = peers.slice(0, limit);
  return [
    metricText(
      OWNER,
      owned.slice(0, limit).map(({ address }) => ({ labels: { address }, value: 1 })),
    ),
    metricText(ADDRESSES, [
      { labels: { state: 'owned' }, value: owned.length },
      { labels: { state: 'conflict' }, value: conflicts.length },
      { labels: { state: 'all' }, value: addresses.length },
    ]),
    metricText(
      POOL_USED,
      shownPools.map(({ pool, used }) => ({ labels: { pool }, value: used })),
    ),
    metricText(
      POOL_SIZE,
      shownPools.map(({ pool, size }) => ({ labels: { pool }, value: Number(size) })),
    ),
    metricText(CANDIDATES, one(members.filter(({ fresh }) => fresh).length)),
    metricText(CONNECTED, one(connected ? 1 : 0)),
    metricText(
      SESSION,
      shownPeers.map(({ peer, state }) => ({ labels: { peer }, value: state === 'established' ? 1 : 0 })),
    ),
    metricText(
      PREFIXES,
      shownPeers.map(({ peer, announced }) => ({ labels: { peer }, value: announced })),
    ),
    metricText(
      BFD,
      shownPeers.flatMap(({ peer, bfd }) =>
        bfd === undefined ? [] : [{ labels: { peer }, value: bfd === 'up' ? 1 : 0 }],
      ),
    ),
    metricText(ARP, [
      { labels: { protocol: 'arp' }, value: counters.arpRequests },
      { labels: { protocol: 'ndp' }, value: counters.ndpRequests },
    ]),
    metricText(ANSWERS, [
      { labels: { protocol: 'arp' }, value: counters.arpReplies },
      { labels: { protocol: 'ndp' }, value: counters.ndpReplies },
    ]),
    metricText(ANNOUNCEMENTS, one(counters.announcements)),
    metricText(CONFLICTS, one(counters.conflicts)),
    metricText(YIELDS, one(counters.yields)),
    ...(tiers === undefined
      ? []
      : [
          metricText(TIER_PORTS, one(tiers.ports)),
          metricText(TIERS, [{ labels: { digest: tiers.digest, works: String(tiers.works) }, value: 1 }]),
        ]),
  ].join('');
}
