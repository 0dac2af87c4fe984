/** Endpoints that refuse or stay silent are told of by name in the kernel modes of this kernel, and those that serve are not. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { get } from 'node:http';
import { connect, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { AgentClient } from '../../../src/cli/see/AgentClient.js';
import type { FlowRecord } from '../../../src/observe/flows/FlowLog.js';
import { AgentProcess, PENSTOCK } from '../../support/AgentProcess.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, plain } from '../../support/iptables.js';
import { addSilentPods, nodeWithOutside } from '../../support/nodeWithOutside.js';

const VIP = { cart: '172.30.0.10', wrong: '172.30.0.11', mute: '172.30.0.12' };

function service(name: keyof typeof VIP, endpoint: string, port: number): object[] {
  return [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, namespace: 'shop' },
      spec: { clusterIP: VIP[name], ports: [{ name: 'http', port: 80, protocol: 'TCP' }] },
    },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name: `${name}-1`, namespace: 'shop', labels: { 'kubernetes.io/service-name': name } },
      addressType: 'IPv4',
      ports: [{ name: 'http', port, protocol: 'TCP' }],
      endpoints: [
        { addresses: [endpoint], nodeName: 'node1', targetRef: { kind: 'Pod', name: `${name}-a` } },
      ],
    },
  ];
}

/** Resolves when it is connected, refused, or was given up. */
function attempt(host: string, port = 80, patience = 1000): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: patience });
    const end = () => {
      socket.destroy();
      resolve();
    };
    socket.once('connect', end).once('error', end).once('timeout', end);
  });
}

function metrics(): Promise<string> {
  return new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port: 10249, path: '/metrics' }, (response) => {
      let text = '';
      response.on('data', (chunk) => {
        text += chunk;
      });
      response.on('end', () => resolve(text));
    }).on('error', reject);
  });
}

async function flows(reason: string): Promise<FlowRecord[]> {
  const agent = await AgentClient.find();
  const records = (await agent?.list<FlowRecord>('/v1/flows')) ?? [];
  return records.filter((record) => record.reason === reason);
}

if (await inNetns(import.meta.url)) {
  nodeWithOutside('10.1.0.1');
  addSilentPods();
  const server = createServer((socket) => socket.on('error', () => {}).end());
  await new Promise<void>((resolve) => server.listen(9090, '10.1.0.1', resolve));
  t.teardown(() => server.close());

  for (const mode of ['nftables', 'iptables']) {
    t.test(`mode ${mode}`, async (t) => {
      await using agent = new AgentProcess(`mode: ${mode}\n`);
      agent.write('objects.json', [
        ...service('cart', '10.1.0.1', 9090),
        ...service('wrong', '10.1.0.1', 8080),
        ...service('mute', '10.66.0.1', 8080),
      ]);
      agent.start();
      await agent.ready();
      const silent = attempt(VIP.mute, 80, 12_000);
      const begun = performance.now();
      await attempt(VIP.wrong);
      await eventually(async () => (await flows('endpoint-refused')).length > 0);
      t.comment(`told of a refusal after ${Math.round(performance.now() - begun)} ms`);
      t.match(await flows('endpoint-refused'), [
        {
          service: 'shop/wrong:http',
          destination: VIP.wrong,
          port: 80,
          endpoint: '10.1.0.1:8080',
          endpointPod: 'shop/wrong-a',
          count: 1,
        },
      ]);
      for (let i = 0; i < 20; i++) await attempt(VIP.cart);
      await attempt('10.1.0.1', 8080);
      await eventually(async () => (await flows('endpoint-silent')).length > 0, 25_000);
      t.match(await flows('endpoint-silent'), [
        { service: 'shop/mute:http', endpoint: '10.66.0.1:8080', endpointPod: 'shop/mute-a' },
      ]);
      t.match(
        await metrics(),
        /penstock_refused_total\{namespace="shop",service="wrong",port="80",reason="endpoint-refused"\} 1/,
      );
      await silent;

      // 2,000 refusals: at most 50 a second are told of, and it goes on telling afterwards.
      const [before] = await flows('endpoint-refused');
      await sleep(1100);
      const flooded = performance.now();
      for (let i = 0; i < 100; i++) await Promise.all(Array.from({ length: 20 }, () => attempt(VIP.wrong)));
      const seconds = (performance.now() - flooded) / 1000;
      const told = (await flows('endpoint-refused')).reduce((sum, { count }) => sum + count, 0);
      const most = 50 * (seconds + 2) + (before?.count ?? 0);
      t.ok(told > 20 && told <= most, `told of ${told} of 2000 in ${seconds.toFixed(1)} s`);
      await sleep(2100);
      await attempt(VIP.wrong);
      await eventually(async () => {
        const now = (await flows('endpoint-refused')).reduce((sum, { count }) => sum + count, 0);
        return now > told;
      });
      const all = [...(await flows('endpoint-refused')), ...(await flows('endpoint-silent'))];
      t.strictSame(
        [...new Set(all.map(({ service }) => service))].sort(),
        ['shop/mute:http', 'shop/wrong:http'],
        'what works, and what is no Service, is not told of',
      );

      await agent.end('SIGKILL');
      const [file, args] = plain(PENSTOCK, 'flows', '-f', '--reason', 'endpoint-refused');
      const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'] });
      let said = '';
      child.stdout.on('data', (chunk) => {
        said += chunk;
      });
      await eventually(async () => {
        await attempt(VIP.wrong);
        return said !== '';
      });
      child.kill('SIGTERM');
      await once(child, 'exit');
      t.match(said, /endpoint-refused {2}\S+ → shop\/wrong:http \(172\.30\.0\.11:80\/TCP\) at shop\/wrong-a/);
    });
  }
}
