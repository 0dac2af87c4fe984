/** penstock scaler as a process: an agent's writing reaches KEDA through an API server; what is not safe is not begun. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ActivityWriter } from '../../../../src/agent/wake/ActivityWriter.js';
import { systemClock } from '../../../../src/time/Clock.js';
import { PENSTOCK } from '../../../support/AgentProcess.js';
import { writeKubeconfig } from '../../../support/ClusterAgent.js';
import { FakeApiServer } from '../../../support/FakeApiServer.js';
import { eventually } from '../../../support/iptables.js';
import { kedaClient } from '../../../support/kedaClient.js';
import { serveApi } from '../../../support/serveApi.js';
import { writeToApi } from '../../../support/writeToApi.js';

const REF = { name: 'web', namespace: 'shop', scalerMetadata: { service: 'web' } };

function start(t: Test, words: readonly string[]): { readonly child: ChildProcess; output: string } {
  const child = spawn(PENSTOCK, ['scaler', ...words], { stdio: ['ignore', 'pipe', 'pipe'] });
  const started = { child, output: '' };
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (text) => {
      started.output += text;
    });
  t.teardown(() => child.kill('SIGKILL'));
  return started;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

t.test('from a node to KEDA', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'scaler-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const fake = new FakeApiServer(systemClock);
  const api = await serveApi(fake);
  t.teardown(() => api.close());
  const kubeconfig = join(folder, 'kubeconfig');
  writeKubeconfig(kubeconfig, api.url);
  const port = await freePort();
  const scaler = start(t, ['--kubeconfig', kubeconfig, '--listen', `127.0.0.1:${port}`]);
  t.ok(await eventually(() => scaler.output.includes('are read')), scaler.output);
  const keda = await kedaClient(`127.0.0.1:${port}`);
  t.teardown(() => keda.close());
  const stream = keda.stream(REF);
  t.ok(await eventually(() => stream.told.length === 1));
  const writer = new ActivityWriter({
    api: { send: async (method, path, body) => writeToApi(fake, method, path, body) },
    namespace: 'kube-system',
    node: 'node1',
    clock: systemClock,
    onTrouble: (why) => t.equal(why, undefined),
  });
  writer.waits('shop/web');
  t.ok(await eventually(() => stream.told.length === 2));
  writer.looked(new Map([['shop/web', 7]]));
  const asked = { scaledObjectRef: REF, metricName: 'connections' };
  const has = async (value: number) =>
    JSON.stringify(await keda.ask('getMetrics', asked)).includes(`:${value},`);
  t.ok(await eventually(() => has(8)), 'seven connections, and one that waits');
  t.strictSame(stream.told, [false, true]);
  await writer.stop();
  const raw = createConnection(port, '127.0.0.1');
  raw.on('error', () => {});
  await once(raw, 'connect');
  const began = systemClock.now();
  scaler.child.kill('SIGTERM');
  const [status] = await once(scaler.child, 'exit');
  t.equal(status, 0, scaler.output);
  t.ok(systemClock.now() - began < 5000, 'a stream and a connection that says nothing do not hold it up');
});

t.test('beyond loopback it wants a certificate', async (t) => {
  const scaler = start(t, ['--listen', '0.0.0.0:9901']);
  const [status] = await once(scaler.child, 'close');
  t.equal(status, 2);
  t.match(scaler.output, /others could read and change what is said there/);
  const half = start(t, ['--tls-cert', '/nowhere']);
  t.equal((await once(half.child, 'close'))[0], 2);
  t.match(half.output, /--tls-cert and --tls-key go together/);
});
