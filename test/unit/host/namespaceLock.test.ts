/** The lock of a network namespace, which anybody may take: only a process that may serve is a penstock. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import t, { type Test } from 'tap';
import { lockHolder } from '../../../src/host/lockHolder.js';
import { NodeLock } from '../../../src/host/NodeLock.js';
import { fromRoot } from '../../support/fromRoot.js';
import { inNetns } from '../../support/inNetns.js';

/** A process with the name of a penstock, which locks this network namespace. Resolves to its end. */
async function locker(t: Test, uid: number) {
  const script = `
    const { NodeLock } = await import(${JSON.stringify(fromRoot('dist/src/host/NodeLock.js').href)});
    process.title = 'penstock';
    NodeLock.takeNamespace();
    console.log('locked');
    setInterval(() => {}, 1000);
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    uid,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  return {
    pid: child.pid,
    end: async () => {
      child.kill('SIGKILL');
      await once(child, 'close');
    },
  };
}

if (await inNetns(import.meta.url)) {
  const skip = process.getuid?.() !== 0 && 'needs root';
  t.test("root's is one, a user's is none", { skip }, async (t) => {
    const folder = t.testdir();
    const own = await locker(t, 0);
    t.match(NodeLock.holder(folder), { pid: own.pid, program: 'penstock' });
    await own.end();
    t.equal(NodeLock.holder(folder), undefined);
    const users = await locker(t, 65_534);
    t.match(lockHolder('/proc/self/ns/net'), { pid: users.pid, program: 'penstock' }, 'it has the lock');
    t.equal(NodeLock.holder(folder), undefined);
    await users.end();
  });
}
