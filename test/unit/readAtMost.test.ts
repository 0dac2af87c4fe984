/** Files that people name: whatever is behind the name, reading it ends. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { readAtMost, readFileAtMost } from '../../src/readAtMost.js';
import { fromRoot } from '../support/fromRoot.js';

const folder = mkdtempSync(join(tmpdir(), 'read-at-most-'));
t.teardown(() => rmSync(folder, { recursive: true }));
const pipe = join(folder, 'pipe');
execFileSync('mkfifo', [pipe]);
const SHORT = { writerMs: 100, pieceMs: 300 };

t.test('a file: whole, or one byte more than is wanted', async (t) => {
  const file = join(folder, 'file');
  for (const length of [0, 1, 65_536, 65_537, 300_000]) {
    writeFileSync(file, 'x'.repeat(length));
    for (const read of [readAtMost, readFileAtMost]) {
      t.equal(read(file, 300_000).length, length);
      t.equal(read(file, 1000).length, Math.min(length, 1001));
    }
  }
  t.ok(readAtMost('/proc/self/status', 100_000).length > 100, 'of a size that the kernel does not know');
});

t.test('what is no file', async (t) => {
  for (const read of [readAtMost, readFileAtMost]) {
    t.throws(() => read(folder, 10), { code: 'EISDIR' });
    t.throws(() => read(join(folder, 'none'), 10), { code: 'ENOENT' });
    t.throws(() => read('/dev/zero', 10), /device|no regular file/);
  }
  t.throws(() => readFileAtMost(pipe, 10), /no regular file/);
  t.throws(() => readAtMost(pipe, 10, SHORT), /is a pipe, and nothing was written to it for 0\.1 s/);
});

t.test('a pipe is read to its end, and no further than is wanted', async (t) => {
  for (const [script, most, length] of [
    ['sleep 0.1; printf ab; sleep 0.1; printf c', 10, 3],
    ['head -c 200000 /dev/zero', 300_000, 200_000],
    ['cat /dev/zero', 100_000, 100_001],
  ] as const) {
    // The shell waits in its opening until somebody reads.
    const writer = spawn('bash', ['-c', `{ ${script}; } >"$1"`, 'bash', pipe], { stdio: 'ignore' });
    const ended = once(writer, 'exit');
    t.equal(readAtMost(pipe, most).length, length, script);
    await ended;
  }
  const silent = spawn('bash', ['-c', 'exec sleep 20 3<>"$1"', 'bash', pipe], { stdio: 'ignore' });
  t.throws(
    () => readAtMost(pipe, 10, { writerMs: 5000, pieceMs: 300 }),
    /nothing was written to it for 0\.3 s/,
  );
  silent.kill('SIGKILL');
});

t.test('what the shell makes of <(…) and of |', async (t) => {
  const module = JSON.stringify(fromRoot('dist/src/readAtMost.js').href);
  const script = `import { readAtMost } from ${module}; console.log(readAtMost(process.argv[1], 100).toString());`;
  const node = `"${process.execPath}" --input-type=module --eval '${script}'`;
  for (const call of [`${node} <(sleep 0.3; echo text)`, `(sleep 0.3; echo text) | ${node} /dev/stdin`]) {
    const { stdout, stderr } = spawnSync('bash', ['-c', call], { encoding: 'utf8' });
    t.equal(stdout.trim(), 'text', stderr);
  }
});
