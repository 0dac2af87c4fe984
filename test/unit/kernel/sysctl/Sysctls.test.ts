/** What is recorded of kernel parameters, who is believed, and what is put back. */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Sysctls } from '../../../../src/kernel/sysctl/Sysctls.js';

const LIBERAL = 'net/netfilter/nf_conntrack_tcp_be_liberal';
const LOCALNET = 'net/ipv4/conf/all/route_localnet';

function world(t: Test) {
  const dir = t.testdir({
    proc: {
      net: {
        netfilter: { nf_conntrack_tcp_be_liberal: '0\n' },
        ipv4: { conf: { all: { route_localnet: '0\n' } } },
      },
    },
    outside: '1',
  });
  const [state, root] = [join(dir, 'state'), join(dir, 'proc')];
  const sysctls = () => new Sysctls(state, root);
  const file = () => join(state, readdirSync(state)[0] ?? 'none');
  return { dir, state, root, sysctls, file };
}

t.test('what was changed is put back, by another process too', async (t) => {
  const { sysctls, state } = world(t);
  t.equal(sysctls().ensure(LIBERAL, '1'), 'written');
  t.equal(sysctls().ensure(LIBERAL, '1'), 'unchanged');
  t.equal(sysctls().ensure(LIBERAL, '2'), 'written');
  sysctls().ensure(LOCALNET, '1');
  t.same(sysctls().restore([LOCALNET]), { restored: [LOCALNET], failed: [] });
  t.same(sysctls().restore(), { restored: [LIBERAL], failed: [] });
  t.equal(sysctls().read(LIBERAL), '0', 'the first value, not the second');
  t.same(readdirSync(state), []);
});

t.test('what somebody else changed since stays', async (t) => {
  const { sysctls, root, state } = world(t);
  sysctls().ensure(LIBERAL, '1');
  writeFileSync(join(root, LIBERAL), '7');
  t.same(sysctls().restore().restored, []);
  t.equal(sysctls().read(LIBERAL), '7');
  t.same(readdirSync(state), []);
});

t.test('names lead nowhere else', async (t) => {
  const { sysctls, file, dir } = world(t);
  for (const name of [
    '../outside',
    'net/../../outside',
    '/etc/passwd',
    'net',
    'kernel/core_pattern',
    'net//x',
    'net/./x',
  ])
    t.throws(() => sysctls().ensure(name, '0'), { code: 'PENSTOCK_SYSCTL_FAILED' }, name);
  sysctls().ensure(LIBERAL, '1');
  const record = JSON.parse(readFileSync(file(), 'utf8'));
  record.changed['net/../../outside'] = { before: 'evil', ours: '1' };
  record.changed['../outside'] = { before: 'evil', ours: '1' };
  record.changed[LOCALNET] = { before: 'a\nb', ours: '0' };
  writeFileSync(file(), JSON.stringify(record));
  t.same(sysctls().restore(), { restored: [LIBERAL], failed: [] });
  t.equal(readFileSync(join(dir, 'outside'), 'utf8'), '1');
  t.equal(sysctls().read(LOCALNET), '0');
});

t.test(
  'a record of another start of the machine, another namespace, or of others, is not believed',
  async (t) => {
    const changes: readonly (readonly [string, (file: string) => void])[] = [
      ['boot', (file) => edit(file, { boot: 'another' })],
      ['namespace', (file) => edit(file, { namespace: '1' })],
      ['writable by others', (file) => chmodSync(file, 0o666)],
      ['half a file', (file) => writeFileSync(file, readFileSync(file, 'utf8').slice(0, 40))],
      ['no object', (file) => writeFileSync(file, 'null')],
    ];
    for (const [name, change] of changes) {
      const { sysctls, file } = world(t);
      sysctls().ensure(LIBERAL, '1');
      change(file());
      t.same(sysctls().restore(), { restored: [], failed: [] }, name);
      t.equal(sysctls().read(LIBERAL), '1', name);
    }
  },
);

t.test('a link in place of the file is not followed, and is replaced', async (t) => {
  const { sysctls, file, dir, state } = world(t);
  sysctls().ensure(LIBERAL, '1');
  const [path, text] = [file(), readFileSync(file(), 'utf8')];
  writeFileSync(join(dir, 'elsewhere'), text);
  sysctls().restore();
  mkdirSync(state, { recursive: true });
  symlinkSync(join(dir, 'elsewhere'), path);
  sysctls().ensure(LOCALNET, '1');
  t.equal(readFileSync(join(dir, 'elsewhere'), 'utf8'), text, 'what it led to is as it was');
  t.same(sysctls().restore().restored, [LOCALNET]);
});

t.test('one that cannot be put back stops no other, and stays recorded', async (t) => {
  const { sysctls, root } = world(t);
  sysctls().ensure(LIBERAL, '1');
  sysctls().ensure(LOCALNET, '1');
  const path = join(root, LIBERAL);
  const record = sysctls().read(LIBERAL);
  t.equal(record, '1');
  const { failed, restored } = withReadOnly(path, () => sysctls().restore());
  t.same(restored, [LOCALNET]);
  t.match(failed, [{ code: 'PENSTOCK_SYSCTL_FAILED', message: /tcp_be_liberal cannot be set to 0/ }]);
  t.same(sysctls().restore().restored, [LIBERAL], 'later it can');
});

t.test('a folder that cannot be written costs only the way back', async (t) => {
  const { root, dir } = world(t);
  const sysctls = new Sysctls(join(dir, 'outside'), root);
  t.equal(sysctls.ensure(LIBERAL, '1'), 'written');
  t.same(sysctls.restore().restored, []);
});

function edit(file: string, fields: object): void {
  writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), ...fields }));
}

/** chattr +i holds for root as well; where a file system has no such thing, the mode does for others. */
function withReadOnly<T>(path: string, work: () => T): T {
  const immutable = spawnSync('chattr', ['+i', path]).status === 0;
  if (!immutable) chmodSync(path, 0o444);
  try {
    return work();
  } finally {
    if (immutable) spawnSync('chattr', ['-i', path]);
    else chmodSync(path, 0o644);
  }
}
