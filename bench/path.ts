/**
 * npm run bench -- path [ROUNDS]
 *
 * What each hop of the way of outside traffic costs (docs/path.md): requests a second, each on a connection of its own, eight at a
 * time, and p50 and p99, as ratios to asking the app's pod itself. The world is that of test/system/path, once for each mode of the
 * nodes that have the pods; hops of one mode are measured in turn, round by round. Mode iptables writes stock's rules, chain by chain.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { shell } from '../test/support/iptables.js';
import { CLIENT, PathWorld } from '../test/support/path/PathWorld.js';
import { API_VIP, EDGE_NODE_PORT, EDGE_VIP } from '../test/support/path/pathObjects.js';
import { noProxies } from '../test/support/pathProxies.js';
import { inNamespace } from './inNamespace.js';
import type { PathFigures } from './pathClient.js';
import { median, table } from './statistics.js';

const MODES = ['nftables', 'iptables', 'userspace'];
const RUN_MS = 1500;
const CLIENT_PROGRAM = fileURLToPath(new URL('./pathClient.js', import.meta.url));

/** In the order in which a request gets longer. */
const HOPS = [
  ['the app itself', 'http://10.244.2.11:8080/', 'shop.example'],
  ['+ nginx, cluster IP', 'http://10.244.2.10/', 'shop.example'],
  ['+ address, two tiers', `http://${EDGE_VIP}/`, 'shop.example'],
  ['  or the node port', `http://192.0.2.2:${EDGE_NODE_PORT}/`, 'shop.example'],
  ['+ sidecar of the app', `http://${EDGE_VIP}/v2`, 'shop.example'],
  ['API gateway, two sidecars', `http://${API_VIP}/api/orders/7`, 'api.example'],
] as const;

interface Row {
  readonly hop: string;
  readonly figures: readonly PathFigures[];
}

const [word, mode = '', rounds = '5'] = process.argv.slice(2);
if (word === 'inside') console.log(JSON.stringify(await measure(mode, Number(rounds))));
else await main(word);

async function main(given = '5'): Promise<void> {
  const missing = noProxies();
  if (missing !== false) throw new Error(missing);
  for (const each of MODES) {
    const rows = JSON.parse(
      await inNamespace(fileURLToPath(import.meta.url), ['inside', each, given]),
    ) as readonly Row[];
    const of = ({ figures }: Row, key: keyof PathFigures) => median(figures.map((one) => one[key]));
    const [direct] = rows as [Row];
    const ratio = (row: Row, key: keyof PathFigures) => (of(row, key) / of(direct, key)).toFixed(2);
    console.log(`\nmode ${each}; the app itself: ${Math.round(of(direct, 'perSecond'))} requests a second\n`);
    console.log(
      table(
        ['hop', 'requests/s', 'p50', 'p99', 'p50 ms', 'failed'],
        rows.map((row) => [
          row.hop,
          ratio(row, 'perSecond'),
          ratio(row, 'p50'),
          ratio(row, 'p99'),
          of(row, 'p50').toFixed(2),
          String(row.figures.reduce((sum, { failed }) => sum + failed, 0)),
        ]),
      ),
    );
  }
}

async function measure(mode: string, times: number): Promise<readonly Row[]> {
  const world = new PathWorld();
  try {
    shell('ip route add 10.244.2.0/24 via 192.0.2.2');
    await world.start(mode);
    world.startSidecar('pod3', 'all');
    world.startApiGateway((text) => text.replace(/^.*deny_status 429.*\n/m, ''));
    world.startSidecar('api', 'outbound');
    await world.until(
      'the API gateway',
      async () => (await world.askApi('/api/orders/7', 'key-of-anna')).status === 200,
    );
    const rows = HOPS.map(([hop]): { hop: string; figures: PathFigures[] } => ({ hop, figures: [] }));
    for (let round = 0; round < times; round++) {
      for (let i = 0; i < HOPS.length; i++) {
        // Each round begins with another hop, so that none always comes after the same one.
        const index = (round + i) % HOPS.length;
        const [, url, host] = HOPS[index] as (typeof HOPS)[number];
        const ended = spawnSync(process.execPath, [CLIENT_PROGRAM, url, host, String(RUN_MS), CLIENT], {
          encoding: 'utf8',
        });
        rows[index]?.figures.push(JSON.parse(ended.stdout) as PathFigures);
      }
    }
    return rows;
  } finally {
    await world.close();
  }
}
