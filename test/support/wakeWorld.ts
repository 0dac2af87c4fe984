/** A node with a Service that sleeps, clients beyond a link, and endpoints of the test's own that come up when they are told. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { createInterface } from 'node:readline';
import { plain, shell } from './iptables.js';
import { nodeWithOutside } from './nodeWithOutside.js';
import { shopSlice } from './shopObjects.js';
import { SideNamespace } from './sideNamespace.js';

export const POD = { IPv4: '10.244.0.2', IPv6: 'fd00:10::2' } as const;
export const VIP = { IPv4: '10.96.0.20', IPv6: 'fd00:96::20' } as const;
export const NODE_PORT = 30_080;
const FAMILIES = ['IPv4', 'IPv6'] as const;

/** Addresses of the endpoints, and a host outside with both families. */
export function prepareNode(): SideNamespace {
  nodeWithOutside(POD.IPv4);
  shell(`ip addr add ${POD.IPv6}/128 dev lo nodad`);
  const side = new SideNamespace({ link: 'lan', address: '10.1.0.2', gateway: '10.1.0.1' });
  shell('ip addr add fd00:1::1/64 dev lan nodad');
  shell('ip addr add 2001:db8:77::1/64 dev out nodad; ip -6 route add default dev out');
  side.run('ip addr add fd00:1::2/64 dev eth0 nodad');
  side.run('ip -6 route add default via fd00:1::1');
  shell('sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1');
  return side;
}

/** TCP 80 and UDP 53 on both families; `serves`: its endpoints are ready. */
export function sleepyObjects(
  annotations: Readonly<Record<string, string>>,
  serves: boolean,
  spec: object = {},
): object[] {
  return [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'sleepy', namespace: 'shop', annotations },
      spec: {
        type: 'NodePort',
        clusterIP: VIP.IPv4,
        clusterIPs: [VIP.IPv4, VIP.IPv6],
        ipFamilies: FAMILIES,
        ports: [
          { name: 'http', port: 80, protocol: 'TCP', nodePort: NODE_PORT },
          { name: 'dns', port: 53, protocol: 'UDP' },
        ],
        ...spec,
      },
    },
    ...FAMILIES.map((family) =>
      shopSlice('sleepy', family, serves ? [{ addresses: [POD[family]], conditions: { ready: true } }] : [], [
        { name: 'http', port: 8080, protocol: 'TCP' },
        { name: 'dns', port: 8053, protocol: 'UDP' },
      ]),
    ),
  ];
}

/** An endpoint that greets, and knows who came. */
export class Endpoint {
  readonly #servers: Server[] = [];
  readonly clients: string[] = [];
  /** What they said, in pieces. */
  readonly heard: string[] = [];

  async open(): Promise<void> {
    for (const address of Object.values(POD)) {
      const server = createServer((socket) => {
        this.clients.push(`${socket.remoteAddress} ${socket.remotePort}`);
        socket.on('data', (text) => this.heard.push(String(text)));
        socket.on('error', () => {}).write('hello\n');
      });
      server.listen(8080, address, 4096);
      await once(server, 'listening');
      this.#servers.push(server);
    }
  }

  close(): void {
    for (const server of this.#servers.splice(0)) server.close();
  }
}

/** [what came of it, after how many milliseconds, what `ss -ti` says of the connection, when it was accepted; 0: never] */
export type Connected = readonly [outcome: string, milliseconds: number, info: string, accepted: number];

/** Connects [host, port, how many, milliseconds until it gives up, whether ss is asked, last words], and tells when all are over. */
const CLIENT = `
const net = require('node:net'), dgram = require('node:dgram');
const { execFileSync } = require('node:child_process');
const tcp = (host, port, limit, asks, says) => new Promise((resolve) => {
  const begun = performance.now();
  let accepted = 0;
  const s = net.connect({ host, port });
  s.on('connect', () => { accepted = performance.now() - begun; if (says) s.end(says); });
  const end = (what, info = '') => { clearTimeout(timer); s.destroy(); resolve([what, performance.now() - begun, info, accepted]); };
  const timer = setTimeout(() => end('gave up'), limit);
  s.on('data', (d) => {
    const info = asks ? execFileSync('ss', ['-tinH', 'sport = :' + s.localPort], { encoding: 'utf8' }) : '';
    end(String(d).trim(), info);
  }).on('error', (e) => end(e.code));
});
// Numbered datagrams; the answers, in their order.
const udp = (host, port, count, limit) => new Promise((resolve) => {
  const u = dgram.createSocket(host.includes(':') ? 'udp6' : 'udp4');
  const got = [];
  const end = () => { clearTimeout(timer); u.close(); resolve(got); };
  const timer = setTimeout(end, limit);
  u.on('message', (d) => { got.push(String(d)); if (got.at(-1) === String(count)) end(); }).on('error', () => {});
  for (let i = 1; i <= count; i++) u.send(String(i), port, host);
});
console.log('"ready"');
require('node:readline').createInterface({ input: process.stdin }).on('line', async (line) => {
  const [id, how, host, port, count, limit, asks, says] = JSON.parse(line);
  const answer = how === 'udp'
    ? await udp(host, port, count, limit)
    : await Promise.all(Array.from({ length: count }, () => tcp(host, port, limit, asks, says)));
  console.log(JSON.stringify([id, answer]));
});`;

export class Client {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (answer: unknown) => void>();
  #last = 0;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  /** `side` undefined: on the node itself. */
  static async start(side: SideNamespace | undefined): Promise<Client> {
    const enter = side === undefined ? [] : ['nsenter', '-t', String(side.pid), '-n'];
    const command = plain(...enter, process.execPath, '-e', CLIENT);
    const client = new Client(spawn(...command, { stdio: ['pipe', 'pipe', 'inherit'] }));
    const { stdout } = client.#child;
    if (!stdout) throw new Error('no output');
    const lines = createInterface({ input: stdout });
    await once(lines, 'line');
    lines.on('line', (line) => {
      const [id, answer] = JSON.parse(line) as [number, unknown];
      client.#waiting.get(id)?.(answer);
    });
    return client;
  }

  connect(
    host: string,
    options: { count?: number; limit?: number; port?: number; asks?: boolean; says?: string } = {},
  ) {
    const { count = 1, limit = 60_000, port = 80, asks = false, says = '' } = options;
    return this.#ask<readonly Connected[]>('tcp', host, port, count, limit, asks, says);
  }

  datagrams(host: string, count: number, limit = 60_000): Promise<readonly string[]> {
    return this.#ask('udp', host, 53, count, limit);
  }

  #ask<T>(...question: readonly unknown[]): Promise<T> {
    const id = this.#last++;
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve as (answer: unknown) => void);
      this.#child.stdin?.write(`${JSON.stringify([id, ...question])}\n`);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL');
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, 'exit');
  }
}
