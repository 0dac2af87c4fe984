/** Which program bin/penstock starts: a bundle never hides what was compiled after it; and how a bundle is opened. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { Script } from 'node:vm';
import t, { type Test } from 'tap';
import { fromRoot } from '../support/fromRoot.js';

/** Files, of 1,000. */
const MOST_LOADED = 90;

interface Part {
  readonly text: string;
  readonly cache?: Uint8Array;
}

const { hashOfFlagsIn, pack } = createRequire(import.meta.url)(
  fileURLToPath(fromRoot('bin/openBundle.js')),
) as {
  readonly hashOfFlagsIn: (cache: Uint8Array) => number;
  readonly pack: (parts: ReadonlyMap<string, Part>, flags?: Readonly<Record<string, number>>) => Buffer;
};
const TWICE = 'exports.twice = (list) => list.map((each) => each * 2).join();';
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

t.test(
  'what stays on a node has a small heap; an agent, and what answers and ends, has no flags',
  async (t) => {
    const folder = t.testdir({ bin: {}, dist: { bundle: {} } });
    for (const name of ['penstock', 'openBundle.js', 'limitYoung.js', 'package.json'])
      copyFileSync(fileURLToPath(fromRoot(`bin/${name}`)), `${folder}/bin/${name}`);
    const main = 'async (words) => console.log(JSON.stringify([process.execArgv, words]))';
    writeFileSync(
      `${folder}/dist/bundle/program`,
      pack(new Map([['main.js', part(`exports.main = ${main}`)]])),
    );
    symlinkSync(`${folder}/bin/penstock`, `${folder}/linked`);
    const started = (...words: readonly string[]) =>
      JSON.parse(execFileSync(`${folder}/linked`, words, { encoding: 'utf8' }));
    const small = ['--max-semi-space-size=2', '--optimize-for-size'];
    for (const word of ['allocator', 'scaler', 'web'])
      t.same(started(word, '--config', 'a b'), [small, [word, '--config', 'a b']]);
    for (const words of [
      [],
      ['run', '--config', 'a b'],
      ['status', '-o', 'json'],
      ['explain', '*', '$HOME', "'"],
      ['-e', '1'],
    ])
      t.same(started(...words), [[], words]);
  },
);

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
          ...part(TWICE),
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
  const run = (word = '', ...flags: readonly string[]) => {
    const { stdout, stderr } = spawnSync(process.execPath, [...flags, `${folder}/load.cjs`, word], {
      encoding: 'utf8',
    });
    return stdout.trim() || stderr;
  };
  const write = (second?: Uint8Array, flags?: Readonly<Record<string, number>>) =>
    writeFileSync(file, pack(parts(second), flags));
  return { folder, file, run, write };
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

t.test('a code cache serves every set of flags that the program is started with', async (t) => {
  const { folder, run, write } = twoParts(t);
  const made = (...flags: readonly string[]) => {
    run('make', ...flags);
    return readFileSync(`${folder}/cache`);
  };
  const small = ['--max-semi-space-size=2', '--optimize-for-size'];
  const hashes = { '': hashOfFlagsIn(made()), [small.join(' ')]: hashOfFlagsIn(made(...small)) };
  t.not(hashes[''], hashes[small.join(' ')]);
  const cache = made('--hash-seed=42');
  write(cache);
  t.equal(run(), '2,4,6 true', 'V8 takes none that was made with other flags');
  write(cache, hashes);
  t.equal(run(), '2,4,6 false');
  t.equal(run('', ...small), '2,4,6 false');
  t.equal(run('', '--max-semi-space-size=3'), '2,4,6 true', 'nobody starts it so');
});

t.test('a part that is loaded after the program has set a flag has its code cache too', async (t) => {
  const { folder, file, run } = twoParts(t);
  run('make');
  const late = { ...part(TWICE), cache: readFileSync(`${folder}/cache`) };
  const { text } = part(
    `exports.late = () => {
       require('node:v8').setFlagsFromString('--heap-growing-percent=20');
       return require('./late.js').twice([1, 2, 3]);
     };`,
  );
  const write = (main: Part) => {
    const parts = new Map<string, Part>([
      ['main.js', main],
      ['late.js', late],
    ]);
    writeFileSync(file, pack(parts, { '': hashOfFlagsIn(late.cache) }));
  };
  write({ text });
  t.equal(run(), '2,4,6 true', 'nothing says that V8 takes what was made here');
  write({ text, cache: new Script(text, { filename: 'dist/bundle/main.js' }).createCachedData() });
  t.equal(run(), '2,4,6 false');
});

t.test(
  'parts have their code cache where the young generation is large before the first of them',
  async (t) => {
    const { folder, file, run } = twoParts(t);
    run('make');
    const cache = readFileSync(`${folder}/cache`);
    const { text } = part('exports.late = () => require("./late.js").twice([1, 2, 3]);');
    const main = { text, cache: new Script(text, { filename: 'dist/bundle/main.js' }).createCachedData() };
    const parts = new Map<string, Part>([
      ['main.js', main],
      ['late.js', { ...part(TWICE), cache }],
    ]);
    writeFileSync(file, pack(parts, { '': hashOfFlagsIn(cache) }));
    // As with a module of NODE_OPTIONS=--require that allocates much.
    writeFileSync(
      `${folder}/large.cjs`,
      `const { limitYoung } = require(${JSON.stringify(fileURLToPath(fromRoot('bin/limitYoung.js')))});
     const kept = [];
     for (let i = 0; i < 400_000; i++) kept.push({ i });
     const rejected = [];
     const note = (name, script) => rejected.push(name, script.cachedDataRejected);
     const { load } = require('./bin/openBundle.js').openBundle('${file}', note, limitYoung());
     load('main.js').late();
     console.log(rejected.join(' '), kept.length);`,
    );
    const said = execFileSync(process.execPath, [`${folder}/large.cjs`], { encoding: 'utf8' });
    t.equal(said, 'main.js false late.js false 400000\n');
  },
);

t.test(
  'the young generation of an agent grows to 2 MB, or to 4 while Node.js loads, and no further',
  async (t) => {
    const folder = t.testdir();
    const file = `${folder}/grow.cjs`;
    writeFileSync(
      file,
      `const { limitYoung } = require(${JSON.stringify(fileURLToPath(fromRoot('bin/limitYoung.js')))});
     const young = process.argv[2] === 'limited' ? limitYoung() : { look: () => {}, natively: (load) => load };
     const load = young.natively(require);
     const kept = [];
     for (let i = 0; i < 400_000; i++) {
       kept.push({ i });
       if (i % 1000 === 0) young.look();
       if (i === 150_000) load('node:http2');
     }
     const { space_size } = require('node:v8').getHeapSpaceStatistics().find((each) => each.space_name === 'new_space');
     console.log(space_size / 2 ** 20);`,
    );
    const size = (word: string) => Number(execFileSync(process.execPath, [file, word], { encoding: 'utf8' }));
    t.ok([2, 4].includes(Math.floor(size('limited'))));
    t.ok(size('free') > 4, 'without it, it grows');
  },
);

t.test('`penstock status` loads what its mode needs, and of other modes nothing', async (t) => {
  const loaded = new Set<string>();
  const load = (file: URL) => {
    if (loaded.has(file.href)) return;
    loaded.add(file.href);
    for (const [, from] of readFileSync(file, 'utf8').matchAll(
      /^(?:import|export) (?:.* from )?'(\.[^']+)';/gm,
    ))
      load(new URL(from ?? '', file));
  };
  for (const name of ['main', 'cli/see/status', 'modes/reading/readBack', 'dataplane/nftables/readBack'])
    load(fromRoot(`dist/src/${name}.js`));
  const names = [...loaded].map((url) => url.slice(fromRoot('dist/src/').href.length));
  const others = /^(dataplane\/(iptables|ipvs|userspace)|kernel\/(xtables|ipvs|ipset)|kubernetes|config)\//;
  t.same(
    names.filter((name) => others.test(name)),
    [],
  );
  t.ok(names.length > 60 && names.length <= MOST_LOADED, `${names.length} files`);
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
