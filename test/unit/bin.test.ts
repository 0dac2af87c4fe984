/** Which program bin/penstock starts: a bundle never hides what was compiled after it; and how a bundle is opened. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { fromRoot } from '../support/fromRoot.js';

interface Part {
  readonly text: string;
  readonly cache?: Uint8Array;
}

const { pack } = createRequire(import.meta.url)(fileURLToPath(fromRoot('bin/openBundle.js'))) as {
  readonly pack: (parts: ReadonlyMap<string, Part>) => Buffer;
};
const part = (body: string): Part => ({ text: `(function (exports, require) { ${body} })` });

t.test('the newer one; the bundle of an installation; the compiled one without a bundle', async (t) => {
  const folder = t.testdir({ bin: {}, dist: { bundle: {}, src: {} }, 'package.json': '{"type":"module"}' });
  mkdirSync(`${folder}/bin`, { recursive: true });
  for (const name of ['penstock', 'openBundle.js', 'package.json'])
    copyFileSync(fileURLToPath(fromRoot(`bin/${name}`)), `${folder}/bin/${name}`);
  const write = (name: string, second: number) => {
    const file = `${folder}/dist/${name}`;
    const main = `async () => console.log(${JSON.stringify(name)});`;
    const bundled = pack(new Map([['main.js', part(`exports.main = ${main}`)]]));
    writeFileSync(file, name.startsWith('bundle/') ? bundled : `export const main = ${main}`);
    utimesSync(file, second, second);
  };
  const started = () =>
    execFileSync(process.execPath, [`${folder}/bin/penstock`], { encoding: 'utf8' }).trim();
  write('src/main.js', 100);
  t.equal(started(), 'src/main.js', 'no bundle');
  write('bundle/program', 200);
  t.equal(started(), 'bundle/program', 'an installation');
  write('tsconfig.tsbuildinfo', 199);
  t.equal(started(), 'bundle/program');
  write('tsconfig.tsbuildinfo', 201);
  t.equal(started(), 'src/main.js', 'compiled after it');
  rmSync(`${folder}/dist/bundle/program`);
  t.equal(started(), 'src/main.js');
});

/** A folder with a program of two parts; what it says, with how V8 took the cache of the second. */
function twoParts(t: Test, cache?: Uint8Array) {
  const folder = t.testdir({ bin: {} });
  for (const name of ['openBundle.js', 'package.json'])
    copyFileSync(fileURLToPath(fromRoot(`bin/${name}`)), `${folder}/bin/${name}`);
  const parts = (second?: Uint8Array) =>
    new Map<string, Part>([
      ['main.js', part('exports.late = () => require("./late.js").twice([1, 2, 3]);')],
      [
        'late.js',
        {
          ...part('exports.twice = (list) => list.map((each) => each * 2).join();'),
          ...(second && { cache: second }),
        },
      ],
    ]);
  const file = `${folder}/program`;
  writeFileSync(file, pack(parts(cache)));
  writeFileSync(
    `${folder}/load.cjs`,
    `const scripts = new Map();
     const { load } = require('./bin/openBundle.js').openBundle('${file}', (name, script) => scripts.set(name, script));
     const { writeFileSync } = require('node:fs');
     const { late } = load('main.js');
     const say = () => {
       console.log(late(), scripts.get('late.js').cachedDataRejected);
       if (process.argv[2] === 'make') writeFileSync('${folder}/cache', scripts.get('late.js').createCachedData());
     };
     if (process.argv[2] !== 'wait') say();
     else { console.log('waits'); process.stdin.once('data', () => { say(); process.exit(); }); }`,
  );
  const run = (word = '') => {
    const { stdout, stderr } = spawnSync(process.execPath, [`${folder}/load.cjs`, word], {
      encoding: 'utf8',
    });
    return stdout.trim() || stderr;
  };
  return { folder, file, run, write: (second?: Uint8Array) => writeFileSync(file, pack(parts(second))) };
}

t.test('with a code cache of another version or a damaged one, it runs without', async (t) => {
  const { folder, file, run, write } = twoParts(t);
  t.equal(run('make'), '2,4,6 undefined', 'there is none');
  const cache = readFileSync(`${folder}/cache`);
  write(cache);
  t.equal(run(), '2,4,6 false', 'taken');
  write(Buffer.concat([cache.subarray(0, 4), Buffer.alloc(4), cache.subarray(8)]));
  t.equal(run(), '2,4,6 true', 'of another version');
  write(cache);
  const whole = readFileSync(file);
  for (const [what, from, to] of [
    ['one bit is wrong', whole.length - 1, whole.length],
    ['zeros, as after a power cut', whole.length - cache.length, whole.length],
  ] as const) {
    const damaged = Buffer.from(whole);
    if (to - from === 1) damaged.writeUInt8(damaged.readUInt8(from) ^ 1, from);
    else damaged.fill(0, from, to);
    writeFileSync(file, damaged);
    t.equal(run(), '2,4,6 undefined', what);
  }
});

t.test('a damaged program says what to do', async (t) => {
  const { file, run, write } = twoParts(t);
  write();
  const whole = readFileSync(file);
  const inText = Buffer.from(whole);
  inText.write('* 3', inText.lastIndexOf('* 2'), 'latin1');
  for (const [what, bytes] of [
    ['empty', Buffer.alloc(0)],
    ['cut off in its head', whole.subarray(0, 7)],
    ['cut off in its index', whole.subarray(0, 40)],
    ['cut off in a part', whole.subarray(0, whole.length - 3)],
    ['zeros', Buffer.alloc(whole.length)],
    ['ones', Buffer.alloc(whole.length, 255)],
    ['another text of the same length', inText],
  ] as const) {
    writeFileSync(file, bytes);
    t.match(run(), /is damaged, or was overwritten while the program ran\n→ Install penstock again/, what);
  }
});

t.test('a program stays whole while another version is installed over it', async (t) => {
  const { folder, file } = twoParts(t);
  const child = spawn(process.execPath, [`${folder}/load.cjs`, 'wait'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  await once(child.stdout, 'data');
  writeFileSync(`${file}.new`, pack(new Map([['main.js', part('exports.late = () => "new";')]])));
  renameSync(`${file}.new`, file);
  child.stdin.write('go\n');
  await once(child, 'close');
  t.equal(
    said.trim().split('\n').at(-1),
    '2,4,6 undefined',
    'a part that is loaded late is of its own version',
  );
});
