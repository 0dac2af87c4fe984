/** One penstock a node: the lock, who has it, and that nothing of a dead one is in the way. */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { NodeLock } from '../../../src/host/NodeLock.js';
import { fromRoot } from '../../support/fromRoot.js';

/** A process that takes the lock and stays. */
async function otherHolder(t: Test, folder: string) {
  const script = `
    const { NodeLock } = await import(${JSON.stringify(fromRoot('dist/src/host/NodeLock.js').href)});
    console.log(NodeLock.take('0.0.1', ${JSON.stringify(folder)}).type);
    setInterval(() => {}, 1000);
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise((resolve) => child.once('close', resolve));
  t.teardown(() => child.kill('SIGKILL'));
  const said = await new Promise<string>((resolve) =>
    child.stdout.once('data', (data) => resolve(String(data))),
  );
  const kill = async () => {
    child.kill('SIGKILL');
    await ended;
  };
  return { pid: child.pid, said: said.trim(), kill };
}

t.test('one at a time, in one process too', async (t) => {
  const folder = join(t.testdir(), 'run/penstock');
  t.equal(NodeLock.holder(folder), undefined, 'no folder yet');
  const first = NodeLock.take('1.2.3', folder);
  t.equal(first.type, 'taken');
  const second = NodeLock.take('1.2.3', folder);
  t.match(second, { type: 'held', holder: { pid: process.pid } });
  t.match(
    NodeLock.holder(folder)?.description,
    new RegExp(`^penstock 1\\.2\\.3 \\(pid ${process.pid}, on .*, since `),
  );
  if (first.type === 'taken') first.lock.release();
  t.equal(NodeLock.holder(folder), undefined);
  t.same(readdirSync(folder), [], 'no file is left');
  t.equal(NodeLock.take('1.2.3', folder).type, 'taken');
});

t.test('the lock of a process that was killed is nobody’s', async (t) => {
  const folder = t.testdir();
  const other = await otherHolder(t, folder);
  t.equal(other.said, 'taken');
  t.match(NodeLock.take('1', folder), { type: 'held', holder: { pid: other.pid } });
  await other.kill();
  t.equal(NodeLock.holder(folder), undefined);
  const again = NodeLock.take('1', folder);
  t.equal(again.type, 'taken');
  if (again.type === 'taken') again.lock.release();
});

t.test('a file with any content is no lock, and what it says is no trusted text', async (t) => {
  const folder = t.testdir();
  const other = await otherHolder(t, folder);
  const [name = ''] = readdirSync(folder);
  writeFileSync(join(folder, name), JSON.stringify({ pid: 1, host: 'a\u001b[2J\nb', since: {} }));
  t.notMatch(NodeLock.holder(folder)?.description, /[\n]/);
  t.notOk(NodeLock.holder(folder)?.description.includes('\u001b'));
  await other.kill();
  writeFileSync(join(folder, name), 'no JSON');
  t.equal(NodeLock.take('1', folder).type, 'taken');
});

t.test('where there is no place for a lock it says why', async (t) => {
  const dir = t.testdir({ file: '' });
  t.match(NodeLock.take('1', join(dir, 'file')), { type: 'impossible', why: /EEXIST|ENOTDIR/ });
  const folder = t.testdir();
  NodeLock.take('1', folder);
  const [name = ''] = readdirSync(folder);
  const other = join(t.testdir(), 'elsewhere');
  symlinkSync('/etc/passwd-not-to-be-made', join(folder, `${name}.x`));
  t.notOk(existsSync(other));
});
