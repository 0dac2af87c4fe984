/**
 * Node ports on loopback with a real redirection, and pods in a network namespace of their own: what rules alone cannot
 * do while route_localnet is 0.
 */
import { execFile, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import t from 'tap';
import type { RedirectedFlow } from '../../../src/dataplane/localhost/LocalhostOptions.js';
import { LocalhostProxy } from '../../../src/dataplane/localhost/LocalhostProxy.js';
import { IP_FAMILIES, type IpFamily } from '../../../src/net/ip.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, plain, shell } from '../../support/iptables.js';
import { ask } from '../../support/loopbackEndpoints.js';
import { ENDPOINT_PORT, LOOPBACK, nodePortRow } from '../../unit/dataplane/localhost/nodePorts.js';

type ByFamily = Readonly<Record<IpFamily, string>>;

const NODE: ByFamily = { IPv4: '10.244.0.1', IPv6: 'fd00:244::1' };
/** Who serves a node port, of TCP and UDP alike. */
const PODS: ReadonlyMap<number, ByFamily> = new Map([
  [30080, { IPv4: '10.244.0.2', IPv6: 'fd00:244::2' }],
  [30081, { IPv4: '10.244.0.3', IPv6: 'fd00:244::3' }],
]);
const POD_ADDRESSES = [...PODS.values()].flatMap((pod) => [pod.IPv4, pod.IPv6]);

/** Milliseconds in which an answer would have come. */
const SILENCE_MS = 300;

/** Answers `client>pod`, both addresses as the pod sees them. */
const POD_PROGRAM = `
  const net = require('node:net'), dgram = require('node:dgram');
  for (const pod of ${JSON.stringify(POD_ADDRESSES)}) {
    net.createServer((s) => s.end(s.remoteAddress + '>' + pod)).listen(${ENDPOINT_PORT}, pod, () => {
      const socket = dgram.createSocket(pod.includes(':') ? 'udp6' : 'udp4');
      socket.on('message', (_, from) => socket.send(from.address + '>' + pod, from.port, from.address));
      socket.bind(${ENDPOINT_PORT}, pod, () => console.log('ready'));
    });
  }
`;

/** Resolves when the pods answer. */
async function startPods(): Promise<void> {
  const script = 'echo made; read configured; exec "$0" -e "$1"';
  const pods = spawn(...plain('unshare', '--net', 'sh', '-c', script, process.execPath, POD_PROGRAM), {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  t.teardown(() => pods.kill());
  const lines = createInterface(pods.stdout)[Symbol.asyncIterator]();
  await lines.next();
  shell(`ip link set lo up
    ip link add pods type veth peer name node netns ${pods.pid}
    ip addr add ${NODE.IPv4}/24 dev pods; ip addr add ${NODE.IPv6}/64 dev pods nodad; ip link set pods up`);
  const addresses = POD_ADDRESSES.map((pod) =>
    pod.includes(':') ? `ip addr add ${pod}/64 dev node nodad` : `ip addr add ${pod}/24 dev node`,
  );
  shell(`nsenter --net=/proc/${pods.pid}/ns/net sh -ec '${addresses.join('; ')}; ip link set node up'`);
  pods.stdin.write('configured\n');
  for (const _ of POD_ADDRESSES) await lines.next();
}

const run = promisify(execFile);

/** As the tool conntrack knows it: the first port of the entry is what the client asked for. */
async function originalPort({
  family,
  protocol,
  client,
  proxy,
}: RedirectedFlow): Promise<number | undefined> {
  const { stdout } = await run(
    ...plain(
      ...['conntrack', '-L', '-f', family.toLowerCase(), '-p', protocol.toLowerCase()],
      ...['--reply-port-src', `${proxy.port}`, '--reply-port-dst', `${client.port}`],
    ),
  );
  const port = /dport=(\d+)/.exec(stdout)?.[1];
  return port === undefined ? undefined : Number(port);
}

function openProxy(): Promise<LocalhostProxy> {
  return LocalhostProxy.open(IP_FAMILIES, {
    originalPort,
    servicePort: (family, protocol, nodePort) => {
      const pod = PODS.get(nodePort)?.[family];
      return pod === undefined ? undefined : nodePortRow([pod], { protocol, nodePort });
    },
  });
}

/** 30099 is redirected too, but no Service has it any more. */
function redirect(proxy: LocalhostProxy): void {
  const rules = IP_FAMILIES.flatMap((family) =>
    (['TCP', 'UDP'] as const).map((protocol) => {
      const to = family === 'IPv4' ? 'ip daddr 127.0.0.0/8' : 'ip6 daddr ::1';
      const l4 = protocol.toLowerCase();
      return `${to} meta l4proto ${l4} th dport { 30080, 30081, 30099 } redirect to :${proxy.port(family, protocol)}`;
    }),
  );
  shell(
    `nft 'table inet test { chain output { type nat hook output priority -100; ${rules.join('; ')}; }; }'`,
  );
}

/** What one client hears from `host` within `limitMs`, by the port that answers. It ends when all have answered. */
async function askUdp(
  host: string,
  nodePorts: readonly number[],
  limitMs = 2000,
): Promise<Map<number, string>> {
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
  const answers = new Map<number, string>();
  socket.on('message', (answer, from) => {
    if (from.address === host) answers.set(from.port, String(answer));
  });
  for (const nodePort of nodePorts) socket.send('x', nodePort, host);
  await eventually(() => answers.size === nodePorts.length, limitMs);
  socket.close();
  return answers;
}

if (await inNetns(import.meta.url)) {
  await startPods();
  const proxy = await openProxy();
  t.teardown(() => proxy.close());
  redirect(proxy);

  t.test('packets from loopback do not leave the host', async (t) => {
    for (const name of ['all', 'default', 'lo', 'pods']) {
      t.equal(readFileSync(`/proc/sys/net/ipv4/conf/${name}/route_localnet`, 'latin1').trim(), '0', name);
    }
  });

  const HOSTS: readonly [host: string, family: IpFamily][] = [
    ['127.0.0.1', 'IPv4'],
    ['127.9.8.7', 'IPv4'],
    ['::1', 'IPv6'],
  ];
  for (const [host, family] of HOSTS) {
    const answer = (nodePort: number) => `${NODE[family]}>${PODS.get(nodePort)?.[family]}`;

    t.test(`TCP to ${host}`, async (t) => {
      for (const nodePort of PODS.keys()) {
        t.equal(await ask(host, nodePort), answer(nodePort), 'the pod sees the node');
      }
    });

    t.test(`UDP to ${host}`, async (t) => {
      for (const nodePort of PODS.keys()) {
        t.strictSame(await askUdp(host, [nodePort]), new Map([[nodePort, answer(nodePort)]]));
      }
    });

    t.test(`one UDP client, two node ports of ${host}`, async (t) => {
      const nodePorts = [...PODS.keys()];
      const answers = await askUdp(host, nodePorts);
      for (const nodePort of nodePorts) t.equal(answers.get(nodePort), answer(nodePort));
    });

    t.test(`a node port of ${host} that has no Service any more`, async (t) => {
      t.equal(await ask(host, 30099), 'ECONNRESET');
      t.equal((await askUdp(host, [30099], SILENCE_MS)).size, 0);
    });
  }

  for (const family of IP_FAMILIES) {
    t.test(`who was not redirected gets nothing (${family})`, async (t) => {
      t.equal(await ask(LOOPBACK[family], proxy.port(family, 'TCP')), 'ECONNRESET');
      const udpPort = proxy.port(family, 'UDP');
      t.equal((await askUdp(LOOPBACK[family], [udpPort ?? 0], SILENCE_MS)).size, 0);
    });
  }

  t.test('a UDP client that is connected hears the answer', async (t) => {
    const socket = createSocket('udp4');
    t.teardown(() => socket.close());
    socket.connect(30080, '127.0.0.1');
    await once(socket, 'connect');
    socket.send('x');
    const [answer] = await once(socket, 'message');
    t.equal(String(answer), '10.244.0.1>10.244.0.2');
  });
}
