/** nginx and HAProxy with the files of examples/path do what the documentation of Ingress says, and what no tenant can change. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { inNetns } from '../../support/inNetns.js';
import { eventually, shell } from '../../support/iptables.js';
import { HOST_MATCHES, ingress, PATH_MATCHES } from '../../support/pathMatches.js';
import { askEdge, noProxies, runController, startHaproxy, startNginx } from '../../support/pathProxies.js';
import { testCertificate } from '../../support/testCertificate.js';

const BACKENDS = ['s0', 's1', 's2'];
const service = (name: string, i: number) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace: 'shop' },
  spec: { clusterIP: `172.30.0.${i + 1}`, ports: [{ name: 'http', port: 8080 }] },
});
const secret = (name: string, cert: string, key: string) => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name, namespace: 'shop' },
  data: { 'tls.crt': Buffer.from(cert).toString('base64'), 'tls.key': Buffer.from(key).toString('base64') },
});
const tls = (host: string, secretName: string) => ({ tls: [{ hosts: [host], secretName }] });
const hostOf = (kind: string, i: number) => `${kind}${i}.example`;

const skip = noProxies();
if (skip) t.test('nginx and HAProxy with examples/path', { skip }, async () => {});
else if (await inNetns(import.meta.url)) {
  const folder = mkdtempSync(join(tmpdir(), 'penstock-path-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  shell('ip link set lo up');
  for (const [i, name] of BACKENDS.entries()) {
    shell(`ip addr add 172.30.0.${i + 1}/32 dev lo`);
    const server = createServer((request, response) =>
      response.end(`${name} ${request.headers['x-forwarded-for']} ${request.url}`),
    );
    await new Promise<void>((done) => server.listen(8080, `172.30.0.${i + 1}`, done));
    t.teardown(() => {
      server.closeAllConnections();
      server.close();
    });
  }
  const good = testCertificate(folder, 'secure.example');
  shell(
    `openssl req -x509 -newkey rsa:1024 -nodes -subj /CN=weak -days 2 -keyout ${folder}/weak.key -out ${folder}/weak.crt 2>/dev/null`,
  );
  const read = (name: string) => readFileSync(join(folder, name), 'utf8');
  const objects = [
    ...BACKENDS.map(service),
    ...PATH_MATCHES.map(([paths], i) =>
      ingress({
        name: `row${i}`,
        host: hostOf('row', i),
        paths: Object.fromEntries(paths.map((path, k) => [path, BACKENDS[k] as string])),
      }),
    ),
    ...HOST_MATCHES.slice(0, 1).map(([host]) => ingress({ name: 'wild', host, paths: { 'Prefix /': 's0' } })),
    ingress({
      name: 'secure',
      host: 'secure.example',
      paths: { 'Prefix /': 's1' },
      spec: tls('secure.example', 'good'),
    }),
    secret('good', good.cert, good.key),
    // What would stop a proxy.
    ingress({ name: 'evil', host: 'a.example', paths: { 'Prefix /x{}': 's0' } }),
    ...['weak', 'garbage', 'mixed', 'tail'].map((name) =>
      ingress({
        name,
        host: `${name}.example`,
        paths: { 'Prefix /': 's0' },
        spec: tls(`${name}.example`, name),
      }),
    ),
    secret('weak', read('weak.crt'), read('weak.key')),
    secret('garbage', 'x', '-----BEGIN PRIVATE KEY-----\nx'),
    secret('mixed', good.cert, read('weak.key')),
    secret('tail', `${good.cert}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n`, good.key),
    ingress({ name: 'nobody', host: 'nobody.example', paths: { 'Prefix /': 'nobody' } }),
    ingress({
      name: 'canary',
      host: 'canary.example',
      paths: { 'Prefix /': 's0' },
      annotations: { 'path.penstock.io/canary': 's1=25' },
    }),
    ingress({
      name: 'whole',
      host: 'whole.example',
      paths: { 'Prefix /': 's0' },
      annotations: { 'path.penstock.io/canary': 's1=100' },
    }),
  ];
  const manifests = join(folder, 'manifests.json');
  writeFileSync(manifests, JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }));

  for (const [proxy, start] of [
    ['nginx', startNginx],
    ['haproxy', startHaproxy],
  ] as const) {
    t.test(proxy, async (t) => {
      const out = join(folder, proxy);
      const { said, status } = runController('--manifests', manifests, `--${proxy}`, out);
      t.equal(status, 0, said);
      for (const name of ['evil', 'weak', 'garbage', 'mixed', 'tail'])
        t.match(said, new RegExp(`Ingress shop/${name}`), `${name} is named`);
      const stop = start(out);
      t.ok(await eventually(async () => (await askEdge({ host: 'row0.example' })).status === 200));

      for (const [i, [paths, path, by]] of PATH_MATCHES.entries()) {
        const { status, body } = await askEdge({ host: hostOf('row', i), path });
        const expected = by === undefined ? '404' : `200 ${BACKENDS[paths.indexOf(by)]}`;
        t.equal(
          status === 200 ? `200 ${body.split(' ')[0]}` : String(status),
          expected,
          `${paths} ← ${path}`,
        );
      }
      for (const [host, asked, matches] of HOST_MATCHES)
        if (host.startsWith('*'))
          t.equal((await askEdge({ host: asked })).status, matches ? 200 : 404, `${host} ← ${asked}`);
      t.equal((await askEdge({ host: 'nobody.example' })).status, 503);
      t.equal((await askEdge({ host: 'a.example' })).status, 404, 'the refused object has no route');
      t.equal((await askEdge({ host: 'weak.example' })).status, 200, 'without TLS it is served');
      t.match(await askEdge({ host: 'secure.example', tls: true }), { status: 200, body: /^s1 / });
      t.equal((await askEdge({ host: 'weak.example', tls: true })).status, 0, 'no certificate, no handshake');
      t.match(
        await askEdge({ host: 'row0.example', headers: { 'x-forwarded-for': '9.9.9.9' } }),
        { body: 's0 127.0.0.1 /', headers: { 'x-edge-saw': '127.0.0.1' } },
        'a client cannot say who it is',
      );
      t.equal(
        (await askEdge({ host: 'row20.example', path: '/x/../../foo' })).body.split(' ')[0] === 's1',
        false,
        'no way round by dots',
      );
      t.equal((await askEdge({ host: 'row1.example', path: '/foo%0a' })).status, 404, 'not Exact /foo');
      t.equal((await askEdge({ host: 'row1.example/foo', path: '/' })).status, 400, 'no host with a path');
      t.equal(
        (await askEdge({ host: 'ROW1.example:80', path: '/foo' })).status,
        200,
        'as clients write hosts',
      );
      t.match(await askEdge({ host: 'whole.example' }), { body: /^s1 / });
      let canary = 0;
      for (let i = 0; i < 200; i++)
        if ((await askEdge({ host: 'canary.example' })).body.startsWith('s1')) canary++;
      // 25 of 100: outside of 22 to 78 of 200 once in some 10^5 runs.
      t.ok(canary >= 22 && canary <= 78, `${canary} of 200 to the canary of 25 %`);
      stop();
      t.ok(await eventually(async () => (await askEdge({ host: 'row0.example' })).status === 0));

      const proxied = runController(
        '--manifests',
        manifests,
        `--${proxy}`,
        out,
        '--proxy-from',
        '127.0.0.1/32',
      );
      t.equal(proxied.status, 0, proxied.said);
      const stopProxied = start(out);
      t.ok(await eventually(async () => (await withProxyHeader('203.0.113.7')).includes('200 OK')));
      t.match(
        await withProxyHeader('203.0.113.7'),
        /s0 203\.0\.113\.7 \//,
        'PROXY protocol brings the client',
      );
      stopProxied();
      await eventually(async () => (await askEdge({ host: 'row0.example' })).status === 0);
    });
  }
}

function withProxyHeader(client: string): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    const socket = connect(80, '127.0.0.1', () =>
      socket.write(
        `PROXY TCP4 ${client} 127.0.0.1 4711 80\r\nGET / HTTP/1.1\r\nHost: row0.example\r\nConnection: close\r\n\r\n`,
      ),
    );
    socket.on('data', (chunk) => {
      text += chunk;
    });
    socket.on('close', () => resolve(text));
    socket.on('error', () => {});
  });
}
