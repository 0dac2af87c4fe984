/**
 * npm run bench -- path [ROUNDS [MODE,... [TURNS]]]
 *
 * What each hop of the way of outside traffic costs (docs/path.md): requests a second, each on a connection of its own, eight at a
 * time, and p50 and p99, as ratios to asking the app's pod itself. All hops are asked in short turns; the ratio is
 * that of a turn to the app's turn beside it. The world is that of test/system/path; its two nodes with pods change their mode in
 * each round, so that all modes, and stock's recorded rules, are measured side by side. Mode ipvs wants a kernel that has it and
 * nf_tables (docs/path.md, scripts/vm --qemu).
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
const REQUESTS = 32;
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

/** Mode → round → figures of each hop. */
type Measured = Readonly<Record<string, readonly (readonly PathFigures[])[]>>;

const inside = process.argv[2] === 'inside';
const [rounds = '3', modes = 'nftables,iptables,userspace', turns = '100'] = process.argv.slice(
  inside ? 3 : 2,
);
const MODES = [...modes.split(','), ...('skip' in needsShared ? [] : [STOCK])];
if (inside) console.log(JSON.stringify(await measure(Number(rounds))));
else await main();

async function main(): Promise<void> {
  const missing = noProxies();
  if (missing !== false) throw new Error(missing);
  if ('skip' in needsShared) console.log(`stock's rules are left out: ${needsShared.skip}`);
  const words = ['inside', rounds, modes, turns];
  const measured = JSON.parse(await inNamespace(fileURLToPath(import.meta.url), words)) as Measured;
  const of = (mode: string) => measured[mode] ?? [];
  const perSecond = (mode: string, hop: number) => of(mode).flatMap((hops) => hops[hop]?.perSecond ?? []);
  const latency = (key: 'p50' | 'p99') => (mode: string, hop: number) =>
    of(mode).map((hops) => hops[hop]?.[key] ?? Number.NaN);
  print('requests a second', '/s', perSecond);
  print('p50', 'ms', latency('p50'));
  print('p99', 'ms', latency('p99'));
  const all = Object.values(measured).flat(2);
  console.log(`${all.reduce((sum, { failed }) => sum + failed, 0)} failed`);
}

/** A table of medians, each as a ratio to the app itself in the same turn or round. */
function print(title: string, unit: string, of: (mode: string, hop: number) => readonly number[]): void {
  const cell = (mode: string, hop: number) => {
    const direct = of(mode, 0);
    const values = of(mode, hop);
    const ratio = median(values.map((value, i) => value / (direct[i] ?? Number.NaN)));
    const value = median(values);
    return `${ratio.toFixed(2)} (${value.toFixed(value < 100 ? 1 : 0)} ${unit})`;
  };
  console.log(
    table(
      [title, ...MODES],
      HOPS.map(([hop], i) => [hop, ...MODES.map((mode) => cell(mode, i))]),
    ),
  );
}

async function measure(times: number): Promise<Measured> {
  const world = new PathWorld();
  try {
    shell('ip route add 10.244.2.0/24 via 192.0.2.2');
    await world.start(MODES[0] ?? '');
    world.startSidecar('pod3', 'all');
    world.startApiGateway((text) => text.replace(/^.*deny_status 429.*\n/m, ''));
    world.startSidecar('api', 'outbound');
    const measured: Record<string, PathFigures[][]> = Object.fromEntries(MODES.map((mode) => [mode, []]));
    for (let round = 0; round < times; round++) {
      for (let m = 0; m < MODES.length; m++) {
        // Each round begins with another mode, so that none always comes after the same one.
        const mode = MODES[(round + m) % MODES.length] as string;
        if (mode === STOCK) await world.beginStock();
        else await world.changeMode(mode);
        await allAnswer(world);
        measured[mode]?.push(askAll());
        if (mode === STOCK) world.endStock();
      }
    }
    return measured;
  } finally {
    await world.close();
  }
}

function askAll(): PathFigures[] {
  const hops = JSON.stringify(HOPS.map(([, url, host]) => [url, host]));
  const ended = spawnSync(process.execPath, [CLIENT_PROGRAM, hops, turns, String(REQUESTS), CLIENT], {
    encoding: 'utf8',
  });
  if (ended.status !== 0) throw new Error(`the client ended with ${ended.status}: ${ended.stderr}`);
  return JSON.parse(ended.stdout) as PathFigures[];
}

async function allAnswer(world: PathWorld): Promise<void> {
  for (const [hop, url, host] of HOPS) {
    const { hostname: address, port, pathname: path } = new URL(url);
    const headers = { 'x-api-key': 'key-of-anna' };
    const question = { address, port: Number(port || 80), path, host, headers };
    await world.until(hop, async () => (await world.ask(question)).status === 200);
  }
}
