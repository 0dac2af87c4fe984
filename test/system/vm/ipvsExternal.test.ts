/**
 * A balancer outside of the cluster in mode ipvs: nodes' node ports as real servers, as long as healthCheckNodePort, the node port
 * itself or the node's proxy answers. The nodes are stand-ins that have just those ports.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import t from 'tap';
import { AgentProcess } from '../../support/AgentProcess.js';
import { inVm } from '../../support/inVm.js';
import { eventually, plain, shell } from '../../support/iptables.js';
import { LIMIT_MS, READY_MS, servers, settings } from '../../support/ipvsAgent.js';
import { PATIENCE } from '../../support/patience.js';
import { SideNamespace } from '../../support/sideNamespace.js';
import { Client } from '../../support/wakeWorld.js';

const V4 = '198.51.100.10';
const V6 = '2001:db8:1::10';
const LABEL = 'node.kubernetes.io/exclude-from-external-load-balancers';
const NODES = [1, 2, 3] as const;

/** Greets on the node ports of both policies and answers what it is asked; told a number, its health check answers with that status. */
const STAND_IN = `
const [, name, health] = process.argv;
const net = require('node:net'), http = require('node:http'), dgram = require('node:dgram');
let status = Number(health);
// A check may be gone before it is looked at.
for (const port of [30080, 30081]) net.createServer((s) => {
  s.on('error', () => {}).on('data', (d) => s.write(name + ' has ' + d)).write(name + ' ' + (s.remoteAddress ?? '').replace('::ffff:', '') + '\\n');
}).listen(port, '::');
http.createServer((_, r) => { r.statusCode = status; r.end(); }).listen(32000, '::');
http.createServer((_, r) => r.end()).listen(10256, '::');
const u = dgram.createSocket('udp6');
u.on('message', (d, from) => u.send(name, from.port, from.address)).bind(30053, '::', () => console.log('ready'));
require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => { status = Number(line); console.log('is'); });`;

/** One connection that lasts: a line of its input is a question, a line of its output an answer. */
const LONG = `
const s = require('node:net').connect({ host: process.argv[1], port: Number(process.argv[2]) });
s.on('error', (e) => console.log(e.code)).pipe(process.stdout);
process.stdin.pipe(s);`;

class Lines {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(side: SideNamespace, script: string, ...args: readonly string[]) {
    const command = plain('nsenter', '-t', String(side.pid), '-n', process.execPath, '-e', script, ...args);
    this.#child = spawn(...command, { stdio: ['pipe', 'pipe', 'inherit'] });
    if (!this.#child.stdout) throw new Error('no output');
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  tell(line: string): void {
    this.#child.stdin?.write(`${line}\n`);
  }

  async next(): Promise<string> {
    return (await this.#lines.next()).value ?? '';
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill('SIGKILL');
    await once(this.#child, 'exit');
  }
}

function service(name: string, policy: 'Cluster' | 'Local', port: number, protocol: 'TCP' | 'UDP') {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: 'shop' },
    spec: {
      type: 'LoadBalancer',
      clusterIP: `172.30.0.${port}`,
      clusterIPs: [`172.30.0.${port}`, `fd00:96::${port}`],
      ipFamilies: ['IPv4', 'IPv6'],
      ipFamilyPolicy: 'RequireDualStack',
      externalTrafficPolicy: policy,
      ...(policy === 'Local' ? { healthCheckNodePort: 32000 } : {}),
      ports: [{ port, protocol, nodePort: 30000 + port }],
    },
    status: { loadBalancer: { ingress: [{ ip: V4 }, { ip: V6 }] } },
  };
}

function nodeObject(number: number, drained: number) {
  const labels = number === drained ? { [LABEL]: '' } : {};
  const addresses = [`10.9.${number}.2`, `fd00:9:${number}::2`].map((address) => ({
    type: 'InternalIP',
    address,
  }));
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: `node${number}`, labels },
    status: { addresses },
  };
}

if (await inVm(import.meta.url)) {
  t.setTimeout(LIMIT_MS);
  shell('ip link set lo up; sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1');
  const link = (name: string, subnet: string, six: string) => {
    const side = new SideNamespace({ link: name, address: `${subnet}.2`, gateway: `${subnet}.1` });
    shell(`ip addr add ${six}::1/64 dev ${name} nodad`);
    side.run(`ip addr add ${six}::2/64 dev eth0 nodad`);
    side.run(`ip -6 route add default via ${six}::1`);
    return side;
  };
  const outside = link('out', '10.8.0', 'fd00:8');
  const sides = NODES.map((n) => link(`node${n}`, `10.9.${n}`, `fd00:9:${n}`));
  const nodes = sides.map((side, i) => new Lines(side, STAND_IN, `node${i + 1}`, i === 1 ? '503' : '200'));
  for (const node of nodes) await node.next();
  const client = await Client.start(outside);
  const agent = new AgentProcess(`${settings('ipvs')}penstock: {externalBalancer: {serve: true}}\n`);
  t.teardown(async () => {
    await agent[Symbol.asyncDispose]();
    await client[Symbol.asyncDispose]();
    for (const node of nodes) await node.close();
    for (const side of [outside, ...sides]) side.close();
  });
  const drain = (drained: number) =>
    agent.write(
      'nodes.json',
      NODES.map((n) => nodeObject(n, drained)),
    );
  drain(0);
  agent.write('shop.json', [
    service('cart', 'Cluster', 80, 'TCP'),
    service('till', 'Local', 81, 'TCP'),
    service('dns', 'Cluster', 53, 'UDP'),
  ]);
  agent.start();
  await agent.ready(READY_MS);

  /** Who answered each of some connections; what went wrong, where one failed. */
  const answers = async (host: string, port: number, count = 12) =>
    (await client.connect(host, { port, count, limit: 5000 * PATIENCE })).map(([what]) => what);
  const who = async (host: string, port: number) => [
    ...new Set((await answers(host, port)).map((each) => each.split(' ')[0])),
  ];
  const isLedTo = (wanted: string, port: number) =>
    eventually(async () => (await who(V4, port)).sort().join() === wanted, 60_000);

  t.test('both families, both policies, UDP', async (t) => {
    t.setTimeout(LIMIT_MS);
    for (const host of [V4, V6]) {
      t.ok(await isLedTo('node1,node2,node3', 80), 'whose node port can be connected to');
      t.same((await who(host, 80)).sort(), ['node1', 'node2', 'node3'], `policy Cluster at ${host}`);
      t.same(
        (await who(host, 81)).sort(),
        ['node1', 'node3'],
        `policy Local at ${host}: whose check answers 200`,
      );
      const [datagram = ''] = await client.datagrams(host, 1, 5000 * PATIENCE);
      t.match(datagram, /^node[123]$/, `UDP at ${host}`);
    }
    for (const [text, address] of [
      [await answers(V4, 80), /^node(\d) 10\.9\.\1\.1$/],
      [await answers(V6, 81), /^node(\d) fd00:9:\1::1$/],
    ] as const)
      t.ok(
        text.every((each) => address.test(each)),
        `nodes see the balancer: ${text[0]}`,
      );
    t.match(servers(), `-A -t ${V4}:80 `);
    t.notMatch(servers(), /:30080 -s/, 'the balancer has no node ports');
  });

  t.test('a node whose check fails gets nothing, and is back when it passes', async (t) => {
    t.setTimeout(LIMIT_MS);
    nodes[0]?.tell('503');
    t.ok(await isLedTo('node3', 81));
    t.same((await who(V4, 80)).length, 3, 'the other Service asks another port');
    nodes[0]?.tell('200');
    nodes[1]?.tell('200');
    t.ok(await isLedTo('node1,node2,node3', 81));
    nodes[1]?.tell('503');
    t.ok(await isLedTo('node1,node3', 81));
  });

  t.test('a node is drained: new connections go elsewhere, those that stand go on', async (t) => {
    t.setTimeout(LIMIT_MS);
    const long = Array.from({ length: 4 }, () => new Lines(outside, LONG, V4, '81'));
    const first = await Promise.all(long.map((each) => each.next()));
    t.ok(
      first.some((each) => each.startsWith('node3')),
      first.join(),
    );
    drain(3);
    t.ok(await isLedTo('node1', 81));
    t.ok(await isLedTo('node1,node2', 80));
    for (const [i, each] of long.entries()) {
      each.tell(`${i}`);
      t.equal(await each.next(), `${first[i]?.split(' ')[0]} has ${i}`);
    }
    drain(0);
    t.ok(await isLedTo('node1,node3', 81), 'and back');
    for (const each of long) await each.close();
  });

  t.test('a node dies: new connections fail until two checks have failed', async (t) => {
    t.setTimeout(LIMIT_MS);
    shell('ip link set node1 down');
    t.ok(await isLedTo('node3', 81));
    t.ok(await isLedTo('node2,node3', 80));
    const after = await answers(V4, 80, 20);
    t.ok(
      after.every((each) => /^node[23] /.test(each)),
      'none fails any more',
    );
    shell('ip link set node1 up; ip addr replace fd00:9:1::1/64 dev node1 nodad');
    t.ok(await isLedTo('node1,node3', 81), 'and is back with its cable');
  });
}
