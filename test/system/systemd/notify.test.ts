/** The agent as a service of systemd: what it tells, and that its unit lets it do what it does. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { nativeAddon } from '../../../src/kernel/addon/nativeAddon.js';
import { AgentProcess, PENSTOCK } from '../../support/AgentProcess.js';
import { fromRoot } from '../../support/fromRoot.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, shell } from '../../support/iptables.js';
import { shopObjects } from '../../support/shopObjects.js';

const CART = { name: 'cart', clusterIP: '172.30.0.1', endpoints: ['10.1.0.1', '10.1.0.2'] };

/** Node.js has no datagram sockets of this family. Prints one line of JSON for each datagram. */
const LISTEN = `
import json, socket, sys
name = sys.argv[1]
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(chr(0) + name[1:] if name.startswith('@') else name)
print('"bound"', flush=True)
while True: print(json.dumps(s.recv(65536).decode()), flush=True)
`;

async function listen(t: Test, address: string): Promise<readonly string[]> {
  const heard: string[] = [];
  const child = spawn('python3', ['-c', LISTEN, address], { stdio: ['ignore', 'pipe', 'inherit'] });
  let rest = '';
  child.stdout.on('data', (chunk) => {
    const lines = `${rest}${chunk}`.split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) heard.push(JSON.parse(line));
  });
  t.teardown(() => child.kill());
  if (!(await eventually(() => heard.length === 1))) throw new Error(`nobody listens at ${address}`);
  return heard;
}

if (await inNetns(import.meta.url)) {
  shell('ip link set lo up');

  t.test('one datagram: to a path, to an abstract name, to nobody, too long', async (t) => {
    const { sendToUnixSocket } = nativeAddon();
    // A name of this family has 107 bytes at most.
    const folder = mkdtempSync(join(tmpdir(), 'penstock-test-'));
    t.teardown(() => rmSync(folder, { recursive: true }));
    for (const address of [join(folder, 's'), `@penstock-test-${process.pid}`]) {
      const heard = await listen(t, address);
      sendToUnixSocket(address, 'READY=1\nSTATUS=ö');
      t.ok(await eventually(() => heard.length === 2), address);
      t.equal(heard[1], 'READY=1\nSTATUS=ö');
    }
    t.throws(() => sendToUnixSocket(join(folder, 'nobody'), 'x'), { code: 'ENOENT' });
    t.throws(() => sendToUnixSocket('@penstock-test-nobody', 'x'), { code: 'ECONNREFUSED' });
    t.throws(() => sendToUnixSocket(`/${'x'.repeat(107)}`, 'x'), RangeError);
    t.throws(() => sendToUnixSocket('', 'x'), RangeError);
  });

  t.test('READY once the rules are in force; RELOADING and READY; WATCHDOG; STOPPING', async (t) => {
    await using agent = new AgentProcess('mode: nftables\nclusterCIDR: 10.0.0.0/8\n');
    agent.write('cart.json', shopObjects(CART));
    const address = `@penstock-test-agent-${process.pid}`;
    const heard = await listen(t, address);
    const told = (line: string) => heard.filter((text) => text.split('\n').includes(line)).length;
    agent.start(['env', `NOTIFY_SOCKET=${address}`, 'WATCHDOG_USEC=1000000']);
    t.ok(await eventually(() => told('READY=1') === 1), 'ready');
    t.match(shell('nft list table ip penstock'), /172\.30\.0\.1/, 'with every rule in force');
    t.equal(told('STATUS=Serving 1 Service in mode nftables'), 1, heard.join('|'));
    t.ok(await eventually(() => told('WATCHDOG=1') >= 2), 'alive');

    process.kill(agent.pid as number, 'SIGHUP');
    t.ok(
      await eventually(() => told('RELOADING=1') === 1 && told('READY=1') === 2),
      'read again, nothing new',
    );
    t.match(
      heard.find((text) => text.startsWith('RELOADING')),
      /^MONOTONIC_USEC=[1-9]\d+$/m,
    );

    agent.configure('mode: nftables\nclusterCIDR: 10.0.0.0/9\n');
    process.kill(agent.pid as number, 'SIGHUP');
    t.ok(await eventually(() => told('RELOADING=1') === 2 && told('READY=1') === 3), 'started anew');
    t.match(
      shell('nft list table ip penstock'),
      /10\.0\.0\.0\/9/,
      'ready is said with the new rules in force',
    );

    // A file that is not taken keeps the service as it was, not in `reloading` for ever.
    agent.configure('mode: fast\n');
    process.kill(agent.pid as number, 'SIGHUP');
    t.ok(
      await eventually(() => told('RELOADING=1') === told('READY=1') - 1 && told('READY=1') >= 4),
      'refused',
    );

    t.equal(await agent.end('SIGTERM'), 0);
    t.equal(told('STOPPING=1'), 1);
    t.equal(told('STATUS=SIGTERM received; the rules stay in place'), 1);
  });

  t.test('a service manager that does not listen keeps nobody from serving', async (t) => {
    await using agent = new AgentProcess('mode: nftables\n');
    agent.write('cart.json', shopObjects(CART));
    agent.start(['env', 'NOTIFY_SOCKET=/nowhere/notify', 'WATCHDOG_USEC=1000000']);
    t.ok(await agent.ready());
    t.equal(await agent.end('SIGTERM'), 0);
    t.match(agent.output, /the service manager cannot be told STATUS=Starting at \/nowhere\/notify/);
    t.equal(agent.output.match(/the service manager/g)?.length, 1, 'said once');
  });

  const hasSystemd = shell('command -v systemd-analyze || true') !== '';
  t.test('the unit', { skip: hasSystemd ? false : 'systemd-analyze is not here' }, async (t) => {
    const text = readFileSync(fromRoot('deploy/systemd/penstock.service'), 'utf8');
    const unit = join(t.testdir({}), 'penstock.service');
    // Of the package: the program's place and the pages of the manual.
    writeFileSync(unit, text.replace('/usr/bin/penstock', PENSTOCK).replace(/^Documentation=.*\n/m, ''));
    t.equal(shell(`systemd-analyze verify ${unit} 2>&1`), '', 'systemd finds nothing wrong');
    const allowed = filterOf(/^SystemCallFilter=(.*)$/m.exec(text)?.[1]?.split(' ') ?? []);
    const seccomp = JSON.parse(readFileSync(fromRoot('deploy/seccomp.json'), 'utf8')) as {
      syscalls: readonly { names: readonly string[] }[];
    };
    const needed = seccomp.syscalls.flatMap(({ names }) => names);
    t.ok(needed.length > 100);
    t.same(
      needed.filter((name) => !allowed.has(name)),
      [],
      'and what the agent was seen to call is allowed',
    );
  });
}

/** The calls that sets of systemd allow: `@system-service`. */
function filterOf(names: readonly string[]): Set<string> {
  const sets = new Map<string, string[]>();
  let current: string[] = [];
  for (const line of shell('SYSTEMD_COLORS=0 systemd-analyze syscall-filter').split('\n')) {
    const name = line.trim();
    if (name === '' || name.startsWith('#')) continue;
    if (line.startsWith('@')) {
      current = [];
      sets.set(name, current);
    } else current.push(name);
  }
  const calls = (name: string): string[] =>
    name.startsWith('@') ? (sets.get(name) ?? []).flatMap(calls) : [name];
  return new Set(names.flatMap(calls));
}
