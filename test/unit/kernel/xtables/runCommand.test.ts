/** A program that cannot be started is a result, for whatever reason. */
import { execFileSync } from 'node:child_process';
import t from 'tap';
import { runCommand } from '../../../../src/kernel/xtables/runCommand.js';
import { fromRoot } from '../../../support/fromRoot.js';

t.test('what it says, and its status', async (t) => {
  const result = await runCommand('sh', ['-c', 'cat; echo wrong >&2; exit 3'], { input: ['a', 'b'] });
  t.same(result, { status: 3, stdout: 'ab', stderr: 'wrong\n' });
});

t.test('a program that is not there, and a killed one', async (t) => {
  await t.rejects(runCommand('/nonexistent/program', []), { code: 'ENOENT' });
  t.equal((await runCommand('sleep', ['60'], { timeoutMs: 50 })).status, 137);
  t.equal((await runCommand('sh', ['-c', 'kill -SEGV $$'])).status, 139);
});

t.test('without descriptors left it rejects, and the process goes on', async (t) => {
  const script = `
    import { openSync, closeSync } from 'node:fs';
    import { runCommand } from ${JSON.stringify(fromRoot('dist/src/kernel/xtables/runCommand.js').href)};
    await runCommand('true', []);
    const taken = [];
    try { for (;;) taken.push(openSync('/dev/null')); } catch {}
    const words = [];
    for (let i = 0; i < 3; i++) {
      await runCommand('true', []).then(() => words.push('ran'), ({ code }) => words.push(code));
      closeSync(taken.pop());
    }
    for (const one of taken) closeSync(one);
    await runCommand('true', []).then(({ status }) => words.push(status));
    console.log(words.join(' '));
  `;
  const output = execFileSync(
    'sh',
    ['-c', 'ulimit -n 64; exec "$0" --input-type=module -e "$1"', process.execPath, script],
    { encoding: 'utf8', env: {} },
  );
  t.match(output, /^EMFILE (EMFILE|EAGAIN) (EMFILE|EAGAIN) 0\n$/);
});
