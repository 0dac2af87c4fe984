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

t.test(
  'with a code cache that is of another version, damaged or of another text, it runs without',
  async (t) => {
    const folder = t.testdir({ bin: {}, bundle: {} });
    for (const name of ['loadBundle.js', 'package.json'])
      copyFileSync(fileURLToPath(fromRoot(`bin/${name}`)), `${folder}/bin/${name}`);
    writeFileSync(
      `${folder}/load.cjs`,
      `const { loadBundle, sealed } = require('./bin/loadBundle.js');
     const file = ${JSON.stringify(`${folder}/bundle/main.cjs`)};
     const { program, script } = loadBundle(file);
     const { readFileSync, writeFileSync } = require('node:fs');
     const cache = Buffer.from(process.argv[2] === 'seal' ? readFileSync(0) : script.createCachedData());
     if (process.argv[2]) writeFileSync('${folder}/bundle/main.cache', sealed(readFileSync(file), cache));
     console.log(program.main(), script.cachedDataRejected);`,
    );
    writeFileSync(
      `${folder}/bundle/main.cjs`,
      '(function (exports) { exports.main = () => [1, 2, 3].map((each) => each * 2).join() })',
    );
    const run = (word = '', input: Uint8Array = Buffer.alloc(0)) =>
      execFileSync(process.execPath, [`${folder}/load.cjs`, word], { encoding: 'utf8', input }).trim();
    t.equal(run('make'), '2,4,6 undefined', 'there is none');
    t.equal(run(), '2,4,6 false', 'taken');
    const sealed = readFileSync(`${folder}/bundle/main.cache`);
    const cache = sealed.subarray(32);
    run('seal', Buffer.concat([cache.subarray(0, 4), Buffer.alloc(4), cache.subarray(8)]));
    t.equal(run(), '2,4,6 true', 'of another version');
    const damaged = Buffer.from(sealed);
    damaged.writeUInt8(damaged.readUInt8(cache.length) ^ 1, cache.length);
    for (const [what, bytes] of [
      ['empty', Buffer.alloc(0)],
      ['shorter than its digest', sealed.subarray(0, 20)],
      ['cut off', sealed.subarray(0, sealed.length / 2)],
      ['zeros, as after a power cut', Buffer.alloc(sealed.length)],
      ['one bit is wrong', damaged],
    ] as const) {
      writeFileSync(`${folder}/bundle/main.cache`, bytes);
      t.equal(run(), '2,4,6 undefined', what);
    }
    writeFileSync(`${folder}/bundle/main.cache`, sealed);
    const text = readFileSync(`${folder}/bundle/main.cjs`, 'utf8');
    writeFileSync(`${folder}/bundle/main.cjs`, text.replace('* 2', '* 3'));
    t.equal(run(), '3,6,9 undefined', 'of another text of the same length');
  },
);
