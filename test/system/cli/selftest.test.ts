/** penstock selftest as a user calls it: in namespaces of its own, on a node in use, killed in the middle, called wrongly. */
import { execFile, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gunzipSync } from 'node:zlib';
import t from 'tap';
import { AgentProcess, PENSTOCK } from '../../support/AgentProcess.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, plain } from '../../support/iptables.js';
import { serveOnLoopback } from '../../support/loopbackEndpoints.js';
import { shopObjects } from '../../support/shopObjects.js';

/** Two cores that others load several times over have taken 240 s. */
const LIMIT_MS = 900_000;
t.setTimeout(LIMIT_MS);

if (await inNetns(import.meta.url)) {
  const folder = mkdtempSync(join(tmpdir(), 'selftest-'));
  t.teardown(() => rmSync(folder, { recursive: true }));

  t.test(
    'in namespaces of its own: the whole matrix of one family passes, and is written as JUnit',
    async (t) => {
      const file = join(folder, 'junit.xml');
      const words = [
        'selftest',
        '--namespaces',
        '--mode',
        'nftables',
        '--family',
        '4',
        '-o',
        'json',
        '--junit',
        file,
      ];
      const { stdout } = await promisify(execFile)(...plain(PENSTOCK, ...words), { maxBuffer: 1 << 26 });
      const report = JSON.parse(stdout);
      t.match(report, { passed: true, where: 'namespaces', counts: { passed: 198, failed: 0, skipped: 0 } });
      t.match(readFileSync(file, 'utf8'), /tests="198" failures="0"/);
    },
  );

  t.test('an upgrade under traffic breaks and refuses nothing', async (t) => {
    t.setTimeout(LIMIT_MS);
    const words = [
      'selftest',
      '--namespaces',
      '--mode',
      'nftables',
      '--family',
      '4',
      '--disrupt',
      'upgrade',
      '-o',
      'json',
    ];
    const { stdout } = await promisify(execFile)(...plain(PENSTOCK, ...words), { maxBuffer: 1 << 26 });
    const { passed, disruptions } = JSON.parse(stdout);
    t.ok(passed);
    t.match(disruptions, [{ mode: 'nftables', disruption: 'upgrade', failed: 0, broken: 0, held: 20 }]);
    t.ok(disruptions[0].connects > 0);
  });

  t.test('a change of mode under traffic, and back, breaks and refuses nothing', async (t) => {
    t.setTimeout(LIMIT_MS);
    const words = ['selftest', '--namespaces', '--mode', 'nftables', '--family', '4', '--disrupt', 'mode'];
    const { stdout } = await promisify(execFile)(...plain(PENSTOCK, ...words, '-o', 'json'), {
      maxBuffer: 1 << 26,
    });
    const { passed, disruptions, notes } = JSON.parse(stdout);
    t.ok(passed);
    t.match(disruptions[0], {
      mode: 'nftables',
      disruption: 'to mode iptables and back',
      failed: 0,
      broken: 0,
      held: 20,
    });
    t.ok(disruptions[0].connects > 0);
    t.match(notes.join(), /mode userspace was not tested: .* is a restart/);
  });

  t.test('killed in the middle, it leaves no process behind', async (t) => {
    t.setTimeout(LIMIT_MS);
    const child = spawn(...plain(PENSTOCK, 'selftest', '--namespaces', '--mode', 'nftables'), {
      stdio: 'ignore',
    });
    t.ok(await eventually(() => selftestProcesses().length >= 4, 120_000), 'its processes run');
    child.kill('SIGKILL');
    t.ok(await eventually(() => selftestProcesses().length === 0, 30_000), 'and end with it');
  });

  t.test('on a node in use: passes, then names what does not answer', async (t) => {
    t.setTimeout(LIMIT_MS);
    await using agent = new AgentProcess('mode: nftables\n');
    const server = await serveOnLoopback(['10.1.0.1']);
    t.teardown(() => server.close());
    agent.write(
      'objects.json',
      shopObjects({ name: 'cart', clusterIP: '10.96.0.10', endpoints: ['10.1.0.1'] }),
    );
    agent.start();
    await agent.ready(120_000);
    const good = await promisify(execFile)(...plain(PENSTOCK, 'selftest', '-o', 'json'));
    t.match(JSON.parse(good.stdout), { passed: true, where: 'this node', counts: { passed: 1 } });
    t.notOk(existsSync(join(folder, 'failure.tar.gz')));
    await new Promise((resolve) => server.close(resolve));
    const archive = join(folder, 'failure.tar.gz');
    const bad = run('selftest', '--sysdump', archive);
    t.match(bad.stdout, `sysdump of the failure: ${archive}`);
    t.match(gunzipSync(readFileSync(archive)).toString('latin1'), /agent\/status\.json.*kernel\/nft\.txt/s);
    t.match(
      run('selftest', '--sysdump', archive).stdout,
      /no sysdump was written: .*EEXIST/,
      'never over another',
    );
    t.equal(bad.status, 1);
    t.match(bad.stdout, /FAILED node → shop\/cart:http, cluster IP 10\.96\.0\.10:80\/TCP/);
    t.match(bad.stdout, /must reach an endpoint, and was refused/);
    t.match(bad.stdout, /one endpoint may get it/);
    t.equal(run('selftest', '--service', 'shop/nothing').status, 2);
  });

  t.test('called wrongly, or without an agent: one line, exit status 2', async (t) => {
    const wrong = [
      ['--mode', 'nftables'],
      ['--disrupt', 'restart'],
      ['--namespaces', '--disrupt', 'nothing'],
      ['--namespaces', '--mode', 'userspace', '--disrupt', 'mode'],
      ['--namespaces', '--mode', 'nothing'],
      ['--namespaces', '--service', 'a/b'],
      ['--family', '5'],
      ['--namespace'],
      [],
    ];
    for (const words of wrong) {
      const { status, stderr } = run('selftest', ...words);
      t.equal(status, 2, words.join(' '));
      t.notMatch(stderr, /\n {4}at /, stderr);
    }
  });
}

function run(...words: string[]) {
  return spawnSync(...plain(PENSTOCK, ...words), { encoding: 'utf8' });
}

/** Its inner ones, of any network namespace but ours. */
function selftestProcesses(): string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      return /selftest\0--role\0/.test(readFileSync(`/proc/${pid}/cmdline`, 'utf8'));
    } catch {
      return false;
    }
  });
}
