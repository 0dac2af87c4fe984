/** Every way to say who we are, against a real HTTP or HTTPS server. */
import { chmodSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import t, { type Test } from 'tap';
import { ApiClient } from '../../../../src/kubernetes/http/ApiClient.js';
import { Credentials } from '../../../../src/kubernetes/kubeconfig/Credentials.js';
import { inCluster } from '../../../../src/kubernetes/kubeconfig/inCluster.js';
import { readKubeconfig } from '../../../../src/kubernetes/kubeconfig/readKubeconfig.js';
import { type TestCertificate, testCertificate } from '../../../support/testCertificate.js';

type Fields = Record<string, unknown>;

/** Answers with the Authorization header, or the name in the client's certificate. */
const whoAmI: RequestListener = (request, response) => {
  const subject =
    'getPeerCertificate' in request.socket
      ? (request.socket as TLSSocket).getPeerCertificate()?.subject
      : undefined;
  response.writeHead(request.headers.authorization === 'Bearer old' ? 401 : 200);
  response.end(request.headers.authorization ?? subject?.CN ?? 'nobody');
};

async function serve(t: Test, certificate?: TestCertificate): Promise<number> {
  const server = certificate
    ? createTlsServer({ ...certificate, requestCert: true, rejectUnauthorized: false }, whoAmI)
    : createServer(whoAmI);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

function kubeconfig(folder: string, cluster: Fields, user: Fields): string {
  const path = join(folder, 'kubeconfig');
  const contexts = [{ name: 'here', context: { cluster: 'c', user: 'u' } }];
  const clusters = [{ name: 'c', cluster }];
  const users = [{ name: 'u', user }];
  writeFileSync(path, JSON.stringify({ 'current-context': 'here', contexts, clusters, users }));
  return path;
}

async function clientOf(t: Test, path: string, now: () => number = Date.now): Promise<ApiClient> {
  const connection = await readKubeconfig(path, '');
  const client = new ApiClient(connection, new Credentials(connection, now), 'penstock/test');
  t.teardown(() => client.close());
  return client;
}

async function ask(client: ApiClient): Promise<string> {
  const { body } = await client.get('/', new AbortController().signal);
  let text = '';
  for await (const chunk of body) text += Buffer.from(chunk).toString();
  return text;
}

t.test('a token', async (t) => {
  const server = `http://127.0.0.1:${await serve(t)}`;
  t.equal(await ask(await clientOf(t, kubeconfig(t.testdir(), { server }, { token: 'abc' }))), 'Bearer abc');
});

t.test('a token file is read again when it rotates, at once after a 401', async (t) => {
  const folder = t.testdir({ token: 'first\n' });
  const server = `http://127.0.0.1:${await serve(t)}`;
  let now = 0;
  const client = await clientOf(t, kubeconfig(folder, { server }, { tokenFile: 'token' }), () => now);
  t.equal(await ask(client), 'Bearer first');
  writeFileSync(join(folder, 'token'), 'old');
  now += 60_000;
  await client.get('/', new AbortController().signal);
  writeFileSync(join(folder, 'token'), 'second');
  t.equal(await ask(client), 'Bearer second', 'without waiting');
});

t.test('a plugin runs again before its credential expires', async (t) => {
  const folder = t.testdir({ count: '' });
  const plugin = join(folder, 'plugin');
  writeFileSync(
    plugin,
    `#!/bin/sh
echo x >> ${folder}/count
n=$(grep -c x ${folder}/count)
echo '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"'$n'","expirationTimestamp":"1970-01-01T01:00:00Z"}}'
`,
  );
  chmodSync(plugin, 0o755);
  const server = `http://127.0.0.1:${await serve(t)}`;
  const exec = { command: './plugin', apiVersion: 'client.authentication.k8s.io/v1' };
  let now = 0;
  const client = await clientOf(t, kubeconfig(folder, { server }, { exec }), () => now);
  t.equal(await ask(client), 'Bearer 1');
  now = 1_800_000;
  t.equal(await ask(client), 'Bearer 1', 'good for an hour');
  now = 3_595_000;
  t.equal(await ask(client), 'Bearer 2');
});

t.test('TLS: the name in the certificate, the CA, the client certificate', async (t) => {
  const folder = t.testdir();
  const cert = testCertificate(folder, 'api.example');
  const me = testCertificate(folder, 'me');
  const server = `https://127.0.0.1:${await serve(t, cert)}`;
  const user = {
    'client-certificate': me.certFile,
    'client-key-data': Buffer.from(me.key).toString('base64'),
  };
  const named = { server, 'certificate-authority': cert.certFile, 'tls-server-name': 'api.example' };
  t.equal(await ask(await clientOf(t, kubeconfig(folder, named, user))), 'me');
  const unnamed = { server, 'certificate-authority': cert.certFile };
  await t.rejects(ask(await clientOf(t, kubeconfig(folder, unnamed, user))), {
    code: 'PENSTOCK_API_UNREACHABLE',
    remedy: /tls-server-name/,
  });
  const trusting = { server, 'insecure-skip-tls-verify': true };
  t.equal(await ask(await clientOf(t, kubeconfig(folder, trusting, user))), 'me');
});

t.test('what is sent goes with the token of now, too', async (t) => {
  const folder = t.testdir({ token: 'old' });
  const server = `http://127.0.0.1:${await serve(t)}`;
  const client = await clientOf(t, kubeconfig(folder, { server }, { tokenFile: 'token' }));
  t.equal(await client.send('POST', '/', {}), 401);
  writeFileSync(join(folder, 'token'), 'new');
  t.equal(await client.send('POST', '/', {}), 200, 'without waiting');
});

t.test('a client certificate that is renewed is taken for the next connection', async (t) => {
  const folder = t.testdir();
  const cert = testCertificate(folder, 'api.example');
  const [first, second] = [testCertificate(folder, 'first'), testCertificate(folder, 'second')];
  const server = `https://127.0.0.1:${await serve(t, cert)}`;
  const cluster = { server, 'certificate-authority': cert.certFile, 'tls-server-name': 'api.example' };
  const user = { 'client-certificate': first.certFile, 'client-key': first.keyFile };
  let now = 0;
  const client = await clientOf(t, kubeconfig(folder, cluster, user), () => now);
  t.equal(await ask(client), 'first');
  writeFileSync(first.certFile, second.cert);
  writeFileSync(first.keyFile, second.key);
  now += 60_000;
  t.equal(await ask(client), 'second', 'though the connection before was still good');
});

t.test('a bad kubeconfig is refused with file, field and what is allowed', async (t) => {
  const path = kubeconfig(t.testdir(), { server: 'api:6443x' }, { exec: { args: 'a' } });
  await t.rejects(readKubeconfig(path, ''), {
    message: /clusters\[0\].cluster.server is "api:6443x".*command/,
  });
  await t.rejects(readKubeconfig(`${path}.none`, ''), { code: 'PENSTOCK_KUBECONFIG_UNUSABLE' });
  const other = kubeconfig(t.testdir(), { server: 'https://a' }, {});
  t.equal((await readKubeconfig(other, 'https://b:1/')).server, 'https://b:1', '--master wins');
});

t.test('a file that another process names has no program run', async (t) => {
  const exec = { apiVersion: 'client.authentication.k8s.io/v1', command: '/tmp/x' };
  const path = kubeconfig(t.testdir(), { server: 'https://a' }, { exec });
  t.equal((await readKubeconfig(path, '')).user.exec?.command, '/tmp/x');
  await t.rejects(
    readKubeconfig(path, '', (file) => file),
    {
      code: 'PENSTOCK_KUBECONFIG_UNUSABLE',
      message: /user\.exec/,
      remedy: /give it yourself: --kubeconfig FILE/,
    },
  );
  const harmless = kubeconfig(t.testdir(), { server: 'https://a' }, { token: 'x' });
  t.equal((await readKubeconfig(harmless, '', (file) => file)).server, 'https://a');
  await t.rejects(
    readKubeconfig('/dev/zero', '', (file) => file),
    { message: /regular file/ },
  );
  const named = kubeconfig(
    t.testdir(),
    { server: 'https://a', 'certificate-authority': '/pki/ca.crt' },
    { tokenFile: 'token', 'client-certificate': '/pki/c.crt', 'client-key': '/pki/c.key' },
  );
  const { ca, user } = await readKubeconfig('/etc/kubeconfig', '', (file) =>
    file === '/etc/kubeconfig' ? named : `/proc/7/root${file}`,
  );
  t.same(ca, { type: 'file', path: '/proc/7/root/pki/ca.crt' }, 'its files are looked for where it has them');
  t.same(user.token, { type: 'file', path: '/proc/7/root/etc/token' });
  t.same(user.certificate?.cert, { type: 'file', path: '/proc/7/root/pki/c.crt' });
  t.same(user.certificate?.key, { type: 'file', path: '/proc/7/root/pki/c.key' });
});

t.test('a pod', async (t) => {
  const env = { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '443' };
  t.equal(inCluster(env, '/sa')?.server, 'https://[fd00::1]:443');
  t.strictSame(inCluster(env, '/sa')?.user.token, { type: 'file', path: '/sa/token' });
  t.equal(inCluster({}, '/sa'), undefined);
});
