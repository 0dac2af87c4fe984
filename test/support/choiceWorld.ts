/** A node whose Services have their endpoints chosen in user space, and programs that serve and connect in its namespace. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tap';
import { plain, shell } from './iptables.js';
import { nodeWithOutside } from './nodeWithOutside.js';
import { PATIENCE } from './patience.js';
import { shopSlice } from './shopObjects.js';

export const PODS = {
  IPv4: ['10.244.0.2', '10.244.0.3', '10.244.0.4', '10.244.0.5'],
  IPv6: ['fd00:10::2', 'fd00:10::3', 'fd00:10::4', 'fd00:10::5'],
} as const;
export const VIP = { IPv4: '10.96.0.10', IPv6: 'fd00:96::10' } as const;

/** Addresses of the pods, and an outside. */
export function prepareNode(): void {
  nodeWithOutside(...PODS.IPv4);
  for (const pod of PODS.IPv6) shell(`ip addr add ${pod}/128 dev lo nodad`);
  shell('ip addr add 2001:db8:77::1/64 dev out nodad; ip -6 route add default dev out');
}

export interface ChoiceService {
  readonly name: string;
  readonly vips: readonly string[];
  readonly annotations: Readonly<Record<string, string>>;
  readonly endpoints: readonly string[];
}

/** TCP 80 and UDP 53 of a Service, served by ports 8080 and 8053 of the endpoints. */
export function choiceObjects({ name, vips, annotations, endpoints }: ChoiceService): object[] {
  const families = [...new Set(endpoints.map((each) => (each.includes(':') ? 'IPv6' : 'IPv4')))];
  return [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, namespace: 'shop', annotations },
      spec: {
        clusterIP: vips[0],
        clusterIPs: vips,
        ipFamilies: families,
        ports: [
          { name: 'http', port: 80, protocol: 'TCP' },
          { name: 'dns', port: 53, protocol: 'UDP' },
        ],
      },
    },
    ...families.map((family) =>
      shopSlice(
        name,
        family,
        endpoints
          .filter((each) => each.includes(':') === (family === 'IPv6'))
          .map((each) => ({ addresses: [each], conditions: { ready: true } })),
        [
          { name: 'http', port: 8080, protocol: 'TCP' },
          { name: 'dns', port: 8053, protocol: 'UDP' },
        ],
      ),
    ),
  ];
}

/** Programs of one file each: what they share with the test is what they print, a line of JSON each. */
const SERVER = `
const net = require('node:net'), dgram = require('node:dgram');
const addresses = process.argv.slice(2);
let left = addresses.length * 2;
const ready = () => { if (--left === 0) console.log('"ready"'); };
for (const address of addresses) {
  net.createServer((s) => { s.on('error', () => {}); s.write(address + '\\n'); }).listen(8080, address, 4096, ready);
  const u = dgram.createSocket(address.includes(':') ? 'udp6' : 'udp4');
  u.on('message', (_, from) => u.send(address, from.port, from.address));
  u.bind(8053, address, ready);
}`;

/** Connects again and again until its input ends; says how often, how often in vain, and how long the longest took. */
const STEADY = `
const net = require('node:net'), dgram = require('node:dgram');
const { hosts, parallel, limit, pause } = JSON.parse(process.argv[2]);
let going = true, connects = 0, slowest = 0;
const failures = [];
process.stdin.on('end', () => { going = false; }).resume();
const sleep = (ms) => new Promise((r) => setTimeout(r, ms));
const tcp = (host) => new Promise((resolve) => {
  const s = net.connect({ host, port: 80 });
  const timer = setTimeout(() => end('timed out'), limit);
  const end = (what) => { clearTimeout(timer); s.resetAndDestroy(); resolve(what); };
  s.on('data', () => end()).on('error', (e) => end(e.code));
});
// As resolvers do: a datagram without an answer is sent again.
const udp = (host) => new Promise((resolve) => {
  const u = dgram.createSocket(host.includes(':') ? 'udp6' : 'udp4');
  const send = () => u.send('?', 53, host);
  const again = setInterval(send, 1000);
  const timer = setTimeout(() => end('timed out'), limit);
  const end = (what) => { clearInterval(again); clearTimeout(timer); u.close(); resolve(what); };
  u.on('message', () => end()).on('error', (e) => end(e.code));
  send();
});
const run = async (i) => {
  while (going) {
    const host = hosts[i % hosts.length], begun = performance.now();
    const how = Math.floor(i / hosts.length) % 4 === 3 ? udp : tcp;
    const failed = await how(host);
    connects++;
    slowest = Math.max(slowest, performance.now() - begun);
    if (failed) failures.push(how.name + ' ' + host + ': ' + failed);
    await sleep(pause);
  }
};
console.log('"ready"');
Promise.all(Array.from({ length: parallel }, (_, i) => run(i))).then(() => {
  console.log(JSON.stringify({ connects, slowest, failures }));
  process.exit();
});`;

/** Obeys lines: [how many, host, 'tcp' | 'udp', at once] opens and keeps, then tells each one's endpoint; [0] closes all. */
const HOLDER = `
const net = require('node:net'), dgram = require('node:dgram');
const held = [];
const tcp = (host) => new Promise((resolve) => {
  const begun = performance.now();
  const s = net.connect({ host, port: 80 });
  held.push(() => s.resetAndDestroy());
  s.once('data', (d) => resolve([String(d).trim(), performance.now() - begun])).on('error', (e) => resolve([e.code, performance.now() - begun]));
});
const udp = (host) => new Promise((resolve) => {
  const begun = performance.now();
  const u = dgram.createSocket(host.includes(':') ? 'udp6' : 'udp4');
  held.push(() => u.close());
  u.once('message', (d) => resolve([String(d), performance.now() - begun])).on('error', () => {});
  u.send('?', 53, host);
});
console.log('"ready"');
let before = Promise.resolve();
require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
  before = before.then(async () => {
    const [count, host, how, atOnce] = JSON.parse(line);
    if (count === 0) { for (const close of held.splice(0)) close(); console.log('[]'); return; }
    const answers = [];
    let left = count;
    const one = async () => { while (left-- > 0) answers.push(await (how === 'udp' ? udp : tcp)(host)); };
    await Promise.all(Array.from({ length: atOnce ?? 1 }, one));
    console.log(JSON.stringify(answers));
  });
});`;

/** A program in the test's namespace that prints lines of JSON. */
export class Program {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  private constructor(script: string, args: readonly string[]) {
    const file = join(tmpdir(), `penstock-choice-${process.pid}-${Math.random().toString(36).slice(2)}.cjs`);
    writeFileSync(file, script);
    this.#child = spawn(...plain(process.execPath, file, ...args), { stdio: ['pipe', 'pipe', 'inherit'] });
    const { stdout } = this.#child;
    if (!stdout) throw new Error('no output');
    this.#lines = createInterface({ input: stdout })[Symbol.asyncIterator]();
  }

  static async serving(addresses: readonly string[]): Promise<Program> {
    return Program.#started(SERVER, addresses);
  }

  static async holding(): Promise<Program> {
    return Program.#started(HOLDER, []);
  }

  /** `limit`: milliseconds until a connect has failed. `pause`: between those of one of `parallel` clients. */
  static async steady(options: {
    readonly hosts: readonly string[];
    readonly parallel: number;
    readonly limit: number;
    readonly pause: number;
  }): Promise<Program> {
    return Program.#started(STEADY, [JSON.stringify(options)]);
  }

  static async #started(script: string, args: readonly string[]): Promise<Program> {
    const program = new Program(script, args);
    await program.line();
    return program;
  }

  async line<T>(): Promise<T> {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error('the program has ended');
    return JSON.parse(value) as T;
  }

  async ask<T>(question: readonly unknown[]): Promise<T> {
    this.#child.stdin?.write(`${JSON.stringify(question)}\n`);
    return this.line();
  }

  /** Of a steady client. */
  async result(): Promise<{
    readonly connects: number;
    readonly slowest: number;
    readonly failures: readonly string[];
  }> {
    this.#child.stdin?.end();
    return this.line();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill('SIGKILL');
    await once(this.#child, 'exit');
  }
}

export const CONNECTING = {
  hosts: [VIP.IPv4, VIP.IPv6],
  parallel: 8,
  limit: 10_000 * PATIENCE,
  pause: 4,
};

/** Connects while something happens; not one may fail. Resolves to how many there were. */
export async function connectsUnder(t: Test, what: string, happens: () => Promise<void>): Promise<number> {
  await using clients = await Program.steady(CONNECTING);
  await sleep(200);
  await happens();
  await sleep(300);
  const { connects, slowest, failures } = await clients.result();
  t.strictSame(
    failures.slice(0, 5),
    [],
    `${what}: ${connects} connects, the slowest ${Math.round(slowest)} ms`,
  );
  return connects;
}

/** How often each was the answer. */
export function shares(answers: readonly (readonly [string, number])[]): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const [answer] of answers) counts[answer] = (counts[answer] ?? 0) + 1;
  return counts;
}

/** The most less the fewest, of so many endpoints. */
export function spread(counts: Readonly<Record<string, number>>, endpoints: number): number {
  const values = Object.values(counts);
  return Math.max(...values) - (values.length < endpoints ? 0 : Math.min(...values));
}

/** The value of a metric whose line begins so; undefined when there is none, or no agent that answers. */
export function metric(begin: string): Promise<number | undefined> {
  return new Promise((resolve) => {
    get({ host: '127.0.0.1', port: 10249, path: '/metrics' }, (response) => {
      let text = '';
      response.on('data', (chunk) => {
        text += chunk;
      });
      response.on('end', () => {
        const line = text.split('\n').find((each) => each.startsWith(begin));
        resolve(line === undefined ? undefined : Number(line.slice(line.lastIndexOf(' '))));
      });
    }).on('error', () => resolve(undefined));
  });
}
