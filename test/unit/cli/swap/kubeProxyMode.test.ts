/** Which kube-proxy serves on a node, asked on its own port: an agent of ours has the same pages. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import { kubeProxyMode } from '../../../../src/cli/host/kubeProxyMode.js';
import { statusPages } from '../../../../src/observe/http/statusPages.js';

/** A server with these pages; what is not one of them is refused with 404. */
async function serving(t: Test, pages: Readonly<Record<string, string>>) {
  const server = createServer((request, response) => {
    const body = pages[request.url ?? ''];
    response.writeHead(body === undefined ? 404 : 200).end(body);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  return { host: '127.0.0.1', port: (server.address() as AddressInfo).port };
}

t.test('kube-proxy says its mode; an older one has no page about itself', async (t) => {
  const statusz = '\nkube-proxy statusz\nWarning: …\n';
  t.equal(await kubeProxyMode(await serving(t, { '/proxyMode': 'ipvs\n', '/statusz': statusz })), 'ipvs');
  t.equal(await kubeProxyMode(await serving(t, { '/proxyMode': 'iptables' })), 'iptables');
});

t.test('an agent of ours is no kube-proxy', async (t) => {
  const facts = {
    mode: 'iptables',
    version: '1',
    startedAt: 0,
    now: () => 0,
    configuration: {},
    flags: new Map<string, string>(),
  };
  const pages = Object.fromEntries([...statusPages(facts)].map(([path, { body }]) => [path, String(body())]));
  t.equal(pages['/proxyMode'], 'iptables');
  t.equal(await kubeProxyMode(await serving(t, pages)), 'nobody');
});

t.test('nobody, another program, and what is slow or does not end', async (t) => {
  t.equal(await kubeProxyMode(await serving(t, {})), 'unclear');
  t.equal(await kubeProxyMode(await serving(t, { '/proxyMode': 'fast' })), 'unclear');
  t.equal(await kubeProxyMode(await serving(t, { '/proxyMode': 'ipvs '.repeat(10_000) })), 'unclear');
  const gone = await serving(t, {});
  t.equal(await kubeProxyMode({ ...gone, port: 1 }), 'nobody');

  // Bytes that drip in: each is in time, the whole is not.
  const slow = createServer((_, response) => {
    const drip = setInterval(() => response.write('i'), 100);
    response.on('close', () => clearInterval(drip));
  }).listen(0, '127.0.0.1');
  await once(slow, 'listening');
  t.teardown(() => slow.close());
  t.equal(await kubeProxyMode({ ...gone, port: (slow.address() as AddressInfo).port }), 'unclear');
});
