/** KEDA's external scaler as a real gRPC client sees it. */

import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:http2';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { GONE_MS } from '../../../../src/agent/wake/activityLease.js';
import { ExternalScaler } from '../../../../src/cli/scale/externalScaler.js';
import { GrpcServer } from '../../../../src/cli/scale/GrpcServer.js';
import { writeBytes, writeNumber } from '../../../../src/cli/scale/protobuf.js';
import { systemClock } from '../../../../src/time/Clock.js';
import { testActivity } from '../../../support/activityLeases.js';
import { FakeClock } from '../../../support/FakeClock.js';
import { eventually } from '../../../support/iptables.js';
import { kedaClient } from '../../../support/kedaClient.js';
import { testCertificate } from '../../../support/testCertificate.js';

const REF = { name: 'web', namespace: 'shop', scalerMetadata: { service: 'web', connections: '20' } };

const ASKED = { scaledObjectRef: REF, metricName: 'connections' };

async function serve(t: Test, tls?: ConstructorParameters<typeof GrpcServer>[1], isRead = true) {
  const clock = new FakeClock();
  const activity = testActivity(clock, () => scaler.changed(), isRead);
  const scaler = new ExternalScaler({ useOf: (service) => activity.view.of(service), clock });
  const server = new GrpcServer(scaler.methods, tls, clock);
  const port = await server.listen('127.0.0.1', 0);
  t.teardown(async () => {
    scaler.close();
    await server.close();
  });
  /** Puts a Lease, and lets KEDA hear of it. */
  const put = async (...words: Parameters<typeof activity.put>) => {
    activity.put(...words);
    await clock.pass(100);
  };
  return { ...activity, clock, scaler, server, port, put };
}

t.test('active where a node has connections or somebody who waits, and how many', async (t) => {
  const { put, port, clock } = await serve(t);
  const keda = await kedaClient(`127.0.0.1:${port}`);
  t.teardown(() => keda.close());
  t.strictSame({ ...((await keda.ask('isActive', REF)) as object) }, { result: false });
  const stream = keda.stream(REF);
  t.ok(await eventually(() => stream.told.length === 1));
  await put('node1', { waits: true });
  t.ok(await eventually(() => stream.told.length === 2), 'KEDA is told at once');
  await put('node2', { connections: 3 });
  t.match(await keda.ask('isActive', REF), { result: true });
  const metric = { metricName: 'connections', metricValue: 4, metricValueFloat: 4 };
  t.match(await keda.ask('getMetrics', ASKED), { metricValues: [metric] });
  t.match(await keda.ask('getMetricSpec', REF), {
    metricSpecs: [{ metricName: 'connections', targetSize: 20, targetSizeFloat: 20 }],
  });
  await put('node1', {});
  t.match(await keda.ask('getMetrics', ASKED), { metricValues: [{ metricValueFloat: 3 }] });
  await clock.pass(GONE_MS + 10_000);
  t.ok(await eventually(() => stream.told.length === 3), 'a node that is gone has no connections');
  t.strictSame(stream.told, [false, true, false]);
  t.match(await keda.ask('getMetrics', ASKED), { metricValues: [{ metricValueFloat: 0 }] });
  stream.cancel();
  t.strictSame(
    { ...((await keda.ask('isActive', { ...REF, namespace: 'other' })) as object) },
    { result: false },
    'a Service of the same name elsewhere is another',
  );
});

t.test('what cannot be answered is told in the words of gRPC', async (t) => {
  const { port } = await serve(t);
  const keda = await kedaClient(`127.0.0.1:${port}`);
  t.teardown(() => keda.close());
  const without = { ...REF, scalerMetadata: {} };
  await t.rejects(keda.ask('isActive', without), { code: 3, message: /metadata\.service of the trigger/ });
  const wrong = { ...REF, scalerMetadata: { service: 'web', connections: '0' } };
  await t.rejects(keda.ask('getMetricSpec', wrong), { code: 3, message: /must be above 0/ });
  await t.rejects(keda.ask('getMetrics', {}), { code: 3 });
  await t.rejects(keda.ask('later', REF), { code: 12 });
  const { port: unread } = await serve(t, undefined, false);
  const early = await kedaClient(`127.0.0.1:${unread}`);
  t.teardown(() => early.close());
  await t.rejects(early.ask('isActive', REF), { code: 14, message: /not read yet/ });
});

t.test('while the API server is away KEDA is told nothing, and afterwards no false', async (t) => {
  const { put, port, clock, become } = await serve(t);
  const keda = await kedaClient(`127.0.0.1:${port}`);
  t.teardown(() => keda.close());
  await put('node1', { connections: 5 });
  const stream = keda.stream(REF);
  t.ok(await eventually(() => stream.told.length === 1));
  become('away');
  await clock.pass(GONE_MS + 10_000);
  t.ok(await eventually(() => stream.failed.length === 1), 'the stream ends');
  t.strictSame([stream.told, stream.failed], [[true], [14]]);
  const late = keda.stream(REF);
  t.ok(await eventually(() => late.failed.length === 1), 'and none begins');
  await t.rejects(keda.ask('isActive', REF), { code: 14, message: /API server is away/ });
  await t.rejects(keda.ask('getMetrics', ASKED), { code: 14 });
  become('there');
  const next = keda.stream(REF);
  await t.rejects(keda.ask('isActive', REF), { code: 14, message: /time to renew/ });
  await put('node1', { waits: true });
  t.ok(await eventually(() => next.told.length === 1), 'who waits is told of at once');
  t.match(await keda.ask('isActive', REF), { result: true });
  await t.rejects(keda.ask('getMetrics', ASKED), { code: 14 }, 'others may have more');
  await put('node1', {});
  await clock.pass(GONE_MS - 10_000);
  t.strictSame(next.told, [true]);
  await clock.pass(20_000);
  t.ok(await eventually(() => next.told.length === 2));
  t.strictSame([next.told, next.failed], [[true, false], []]);
  t.match(await keda.ask('getMetrics', ASKED), { metricValues: [{ metricValue: 0 }] });
  next.cancel();
});

t.test('how many is not said where nobody knows', async (t) => {
  const { put, port } = await serve(t);
  const keda = await kedaClient(`127.0.0.1:${port}`);
  t.teardown(() => keda.close());
  for (const text of ['*', '{"shop/web":{"connections":1e999}}']) {
    await put('node1', { text });
    t.match(await keda.ask('isActive', REF), { result: true });
    await t.rejects(keda.ask('getMetrics', ASKED), { code: 14, message: /node node1 has too many/ });
  }
  await put('node1', { connections: Number.MAX_SAFE_INTEGER, waits: true });
  const most = { metricValue: Number.MAX_SAFE_INTEGER };
  t.match(await keda.ask('getMetrics', ASKED), { metricValues: [most] });
});

t.test('what comes in together is looked at once', async (t) => {
  const clock = new FakeClock();
  let looks = 0;
  const useOf = () => {
    looks++;
    return { active: true, connections: 1, waits: false, isBlind: false, why: undefined };
  };
  const scaler = new ExternalScaler({ useOf, clock });
  const answer = { send: () => {}, end: () => {}, fail: () => {}, onClose: () => {} };
  const entry = Buffer.concat([writeBytes(1, 'service'), writeBytes(2, 'web')]);
  const ref = Buffer.concat([writeBytes(1, 'web'), writeBytes(2, 'shop'), writeBytes(3, entry)]);
  scaler.methods.get('/externalscaler.ExternalScaler/StreamIsActive')?.(ref, answer);
  t.equal(looks, 1);
  for (let i = 0; i < 500; i++) scaler.changed();
  t.equal(looks, 1);
  await clock.pass(1000);
  t.equal(looks, 2);
  scaler.close();
});

t.test('a number that cannot be written ends with an error', async (t) => {
  for (const value of [Number.POSITIVE_INFINITY, Number.NaN, 2 ** 53, -1, 0.5])
    t.throws(() => writeNumber(1, value), RangeError);
  t.equal(writeNumber(1, Number.MAX_SAFE_INTEGER).length, 9);
});

t.test('who does not answer is cut off, and so is everybody at the end', { timeout: 20_000 }, async (t) => {
  const { port, server, clock } = await serve(t);
  const keda = await kedaClient(`127.0.0.1:${port}`);
  t.teardown(() => keda.close());
  const stream = keda.stream(REF);
  t.ok(await eventually(() => stream.told.length === 1));
  let isCut = false;
  const dead = createConnection(port, '127.0.0.1', () => dead.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'));
  dead.on('error', () => {}).on('close', () => (isCut = true));
  await once(dead, 'data');
  for (let i = 0; i < 2; i++) {
    await clock.pass(30_000);
    // Its answer to a ping takes the way over a real socket.
    await eventually(() => i > 0 && isCut, 500);
  }
  t.ok(isCut);
  t.strictSame(stream.failed, []);
  await keda.ask('isActive', REF);
  const raw = createConnection(port, '127.0.0.1');
  raw.on('error', () => {});
  await once(raw, 'connect');
  const began = systemClock.now();
  await server.close();
  t.ok(systemClock.now() - began < 1000);
});

t.test('who never shows a certificate neither fills the server nor holds up its end', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'scaler-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const { port, server } = await serve(t, testCertificate(folder, 'scaler.test'));
  let open = 0;
  let closed = 0;
  const began = systemClock.now();
  for (let i = 0; i < 140; i++) {
    const raw = createConnection(port, '127.0.0.1', () => open++);
    raw.on('error', () => {}).on('close', () => closed++);
  }
  t.ok(await eventually(() => open === 140 && closed >= 12));
  t.equal(closed, 12, 'more than 128 are not let in');
  t.ok(await eventually(() => closed === 140), 'nor does anybody stay who says nothing');
  t.ok(systemClock.now() - began > 9000, 'for ten seconds');
  const raw = createConnection(port, '127.0.0.1');
  raw.on('error', () => {});
  await once(raw, 'connect');
  const ends = systemClock.now();
  await server.close();
  t.ok(systemClock.now() - ends < 1000);
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
