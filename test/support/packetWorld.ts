/**
 * The node of arbitraries.ts in network namespaces: pods behind a bridge with a server on every port of an endpoint, a
 * client outside, and one process in each that sends what it is told to. Answers tell who answered and whom that saw.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Flow } from '../../src/explain/World.js';
import { ADDRESSES } from './arbitraries.js';
import { plain, shell } from './iptables.js';

/** What the client saw: the endpoint and the source that the endpoint saw, or how it ended. */
export type Seen = { readonly target: string; readonly source: string } | 'REFUSED' | 'SILENT' | 'OTHER';

/** How long a packet may stay unanswered, in milliseconds. */
const PATIENCE_MS = 400;
/** The kernel overlooks an ICMPv6 refusal that comes while connect() holds the socket: the second SYN follows after 1 s. */
const PATIENCE_TCP6_MS = 1600;
const SERVER_PORTS = [8080, 9090];

/** Listens and sends as standard input says. A datagram that a rule drops on its way out is EPERM, whether refused or not. */
const PROBER = `
const net = require('net'), dgram = require('dgram');
const show = (a, p) => a.includes(':') ? '[' + a + ']:' + p : a + ':' + p;
const listen = (address) => { for (const port of [${SERVER_PORTS.join(', ')}]) {
  net.createServer((s) => { s.on('error', () => {}); s.end(show(address, port) + ' ' + s.remoteAddress + '\\n'); }).listen(port, address);
  const u = dgram.createSocket(address.includes(':') ? 'udp6' : 'udp4');
  u.on('message', (_, r) => u.send(show(address, port) + ' ' + r.address + '\\n', r.port, r.address)).on('error', () => {});
  u.bind(port, address);
} };
const ends = (id) => { let told = false; return (result) => { if (!told) { told = true; console.log(JSON.stringify({ id, result })); } }; };
const code = (e) => e.code === 'ECONNREFUSED' || e.code === 'ECONNRESET' ? 'REFUSED' : e.code === 'EPERM' ? 'SILENT' : 'OTHER';
const answer = (text) => { const [target, source] = text.trim().split(' '); return source ? { target, source } : 'OTHER'; };
require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
  const { listen: addresses, id, source, destination, port, protocol, patience } = JSON.parse(line);
  if (addresses) { addresses.forEach(listen); setTimeout(() => console.log('{"ready":true}'), 50); return; }
  const end = ends(id);
  if (protocol === 'TCP') {
    let text = '';
    const s = net.connect({ host: destination, port, localAddress: source });
    const timer = setTimeout(() => { end('SILENT'); s.destroy(); }, patience ?? (destination.includes(':') ? ${PATIENCE_TCP6_MS} : ${PATIENCE_MS}));
    s.on('data', (d) => { text += d; }).on('error', (e) => { clearTimeout(timer); end(code(e)); });
    s.on('close', () => { clearTimeout(timer); end(text === '' ? 'OTHER' : answer(text)); });
  } else {
    const u = dgram.createSocket(destination.includes(':') ? 'udp6' : 'udp4');
    const timer = setTimeout(() => { end('SILENT'); u.close(); }, patience ?? ${PATIENCE_MS});
    const done = (result) => { clearTimeout(timer); end(result); try { u.close(); } catch {} };
    u.on('error', (e) => code(e) !== 'SILENT' && done(code(e))).on('message', (m) => done(answer(String(m))));
    u.bind(0, source, () => u.connect(port, destination, (e) => e ? done(code(e)) : u.send('x', (e) => e && code(e) !== 'SILENT' && done(code(e)))));
  }
});
`;

class Prober {
  readonly #process: ChildProcess;
  readonly #waiting = new Map<number, (seen: Seen) => void>();
  readonly ready: Promise<void>;
  #next = 0;

  constructor(where: 'here' | 'own namespace') {
    const under = where === 'here' ? [] : ['unshare', '--net'];
    const child = spawn(...plain(...under, process.execPath, '-e', PROBER), {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#process = child;
    if (where !== 'here') {
      const isApart = `[ "$(readlink /proc/${child.pid}/ns/net)" != "$(readlink /proc/self/ns/net)" ]`;
      shell(`until ${isApart}; do sleep 0.02; done`);
    }
    this.ready = new Promise((resolve) => {
      createInterface({ input: child.stdout }).on('line', (line) => {
        const { ready, id, result } = JSON.parse(line) as { ready?: true; id: number; result: Seen };
        if (ready) resolve();
        else this.#waiting.get(id)?.(result);
        this.#waiting.delete(id);
      });
    });
  }

  /** Resolves when it serves on the addresses. */
  listen(addresses: readonly string[]): Promise<void> {
    this.#process.stdin?.write(`${JSON.stringify({ listen: addresses })}\n`);
    return this.ready;
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  send(flow: Flow, patience: number | undefined): Promise<Seen> {
    const id = this.#next++;
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve);
      this.#process.stdin?.write(`${JSON.stringify({ id, ...flow, patience })}\n`);
    });
  }

  close(): void {
    this.#process.kill('SIGKILL');
  }
}

/** In the namespace of the test, which becomes the node. */
export class PacketWorld {
  readonly #probers = new Map<string, Prober>();

  static async open(): Promise<PacketWorld> {
    const world = new PacketWorld();
    await world.#build();
    return world;
  }

  /** From the namespace that has the source address. `patience`: milliseconds, when not as usual. */
  send(flow: Flow, patience?: number): Promise<Seen> {
    const prober = this.#probers.get(flow.source) ?? this.#probers.get('node');
    if (!prober) throw new Error(`nobody has ${flow.source}`);
    return prober.send(flow, patience);
  }

  close(): void {
    for (const prober of new Set(this.#probers.values())) prober.close();
  }

  async #build(): Promise<void> {
    const [node4 = '', other4 = ''] = ADDRESSES.IPv4.host;
    const [node6 = '', other6 = ''] = ADDRESSES.IPv6.host;
    shell('ip link set lo up; ip link add cni0 type bridge; ip link set cni0 up');
    shell('ip addr add 169.254.9.1/32 dev cni0; ip addr add fd00:9::1/128 dev cni0 nodad');
    const client = new Prober('own namespace');
    const outside = client.pid;
    shell(`ip link add eth0 type veth peer name eth0 netns ${outside}; ip link set eth0 up`);
    shell(`ip addr add ${node4}/24 dev eth0; ip addr add ${node6}/64 dev eth0 nodad`);
    shell(`ip addr add ${other4}/32 dev cni0; ip addr add ${other6}/128 dev cni0 nodad`);
    const out = `nsenter -t ${outside} -n ip`;
    shell(
      `${out} link set lo up; ${out} link set eth0 up; ${out} addr add 192.168.0.1/24 dev eth0; ${out} addr add fd00:1::1/64 dev eth0 nodad`,
    );
    shell(
      `${out} addr add ${ADDRESSES.IPv4.client}/32 dev lo; ${out} addr add ${ADDRESSES.IPv6.client}/128 dev lo nodad`,
    );
    shell(`${out} route add default via ${node4}; ${out} -6 route add default via ${node6}`);
    shell('ip route add default via 192.168.0.1; ip -6 route add default via fd00:1::1');
    // What no rule takes must end at once, not go round between the two.
    shell(`nsenter -t ${outside} -n sysctl -qw net.ipv4.ip_forward=0`);
    for (const key of [
      'ipv4.ip_forward=1',
      'ipv6.conf.all.forwarding=1',
      'ipv4.conf.all.rp_filter=0',
      'ipv4.conf.all.send_redirects=0',
      'ipv4.conf.cni0.send_redirects=0',
      'ipv4.conf.cni0.rp_filter=0',
      'ipv4.conf.eth0.rp_filter=0',
      'ipv4.icmp_ratelimit=0',
      'ipv4.icmp_msgs_per_sec=100000',
      'ipv6.icmp.ratelimit=0',
    ])
      shell(`sysctl -qw net.${key} || true`);
    for (const [i, pod4] of ADDRESSES.IPv4.pods.entries()) {
      const pod6 = ADDRESSES.IPv6.pods[i] ?? '';
      const prober = new Prober('own namespace');
      const pod = `nsenter -t ${prober.pid} -n ip`;
      shell(
        `ip link add pod${i} type veth peer name eth0 netns ${prober.pid}; ip link set pod${i} master cni0 up; ip link set pod${i} type bridge_slave hairpin on`,
      );
      shell(
        `${pod} link set lo up; ${pod} addr add ${pod4}/32 dev eth0; ${pod} addr add ${pod6}/128 dev eth0 nodad; ${pod} link set eth0 up`,
      );
      shell(
        `${pod} route add 169.254.9.1 dev eth0; ${pod} route add default via 169.254.9.1; ${pod} -6 route add fd00:9::1 dev eth0; ${pod} -6 route add default via fd00:9::1`,
      );
      shell(`ip route add ${pod4} dev cni0; ip -6 route add ${pod6} dev cni0`);
      await prober.listen([pod4, pod6]);
      for (const address of [pod4, pod6]) this.#probers.set(address, prober);
    }
    for (const family of ['IPv4', 'IPv6'] as const) this.#probers.set(ADDRESSES[family].client, client);
    this.#probers.set('node', new Prober('here'));
    // IPv6 over a fresh bridge needs a moment.
    await new Promise((resolve) => setTimeout(resolve, 2000));
  }
}
