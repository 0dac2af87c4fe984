/** Which program bin/penstock starts: a bundle never hides what was compiled after it. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { fromRoot } from '../support/fromRoot.js';

t.test('the newer one; the bundle of an installation; the compiled one without a bundle', async (t) => {
  const folder = t.testdir({ bin: {}, dist: { bundle: {}, src: {} }, 'package.json': '{"type":"module"}' });
  mkdirSync(`${folder}/bin`, { recursive: true });
  for (const name of ['penstock', 'loadBundle.js', 'package.json'])
    copyFileSync(fileURLToPath(fromRoot(`bin/${name}`)), `${folder}/bin/${name}`);
  const write = (name: string, second: number) => {
    const file = `${folder}/dist/${name}`;
    const main = `async () => console.log(${JSON.stringify(name)});`;
    const bundled = `(function (exports) { exports.main = ${main} })`;
    writeFileSync(file, name.startsWith('bundle/') ? bundled : `export const main = ${main}`);
    utimesSync(file, second, second);
  };
  const started = () =>
    execFileSync(process.execPath, [`${folder}/bin/penstock`], { encoding: 'utf8' }).trim();
  write('src/main.js', 100);
  t.equal(started(), 'src/main.js', 'no bundle');
  write('bundle/main.cjs', 200);
  t.equal(started(), 'bundle/main.cjs', 'an installation');
  write('tsconfig.tsbuildinfo', 199);
  t.equal(started(), 'bundle/main.cjs');
  write('tsconfig.tsbuildinfo', 201);
  t.equal(started(), 'src/main.js', 'compiled after it');
  rmSync(`${folder}/dist/bundle/main.cjs`);
  t.equal(started(), 'src/main.js');
});

t.test('with a code cache that is of another version or cut off, it runs without', async (t) => {
  const folder = t.testdir({ bin: {}, bundle: {} });
  for (const name of ['loadBundle.js', 'package.json'])
    copyFileSync(fileURLToPath(fromRoot(`bin/${name}`)), `${folder}/bin/${name}`);
  writeFileSync(
    `${folder}/load.cjs`,
    `const { program, script } = require('./bin/loadBundle.js').loadBundle(${JSON.stringify(`${folder}/bundle/main.cjs`)});
     if (process.argv[2] === 'make') require('node:fs').writeFileSync('${folder}/bundle/main.cache', script.createCachedData());
     console.log(program.main(), script.cachedDataRejected);`,
  );
  writeFileSync(
    `${folder}/bundle/main.cjs`,
    '(function (exports) { exports.main = () => [1, 2, 3].map((each) => each * 2).join() })',
  );
  const run = (...args: string[]) =>
    execFileSync(process.execPath, [`${folder}/load.cjs`, ...args], { encoding: 'utf8' }).trim();
  t.equal(run('make'), '2,4,6 undefined', 'there is none');
  t.equal(run(), '2,4,6 false', 'taken');
  const cache = readFileSync(`${folder}/bundle/main.cache`);
  for (const [what, text] of [
    ['empty', Buffer.alloc(0)],
    ['cut off', cache.subarray(0, cache.length / 2)],
    ['of another version', Buffer.concat([cache.subarray(0, 4), Buffer.alloc(4), cache.subarray(8)])],
  ] as const) {
    writeFileSync(`${folder}/bundle/main.cache`, text);
    t.equal(run(), '2,4,6 true', what);
  }
});
