/**
 * npm run bench -- lb
 *
 * The load balancer's figures: connections kept while nodes die, addresses move and a router hashes anew; packets through tier 1
 * beside plain forwarding; new connections through both tiers beside policy Local. `penstock run` on three nodes of a LAN, a client
 * beside them; each round in a network namespace of its own.
 */
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { askFor, LanHost, makeLan } from '../test/support/balancer/lan.js';
import { LanAgent } from '../test/support/balancer/lanAgent.js';
import { Talk } from '../test/support/balancer/Talk.js';
import { plain, shell } from '../test/support/iptables.js';
import { inNamespace } from './parts/inNamespace.js';
import { median, table } from './parts/statistics.js';

const VIP = '192.0.2.100';
/** For packets and connects per second: led to by routes, not announced on the LAN. */
const ROUTED = '203.0.113.100';
const ROUNDS = 3;
const LONG = 1000;
const MOVE_CONNECTS = 10_000;
const ASKING_AT_ONCE = 10;
const FLOOD_MS = 1500;
const CONNECTS_MS = 1500;
const PAIRS = 7;
const NODES = [
  ['node1', 1],
  ['node2', 2],
  ['node3', 3],
] as const;

/** Figures of one round, by name. */
type Figures = Readonly<Record<string, number>>;

const PARTS = ['throughput', 'arriving', 'moves', 'rehash', 'endpoint'] as const;
type Part = (typeof PARTS)[number];

const [asked = '', which = ''] = process.argv.slice(2);
if (asked === 'round') process.stdout.write(`${JSON.stringify(await round(which as Part))}\n`);
else await report(PARTS.filter((part) => asked === '' || part === asked));

/** `npm run bench -- lb PART` makes the figures of one part. */
async function report(parts: readonly Part[]): Promise<void> {
  const rounds: Figures[] = [];
  for (const part of parts) {
    for (let i = 0; i < ROUNDS; i++) {
      const figures = JSON.parse(
        await inNamespace(fileURLToPath(import.meta.url), ['round', part]),
      ) as Figures;
      process.stderr.write(`${part}: ${JSON.stringify(figures)}\n`);
      rounds.push(figures);
    }
  }
  const of = (name: string) => rounds.flatMap((each) => each[name] ?? []);
  const row = (what: string, limit: string, name: string) => {
    const values = of(name);
    return values.length === 0
      ? []
      : [[what, limit, median(values), Math.min(...values), Math.max(...values)]];
  };
  const rows = [
    ...row(`arriving node killed: of ${LONG} long connections alive`, String(LONG), 'arrivingKept'),
    ...row('the same: first new connect, ms', '<= 1500', 'arrivingGap'),
    ...row('planned moves: new connections failed', '0', 'moveFailed'),
    ...row('of', '', 'moved'),
    ...row('moves in that time', '', 'moves'),
    ...row('a node with endpoints of three dies: share kept', '>= 0.6', 'endpointKept'),
    ...row(`router hashes anew over three nodes: of ${LONG} alive`, String(LONG), 'rehashKept'),
    ...row('tier 1, packets/s to plain forwarding', '>= 0.9', 'forwardRatio'),
    ...row('tier 1, packets/s', '', 'tierRate'),
    ...row('new connections through both tiers to policy Local', '>= 0.85', 'connectRatio'),
    ...row('new connections/s through both tiers', '', 'connectRate'),
  ];
  process.stdout.write(`${ROUNDS} rounds\n\n${table(['', 'limit', 'median', 'least', 'most'], rows)}`);
}

async function round(part: Part): Promise<Figures> {
  makeLan();
  shell('sysctl -qw net.ipv4.fib_multipath_hash_policy=1');
  const folder = mkdtempSync(join(tmpdir(), 'penstock-bench-lb-'));
  const [connectTool, floodTool] = ['connect', 'lbFlood'].map((name) => {
    const source = fileURLToPath(new URL(`../../bench/traffic/${name}.c`, import.meta.url));
    execFileSync('cc', ['-O2', '-o', join(folder, `.${name}`), source]);
    return join(folder, `.${name}`);
  }) as [string, string];
  const write = (items: readonly object[]) => {
    writeFileSync(join(folder, '.objects'), JSON.stringify({ apiVersion: 'v1', kind: 'List', items }));
    renameSync(join(folder, '.objects'), join(folder, 'objects.json'));
  };
  const objects = (on: readonly string[], from?: string) => [
    ...announcing(),
    service('long', VIP, 80, 'TCP', from),
    slice('long', on, 8080, 'TCP'),
    service('fast', ROUTED, 81, 'TCP'),
    slice('fast', ['node2'], 8081, 'TCP'),
    service('flood', ROUTED, 82, 'UDP'),
    slice('flood', ['node2'], 8082, 'UDP'),
  ];
  const nodes = NODES.map(([name, last]) => new LanAgent(name, last, { folder, nodes: NODES }));
  const [one, two, three] = nodes as [LanAgent, LanAgent, LanAgent];
  const router = new LanHost('router', 9);
  const server = spawn(...plain('nsenter', '-t', String(two.pid), '-n', connectTool, 'server', '8081'), {
    stdio: 'ignore',
  });
  try {
    write(objects(part === 'endpoint' ? ['node1', 'node2', 'node3'] : ['node2', 'node3'], 'node1'));
    for (const node of nodes) {
      node.serve();
      node.start();
    }
    await owns(one);
    // Until every node leads on to all nodes with endpoints.
    await sleep(4000);
    switch (part) {
      case 'throughput':
        return await throughput({ nodes, router, connectTool, floodTool });
      case 'arriving':
        return await arrivingNodeDies(one);
      case 'moves':
        return await moving(nodes, (to) => write(objects(['node2', 'node3'], to)));
      case 'rehash':
        return await rehashing();
      default:
        return await endpointNodeDies(three);
    }
  } finally {
    server.kill('SIGKILL');
    for (const node of [...nodes, router]) node.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Both tiers beside what each replaces, in turns. */
async function throughput({
  nodes,
  router,
  connectTool,
  floodTool,
}: {
  readonly nodes: readonly LanAgent[];
  readonly router: LanHost;
  readonly connectTool: string;
  readonly floodTool: string;
}): Promise<Figures> {
  const [, two] = nodes as [LanAgent, LanAgent];
  // What arrives at the node with the endpoint is counted and dropped, so that the cost of the arriving node is what differs.
  const drop = 'ip daddr { 203.0.113.100, 203.0.113.101 } meta l4proto udp drop';
  two.run(
    `nft "add table netdev bench; add chain netdev bench in { type filter hook ingress device eth0 priority -300; }; add rule netdev bench in ${drop}"`,
  );
  router.run(
    'sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.eth0.send_redirects=0',
  );
  router.run('ip route add 203.0.113.101 via 192.0.2.2');
  shell('ip route replace 203.0.113.101 via 192.0.2.9');
  const received = () => Number(JSON.parse(two.run('ip -s -j link show eth0'))[0].stats64.rx.packets);
  const flood = (address: string) => {
    const before = received();
    const { ms } = JSON.parse(shell(`${floodTool} ${address} 82 ${FLOOD_MS}`)) as { ms: number };
    return ((received() - before) * 1000) / ms;
  };
  const connects = () => {
    const output = shell(`${connectTool} client ${ROUTED} 81 ${CONNECTS_MS}`);
    const { perSecond, failed } = JSON.parse(output) as { perSecond: number; failed: number };
    if (failed > 0) throw new Error(`${failed} connects failed`);
    return perSecond;
  };
  const arriveAt = (last: number) => shell(`ip route replace ${ROUTED} via 192.0.2.${last}`);
  const pairs = {
    forward: [] as number[],
    tier: [] as number[],
    connects: [] as number[],
    rate: [] as number[],
  };
  for (let i = 0; i < PAIRS; i++) {
    arriveAt(1);
    const [a, b] = i % 2 === 0 ? ['203.0.113.101', ROUTED] : [ROUTED, '203.0.113.101'];
    const first = flood(a as string);
    const second = flood(b as string);
    const [plainRate, tierRate] = a === ROUTED ? [second, first] : [first, second];
    pairs.forward.push(tierRate / plainRate);
    pairs.tier.push(tierRate);
    const through = connects();
    arriveAt(2);
    pairs.connects.push(through / connects());
    pairs.rate.push(through);
  }
  two.run('nft delete table netdev bench');
  return {
    forwardRatio: median(pairs.forward),
    tierRate: median(pairs.tier),
    connectRatio: median(pairs.connects),
    connectRate: median(pairs.rate),
  };
}

async function arrivingNodeDies(one: LanAgent): Promise<Figures> {
  const { talks, answers } = await longOnes();
  const began = performance.now();
  await one.end('SIGKILL');
  shell('ip link set node1 down');
  let first = '';
  while (first === '' && performance.now() - began < 20_000) {
    const talk = new Talk(VIP, 80);
    first = await talk.ask(100);
    talk.socket.destroy();
  }
  const arrivingGap = performance.now() - began;
  const arrivingKept = await kept(talks, answers);
  close(talks);
  return { arrivingGap, arrivingKept };
}

async function moving(nodes: readonly LanAgent[], lead: (to: string) => void): Promise<Figures> {
  let [made, moveFailed, moves] = [0, 0, 0];
  let going = true;
  const asking = Promise.all(
    Array.from({ length: ASKING_AT_ONCE }, async () => {
      while (going || made < MOVE_CONNECTS) {
        made++;
        if (!(await answers(5000))) moveFailed++;
      }
    }),
  );
  while (made < MOVE_CONNECTS) {
    const to = nodes[++moves % nodes.length] as LanAgent;
    lead(to.name);
    // Looking at the neighbour table stops this process for moments, which are for asking.
    await sleep(5000);
    await owns(to);
  }
  going = false;
  await asking;
  return { moveFailed, moved: made, moves };
}

/** A new connection that asks and is answered. */
function answers(limitMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: VIP, port: 80 }, () => socket.write('x\n'));
    const end = (good: boolean) => {
      clearTimeout(timer);
      socket.resetAndDestroy();
      resolve(good);
    };
    const timer = setTimeout(() => end(false), limitMs);
    socket.once('data', () => end(true));
    socket.on('error', () => end(false));
    socket.once('close', () => end(false));
  });
}

/** The client's route is a router's: a hash over the three nodes, then other hashes, then fewer nodes. */
async function rehashing(): Promise<Figures> {
  const ways = (lasts: readonly number[]) =>
    shell(
      `ip route replace ${VIP}/32 ${lasts.map((last) => `nexthop via 192.0.2.${last} dev lan`).join(' ')}`,
    );
  ways([1, 2, 3]);
  const { talks, answers } = await longOnes();
  let rehashKept = LONG;
  for (const lasts of [[3, 1, 2], [2, 3], [2], [1, 3, 2]]) {
    ways(lasts);
    rehashKept = Math.min(rehashKept, await kept(talks, answers));
  }
  close(talks);
  shell(`ip route del ${VIP}/32`);
  return { rehashKept };
}

async function endpointNodeDies(node: LanAgent): Promise<Figures> {
  const { talks, answers } = await longOnes();
  await node.end('SIGKILL');
  shell(`ip link set ${node.name} down`);
  await sleep(4000);
  const endpointKept = (await kept(talks, answers)) / LONG;
  close(talks);
  return { endpointKept };
}

async function longOnes() {
  const talks: Talk[] = [];
  const answers: string[] = [];
  for (let i = 0; i < LONG; i += 50) {
    const some = Array.from({ length: 50 }, () => new Talk(VIP, 80));
    answers.push(...(await Promise.all(some.map((talk) => talk.ask(10_000)))));
    talks.push(...some);
  }
  const missing = answers.filter((each) => each === '').length;
  if (missing > 0) throw new Error(`${missing} of ${LONG} connections were not made`);
  return { talks, answers };
}

/** How many answer, at the endpoint that they had. */
async function kept(talks: readonly Talk[], answers: readonly string[]): Promise<number> {
  let alive = 0;
  for (let i = 0; i < talks.length; i += 100) {
    const some = await Promise.all(talks.slice(i, i + 100).map((talk) => talk.ask(8000)));
    alive += some.filter((each, j) => each !== '' && each === answers[i + j]).length;
  }
  return alive;
}

function close(talks: readonly Talk[]): void {
  for (const { socket } of talks) socket.destroy();
}

async function owns(node: LanAgent): Promise<void> {
  for (const until = performance.now() + 60_000; performance.now() < until; await sleep(200))
    if (askFor(VIP) === node.mac) return;
  throw new Error(`${node.name} does not answer for ${VIP}:\n${node.output}`);
}

function announcing(): readonly object[] {
  const metadata = { name: 'lan', namespace: 'metallb-system' };
  const apiVersion = 'metallb.io/v1beta1';
  return [
    { apiVersion, kind: 'IPAddressPool', metadata, spec: { addresses: ['192.0.2.96/28', '203.0.113.0/24'] } },
    { apiVersion, kind: 'L2Advertisement', metadata, spec: {} },
  ];
}

function service(name: string, address: string, port: number, protocol: string, from?: string): object {
  const annotations = {
    'penstock.io/load-balancer-ips': address,
    ...(from === undefined ? {} : { 'penstock.io/announce-from': from }),
  };
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: 'shop', annotations },
    spec: { type: 'LoadBalancer', externalTrafficPolicy: 'Local', ports: [{ port, protocol }] },
  };
}

function slice(name: string, on: readonly string[], port: number, protocol: string): object {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name, namespace: 'shop', labels: { 'kubernetes.io/service-name': name } },
    addressType: 'IPv4',
    ports: [{ port, protocol }],
    endpoints: NODES.filter(([node]) => on.includes(node)).map(([nodeName, last]) => ({
      nodeName,
      addresses: [`192.0.2.${last}`],
    })),
  };
}
