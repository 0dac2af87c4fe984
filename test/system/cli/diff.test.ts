/** penstock diff: the kernel against the objects, in three modes, beside an agent and after it was killed. */
import { execFile, execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { rawObjects } from '../../../bench/objects.js';
import { AgentProcess, PENSTOCK } from '../../support/AgentProcess.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, plain, shell } from '../../support/iptables.js';
import { shopSlice } from '../../support/shopObjects.js';

interface Said {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

interface Shown {
  readonly equal: boolean;
  readonly differences: readonly { sign: string; what: string; service: string; text: string }[];
}

function penstock(...words: readonly string[]): Promise<Said> {
  return new Promise((resolve) => {
    const [file, args] = plain(PENSTOCK, ...words);
    execFile(file, args, { maxBuffer: 64 * 1024 * 1024 }, (error, out, err) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, out, err });
    });
  });
}

async function diff(...words: readonly string[]): Promise<{ code: number; value: Shown }> {
  const { code, out, err } = await penstock('diff', ...words, '-o', 'json');
  if (code > 1) throw new Error(err);
  return { code, value: JSON.parse(out) as Shown };
}

/** Every kind of VIP, policies, affinity, source ranges, two families; one Service without endpoints. */
function objects(): object[] {
  const service = (name: string, last: number, spec: object, status: object = {}) => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: 'shop', creationTimestamp: `2026-01-01T00:00:0${last % 10}Z` },
    spec: {
      clusterIPs: [`172.30.0.${last}`, `fd00:30::${last}`],
      ipFamilies: ['IPv4', 'IPv6'],
      ports: [{ name: 'http', port: 80, protocol: 'TCP', nodePort: 30_000 + last }],
      ...spec,
    },
    status,
  });
  const slice = (name: string, family: 'IPv4' | 'IPv6', addresses: readonly string[]) =>
    shopSlice(
      name,
      family,
      addresses.map((address, i) => ({
        addresses: [address],
        nodeName: i % 2 === 0 ? 'node1' : 'node2',
        conditions: { ready: true },
      })),
      [{ name: 'http', port: 8080, protocol: 'TCP' }],
    );
  return [
    service('cart', 10, { type: 'NodePort', externalIPs: ['203.0.113.10'] }),
    service('empty', 11, { type: 'NodePort' }),
    service('sticky', 12, { type: 'NodePort', sessionAffinity: 'ClientIP' }),
    service(
      'local',
      13,
      {
        type: 'LoadBalancer',
        externalTrafficPolicy: 'Local',
        healthCheckNodePort: 30_999,
        loadBalancerSourceRanges: ['198.51.100.0/24'],
      },
      { loadBalancer: { ingress: [{ ip: '203.0.113.13' }] } },
    ),
    ...['cart', 'sticky', 'local'].flatMap((name, i) => [
      slice(name, 'IPv4', [`10.1.${i}.1`, `10.1.${i}.2`, `10.1.${i}.3`]),
      slice(name, 'IPv6', [`fd00:1:${i}::1`, `fd00:1:${i}::2`]),
    ]),
  ];
}

interface Spoiling {
  readonly command: string;
  readonly found: RegExp;
}

/** What somebody does to the kernel while no agent mends it, and what diff must say. */
const SPOILINGS: Readonly<Record<string, readonly Spoiling[]>> = {
  nftables: [
    {
      command: 'nft delete element ip penstock service-ips "{ 172.30.0.10 . tcp . 80 }"',
      found: /^\+ element of service-ips of shop\/cart:http: 172\.30\.0\.10 \. tcp \. 80/m,
    },
    {
      command: 'nft add element ip penstock cluster-ips "{ 172.30.0.77 }"',
      found: /^- element of cluster-ips: 172\.30\.0\.77/m,
    },
    { command: 'nft flush chain ip6 penstock services', found: /^\+ rule in services: /m },
    { command: 'nft add rule ip penstock services counter accept', found: /^- rule in services: one that/m },
    {
      command: 'nft delete table ip6 penstock',
      found: /^\+ table penstock \(IPv6\): is not in the kernel: 4/m,
    },
  ],
  iptables: [
    { command: 'iptables -t nat -F KUBE-MARK-MASQ', found: /^\+ rule in KUBE-MARK-MASQ \(nat\): -j MARK/m },
    {
      command:
        'iptables -t nat -D PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
      found: /^\+ jump in PREROUTING \(nat\): /m,
    },
    { command: 'iptables -A KUBE-FORWARD -j DROP', found: /^- rule in KUBE-FORWARD \(filter\): -j DROP/m },
    {
      command: 'iptables -t nat -F $(iptables -t nat -S | grep -o "KUBE-SVC-[A-Z0-9]*" | head -1)',
      found: /^\+ rule in KUBE-SVC-\w+ \(nat\) of shop\/\w+:http: /m,
    },
    {
      command: 'ip6tables -t nat -F; ip6tables -t nat -X',
      found: /^\+ chain KUBE-SERVICES \(table nat, IPv6\)/m,
    },
  ],
  userspace: [
    {
      command: 'nft delete element ip penstock-userspace service-ips "{ 172.30.0.10 . tcp . 80 }"',
      found: /^\+ element of service-ips of shop\/cart:http: 172\.30\.0\.10/m,
    },
    { command: 'nft delete table ip penstock-userspace', found: /^\+ table penstock-userspace \(IPv4\)/m },
  ],
};

async function inMode(t: Test, mode: string): Promise<void> {
  const agent = new AgentProcess(`mode: ${mode}\nclusterCIDR: 10.1.0.0/16\n`);
  try {
    agent.write('objects.json', objects());
    agent.start();
    await agent.ready();
    const beside = await diff();
    t.strictSame(beside.value.differences, [], 'beside the agent: equal');
    t.equal(beside.code, 0);

    await agent.end('SIGKILL');
    const after = await penstock('diff');
    t.match(after.out, /^The agent does not run/, 'says that nobody mends');
    t.match(after.out, /^equal: /m, `after it was killed: equal\n${after.out}${after.err}`);
    t.equal(after.code, 0);

    for (const { command, found } of SPOILINGS[mode] ?? []) {
      shell(command);
      const spoiled = await penstock('diff', '--limit', '10000');
      t.match(spoiled.out, found, command);
      t.equal(spoiled.code, 1);
    }
    const one = await diff('--service', 'shop/cart');
    t.ok(
      one.value.differences.every(({ service }) => service.startsWith('shop/cart')),
      'of one Service',
    );

    agent.start();
    await agent.ready();
    t.ok(await eventually(async () => (await diff()).value.equal, 10_000), 'an agent mends all of it');

    const modes = await penstock('diff', '--mode', 'nftables', '--mode', 'iptables');
    t.match(modes, { code: 1, out: /^different: \d+ of \d+ questions in modes nftables and iptables/m });
    t.match(modes.out, /^ {2}nftables: /m);
    t.ok(
      modes.out.split('\n').every((line) => line.length <= 80 || !/ .* /.test(line.trim())),
      '80 columns',
    );
  } finally {
    await agent[Symbol.asyncDispose]();
    shell('nft flush ruleset; true');
  }
}

/** Objects that take it seconds to read; two of them changed while it was down. */
async function whileStarting(t: Test): Promise<void> {
  const agent = new AgentProcess('mode: nftables\nclusterCIDR: 10.1.0.0/16\n');
  const many = rawObjects(4000, 3) as { kind: string; endpoints?: object[] }[];
  try {
    agent.write('objects.json', many);
    agent.start();
    await agent.ready();
    await agent.end('SIGKILL');
    for (const each of many.filter(({ kind }) => kind === 'EndpointSlice').slice(0, 2)) each.endpoints?.pop();
    agent.write('objects.json', many);
    t.match((await diff()).value.differences.length > 0, true, 'there is something to mend');

    agent.start();
    // The first begins before the agent has the lock of the node, the others while it reads.
    const found = [];
    for (let i = 0; i < 3; i++) {
      found.push(penstock('diff'));
      await sleep(400);
    }
    const said = await Promise.all(found);
    for (const { code, out, err } of said)
      t.match({ code, out }, { code: 0, out: /^equal: / }, `${out}${err}`);
    const waited = said.filter(({ err }) =>
      /^penstock diff: the agent is before its first sync \(/m.test(err),
    );
    t.ok(waited.length > 0, 'says what it waits for');
    await agent.end('SIGKILL');

    const gone = t.testdir();
    agent.write('objects.json', many.slice(0, 2));
    agent.start(['env', '-C', gone]);
    await agent.ready();
    await agent.end('SIGKILL');
    rmSync(gone, { recursive: true });
    t.match(await penstock('diff'), {
      code: 2,
      err: /^penstock diff: \S+, where the agent was started, cannot be entered: ENOENT[^\n]+\n→ Say where [^\n]+\n$/,
    });
  } finally {
    await agent[Symbol.asyncDispose]();
    shell('nft flush ruleset; true');
  }
}

if (await inNetns(import.meta.url)) {
  shell(
    'ip link set lo up; ip link add out type veth peer name peer; ip link set out up; ip link set peer up',
  );
  shell(
    'ip addr add 192.168.77.1/24 dev out; ip route add default dev out; ip addr add fd00:77::1/64 dev out nodad',
  );
  execFileSync('sysctl', ['-qw', 'net.ipv4.ip_forward=1']);
  t.setTimeout(300_000);
  for (const mode of ['nftables', 'iptables', 'userspace']) {
    t.test(`mode ${mode}`, { timeout: 120_000 }, (t) => inMode(t, mode));
  }

  t.test('beside an agent that starts', { timeout: 120_000 }, (t) => whileStarting(t));

  t.test('wrong calls and nothing to look at', async (t) => {
    t.match(await penstock('diff', '--mode', 'x'), { code: 2, err: /there is no mode "x"/ });
    const three = ['--mode', 'ipvs', '--mode', 'ipvs', '--mode', 'ipvs'];
    t.match(await penstock('diff', ...three), { code: 2, err: /two modes/ });
    t.match(await penstock('diff', '--limit', 'x'), { code: 2, err: /no number/ });
  });
}
