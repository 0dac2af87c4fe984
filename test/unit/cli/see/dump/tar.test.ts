import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { tar } from '../../../../../src/cli/see/dump/tar.js';

t.test('tar reads what was written', async (t) => {
  const folder = t.testdir();
  const sizes = [0, 1, 511, 512, 513, 100_000];
  const files = sizes.map((size) => ({ name: `dump/agent/${size}.txt`, content: Buffer.alloc(size, 'x') }));
  const archive = join(folder, 'a.tar');
  writeFileSync(archive, tar(files, 1_700_000_000));
  const out = join(folder, 'out');
  mkdirSync(out);
  execFileSync('tar', ['-xf', archive, '-C', out]);
  for (const { name, content } of files) t.ok(readFileSync(join(out, name)).equals(content), name);
  t.match(execFileSync('tar', ['-tvf', archive], { encoding: 'utf8' }), /^-rw------- 0\/0 +0 2023-11-1/m);
  rmSync(out, { recursive: true });
});
