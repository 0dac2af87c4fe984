/** Ways to the API server, end to end: a source reads it through TLS, a proxy, compression, and with credentials that change. */
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import t from 'tap';
import { readKubeconfig } from '../../../../src/kubernetes/kubeconfig/readKubeconfig.js';
import { connectProxy } from '../../../support/connectProxy.js';
import { eventually } from '../../../support/iptables.js';
import { SERVICES, SourceWorld, service } from '../../../support/sourceWorld.js';
import { testCertificate } from '../../../support/testCertificate.js';

t.test('compression', async (t) => {
  const takes = (seen: (string | undefined)[]) => (request: IncomingMessage) => {
    seen.push(request.headers['accept-encoding']?.toString());
    return true;
  };
  for (const gzip of ['lists', 'everything'] as const) {
    const seen: (string | undefined)[] = [];
    const world = await SourceWorld.open(t, {
      serving: { gzip, authorized: takes(seen) },
      prepare: (fake) => {
        fake.initialEvents = 'refused';
        for (let n = 0; n < 600; n++) fake.put(SERVICES, service(n));
      },
    });
    t.ok(await world.agrees(), `of ${gzip}`);
    t.ok(seen.every((encoding) => encoding === 'gzip'));
    world.fake.put(SERVICES, service(3, 81));
    t.ok(await world.agrees(1000), 'a change arrives at once');
  }
  const seen: (string | undefined)[] = [];
  const world = await SourceWorld.open(t, {
    serving: { gzip: 'lists', authorized: takes(seen) },
    connection: () => ({ compression: 'none' }),
  });
  t.ok(await world.agrees());
  t.ok(
    seen.every((encoding) => encoding === undefined),
    'disable-compression',
  );
});

t.test('a compressed list that is cut in the middle is no list', async (t) => {
  const world = await SourceWorld.open(t, {
    serving: { gzip: 'everything' },
    prepare: (fake) => {
      fake.initialEvents = 'refused';
      for (let n = 0; n < 600; n++) fake.put(SERVICES, service(n));
      fake.faultsAt.set(SERVICES, [undefined, { type: 'cut', after: 50_000 }]);
    },
  });
  t.ok(await world.agrees());
  t.equal(world.fake.faultsAt.get(SERVICES)?.length, 0);
});

t.test(
  'TLS to a name that is not in the certificate, through a proxy and not, with a client certificate',
  async (t) => {
    const folder = t.testdir();
    const certificate = testCertificate(folder, 'api.example');
    const me = testCertificate(folder, 'me');
    const names = new Set<string | undefined>();
    const subjects = new Set<string | undefined>();
    const authorized = ({ socket }: IncomingMessage) => {
      names.add((socket as TLSSocket & { readonly servername?: string }).servername);
      subjects.add((socket as TLSSocket).getPeerCertificate().subject?.CN?.toString());
      return true;
    };
    const proxy = await connectProxy(t);
    for (const way of [undefined, `http://me:p%40ss@${proxy.host}`]) {
      names.clear();
      const world = await SourceWorld.open(t, {
        serving: { certificate, authorized },
        connection: (url) => ({
          server: url.replace('127.0.0.1', 'localhost'),
          ca: { type: 'file', path: certificate.certFile },
          tlsServerName: 'api.example',
          proxy: way,
          user: {
            token: undefined,
            basic: undefined,
            exec: undefined,
            certificate: {
              cert: { type: 'file', path: me.certFile },
              key: { type: 'file', path: me.keyFile },
            },
          },
        }),
        prepare: (fake) => fake.put(SERVICES, service(1)),
      });
      t.ok(await world.agrees(), way === undefined ? 'directly' : 'through the proxy');
      t.same([...names], ['api.example']);
      t.same([...subjects], ['me']);
      world.fake.put(SERVICES, service(1, 81));
      t.ok(await world.agrees());
      if (way === undefined) t.equal(proxy.tunnels.length, 0);
      else {
        const port = new URL(world.api.url).port;
        t.ok(proxy.tunnels.length > 0);
        const authorization = `Basic ${Buffer.from('me:p@ss').toString('base64')}`;
        t.ok(
          proxy.tunnels.every((each) => each.target === `localhost:${port}`),
          'the proxy resolves the name',
        );
        t.ok(proxy.tunnels.every((each) => each.authorization === authorization));
      }
    }
  },
);

t.test('a proxy that refuses, is away or says nothing: the log names it', async (t) => {
  const proxy = await connectProxy(t);
  const world = await SourceWorld.open(t, { connection: () => ({ proxy: `http://${proxy.host}` }) });
  t.ok(await world.agrees(), 'plain HTTP goes through a tunnel too');
  proxy.status = 403;
  world.fake.breakConnections();
  world.api.server.closeAllConnections();
  const said = (text: RegExp) => eventually(() => world.lines.some((line) => text.test(line)));
  t.ok(
    await said(new RegExp(`no answer through the proxy ${proxy.host}: .*403.*Check that the proxy`)),
    world.lines.join(),
  );
  proxy.status = 200;
  t.ok(await said(/answers again/));
  world.lines.length = 0;
  proxy.status = 0;
  world.api.server.closeAllConnections();
  t.ok(await eventually(() => world.source.contacts().every(({ connected }) => !connected)));
  t.ok(await said(/(broke off|stopped arriving|was silent)/), world.lines.join());
  proxy.status = 200;
  world.fake.put(SERVICES, service(1, 82));
  t.ok(await world.agrees(), 'and it comes back');
});

t.test('a token that rotates: the server stops taking the old one', async (t) => {
  const path = join(t.testdir({ token: 'first' }), 'token');
  let valid = 'first';
  let refused = 0;
  const world = await SourceWorld.open(t, {
    serving: {
      authorized: ({ headers }) => {
        const good = headers.authorization === `Bearer ${valid}`;
        if (!good) refused++;
        return good;
      },
    },
    connection: () => ({
      user: { token: { type: 'file', path }, certificate: undefined, basic: undefined, exec: undefined },
    }),
    prepare: (fake) => fake.put(SERVICES, service(1)),
  });
  t.ok(await world.agrees());
  writeFileSync(path, 'second');
  valid = 'second';
  world.fake.breakConnections();
  world.fake.put(SERVICES, service(1, 81));
  t.ok(await world.agrees(1000), 'at once, though the file is looked at every 10 s only');
  t.ok(refused > 0 && refused <= 4, `${refused} refused`);
  t.same(
    world.lines.filter((line) => /401/.test(line)),
    [],
    'nobody is told',
  );
  valid = 'third';
  world.fake.breakConnections();
  t.ok(
    await eventually(() => world.lines.some((line) => /HTTP 401: Unauthorized.*check the token/.test(line))),
  );
  t.match(world.contact('services').reason, 'HTTP 401');
  writeFileSync(path, 'third');
  world.fake.put(SERVICES, service(1, 82));
  t.ok(await world.agrees());
});

t.test('a plugin runs once for all who need it: at expiry, and after a 401', async (t) => {
  const folder = t.testdir({ runs: '' });
  const plugin = join(folder, 'plugin');
  writeFileSync(
    plugin,
    `#!/bin/sh
echo x >> ${folder}/runs
n=$(grep -c x ${folder}/runs)
echo '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"token-'$n'","expirationTimestamp":"1970-01-01T0'$n':00:00Z"}}'
`,
  );
  chmodSync(plugin, 0o755);
  const runs = () => readFileSync(join(folder, 'runs'), 'utf8').length / 2;
  const kubeconfig = join(folder, 'kubeconfig');
  writeFileSync(
    kubeconfig,
    JSON.stringify({
      'current-context': 'here',
      contexts: [{ name: 'here', context: { cluster: 'c', user: 'u' } }],
      clusters: [{ name: 'c', cluster: { server: 'http://replaced', 'disable-compression': true } }],
      users: [
        { name: 'u', user: { exec: { command: './plugin', apiVersion: 'client.authentication.k8s.io/v1' } } },
      ],
    }),
  );
  const { user, compression } = await readKubeconfig(kubeconfig, '');
  t.equal(compression, 'none');
  let valid = 'token-1';
  let now = 0;
  const world = await SourceWorld.open(t, {
    serving: { authorized: ({ headers }) => headers.authorization === `Bearer ${valid}` },
    connection: () => ({ user }),
    now: () => now,
    prepare: (fake) => fake.put(SERVICES, service(1)),
  });
  t.ok(await world.agrees());
  t.equal(runs(), 1, 'four resources');
  now = 3_595_000;
  valid = 'token-2';
  world.fake.breakConnections();
  world.fake.put(SERVICES, service(1, 81));
  t.ok(await world.agrees());
  t.equal(runs(), 2, 'it expired');
  valid = 'token-3';
  world.fake.breakConnections();
  world.fake.put(SERVICES, service(1, 82));
  t.ok(await world.agrees());
  t.ok(await eventually(() => world.source.contacts().every(({ connected }) => connected)));
  t.equal(runs(), 3, 'it was revoked, and four watches found out');
});
