/** KEDA's external scaler as a real gRPC client sees it. */

import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { GONE_MS, writeActivityLease } from '../../../../src/agent/wake/activityLease.js';
import { ClusterActivity } from '../../../../src/agent/wake/ClusterActivity.js';
import { ExternalScaler } from '../../../../src/cli/scale/externalScaler.js';
import { GrpcServer } from '../../../../src/cli/scale/GrpcServer.js';
import { FakeClock } from '../../../support/FakeClock.js';
import { eventually } from '../../../support/iptables.js';
import { kedaClient } from '../../../support/kedaClient.js';
import { testCertificate } from '../../../support/testCertificate.js';

const REF = { name: 'web', namespace: 'shop', scalerMetadata: { service: 'web', connections: '20' } };

function lease(node: string, web: { connections: number; waits: boolean } | undefined): unknown {
  const activities = new Map(web === undefined ? [] : [['shop/web', web] as const]);
  return writeActivityLease({ node, namespace: 'kube-system', activities, date: 0 });
}

async function serve(t: Test, tls?: ConstructorParameters<typeof GrpcServer>[1]) {
  const clock = new FakeClock();
  let isKnown = true;
  const scaler = new ExternalScaler({ view: () => (isKnown ? view : undefined), clock });
  const view = new ClusterActivity(clock, () => scaler.changed());
  const server = new GrpcServer(scaler.methods, tls);
  const port = await server.listen('127.0.0.1', 0);
  t.teardown(async () => {
    scaler.close();
    await server.close();
  });
  return { clock, view, port, setKnown: (known: boolean) => (isKnown = known) };
}

t.test('active where a node has connections or somebody who waits, and how many', async (t) => {
  const { view, port, clock } = await serve(t);
  const keda = await kedaClient(`127.0.0.1:${port}`);
  t.teardown(() => keda.close());
  t.strictSame({ ...((await keda.ask('isActive', REF)) as object) }, { result: false });
  const stream = keda.stream(REF);
  t.ok(await eventually(() => stream.told.length === 1));
  view.take([{ type: 'upsert', raw: lease('node1', { connections: 0, waits: true }) }]);
  t.ok(await eventually(() => stream.told.length === 2), 'KEDA is told at once');
  view.take([{ type: 'upsert', raw: lease('node2', { connections: 3, waits: false }) }]);
  t.match(await keda.ask('isActive', REF), { result: true });
  const asked = { scaledObjectRef: REF, metricName: 'connections' };
  const metric = { metricName: 'connections', metricValue: 4, metricValueFloat: 4 };
  t.match(await keda.ask('getMetrics', asked), { metricValues: [metric] });
  t.match(await keda.ask('getMetricSpec', REF), {
    metricSpecs: [{ metricName: 'connections', targetSize: 20, targetSizeFloat: 20 }],
  });
  view.take([{ type: 'upsert', raw: lease('node1', undefined) }]);
  t.match(await keda.ask('getMetrics', asked), { metricValues: [{ metricValueFloat: 3 }] });
  await clock.pass(GONE_MS + 10_000);
  t.ok(await eventually(() => stream.told.length === 3), 'a node that is gone has no connections');
  t.strictSame(stream.told, [false, true, false]);
  t.match(await keda.ask('getMetrics', asked), { metricValues: [{ metricValueFloat: 0 }] });
  stream.cancel();
  t.strictSame(
    { ...((await keda.ask('isActive', { ...REF, namespace: 'other' })) as object) },
    { result: false },
    'a Service of the same name elsewhere is another',
  );
});

t.test('what cannot be answered is told in the words of gRPC', async (t) => {
  const { port, setKnown } = await serve(t);
  const keda = await kedaClient(`127.0.0.1:${port}`);
  t.teardown(() => keda.close());
  const without = { ...REF, scalerMetadata: {} };
  await t.rejects(keda.ask('isActive', without), { code: 3, message: /metadata\.service of the trigger/ });
  const wrong = { ...REF, scalerMetadata: { service: 'web', connections: '0' } };
  await t.rejects(keda.ask('getMetricSpec', wrong), { code: 3, message: /must be above 0/ });
  await t.rejects(keda.ask('getMetrics', {}), { code: 3 });
  await t.rejects(keda.ask('later', REF), { code: 12 });
  setKnown(false);
  await t.rejects(keda.ask('isActive', REF), { code: 14, message: /not read yet/ });
});

t.test('what is no gRPC, or too long, ends; the others are served', async (t) => {
  const { port } = await serve(t);
  const session = connect(`http://127.0.0.1:${port}`);
  t.teardown(() => session.close());
  const post = (type: string, body: Buffer) =>
    new Promise<string>((resolve) => {
      const path = '/externalscaler.ExternalScaler/IsActive';
      const stream = session.request({ ':method': 'POST', ':path': path, 'content-type': type });
      let said = 'nothing';
      stream.on('response', (headers) => {
        said = `${headers[':status']} ${headers['grpc-status'] ?? ''}`.trim();
      });
      stream.on('error', () => {});
      stream.on('close', () => resolve(said));
      stream.end(body);
      stream.resume();
    });
  t.equal(await post('text/plain', Buffer.alloc(0)), '415');
  t.equal(await post('application/grpc', Buffer.from([0, 0])), '200 3');
  t.equal(await post('application/grpc', Buffer.from([1, 0, 0, 0, 0])), '200 12', 'compressed');
  t.equal(await post('application/grpc', Buffer.from([0, 0, 0, 0, 2, 0x1a, 0x7f])), '200 3', 'cut off');
  t.equal(await post('application/grpc', Buffer.alloc(100_000)), 'nothing', 'too long');
  const keda = await kedaClient(`127.0.0.1:${port}`);
  t.teardown(() => keda.close());
  t.match(await keda.ask('isActive', REF), { result: false });
});

t.test('TLS, and clients that must show a certificate', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'scaler-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const [own, client] = [testCertificate(folder, 'scaler.test'), testCertificate(folder, 'keda.test')];
  const { port } = await serve(t, {
    cert: own.cert,
    key: own.key,
    ca: client.cert,
    requestCert: true,
    rejectUnauthorized: true,
  });
  const target = `127.0.0.1:${port}`;
  const known = await kedaClient(target, { ca: own.cert, ...pair(client), name: 'scaler.test' });
  t.teardown(() => known.close());
  t.match(await known.ask('isActive', REF), { result: false });
  const stranger = await kedaClient(target, { ca: own.cert, name: 'scaler.test' });
  t.teardown(() => stranger.close());
  await t.rejects(stranger.ask('isActive', REF), { code: 14 }, 'who shows none is not let in');
});

function pair({ cert, key }: { readonly cert: string; readonly key: string }) {
  return { cert, key };
}
