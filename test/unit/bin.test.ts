/** Which program bin/penstock starts: a bundle never hides what was compiled after it. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { fromRoot } from '../support/fromRoot.js';

t.test('the newer one; the compiled one when there is no bundle or nobody knows how old it is', async (t) => {
  const folder = t.testdir({ bin: {}, dist: { bundle: {}, src: {} }, 'package.json': '{"type":"module"}' });
  mkdirSync(`${folder}/bin`, { recursive: true });
  copyFileSync(fileURLToPath(fromRoot('bin/penstock')), `${folder}/bin/penstock`);
  const write = (name: string, second: number) => {
    const file = `${folder}/dist/${name}`;
    writeFileSync(file, `export const main = async () => console.log(${JSON.stringify(name)});`);
    utimesSync(file, second, second);
  };
  const started = () =>
    execFileSync(process.execPath, [`${folder}/bin/penstock`], { encoding: 'utf8' }).trim();
  write('src/main.js', 100);
  t.equal(started(), 'src/main.js', 'an installation');
  write('bundle/main.js', 200);
  t.equal(started(), 'src/main.js', 'nobody knows when it was compiled');
  write('tsconfig.tsbuildinfo', 199);
  t.equal(started(), 'bundle/main.js');
  write('tsconfig.tsbuildinfo', 201);
  t.equal(started(), 'src/main.js', 'compiled after it');
  rmSync(`${folder}/dist/bundle/main.js`);
  t.equal(started(), 'src/main.js');
});
