/** Endpoints that are Services: refused and named, and nobody else pays for them. */

import { createSocket } from 'node:dgram';
import { readdirSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { AgentProcess } from '../../support/AgentProcess.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, shell } from '../../support/iptables.js';
import { call, makeUserspaceWorld, serveName, VIP } from '../../support/userspaceWorld.js';

const [POD, ON_HOST] = ['10.2.0.1', '192.168.77.1'] as const;
const NODE_PORT = 30_080;
const LIMIT = 656;

interface Port {
  readonly name: string;
  readonly clusterIP: string;
  readonly endpoints: readonly string[];
  readonly port?: number;
  readonly targetPort?: number;
  readonly protocol?: 'TCP' | 'UDP';
  readonly spec?: object;
}

function objects({ name, clusterIP, endpoints, port = 80, targetPort = 8080, protocol = 'TCP', spec }: Port) {
  const namespace = name === 'good' ? 'shop' : 'evil';
  return [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, namespace },
      spec: { clusterIP, ports: [{ name: '', port, protocol, targetPort }], ...spec },
    },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name: `${name}-1`, namespace, labels: { 'kubernetes.io/service-name': name } },
      addressType: 'IPv4',
      ports: [{ name: '', port: targetPort, protocol }],
      endpoints: endpoints.map((address) => ({ addresses: [address], nodeName: 'node1' })),
    },
  ];
}

const ask = (host: string, port = 80) =>
  new Promise<string>((resolve) => {
    const socket = connect({ host, port });
    socket.setTimeout(8000, () => {
      socket.destroy();
      resolve('TIMEOUT');
    });
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
    socket.once('data', (data) => {
      socket.destroy();
      resolve(String(data));
    });
    socket.write('x');
  });

if (await inNetns(import.meta.url)) {
  makeUserspaceWorld([POD]);
  const servers = [await serveName(POD), await serveName(ON_HOST)];
  t.teardown(() => {
    for (const server of servers) server.close();
  });
  await using agent = new AgentProcess('mode: userspace\n');
  agent.write('all.json', [
    ...objects({ name: 'good', clusterIP: VIP, endpoints: [POD] }),
    ...objects({ name: 'self', clusterIP: '172.30.6.1', endpoints: ['172.30.6.1'], targetPort: 80 }),
    ...objects({ name: 'a', clusterIP: '172.30.6.2', endpoints: ['172.30.6.3'], targetPort: 80 }),
    ...objects({ name: 'b', clusterIP: '172.30.6.3', endpoints: ['172.30.6.2'], targetPort: 80 }),
    ...objects({
      name: 'port',
      clusterIP: '172.30.6.4',
      endpoints: [ON_HOST],
      targetPort: NODE_PORT,
      spec: { type: 'NodePort', ports: [{ name: '', port: 80, nodePort: NODE_PORT, targetPort: NODE_PORT }] },
    }),
    ...objects({
      name: 'external',
      clusterIP: '172.30.6.5',
      endpoints: ['203.0.113.7'],
      targetPort: 80,
      spec: { externalIPs: ['203.0.113.7'] },
    }),
    ...objects({
      name: 'half',
      clusterIP: '172.30.6.6',
      endpoints: ['172.30.6.6', POD],
      targetPort: 8080,
      port: 8080,
    }),
    ...objects({
      name: 'udp',
      clusterIP: '172.30.6.8',
      endpoints: ['172.30.6.8'],
      port: 53,
      targetPort: 53,
      protocol: 'UDP',
    }),
    // No loop: the node's own address, which a process of the node has.
    ...objects({
      name: 'ingress',
      clusterIP: '172.30.6.7',
      endpoints: [ON_HOST],
      port: 8080,
      targetPort: 8080,
      spec: { externalIPs: [ON_HOST] },
    }),
  ]);
  agent.start(['prlimit', `--nofile=${LIMIT}:${LIMIT}`]);
  await agent.ready();
  const descriptors = () => readdirSync(`/proc/${agent.pid}/fd`).length;

  const circles = [
    ['self', '172.30.6.1', 80, '172.30.6.1:80'],
    ['a', '172.30.6.2', 80, '172.30.6.3:80'],
    ['b', '172.30.6.3', 80, '172.30.6.2:80'],
    ['port', '172.30.6.4', 80, `${ON_HOST}:${NODE_PORT}`],
    ['external', '203.0.113.7', 80, '203.0.113.7:80'],
  ] as const;
  for (const [name, address, port, endpoint] of circles) {
    await t.test(name, async (t) => {
      const before = descriptors();
      t.equal(await ask(address, port), 'ECONNRESET');
      const text = `evil/${name}/TCP: endpoint ${endpoint} is the address of a Service`;
      t.ok(await eventually(async () => agent.output.includes(text)), 'it is named');
      t.ok(descriptors() <= before + 4);
      t.equal((await call()).text, POD);
    });
  }

  await t.test('by node port', async (t) => {
    t.equal(await ask(ON_HOST, NODE_PORT), 'ECONNRESET');
    t.equal((await call()).text, POD);
  });

  await t.test('an endpoint that is a server still serves', async (t) => {
    for (let i = 0; i < 20; i++) t.equal(await ask('172.30.6.6', 8080), POD);
  });

  await t.test('the address of the node, with a server behind it, is no circle', async (t) => {
    t.equal(await ask(ON_HOST, 8080), ON_HOST);
    t.equal(await ask('172.30.6.7', 8080), ON_HOST);
  });

  await t.test('datagrams', async (t) => {
    const client = createSocket('udp4');
    t.teardown(() => client.close());
    const told = new Promise<string>((resolve) => {
      client.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
    });
    await new Promise<void>((resolve) => client.connect(53, '172.30.6.8', resolve));
    const before = descriptors();
    client.send('x', () => {});
    t.equal(await Promise.race([told, sleep(3000, 'nothing')]), 'ECONNREFUSED');
    t.ok(descriptors() <= before + 2);
  });

  await t.test('an endpoint that becomes a Service later', async (t) => {
    const late = (endpoint: string) =>
      objects({ name: 'late', clusterIP: '172.30.7.1', endpoints: [endpoint] });
    agent.write('late.json', late('10.9.9.9'));
    agent.write(
      'thief.json',
      objects({ name: 'thief', clusterIP: '10.9.9.9', endpoints: [POD], port: 8080 }),
    );
    const named = () =>
      agent.output.includes('evil/late/TCP: endpoint 10.9.9.9:8080 is the address of a Service');
    t.ok(await eventually(async () => (await ask('172.30.7.1')) === 'ECONNRESET' && named()));
    agent.write('late.json', late(POD));
    t.ok(await eventually(async () => (await ask('172.30.7.1')) === POD), 'it serves again');
  });

  await t.test('connections of the proxy itself are captured by no rule', (t) => {
    const counter = shell('nft list chain ip penstock-userspace nat-output');
    t.match(counter, /meta mark (and|&) 0x0*1000 != 0x?0* accept/);
    t.end();
  });
}
