/** Connections that fail are told of by the kernel, by name, in every mode of this kernel. */

import { request } from 'node:http';
import { connect } from 'node:net';
import t from 'tap';
import { Nflog } from '../../../src/kernel/nflog/Nflog.js';
import type { FlowRecord } from '../../../src/observe/flows/FlowLog.js';
import { AgentProcess } from '../../support/AgentProcess.js';
import { adminSocket } from '../../support/adminSocket.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, shell } from '../../support/iptables.js';
import { nodeWithOutside } from '../../support/nodeWithOutside.js';

const service = (name: string, clusterIP: string, spec: object = {}, status: object = {}) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace: 'shop' },
  spec: { clusterIP, ports: [{ name: 'http', port: 80, protocol: 'TCP', nodePort: 0 }], ...spec },
  status,
});
const slice = (name: string, nodeName: string) => ({
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: { name: `${name}-1`, namespace: 'shop', labels: { 'kubernetes.io/service-name': name } },
  addressType: 'IPv4',
  ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
  endpoints: [{ addresses: ['10.1.0.1'], nodeName }],
});
const OBJECTS = [
  service('empty', '172.30.0.11'),
  service('far', '172.30.0.12', { internalTrafficPolicy: 'Local' }),
  slice('far', 'node2'),
  service(
    'ranged',
    '172.30.0.13',
    { type: 'LoadBalancer', loadBalancerSourceRanges: ['203.0.113.0/24'] },
    { loadBalancer: { ingress: [{ ip: '192.0.2.80' }] } },
  ),
  slice('ranged', 'node1'),
  {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'ServiceCIDR',
    metadata: { name: 'kubernetes' },
    spec: { cidrs: ['172.30.0.0/16'] },
  },
];

function attempt(host: string, port: number): void {
  const socket = connect({ host, port, timeout: 300 });
  socket.on('error', () => {}).on('timeout', () => socket.destroy());
}

/** Every line that the admin socket sends from now on, with the time it came. */
async function follow(records: { readonly record: FlowRecord; readonly at: number }[]): Promise<() => void> {
  const socketPath = await adminSocket();
  const asked = request({ socketPath, path: '/v1/flows?follow=1' }, (response) => {
    response.setEncoding('utf8').on('data', (text: string) => {
      for (const line of text.split('\n').filter((each) => each !== ''))
        records.push({ record: JSON.parse(line) as FlowRecord, at: performance.now() });
    });
  });
  asked.on('error', () => {}).end();
  return () => asked.destroy();
}

if (await inNetns(import.meta.url)) {
  nodeWithOutside();

  for (const mode of ['nftables', 'iptables', 'userspace']) {
    t.test(`mode ${mode}`, async (t) => {
      await using agent = new AgentProcess(`mode: ${mode}\n`);
      agent.write('objects.json', OBJECTS);
      agent.start();
      await agent.ready();
      const heard: { readonly record: FlowRecord; readonly at: number }[] = [];
      const stop = await follow(heard);
      t.teardown(stop);
      await new Promise((resolve) => setTimeout(resolve, 300));
      const rows: readonly [string, number, string, string][] = [
        ['172.30.0.11', 80, 'no-endpoints', 'shop/empty:http'],
        ['172.30.0.12', 80, 'no-local-endpoints', 'shop/far:http'],
        ['192.0.2.80', 80, 'source-range', 'shop/ranged:http'],
        ['172.30.0.11', 81, 'unknown-port', 'shop/empty'],
        ['172.30.9.9', 80, 'no-such-cluster-ip', ''],
      ];
      for (const [host, port, reason, name] of rows) {
        // As in kube-proxy, rules of mode iptables leave these packets alone.
        if (mode === 'iptables' && ['unknown-port', 'no-such-cluster-ip'].includes(reason)) continue;
        const before = heard.length;
        const started = performance.now();
        attempt(host, port);
        t.ok(await eventually(() => heard.length > before, 5000), `${host}:${port} is told of`);
        const { record, at } = heard[before] ?? {};
        t.match(record, {
          reason,
          service: name,
          destination: host,
          port,
          client: '192.168.77.1',
          node: 'node1',
        });
        // Alone on a machine it is some 25 ms; others use it too.
        t.ok(
          (at ?? Number.POSITIVE_INFINITY) - started < 2000,
          `${Math.round((at ?? 0) - started)} ms after the packet`,
        );
      }
      if (mode !== 'iptables') return;
      const kept = shell('nft list table ip penstock-failures');
      agent.write('objects.json', [...OBJECTS, slice('empty', 'node1')]);
      t.ok(
        await eventually(() => !shell('nft list set ip penstock-failures refused').includes('172.30.0.11')),
        'an endpoint came: nothing is told of that Service any more',
      );
      agent.write('objects.json', OBJECTS);
      t.ok(
        await eventually(() => shell('nft list table ip penstock-failures') === kept),
        'and again when it went',
      );
      shell('nft delete table ip penstock-failures');
      t.ok(await eventually(() => listed('penstock-failures') === kept), 'a foreign removal is mended');
    });
  }

  t.test('a flood costs no more than fifty lines a second of a kind', async (t) => {
    await using agent = new AgentProcess('mode: nftables\n');
    agent.write('objects.json', OBJECTS);
    agent.start();
    await agent.ready();
    const heard: { readonly record: FlowRecord; readonly at: number }[] = [];
    const stop = await follow(heard);
    t.teardown(stop);
    const started = performance.now();
    for (let i = 0; i < 2000; i++) {
      attempt('172.30.0.11', 80);
      if (i % 200 === 0) await new Promise((resolve) => setTimeout(resolve, 10));
    }
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const seconds = (performance.now() - started) / 1000;
    const counted = await flowsOf('172.30.0.11');
    t.ok(
      counted > 0 && counted <= 100 + 50 * seconds + 50,
      `${counted} packets told of in ${seconds.toFixed(1)} s`,
    );
    t.ok(heard.length <= 3, 'one record');
  });

  t.test('a group that others have is left to them', async (t) => {
    const first = await Nflog.open(() => {});
    const second = await Nflog.open(() => {});
    t.strictSame([first.group, second.group], [71, 72]);
    first.close();
    second.close();
  });
}

/** '' when there is none. */
function listed(table: string): string {
  return shell(`nft list table ip ${table} 2>/dev/null || true`);
}

/** How many packets to an address were told of. */
async function flowsOf(destination: string): Promise<number> {
  const socketPath = await adminSocket();
  return new Promise((resolve, reject) => {
    request({ socketPath, path: '/v1/flows' }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => {
        text += part;
      });
      response.on('end', () => {
        const { items } = JSON.parse(text) as { items: FlowRecord[] };
        resolve(items.filter((r) => r.destination === destination).reduce((sum, r) => sum + r.count, 0));
      });
    })
      .on('error', reject)
      .end();
  });
}
