/**
 * npm run bench -- path [ROUNDS]
 *
 * What each hop of the way of outside traffic costs (docs/path.md): requests a second, each on a connection of its own, eight at a
 * time, and p50 and p99, as ratios to asking the app's pod itself in the same round. The world is that of test/system/path; its two nodes
 * with pods change their mode in each round, so that all modes, and stock's recorded rules, are measured side by side.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { shell } from '../test/support/iptables.js';
import { CLIENT, PathWorld } from '../test/support/path/PathWorld.js';
import { API_VIP, EDGE_NODE_PORT, EDGE_VIP } from '../test/support/path/pathObjects.js';
import { noProxies } from '../test/support/pathProxies.js';
import { needsShared } from '../test/support/shared.js';
import { inNamespace } from './parts/inNamespace.js';
import type { PathFigures } from './parts/pathClient.js';
import { median, table } from './parts/statistics.js';

const STOCK = 'stock’s rules';
const MODES = ['nftables', 'iptables', 'userspace', ...('skip' in needsShared ? [] : [STOCK])];
const RUN_MS = 1500;
const CLIENT_PROGRAM = fileURLToPath(new URL('./parts/pathClient.js', import.meta.url));

/** In the order in which a request gets longer. */
const HOPS = [
  ['the app itself', 'http://10.244.2.11:8080/', 'shop.example'],
  ['+ nginx, cluster IP', 'http://10.244.2.10/', 'shop.example'],
  ['+ address', `http://${EDGE_VIP}/`, 'shop.example'],
  ['  or the node port', `http://192.0.2.2:${EDGE_NODE_PORT}/`, 'shop.example'],
  ['+ sidecar of the app', `http://${EDGE_VIP}/v2`, 'shop.example'],
  ['API gateway, two sidecars', `http://${API_VIP}/api/orders/7`, 'api.example'],
] as const;

/** Mode → hop → figures of each round. */
type Measured = Readonly<Record<string, readonly (readonly PathFigures[])[]>>;

const [word, rounds = '5'] = process.argv.slice(2);
if (word === 'inside') console.log(JSON.stringify(await measure(Number(rounds))));
else await main(word);

async function main(given = '5'): Promise<void> {
  const missing = noProxies();
  if (missing !== false) throw new Error(missing);
  if ('skip' in needsShared) console.log(`stock's rules are left out: ${needsShared.skip}`);
  const measured = JSON.parse(
    await inNamespace(fileURLToPath(import.meta.url), ['inside', given]),
  ) as Measured;
  for (const key of ['perSecond', 'p50', 'p99'] as const) {
    const of = (mode: string, hop: number) => measured[mode]?.[hop]?.map((figures) => figures[key]) ?? [];
    const ratio = (mode: string, hop: number) => {
      const direct = of(mode, 0);
      return median(of(mode, hop).map((value, round) => value / (direct[round] ?? Number.NaN))).toFixed(2);
    };
    const [title, unit] = key === 'perSecond' ? ['requests a second', '/s'] : [key, 'ms'];
    console.log(
      table(
        [title, ...MODES],
        HOPS.map(([hop], i) => [
          hop,
          ...MODES.map((mode) => {
            const value = median(of(mode, i));
            return `${ratio(mode, i)} (${value.toFixed(value < 100 ? 1 : 0)} ${unit})`;
          }),
        ]),
      ),
    );
  }
  const all = Object.values(measured).flat(2);
  console.log(`${all.reduce((sum, { failed }) => sum + failed, 0)} failed`);
}

async function measure(times: number): Promise<Measured> {
  const world = new PathWorld();
  try {
    shell('ip route add 10.244.2.0/24 via 192.0.2.2');
    await world.start(MODES[0] ?? '');
    world.startSidecar('pod3', 'all');
    world.startApiGateway((text) => text.replace(/^.*deny_status 429.*\n/m, ''));
    world.startSidecar('api', 'outbound');
    const measured = Object.fromEntries(
      MODES.map((mode) => [mode, HOPS.map((): PathFigures[] => [])] as const),
    );
    for (let round = 0; round < times; round++) {
      for (let m = 0; m < MODES.length; m++) {
        // Each round begins with another mode and another hop, so that none always comes after the same one.
        const mode = MODES[(round + m) % MODES.length] as string;
        if (mode === STOCK) await world.beginStock();
        else await world.changeMode(mode);
        await allAnswer(world);
        for (let i = 0; i < HOPS.length; i++) {
          const index = (round + i) % HOPS.length;
          measured[mode]?.[index]?.push(ask(index));
        }
        if (mode === STOCK) world.endStock();
      }
    }
    return measured;
  } finally {
    await world.close();
  }
}

function ask(index: number): PathFigures {
  const [, url, host] = HOPS[index] as (typeof HOPS)[number];
  const ended = spawnSync(process.execPath, [CLIENT_PROGRAM, url, host, String(RUN_MS), CLIENT], {
    encoding: 'utf8',
  });
  return JSON.parse(ended.stdout) as PathFigures;
}

async function allAnswer(world: PathWorld): Promise<void> {
  for (const [hop, url, host] of HOPS) {
    const { hostname: address, port, pathname: path } = new URL(url);
    const headers = { 'x-api-key': 'key-of-anna' };
    const question = { address, port: Number(port || 80), path, host, headers };
    await world.until(hop, async () => (await world.ask(question)).status === 200);
  }
}
