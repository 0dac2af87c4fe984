/** Which capabilities a mode keeps, and that a process started with all of them has no others. */
import { readdirSync, readFileSync } from 'node:fs';
import t from 'tap';
import { neededCapabilities, reducePrivileges } from '../../../src/host/reducePrivileges.js';
import { AgentProcess } from '../../support/AgentProcess.js';
import { inNetns } from '../../support/inNetns.js';
import { shell } from '../../support/iptables.js';
import { runFile } from '../../unit/config/runCommand.js';

const [DAC_READ_SEARCH, NET_BIND_SERVICE, NET_ADMIN, NET_RAW, SYS_MODULE] = [2, 10, 12, 13, 16] as const;

const CASES: readonly (readonly [string, readonly number[]])[] = [
  ['mode: nftables', [NET_ADMIN, NET_RAW]],
  ['mode: nftables\npenstock: {iptablesBackend: nft}', [NET_ADMIN]],
  ['mode: userspace', [NET_ADMIN, NET_RAW]],
  ['mode: userspace\npenstock: {iptablesBackend: nft}', [NET_ADMIN, NET_RAW]],
  ['mode: iptables', [NET_ADMIN, NET_RAW, SYS_MODULE]],
  ['mode: ipvs', [NET_ADMIN, NET_RAW, SYS_MODULE]],
  ['mode: ipvs\npenstock: {iptablesBackend: nft}', [NET_ADMIN]],
  ['mode: ""', [NET_ADMIN, NET_RAW, SYS_MODULE]],
  ['mode: iptables\npenstock: {iptablesBackend: nft}', [NET_ADMIN]],
  ['mode: nftables\nmetricsBindAddress: 0.0.0.0:443', [NET_ADMIN, NET_RAW, NET_BIND_SERVICE]],
  ['mode: nftables\npenstock: {manifests: /m}', [NET_ADMIN, NET_RAW, DAC_READ_SEARCH]],
];

t.test('what each mode keeps', (t) => {
  for (const [text, bits] of CASES) {
    t.equal(
      neededCapabilities(runFile(text).config, 1024),
      bits.reduce((mask, bit) => mask | (1n << BigInt(bit)), 0n),
      text,
    );
  }
  t.end();
});

t.test('with no more than that, nothing happens', (t) => {
  const view = { capabilities: new Set<never>(), mask: 1n << 12n, firstFreePort: 1024, canWrite: () => true };
  t.equal(reducePrivileges(runFile('mode: nftables').config, view), '');
  t.end();
});

if (await inNetns(import.meta.url)) {
  t.test('an agent that was started with everything', async (t) => {
    shell('ip link set lo up');
    await using agent = new AgentProcess('mode: nftables\noomScoreAdj: 7\n');
    agent.start();
    t.ok(await agent.ready());
    const kept = (1n << BigInt(NET_ADMIN)) | (1n << BigInt(NET_RAW)) | (1n << BigInt(DAC_READ_SEARCH));
    const threads = readdirSync(`/proc/${agent.pid}/task`);
    t.ok(threads.length > 4, 'of Node.js, V8 and our own');
    for (const thread of threads) {
      const status = readFileSync(`/proc/${agent.pid}/task/${thread}/status`, 'utf8');
      const name = /Name:\s+(.*)/.exec(status)?.[1] ?? thread;
      const held = (set: string) => BigInt(`0x${new RegExp(`${set}:\\s+(\\S+)`).exec(status)?.[1]}`);
      for (const set of ['CapPrm', 'CapEff', 'CapBnd']) t.equal(held(set), kept, `${name}: ${set}`);
      for (const set of ['CapInh', 'CapAmb']) t.equal(held(set), 0n, `${name}: ${set}`);
      t.match(status, /NoNewPrivs:\t1/, name);
    }
    t.equal(
      readFileSync(`/proc/${agent.pid}/oom_score_adj`, 'utf8').trim(),
      '7',
      'what needed more was done before',
    );
    t.match(agent.output, 'synced: ', 'its log goes where it went');
    t.notMatch(agent.output, 'no capability is given up');
    t.equal(await agent.end('SIGTERM'), 0);
  });
}
