/** Certificates that are exchanged while the scaler runs. */
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import t from 'tap';
import { GrpcServer } from '../../../../src/cli/scale/GrpcServer.js';
import { readTlsFiles, watchTlsFiles } from '../../../../src/cli/scale/TlsFiles.js';
import { FakeClock } from '../../../support/FakeClock.js';
import { type TestCertificate, testCertificate } from '../../../support/testCertificate.js';

t.test('new files are taken, broken ones are named and left', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'scaler-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const make = (name: string) => testCertificate(folder, name);
  const [first, second, keda, other] = [make('first'), make('second'), make('keda'), make('other')];
  const paths = { cert: join(folder, 'cert'), key: join(folder, 'key'), clientCa: join(folder, 'ca') };
  const put = (own: TestCertificate, client: TestCertificate) => {
    copyFileSync(own.certFile, paths.cert);
    copyFileSync(own.keyFile, paths.key);
    copyFileSync(client.certFile, paths.clientCa);
  };
  put(first, keda);
  const clock = new FakeClock();
  const server = new GrpcServer(new Map(), readTlsFiles(paths), clock);
  const port = await server.listen('127.0.0.1', 0);
  const said: string[] = [];
  const log = { info: (text: string) => said.push(text), warn: (text: string) => said.push(text) };
  const end = watchTlsFiles({ paths, onChange: (tls) => server.renew(tls), clock, log });
  t.teardown(() => {
    end();
    return server.close();
  });
  /** Whom a client with this certificate meets. */
  const meets = (client: TestCertificate) =>
    new Promise<string>((resolve) => {
      const { cert, key } = client;
      const socket = connect({ port, cert, key, rejectUnauthorized: false, ALPNProtocols: ['h2'] });
      const { subject } = { subject: () => socket.getPeerCertificate().subject?.CN };
      // TLS 1.3: that the server refuses comes after the handshake; else its settings do.
      socket.on('data', () => resolve(String(subject())));
      socket.on('error', () => resolve('nobody'));
      socket.on('close', () => resolve('nobody'));
      t.teardown(() => socket.destroy());
    });
  t.equal(await meets(keda), 'first');
  t.equal(await meets(other), 'nobody');
  put(second, other);
  await clock.pass(31_000);
  t.equal(await meets(other), 'second');
  t.equal(await meets(keda), 'nobody');
  t.match(said, [/read again$/]);
  for (const [path, what] of [
    [paths.cert, /taken, the certificates before stay in force: [^ ]*cert: /],
    [paths.key, /in force: [^ ]*key: /],
    [paths.clientCa, /in force: [^ ]*ca: /],
  ] as const) {
    for (const text of ['', '-----BEGIN CERTIFICATE-----\n']) {
      writeFileSync(path, text);
      said.length = 0;
      await clock.pass(31_000);
      t.equal(said.length, 1);
      t.match(said[0], what);
      t.equal(await meets(other), 'second');
    }
    put(second, other);
    await clock.pass(31_000);
  }
  copyFileSync(first.keyFile, paths.key);
  said.length = 0;
  await clock.pass(31_000);
  t.match(said, [/cert with .*key: .*mismatch/], 'a key of another certificate');
  rmSync(paths.key);
  await clock.pass(31_000);
  t.match(said[1], /one of .* cannot be read/);
  t.equal(await meets(other), 'second');
  put(first, keda);
  await clock.pass(31_000);
  t.equal(await meets(keda), 'first');
});

t.test('a server that speaks plain text has none', async (t) => {
  const server = new GrpcServer(new Map(), undefined, new FakeClock());
  t.throws(() => server.renew({}), /plain text/);
  await server.listen('127.0.0.1', 0);
  await server.close();
});
