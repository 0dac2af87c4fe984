/**
 * npm run bench -- retry [--connects 100000] [--rate 3000]
 *
 * Mode userspace with four endpoints: one serves, one refuses, one is silent, one comes and goes each 300 ms. Connections come
 * at a fixed rate, whoever is late, each with a request and a reply. Prints how many failed, and their latency while the agent
 * learns (the first five seconds) and after.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { ENDPOINTS, TCP } from './userspaceProxies.js';
import { World } from './userspaceWorld.js';

const { values } = parseArgs({
  options: { connects: { type: 'string', default: '100000' }, rate: { type: 'string', default: '3000' } },
});
const rate = Number(values.rate);
const LEARNING_MS = 5_000;
const FLAP_SECONDS = 0.15;
const SPARE_MS = 20_000;
const [, REFUSING, SILENT, FLAPPING] = ENDPOINTS;

interface Latencies {
  readonly done: number;
  readonly failed: number;
  readonly unfinished: number;
  readonly error: string;
  /** Microseconds. */
  readonly p50: number;
  readonly p99: number;
}

/** Only new connections suffer: those that an endpoint has accepted go on. */
const TROUBLE = `add table ip trouble
add set ip trouble down { type ipv4_addr; elements = { ${REFUSING} }; }
add chain ip trouble in { type filter hook input priority 0; }
add rule ip trouble in ip daddr ${SILENT} tcp dport ${TCP.endpoint} drop
add rule ip trouble in ip daddr @down tcp dport ${TCP.endpoint} tcp flags syn / syn,ack reject with tcp reset
`;

const folder = mkdtempSync(join(tmpdir(), 'penstock-retry-'));
const world = new World('penstock', folder, {
  mode: 'userspace',
  topology: 'one',
  conntrack: 'on',
  cores: {},
  threads: availableParallelism(),
  connections: 1000,
  haproxy: 'listens',
  descriptors: 10_000,
  backendThreads: 1,
});
try {
  for (const tool of ['userspaceLoad', 'userspaceBackend']) {
    const source = fileURLToPath(new URL(`../../../bench/userspace/${tool}.c`, import.meta.url));
    execFileSync('cc', ['-O2', '-Wall', '-pthread', '-o', join(folder, tool), source]);
  }
  await world.build(folder, folder);
  world.run(['nft', TROUBLE], SPARE_MS);
  // It ends with the namespace's other processes.
  const flap = `while sleep ${FLAP_SECONDS}; do nft add element ip trouble down '{ ${FLAPPING} }'
    sleep ${FLAP_SECONDS}; nft delete element ip trouble down '{ ${FLAPPING} }'; done`;
  await world.hold(['sh', '-c', `echo begun; ${flap}`]);
  report('while it learns', load(LEARNING_MS));
  report('after', load(Math.round((Number(values.connects) / rate) * 1000) - LEARNING_MS));
} finally {
  world.end();
  rmSync(folder, { recursive: true });
}

function load(ms: number): Latencies {
  const command = [join(folder, 'userspaceLoad'), 'connect', `to=${world.tcp}`, 'connections=2048'];
  return JSON.parse(world.run([...command, `ms=${ms}`, `rate=${rate}`], ms + SPARE_MS)) as Latencies;
}

function report(when: string, { done, failed, unfinished, error, p50, p99 }: Latencies): void {
  const ms = (microseconds: number) => (microseconds / 1000).toFixed(2);
  process.stdout.write(
    `${when}: ${done} connections, ${failed + unfinished} failed${error && ` (${error})`}, p50 ${ms(p50)} ms, p99 ${ms(p99)} ms\n`,
  );
}
