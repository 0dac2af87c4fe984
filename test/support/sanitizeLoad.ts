/** Load for native/sanitize/driver: many short and long connections, resets, datagrams, churn of updates, a takeover. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { UNWEIGHTED } from '../../src/balancing/Balancing.js';
import { ServiceRecords } from '../../src/dataplane/userspace/encodeServices.js';
import { readProxyOptions } from '../../src/dataplane/userspace/proxyOptions.js';
import { joinHostPort } from '../../src/net/ip.js';
import type { Endpoint, ServicePort } from '../../src/routing/ServicePort.js';
import { ip } from './builders.js';
import { shell } from './iptables.js';
import { serve, VIP } from './userspaceWorld.js';

const POD = '10.2.0.1';
const REFUSING = '10.2.0.2';
const FIRST_ENDPOINT = 1 << 18;

const driver = process.argv[2] ?? '';
const folder = mkdtempSync(join(tmpdir(), 'penstock-sanitize-'));

function endpoint(address: string): Endpoint {
  const target = joinHostPort(ip(address), 8080);
  return {
    address: ip(address),
    port: 8080,
    target,
    local: true,
    mayBeHere: false,
    ready: true,
    serving: true,
    terminating: false,
    zoneHints: [],
    nodeHints: [],
  };
}

/** One service port on the VIP; `addresses` serve it. */
function records(
  protocol: 'TCP' | 'UDP',
  cell: number,
  addresses: readonly string[],
  affinity = false,
): ServiceRecords {
  const all = addresses.map(endpoint);
  const port = {
    key: `a/web/${protocol}`,
    name: 'a/web',
    family: 'IPv4',
    namespace: 'a',
    service: 'web',
    portName: '',
    protocol,
    clusterIP: ip(VIP),
    port: 80,
    nodePort: 0,
    externalIPs: [],
    loadBalancerIPs: [],
    sourceRanges: [],
    nodeInSourceRanges: false,
    internalPolicy: 'Cluster',
    externalPolicy: 'Cluster',
    affinitySeconds: affinity ? 60 : undefined,
    healthCheckNodePort: 0,
    options: {},
    balancing: UNWEIGHTED['power-of-two'],
    endpoints: { all, cluster: all, local: all, reachable: all, any: true },
  } as ServicePort & { readonly protocol: 'TCP' | 'UDP' };
  const { options } = readProxyOptions(port, { udpIdleTimeout: 100, drainTimeout: undefined });
  const written = new ServiceRecords();
  const cellOf = ({ target }: Endpoint) =>
    FIRST_ENDPOINT + cell * 16 + all.findIndex((each) => each.target === target);
  written.set({ port, options, cell, cellOf });
  return written;
}

function file(name: string, ...parts: readonly ServiceRecords[]): string {
  const path = join(folder, name);
  writeFileSync(path, Buffer.concat(parts.map(({ bytes }) => bytes)));
  return path;
}

class Driver {
  output = '';
  readonly child: ChildProcess;

  constructor(...words: readonly string[]) {
    this.child = spawn(driver, words, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.child.stdout?.on('data', (chunk) => {
      this.output += chunk;
    });
  }

  async says(text: string): Promise<void> {
    for (let i = 0; i < 600 && !this.output.includes(text); i++) {
      if (this.child.exitCode !== null) throw new Error(`the driver ended with ${this.child.exitCode}`);
      await sleep(100);
    }
    if (!this.output.includes(text)) throw new Error(`the driver did not say ${text}: ${this.output}`);
  }

  tell(line: string): void {
    this.child.stdin?.write(`${line}\n`);
  }

  async end(): Promise<number> {
    const ended = once(this.child, 'close');
    this.child.stdin?.end();
    const [code] = await ended;
    return typeof code === 'number' ? code : 1;
  }
}

const counts = { whole: 0, failed: 0, answers: 0 };

/** Asks for so many bytes and counts them; some clients reset before the end. */
function call(bytes: number, resetAfter = Number.POSITIVE_INFINITY): Promise<void> {
  return new Promise((resolve) => {
    let received = 0;
    const socket = connect({ host: VIP, port: 80 });
    socket.setTimeout(20_000, () => socket.destroy());
    socket.on('error', () => {});
    socket.on('connect', () => socket.write(`${bytes}\n`));
    socket.on('data', (chunk) => {
      received += chunk.length;
      if (received >= resetAfter) socket.resetAndDestroy();
    });
    socket.on('close', () => {
      if (received === bytes) counts.whole++;
      else if (resetAfter === Number.POSITIVE_INFINITY) counts.failed++;
      resolve();
    });
  });
}

async function load(ms: number): Promise<void> {
  const end = performance.now() + ms;
  const client = async (n: number) => {
    for (let i = 0; performance.now() < end; i++) {
      const kind = (n + i) % 8;
      if (kind === 0) await call(3_000_000);
      else if (kind === 1) await call(3_000_000, 500_000);
      else if (kind === 2) await call(100, 1);
      else await call(100);
    }
  };
  const asker = async () => {
    while (performance.now() < end) {
      const socket = createSocket('udp4');
      socket.on('error', () => {});
      socket.on('message', () => counts.answers++);
      for (let i = 0; i < 5; i++) socket.send(Buffer.alloc(1 + i * 10_000, 'x'), 80, VIP);
      await sleep(30);
      socket.close();
    }
  };
  await Promise.all([...Array.from({ length: 24 }, (_, n) => client(n)), asker(), asker()]);
}

shell('ip link set lo up; ip link add out type veth peer name peer; ip link set out up; ip link set peer up');
shell('ip addr add 192.168.77.1/24 dev out; ip route add default dev out');
for (const address of [POD, REFUSING]) shell(`ip addr add ${address}/32 dev lo`);
const server = await serve(POD, (socket) => {
  socket.once('data', (data) => socket.end(Buffer.alloc(Number(String(data).trim()), 'y')));
});
const echo = createSocket('udp4');
echo.on('error', () => {});
echo.on('message', (message, { port, address }) => echo.send(message, port, address));
echo.bind(8080, POD);

const both = file('both', records('TCP', 1, [POD, REFUSING]), records('UDP', 2, [POD, REFUSING]));
const one = file('one', records('TCP', 1, [POD], true), records('UDP', 2, [POD]));
const first = new Driver(both);
await first.says('ports');
const [, tcp, , udp] = /ports (\d+) (\d+) (\d+)/.exec(first.output) ?? [];
shell(`nft 'add table ip c; add chain ip c o { type nat hook output priority -100; }'`);
shell(`nft 'add rule ip c o ip daddr ${VIP} tcp dport 80 dnat to 192.168.77.1:${tcp}'`);
shell(`nft 'add rule ip c o ip daddr ${VIP} udp dport 80 dnat to 192.168.77.1:${udp}'`);

const loading = load(8000);
await sleep(500);
first.tell(`churn ${one} 200`);
first.tell(`churn ${both} 200`);
await sleep(1500);
first.tell(`reset ${FIRST_ENDPOINT + 16}`);
first.tell(`offer ${join(folder, 'takeover')}`);
await first.says('done offer');
const second = new Driver(one, join(folder, 'takeover'));
await second.says('ports');
await first.says('succeeded');
first.tell('stop');
await loading;
await first.says('done stop');
second.tell('stop');
await second.says('done stop');
const codes = [await first.end(), await second.end()];
server.close();
echo.close();
rmSync(folder, { recursive: true, force: true });
console.log(
  `${counts.whole} whole answers, ${counts.failed} cut by resets and updates, ${counts.answers} datagrams; exit ${codes.join(', ')}`,
);
const idle = [first, second].every(({ output }) => /active 0 /.test(output));
process.exitCode =
  codes.every((code) => code === 0) && counts.whole > 100 && counts.answers > 50 && idle ? 0 : 1;
